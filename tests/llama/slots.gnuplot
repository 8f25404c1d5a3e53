# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where each session's blocks were over time. dir: where the samples are.
# Columns: seconds active slot0 slot1 slot2 slot3 fast_mib
set datafile separator ','
set terminal pngcairo size 1200,860 font 'sans,11' background rgb 'white'
set output dir.'/slots.png'
set xlabel 'seconds'
set ylabel 'percent in the fast tier'
set grid ytics lc rgb '#dddddd'
set lmargin 9
set key off
array colour[4] = ['#1b7837', '#d95f02', '#762a83', '#2166ac']
array name[2] = ['touch', 'kvoffd']
array title[2] = ['without kvoffd: first touch', 'with kvoffd']
set style fill transparent solid 0.15 noborder

stats dir.'/touch.csv' using 1 every ::1 nooutput
t = STATS_max
stats dir.'/kvoffd.csv' using 1 every ::1 nooutput
# only now: stats leaves out what is not in the ranges
set yrange [0:105]
set xrange [0:(t > STATS_max ? t : STATS_max)]

set multiplot layout 2,1 title "llama-server: what of each session's KV cache is in the fast tier (shaded: it talks)" font ',13'
do for [i = 1:2] {
	file = dir.'/'.name[i].'.csv'
	set title title[i]
	set key outside right top
	plot for [s = 0:3] file using 1:($2 == s ? 105 : 0) every ::1 with filledcurves x1 lc rgb colour[s + 1] notitle, \
	     for [s = 0:3] file using 1:(column(3 + s)) every ::1 with lines lw 2 lc rgb colour[s + 1] title sprintf('session %d', s)
}
unset multiplot
