# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel has for machines with two kinds of memory, as a peer: NUMA balancing in its tiering mode, and demotion.

Node 0 gets as small as the fast tier: what the KV cache has there, and what is free above the mark that the kernel keeps
free for promotions, is as much as the tier's capacity. Huge pages that cannot go away have the rest. They yield whenever
it gets less, as when other memory of the server is promoted, too; they take nothing back.
"""

import contextlib
import time

from residency import Pages

MIB = 1 << 20
PAGE, HUGE = 4096, 2 * MIB
BALLAST = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
SCHED = "/sys/kernel/debug/sched/numa_balancing"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"

# of the ways to set it, the kernel's own documents name the scan periods, what counts as hot, and the marks of free memory
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
QUICK = {
    f"{SCHED}/scan_delay_ms": 250,
    f"{SCHED}/scan_period_min_ms": 250,
    f"{SCHED}/scan_period_max_ms": 1000,
    f"{SCHED}/hot_threshold_ms": 4000,
}
HUGE_PAGES = {THP: "always"}
ROOMY = {"/proc/sys/vm/watermark_scale_factor": 25}
TRIES = {
    "numa": {},
    "numa-quick": QUICK,
    "numa-roomy": QUICK | ROOMY,
    "numa-huge": QUICK | ROOMY | HUGE_PAGES,
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
    """What node 0 has free above the mark that the kernel keeps free for promotions."""
    free = 0
    with open("/proc/zoneinfo") as f:
        on = False
        for line in f:
            word = line.split()
            if word[0] == "Node":
                on = word[1] == "0,"
            elif on and word[:2] == ["pages", "free"]:
                free += int(word[2])
            elif on and word[0] == "low":
                low = int(word[1])
            elif on and word[0] == "high":
                # one step above the high mark, as that is one above the low one
                free -= 2 * int(word[1]) - low
    return free * PAGE


def let_go():
    """Give back what the KV cache was to do without."""
    _write(BALLAST, 0)


class Balanced(Pages):
    """Pages of the KV cache. Once squeezed, they have as much room in DRAM as the limit: a look yields if there is less."""

    limit = looks = rooms = 0

    def _room(self, tiers):
        return int((tiers == 0).sum()) * PAGE + free_bytes()

    def tiers(self):
        tiers = super().tiers()
        if self.limit:
            room = self._room(tiers)
            self.looks += 1
            self.rooms += room
            if room < self.limit:
                # rounded up: the peer gets rather more
                _write(BALLAST, max(int(_read(BALLAST)) - -(-(self.limit - room) // HUGE), 0))
        return tiers

    def squeeze(self, limit):
        """Make the room less than the limit and two huge pages. Reclaim takes what it thinks is cold."""
        _write("/proc/sys/vm/drop_caches", 3)
        end = time.monotonic() + 120
        while (room := self._room(super().tiers())) >= limit + 2 * HUGE:
            if time.monotonic() > end:
                raise SystemExit(f"node 0 does not get smaller than {room / MIB:.1f} MiB for the KV cache")
            _write(BALLAST, int(_read(BALLAST)) + max((room - limit) // HUGE // 2, 1))
        self.limit = limit
        return room

    def mean_room(self):
        return self.rooms / max(self.looks, 1)
