# SPDX-License-Identifier: GPL-2.0-or-later
# The 99th percentile of the load stall over the size of the fast tier, a plot a consumer. See share.gnuplot.
set terminal pngcairo size 1200,500
set output output
set multiplot layout 1,3 title what.": load stall of a request, 99th percentile, ms" \
	margins 0.06,0.84,0.12,0.84 spacing 0.06
set xlabel "fast tier, % of the capacity"
set logscale y
set xtics (10, 20, 33, 50)
set xrange [5:55]
set datafile missing "-"
set grid
columns = system("head -n 1 ".data." | wc -w")
names = system("head -n 1 ".data)
do for [who in "cpu gpu gpus"] {
	set title who
	if (who eq "gpus") { set key at screen 0.99, 0.5 right center } else { unset key }
	plot for [i = 3:columns] "< awk '$1 == \"".who."\"' ".data using 2:(column(i)) with linespoints \
		linewidth (word(names, i) eq "kvoffd" ? 3 : 1) title word(names, i)
}
unset multiplot
