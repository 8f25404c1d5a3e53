# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by the scripts here: results as KTAP, waiting without fixed sleeps.

bin=/src/build/trixie/bin
ctl=$bin/kvoffctl
trace=/src/tests/data/conversation_trace.jsonl
tap_n=0 tap_failed=0

# result STATUS NAME
result() {
	tap_n=$((tap_n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_n $2"
	else
		echo "not ok $tap_n $2"
		tap_failed=$((tap_failed + 1))
	fi
}

# expect NAME COMMAND...: it succeeds
expect() {
	local name=$1 said
	shift
	said=$("$@" 2>&1)
	local s=$?
	[ $s -eq 0 ] || sed 's/^/# /' <<<"$said"
	result $s "$name"
}

# refuses NAME STATUS PATTERN COMMAND...: it fails with this status and says so
refuses() {
	local name=$1 status=$2 pattern=$3 said s ok=1
	shift 3
	said=$("$@" 2>&1)
	s=$?
	if [ $s -eq "$status" ] && grep -qE -- "$pattern" <<<"$said"; then
		ok=0
	else
		echo "# status $s, wanted $status; said (wanted: $pattern):"
		sed 's/^/# /' <<<"$said"
	fi
	result $ok "$name"
}

# until TENTHS COMMAND...: poll until it succeeds, for so many tenths of a second at the most (KVOFF_SLOW times as many)
until_true() {
	local left=$(($1 * ${KVOFF_SLOW:-1}))
	shift
	while ! "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
}

sum_of() { cat "$@" 2>/dev/null | awk '{n += $1} END {print n + 0}'; }
used_bytes() { sum_of /sys/class/kvoff/tiers/*/used_bytes; }
stat_of() { cat "/sys/class/kvoff/stats/$1"; }
# number FILE KEY: the first number of that name in a JSON file
number() { grep -oE "\"$2\": *-?[0-9.]+" "$1" | head -n 1 | grep -oE '[-0-9.]+$'; }

done_testing() {
	echo "1..$tap_n"
	[ $tap_failed -eq 0 ]
	exit $?
}
