# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shares of DRAM over time, the best try of each row. dir: where the samples are; rows: names, one word each; out.
# Columns of the samples: t, bytes in DRAM and far, promoted, demoted, re-read from DRAM and far.
set datafile separator ','
set terminal pngcairo size 1000,560 font 'sans,11' background rgb 'white'
set output out
set title 'Re-reads that DRAM served so far: the same trace, the same amount of DRAM'
set grid ytics lc rgb '#dddddd'
set key top left reverse Left samplen 2
set xlabel 'seconds'
set ylabel 'percent'
set yrange [0:100]
plot for [r in rows] dir.'/'.r.'.csv' using 1:($6 + $7 > 0 ? 100 * $6 / ($6 + $7) : NaN) every ::1 with lines lw 2 title r
