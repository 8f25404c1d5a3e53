# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves blocks of all regions between all tiers at random, as fast as it can, until SIGTERM. Prints what it did.

usage: mover.py [SEED]
"""

import os
import random
import signal
import sys
import time

from control import SYSFS, Control, figure, tiers

BATCH = 32
# of a region whose end is not used
FIRST = 1024


def regions():
    """(number, blocks) of those that are there"""
    for number in os.listdir(f"{SYSFS}/regions"):
        if not number.isdigit():
            continue
        try:
            path = f"regions/{number}"
            yield int(number), figure(f"{path}/length_bytes") // figure(f"{path}/block_bytes")
        except OSError:
            pass


def main():
    chance = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    going = True

    def stop(*_):
        nonlocal going
        going = False

    signal.signal(signal.SIGTERM, stop)
    control, to = Control(), tiers()
    moved = tried = 0
    print("moving", flush=True)
    while going:
        some = list(regions())
        if not some:
            time.sleep(0.01)
            continue
        for number, blocks in some:
            where = [chance.randrange(min(blocks, FIRST)) for _ in range(BATCH)]
            results = control.move([(number, block, chance.choice(to)) for block in where])
            tried += len(results)
            moved += sum(not error for error in results)
    control.close()
    print(f"{moved} of {tried} blocks moved or were there")


if __name__ == "__main__":
    main()
