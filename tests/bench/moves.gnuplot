# SPDX-License-Identifier: GPL-2.0-or-later
#
# Moves beside the bare copy and beside move_pages(2). dir: where the columns of `kvoff-bench --columns` are.
set terminal pngcairo size 1100,420 font 'sans,11' background rgb 'white'
set output dir.'/moves.png'
set datafile separator '\t'
set style fill solid 0.85 noborder
set boxwidth 0.7
set grid ytics lc rgb '#dddddd'
set xtics rotate by -20
set yrange [0:*]
rows(re) = "< awk -F '\t' -v OFS='\t' '".re." { split($2, c, \",\"); print c[1], $3, $6, $7 }' ".dir."/columns"
set multiplot layout 1,2
set title 'Moved from DRAM to the far node, one process'
set ylabel 'share of the bare copy'
set key off
plot rows('$1 == "moves" && $2 ~ /1 process, DRAM/') using 0:4:xtic(1) with boxes lc rgb '#1b7837', 1 lc rgb '#888888'
set title 'Times as fast as move\_pages(2)'
set ylabel 'times'
plot rows('$1 == "pages" && $2 ~ /1 process, a block; /') using 0:4:xtic(sprintf('%s', strcol(1))) with boxes lc rgb '#1b7837', \
     1 lc rgb '#888888'
unset multiplot
