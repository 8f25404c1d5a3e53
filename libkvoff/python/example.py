#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two small paged KV pools in kvoff, to be copied from; LIBKVOFF_FALLBACK=1 runs them without the module.

PagedPool is for what reads the cache with the CPU: one numpy array whose address never changes, while kvoff moves the
pages below it. DevicePool is for devices, which register memory once and for life: there the windows stand still, and a
page's handle says which frame it is in as long as it is acquired.

usage: example.py [TURNS]
"""

import asyncio
import errno
import sys

import kvoff
import kvoff.aio
import numpy as np

LAYERS, TOKENS, HEADS, DIM = 4, 16, 4, 64
SHAPE = (2, LAYERS, TOKENS, HEADS, DIM)  # keys and values of 16 tokens in all layers
DTYPE = np.dtype(np.float16)
PAGE = int(np.prod(SHAPE)) * DTYPE.itemsize  # bytes, here 64 KiB: one block of kvoff


def contents(session, n):
    """What the model would compute for a session's n-th page."""
    return np.full(SHAPE, (session * 37 + n) % 2048, DTYPE)


class PagedPool:
    """Pages of a mapped region, and each session's page table: indices of blocks, as 64-bit integers."""

    def __init__(self, pages):
        self.region = kvoff.open(label="paged", block_size=PAGE, unit_size=PAGE, length=2 * pages * PAGE)
        memory = self.region.alloc(pages * PAGE, alignment=PAGE)
        # the array keeps the memory: it is given back when the last view of it is gone
        self.kv = memory.numpy(DTYPE, (pages, *SHAPE))
        self.first = self.region.index(memory)
        self.free = list(range(pages))
        self.table = {}
        self.prefetcher = kvoff.aio.Prefetcher(self.region)
        self.late = 0

    def blocks(self, session):
        return self.table.get(session, np.array([], np.uint64))

    def pages(self, session):
        return (self.blocks(session) - self.first).astype(np.intp)

    async def wanted_soon(self, session, patience):
        """A request of this session is queued. Others run while its pages are on their way."""
        try:
            done = await self.prefetcher.until(self.blocks(session), timeout=patience)
            self.late += done.late  # slower, not wrong: the pages are where they are
        except kvoff.Error as e:
            if e.errno != errno.ENOTSUP:  # plain memory does not move
                raise

    def turn(self, session):
        """Attention reads all of the session's pages with plain loads, and a page is added."""
        self.region.touch(self.blocks(session))  # the array of indices is read where it is
        for n, page in enumerate(self.pages(session)):
            if not np.array_equal(self.kv[page], contents(session, n)):
                raise SystemExit(f"session {session}: page {n} is wrong")
        page = self.free.pop()
        self.kv[page] = contents(session, len(self.blocks(session)))
        self.table[session] = np.append(self.blocks(session), np.uint64(self.first + page))

    def pause(self, session):
        self.region.hint(self.blocks(session), kvoff.Hint.COLD)

    def end(self, session):
        self.region.discard(self.blocks(session))  # the bytes are dead; the pages stay ours and read as zero
        self.free += self.pages(session).tolist()
        del self.table[session]


async def talk(pool, session, turns, seats):
    for _ in range(turns):
        async with seats:
            await pool.wanted_soon(session, patience=0.05)
            pool.turn(session)
        pool.pause(session)
        await asyncio.sleep(0)
    pool.end(session)


async def talks(pool, turns):
    seats = asyncio.Semaphore(3)
    await asyncio.gather(*(talk(pool, session, turns, seats) for session in range(6)))


class DevicePool:
    """Blocks of a framed region, as a device sees them: (window, frame) of each, for a kernel's block table."""

    def __init__(self, pages):
        self.region = kvoff.open(
            label="device",
            framed=True,
            block_size=PAGE,
            fast_bytes=pages // 2 * PAGE,
            far_bytes=(pages + 8) * PAGE,  # some frames stay free, for blocks to move into
        )
        self.windows = self.region.windows()
        # once, for life; a tensor on such a window is window.torch(torch.float16, shape)
        for w in self.windows:
            self.register(w.address, w.nbytes)
        self.frames = [w.numpy(DTYPE, (w.nbytes // PAGE, *SHAPE)) for w in self.windows]
        self.handles = np.asarray(self.region.block_alloc(pages))

    def register(self, address, nbytes):
        """torch.cuda.cudart().cudaHostRegister(address, nbytes, 0), where there is a GPU"""

    def where(self, blocks):
        """(window, frame) of acquired blocks."""
        at = np.asarray(blocks.addresses)
        starts = np.array([w.address for w in self.windows], np.uint64)
        order = np.argsort(starts)
        window = order[np.searchsorted(starts[order], at, side="right") - 1]
        return window, (at - starts[window]) // PAGE

    def write(self, ids):
        # between acquire and release a block is where it is; a device's copies must have ended before the end
        with self.region.acquire(self.handles[ids]) as blocks:
            for i, window, frame in zip(ids, *self.where(blocks)):
                self.frames[window][frame] = contents(1, i)

    def check(self, ids):
        self.region.touch(self.handles[ids])
        with self.region.acquire(self.handles[ids]) as blocks:
            for i, window, frame in zip(ids, *self.where(blocks)):
                if not np.array_equal(self.frames[window][frame], contents(1, i)):
                    raise SystemExit(f"device block {i} is wrong")


def main():
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    pool = PagedPool(pages=6 * turns)
    asyncio.run(talks(pool, turns))
    print(f"{6 * turns} turns, {pool.late} prefetches late, every page right")

    device = DevicePool(pages=32)
    ids = np.arange(32)
    device.write(ids)
    for _ in range(turns):
        device.check(ids)
    print(f"{len(ids)} blocks read through {len(device.windows)} windows, {turns} times, every byte right")


if __name__ == "__main__":
    main()
