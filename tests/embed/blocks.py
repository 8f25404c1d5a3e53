# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said to blocks and asked of them, while they move."""

import asyncio
import errno
import gc
import os
import select

import kvoff
import kvoff.aio
import numpy as np
import world
from control import physical
from ktap import Skip, check, raises, test, wait_for
from world import BS, NR, REAL, framed, mapped, real

HOOKS = "/sys/module/kvoff/parameters/hook_copy_bad"


@test("acquired blocks are a sequence of memory; a release takes what was acquired, not what the array says then")
def acquiring():
    with mapped() as region:
        a = region.alloc(NR * BS, alignment=BS)
        kv = a.numpy("u1", (NR, BS))
        kv[:] = np.arange(NR, dtype="u1")[:, None]
        ids = np.array([5, 2, 5], np.uint64) + np.uint64(region.index(a))
        acquired = lambda: [i for i in range(NR) if region.query(int(region.index(a)) + i)[0].acquired]  # noqa: E731
        with region.acquire(ids) as blocks:
            check(len(blocks) == 3 and [b.view()[0] for b in blocks.memory()] == [5, 2, 5])
            check(list(np.asarray(blocks.addresses)) == [a.address + i * BS for i in (5, 2, 5)])
            check(blocks[1].numpy("u4", (4,)).shape == (4,) and acquired() == [2, 5])
            ids[:] = 0
            first = blocks[0]
        check(acquired() == [])
        raises(ValueError, blocks.release, says="released")
        raises(ValueError, lambda: blocks[0], says="released")
        raises(ValueError, first.view, says="released")
        one = region.acquire(1, addresses=False)
        check(len(one) == 0 and region.query(1)[0].acquired)
        region.release(1)
        raises(kvoff.Error, one.release, errno=errno.EINVAL)
        try:
            with region.acquire([3, 4]):
                raise KeyError("in between")
        except KeyError:
            pass
        check(acquired() == [])
        raises(kvoff.Error, region.acquire, [0, 1 << 40], errno=errno.ERANGE)
        check(acquired() == [])


@test("a query is an array of blocks, for numpy a structured one")
def querying():
    with mapped() as region:
        a = region.alloc(NR * BS)
        region.touch(np.arange(NR, dtype="u8"))
        a.numpy()[:] = 1
        got = region.query(np.arange(NR + 1, dtype="u8"))
        table = np.asarray(got)
        check(table.dtype.names == ("tier", "flags", "generation", "touches"))
        check(list(table["touches"][:NR]) == [1] * NR and table["tier"][0] in (world.now.fast, world.now.far))
        check(got[0].tier == table["tier"][0] and "tier=" in repr(got[0]) and not got[0].moving)
        check(sum(region.stats().tier_used) == region.stats().used >= NR * BS)


@test("hints, discards and seals")
def saying():
    with mapped() as region:
        a = region.alloc(4 * BS, alignment=BS)
        first = region.index(a)
        kv = a.numpy("u1", (4, BS))
        kv[:] = 1
        for hint in kvoff.Hint:
            region.hint([first], hint)
        raises(kvoff.Error, region.hint, first, 99, errno=errno.EINVAL)
        region.discard([first, first + 1])
        check(not kv[:2].any() and kv[2:].all())
        region.discard_ptr(kv[2])
        raises(kvoff.Error, region.discard_ptr, kv[3, :10], errno=errno.EINVAL)
        check(not kv[2].any() and kv[3].all())
        region.seal(first + 3)
        region.seal_ptr(kv[3])
        check(region.query(first + 3)[0].sealed and kv[3].all())
        region.discard(first + 3)
        check(not region.query(first + 3)[0].sealed)
        kv[3] = 2


@test("framed blocks: handles, windows, bytes where acquire says")
def frames():
    with framed() as region:
        check(region.framed and region.base is None)
        raises(ValueError, region.memory, 0, 1, says="framed")
        raises(kvoff.Error, region.alloc, BS, errno=errno.EOPNOTSUPP)
        windows = region.windows()
        whole = sum(w.nbytes for w in windows)
        check(whole >= 4 * NR * BS and all(w.address % BS == 0 for w in windows))
        check(sum(len(w) for w in region.windows(2 * BS)) == whole and len(region.windows(2 * BS)) >= 2 * NR)
        h = np.asarray(region.block_alloc(NR))
        check(h.dtype == np.uint64 and len(set(h)) == NR)
        with region.acquire(h) as blocks:
            for i, block in enumerate(blocks.memory()):
                block.numpy("u4", (16,))[:] = i
                check(any(w.address <= block.address < w.address + w.nbytes for w in windows))
        for to in (world.now.far, world.now.fast):
            if REAL:
                world.now.move(region, h, to)
                check({b.tier for b in region.query(h)} == {to})
            with region.acquire(h) as blocks:
                check([int(b.numpy("u4")[3]) for b in blocks.memory()] == list(range(NR)))
                # the same bytes through a view of the window
                at = blocks[3].address
                w = next(w for w in windows if w.address <= at < w.address + w.nbytes)
                check(w.numpy("u4", (w.nbytes // BS, BS // 4))[(at - w.address) // BS, 3] == 3)
                check(not REAL or w.tier == to)
                raises(kvoff.Error, region.block_free, h[:1], errno=errno.EBUSY)
        region.touch(h)
        region.block_free(h[:4])
        raises(kvoff.Error, region.touch, h[:1], errno=errno.ESTALE)
        check([b.tier == -1 for b in region.query(h)] == [True] * 4 + [False] * (NR - 4))
        check(region.stats().nr_allocated == NR - 4)
        raises(kvoff.Error, region.block_alloc, 1 << 20, errno=errno.ENOSPC)


@test("bytes stay the same while blocks move, and acquired blocks do not move")
def moving():
    real()
    with mapped() as region:
        a = region.alloc(NR * BS, alignment=BS)
        kv = a.numpy("u4", (NR, BS // 4))
        kv[:] = np.arange(NR * BS // 4, dtype="u4").reshape(kv.shape)
        before = kv.copy()
        ids = np.arange(NR, dtype="u8") + np.uint64(region.index(a))
        for to in (world.now.far, world.now.fast, world.now.far):
            world.now.move(region, ids, to)
            check(set(np.asarray(region.query(ids))["tier"]) == {to} and (kv == before).all())
        with region.acquire(ids[:2]):
            results = world.now.control.move([(region.stats().region_id, int(i), world.now.fast) for i in ids[:3]])
            check(results == [-errno.EAGAIN, -errno.EAGAIN, 0], f"{results}")
        world.now.move(region, ids, world.now.fast)


@test("a prefetch is reaped with its cookie when its blocks are there, or when it is late")
def prefetching():
    with mapped() as region:
        a = region.alloc(4 * BS, alignment=BS)
        a.numpy()[:] = 1
        ids = np.arange(4, dtype="u8") + np.uint64(region.index(a))
        if not REAL:
            raises(kvoff.Error, region.prefetch_until, ids, 1, errno=errno.ENOTSUP)
            raises(kvoff.Error, region.eventfd, errno=errno.ENOTSUP)
            check(region.reap() == [])
            raise Skip("needs the module")
        world.now.move(region, ids, world.now.far)
        fd = region.eventfd()
        readable = lambda s: bool(select.select([fd], [], [], s)[0])  # noqa: E731
        region.prefetch_until(ids[:2], cookie=(1 << 64) - 1)
        check(region.reap() == [])
        region.prefetch_until(ids[2:], cookie=7, deadline_ns=kvoff.deadline(0.2))
        world.now.move(region, ids[:2], world.now.fast)
        done = []
        wait_for(lambda: readable(0.1) and done.extend(region.reap()) or len(done) == 2, "two completions")
        done.sort()
        check(done == [(7, 2, 0, True), ((1 << 64) - 1, 2, 2, False)], f"{done}")
        check(done[0].late and done[1].n_fast == 2 and region.reap() == [])


@test("asyncio waits for prefetches")
def prefetching_async():
    real()

    async def both(region, ids):
        prefetcher = kvoff.aio.Prefetcher(region, look_s=0.2)
        first = asyncio.ensure_future(prefetcher.until(ids[:2]))
        late = asyncio.ensure_future(prefetcher.until(ids[2:], timeout=0.05))
        gone = asyncio.ensure_future(prefetcher.until(ids[:1]))
        await asyncio.sleep(0)
        check(not first.done())
        gone.cancel()
        check((await late).late)
        world.now.move(region, ids[:2], world.now.fast)
        done = await asyncio.wait_for(first, 120)
        check(done.n_fast == 2 and not done.late, f"{done}")
        # what is there already is not waited for
        check((await asyncio.wait_for(prefetcher.until(ids[:2]), 120)).n_fast == 2)

    with mapped() as region:
        a = region.alloc(4 * BS, alignment=BS)
        a.numpy()[:] = 1
        ids = np.arange(4, dtype="u8") + np.uint64(region.index(a))
        world.now.move(region, ids, world.now.far)
        asyncio.run(both(region, ids))


@test("a poisoned block is named by the exception, and discarding it mends it")
def poisoned():
    real()
    if not os.path.exists(HOOKS):
        raise Skip("this module has no test hooks")
    with mapped() as region:
        a = region.alloc(4 * BS, alignment=BS)
        kv = a.numpy("u1", (4, BS))
        kv[:] = 1
        first = region.index(a)
        where = physical(a.address + 2 * BS)
        with open(HOOKS, "w") as hook:
            hook.write("1")
        try:
            world.now.control.poison(where, 1)
        finally:
            with open(HOOKS, "w") as hook:
                hook.write("0")
        ids = np.arange(4, dtype="u8") + np.uint64(first)
        check([b.poisoned for b in region.query(ids)] == [False, False, True, False])
        check(region.query_ptr(kv[2]).poisoned)
        for call, arg in ((region.acquire, ids), (region.acquire, iter(ids.tolist())), (region.acquire_ptr, a)):
            e = raises(kvoff.PoisonError, call, arg, errno=errno.EIO)
            check(e.blocks == (first + 2,) and e.strerror, f"{e.blocks} {e}")
        check(not any(b.acquired for b in region.query(ids)))
        region.discard(e.blocks)
        with region.acquire(ids):
            check(not kv[2].any() and kv[3].all())


@test("a region with a name comes back with its units, which only free() ends")
def named():
    tag = b"system prompt 7"
    if not REAL:
        raises(kvoff.Error, mapped, name="embed", errno=errno.ENOTSUP)
        raises(kvoff.Error, kvoff.open_named, "embed", errno=errno.ENOTSUP)
        with mapped() as region:
            a = region.alloc(BS)
            raises(kvoff.Error, region.seal_tagged, 0, 1, tag, errno=errno.ENOTSUP)
            raises(kvoff.Error, lambda: list(region.units()), errno=errno.ENOTSUP)
        raise Skip("needs the module")
    raises(kvoff.Error, kvoff.open_named, "embed", errno=errno.ENOENT)
    region = mapped(name="embed", mode=0o600, ttl_s=600)
    number = region.stats().region_id
    try:
        some = []
        for i in range(3):
            a = region.alloc(2 * BS, alignment=BS)
            a.numpy()[:] = i + 1
            region.seal_tagged(region.index(a), 2, tag + bytes([i]))
            some.append(a)
        raises(kvoff.Error, mapped, name="embed", errno=errno.EEXIST)
        raises(kvoff.Error, region.seal_tagged, region.index(some[0]), 1, tag, errno=errno.EEXIST)
        check([u.nr for u in region.units()] == [2, 2, 2])
        # neither the objects' end nor the region's frees anything
        del some, a
        gc.collect()
        check(len(list(region.units())) == 3)
        region.close()
        with kvoff.open_named("embed", uid=os.getuid(), readonly=True) as reader:
            check(len(list(reader.units())) == 3)
        region = kvoff.open_named("embed")
        units = list(region.units())
        check([u.tag for u in units] == [(tag + bytes([i])).ljust(kvoff.TAG_LEN, b"\0") for i in range(3)])
        check([u.first for u in region.units(units[0].first + 1)] == [u.first for u in units[1:]])
        for i, u in enumerate(units):
            a = region.allocation(region.base + u.first * BS)
            check(a.nbytes == 2 * BS and (a.numpy() == i + 1).all())
            check(a.free())
        check(list(region.units()) == [] and region.stats().nr_allocated == 0)
    finally:
        region.close()
        world.now.control.forget(number)
