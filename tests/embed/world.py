# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the Python module stand on: regions, and with the module two tiers for each test."""

import contextlib
import gc
import os

import kvoff
from control import KIB, SYSFS, Control
from kvoff import _abi
from ktap import Skip, check

BS = 64 * KIB
NR = 16
REAL = os.path.exists("/dev/kvoff/control")

calls = dict.fromkeys(_abi.PROTOTYPES, 0)
now = None


def count_calls():
    """From here on each call into the library is counted."""
    for name in calls:
        function = getattr(_abi.lib, name)

        def counted(*args, _function=function, _name=name):
            calls[_name] += 1
            return _function(*args)

        setattr(_abi.lib, name, counted)


class World:
    """The module for one test: tiers to move between."""

    def __init__(self):
        self.control = Control() if REAL else None
        self.fast, self.far = self.control.add_tiers(BS, 4 * NR * BS) if REAL else (0, 0)

    def move(self, region, blocks, to):
        """Blocks by index or handle; all of them get there."""
        number = region.stats().region_id
        results = self.control.move([(number, int(b) & (1 << 48) - 1, to) for b in blocks])
        check(not any(results), f"moves: {results}")


def sampling(interval_ms):
    if REAL:
        with open(f"{SYSFS}/tuning/sample_interval_ms", "w") as file:
            file.write(str(interval_ms))


@contextlib.contextmanager
def world():
    global now
    now = World()
    # a sample unmaps blocks, which are busy meanwhile and have no page to be asked for
    sampling(0)
    try:
        yield
    finally:
        # a test that failed may have left views in its traceback
        gc.collect()
        sampling(5000)
        if REAL:
            now.control.close()


def real():
    if not REAL:
        raise Skip("needs the module")


def mapped(**options):
    return kvoff.open(block_size=BS, length=4 * NR * BS, **options)


def framed(**options):
    return kvoff.open(framed=True, block_size=BS, fast_bytes=2 * NR * BS, far_bytes=2 * NR * BS, **options)
