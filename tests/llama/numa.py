# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel has for machines with two kinds of memory, as a peer: NUMA balancing in its tiering mode, with
demotion.

Node 0 gets as small as the fast tier: what the KV cache has there, and what is free above the mark down to which the
kernel promotes, is as much as the tier's capacity, or a few MiB more. Huge pages that cannot go away have the rest:
they yield where it gets less, as when other memory of the server is promoted, too, and take back where it gets more.
"""

import contextlib
import time

from residency import Pages

MIB = 1 << 20
PAGE, HUGE = 4096, 2 * MIB
BALLAST = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
SCHED = "/sys/kernel/debug/sched/numa_balancing"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"

# the kernel's own, but that what is kept free is not much of such a small machine
DEFAULTS = {
    "/proc/sys/vm/min_free_kbytes": 8192,
    "/proc/sys/vm/watermark_scale_factor": 10,
    "/sys/kernel/mm/numa/demotion_enabled": "true",
    f"{SCHED}/scan_delay_ms": 1000,
    f"{SCHED}/scan_period_min_ms": 1000,
    f"{SCHED}/scan_period_max_ms": 60000,
    f"{SCHED}/hot_threshold_ms": 1000,
    THP: "never",
    "/proc/sys/kernel/numa_balancing": 2,
}
# a visit lasts as long as few of the kernel's scan periods, and a token takes a large part of its threshold
QUICK = {
    f"{SCHED}/scan_delay_ms": 250,
    f"{SCHED}/scan_period_min_ms": 250,
    f"{SCHED}/scan_period_max_ms": 1000,
    f"{SCHED}/hot_threshold_ms": 4000,
}
# Scans that never slow down. What a thread uses is known for four times the delay only: that stays as it is.
EAGER = {
    f"{SCHED}/scan_period_min_ms": 100,
    f"{SCHED}/scan_period_max_ms": 100,
    f"{SCHED}/hot_threshold_ms": 4000,
}
TRIES = {
    "numa-default": {},
    "numa-quick": QUICK,
    "numa-eager": EAGER,
    "numa-eager-huge": EAGER | {THP: "always"},
}


def _read(path):
    with open(path) as f:
        return f.read().split("[")[-1].split("]")[0].split()[0]


def _write(path, value):
    with open(path, "w") as f:
        f.write(str(value))


@contextlib.contextmanager
def settings(values):
    """Files of the kernel that have these values, and what was there before at the end."""
    old = {path: _read(path) for path in values}
    for path, value in values.items():
        _write(path, value)
    try:
        yield
    finally:
        for path in reversed(old):
            _write(path, old[path])


def counted(*names):
    """The sum of counters of /proc/vmstat whose names begin so."""
    with open("/proc/vmstat") as f:
        return sum(int(n) for name, n in map(str.split, f) if name.startswith(names))


def moved():
    """Bytes that were promoted and demoted so far."""
    up = counted("pgpromote_success") * PAGE
    return up, counted("pgdemote_kswapd", "pgdemote_direct", "pgdemote_khugepaged", "pgdemote_proactive") * PAGE


def free_bytes():
    """What node 0 has free above the mark down to which the kernel promotes."""
    free = 0
    with open("/proc/zoneinfo") as f:
        on = False
        for line in f:
            word = line.split()
            if word[0] == "Node":
                on = word[1] == "0,"
            elif on and word[:2] == ["pages", "free"]:
                free += int(word[2])
            elif on and word[0] == "high":
                free -= int(word[1])
    return free * PAGE


def let_go():
    """Give back what the KV cache was to do without."""
    _write(BALLAST, 0)


class Balanced(Pages):
    """Pages of the KV cache. Once squeezed, they have as much room in DRAM as the limit: looks see to it."""

    STEADY = 4  # looks: while pages are promoted others are not demoted yet, and free memory is low for a moment

    def __init__(self, pid, layout):
        super().__init__(pid, layout)
        self.limit, self.rooms, self.last = 0, [], []

    def _room(self, tiers):
        return int((tiers == 0).sum()) * PAGE + free_bytes()

    def _ballast(self, more):
        _write(BALLAST, max(int(_read(BALLAST)) + more, 0))

    def tiers(self):
        tiers = super().tiers()
        if self.limit:
            room = self._room(tiers)
            self.rooms.append(room)
            self.last = [*self.last, room][-self.STEADY :]
            least, most = min(self.last) - self.limit, max(self.last) - self.limit
            if len(self.last) == self.STEADY and (most < 0 or least >= 2 * HUGE):
                # rounded in favour of the peer
                self._ballast(most // HUGE if most < 0 else least // HUGE - 1)
                self.last = []
        return tiers

    def squeeze(self, limit):
        """Make the room less than the limit and a huge page. Reclaim takes what it thinks is cold."""
        _write("/proc/sys/vm/drop_caches", 3)
        end = time.monotonic() + 120
        while (room := self._room(super().tiers())) >= limit + HUGE:
            if time.monotonic() > end:
                raise SystemExit(f"node 0 does not get smaller than {room / MIB:.1f} MiB for the KV cache")
            self._ballast(max((room - limit) // HUGE // 2, 1))
        self.limit = limit
        return room

    def mean_room(self):
        return sum(self.rooms) / max(len(self.rooms), 1)
