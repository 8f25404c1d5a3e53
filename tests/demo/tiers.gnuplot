# SPDX-License-Identifier: GPL-2.0-or-later
#
# The picture of the demo. dir: where the reports are; fast: MiB of the fast tier.
# Columns of the samples: t fast cxl0 promoted demoted fast_reread cxl0_reread
set datafile separator ','
set terminal pngcairo size 1200,760 font 'sans,11' background rgb 'white'
set output dir.'/tiers.png'
mib = 1048576.0
set lmargin 9
set rmargin 9
set grid ytics lc rgb '#dddddd'
set key top left reverse Left samplen 2
set xlabel 'seconds'
set style fill solid 0.85 noborder

array name[2] = ['baseline', 'kvoffd']
array title[2] = ['first touch only', 'with kvoffd']

stats dir.'/baseline.csv' using 1 every ::1 nooutput
t0 = STATS_max
stats dir.'/kvoffd.csv' using 1 every ::1 nooutput
tmax = t0 > STATS_max ? t0 : STATS_max
stats dir.'/kvoffd.csv' using (($2 + $3) / mib) every ::1 nooutput
top = STATS_max * 1.25
set xrange [0:tmax]

set multiplot layout 2,2 title 'kvoff: one slice of a chat trace, twice, on an emulated CXL machine' font ',13'
do for [i = 1:2] {
	set title 'Where the blocks are, '.title[i]
	set ylabel 'MiB'
	set yrange [0:top]
	file = dir.'/'.name[i].'.csv'
	plot file using 1:(($2 + $3) / mib) every ::1 with filledcurves x1 lc rgb '#9bb8d3' title 'CXL tier', \
	     file using 1:($2 / mib) every ::1 with filledcurves x1 lc rgb '#d95f02' title sprintf('fast tier (%d MiB)', fast)
}

set title 'Re-reads that the fast tier served so far'
set ylabel 'percent'
set yrange [0:100]
set key bottom left
plot dir.'/baseline.csv' using 1:($6 + $7 > 0 ? 100 * $6 / ($6 + $7) : NaN) every ::1 with lines lw 2 lc rgb '#888888' title title[1], \
     dir.'/kvoffd.csv' using 1:($6 + $7 > 0 ? 100 * $6 / ($6 + $7) : NaN) every ::1 with lines lw 2 lc rgb '#1b7837' title title[2]

set title 'Moved so far, with kvoffd'
set ylabel 'MiB'
set yrange [0:*]
set key top left
plot dir.'/kvoffd.csv' using 1:($4 / mib) every ::1 with lines lw 2 lc rgb '#1b7837' title 'promoted', \
     dir.'/kvoffd.csv' using 1:($5 / mib) every ::1 with lines lw 2 lc rgb '#762a83' title 'demoted'
unset multiplot
