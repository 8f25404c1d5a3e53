# SPDX-License-Identifier: GPL-2.0-or-later
# Hit share over the size of the fast tier, a line a policy. data, output and what are given by tests/placement/plots.
set terminal pngcairo size 800,500
set output output
set title what.": re-reads that the fast tier serves, moving costs nothing"
set xlabel "fast tier, % of all blocks"
set ylabel "share of re-reads"
set logscale x
set xtics (1, 2, 5, 10, 20, 33)
set yrange [0:1]
set key outside right
set datafile missing "-"
set grid
columns = system("head -n 1 ".data." | wc -w")
names = system("head -n 1 ".data)
shown(i) = system(sprintf("awk 'NR > 1 && $%d != \"-\"' %s | wc -l", i, data)) > 0
list = ""
do for [i = 2:columns] { if (shown(i)) { list = list.sprintf(" %d", i) } }
plot for [i in list] data using 1:(column(int(i))) every ::1 with linespoints \
	linewidth (word(names, int(i)) eq "kvoffd" ? 3 : 1) title word(names, int(i))
