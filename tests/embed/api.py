# SPDX-License-Identifier: GPL-2.0-or-later
"""libkvoff from Python: every function, arrays without copies, views and what keeps them, errors.

Without the module (LIBKVOFF_FALLBACK=1) what needs it is skipped. With it, as root, each test has two tiers of its own
and moves blocks between them.
"""

import array
import asyncio
import contextlib
import ctypes
import errno
import gc
import multiprocessing
import os
import select
import socket
import threading
import tracemalloc

import kvoff
import kvoff.aio
import numpy as np
from control import KIB, Control, physical
from kvoff import _abi
from ktap import Skip, check, raises, run, test, wait_for

BS = 64 * KIB
NR = 16
REAL = os.path.exists("/dev/kvoff/control")
HOOKS = "/sys/module/kvoff/parameters/hook_copy_bad"

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


@contextlib.contextmanager
def world():
    global now
    now = World()
    try:
        yield
    finally:
        # a test that failed may have left views in its traceback
        gc.collect()
        if REAL:
            now.control.close()


def real():
    if not REAL:
        raise Skip("needs the module")


def mapped(**options):
    return kvoff.open(block_size=BS, length=4 * NR * BS, **options)


def framed(**options):
    return kvoff.open(framed=True, block_size=BS, fast_bytes=2 * NR * BS, far_bytes=2 * NR * BS, **options)


@test("memory is allocated, seen through numpy without a copy, and freed")
def memory():
    with mapped() as region:
        a = region.alloc(8 * BS)
        check(region.offset(a) == a.address - region.base and region.index(a.address + BS) == region.index(a) + 1)
        kv = a.numpy("f2", (8, BS // 2))
        check(kv.__array_interface__["data"] == (a.address, False) and kv.shape == (8, BS // 2))
        kv[3] = 7
        check(np.frombuffer(a.view(), "f2", 1, 3 * BS)[0] == 7)
        check(region.stats().allocated == 8 * BS and region.stats().nr_allocated == 1)
        check(a.usable_size >= a.nbytes == len(a) == 8 * BS)
        check(region.alloc(100, alignment=1 << 20).address % (1 << 20) == 0)
        raises(ValueError, a.numpy, "f4", (3 * BS,), says="small")
        del kv
        check(a.free(), "it was not freed at once")
        raises(ValueError, a.view, says="freed")
        raises(ValueError, a.free, says="freed")
        gc.collect()
        check(region.stats().nr_allocated == 0)


@test("from Python 3.12 on the objects have the buffer protocol themselves")
def buffer_protocol():
    import sys

    if sys.version_info < (3, 12):
        raise Skip("this is an older one")
    with mapped() as region:
        a = region.alloc(BS)
        memoryview(a)[5] = 9
        check(np.frombuffer(a, "u1")[5] == 9 and bytes(a)[5] == 9)


@test("memory goes back when nothing refers to it any more, and not before")
def lifetime():
    with mapped() as region:
        live = lambda: region.stats().nr_allocated  # noqa: E731
        a = region.alloc(BS)
        row = a.numpy("u1", (4, BS // 4))[2]
        del a
        check(live() == 1)
        row[:] = 1
        del row
        check(live() == 0)
        a = region.alloc(BS)
        view = a.view()
        check(not a.free() and live() == 1, "freed under a view")
        view[0] = 1
        del view
        check(live() == 0)
        with region.alloc(BS) as b:
            check(b.nbytes == BS and live() == 1)
        check(live() == 0)
        kept = region.alloc(BS)
        kept.keep()
        address = kept.address
        del kept
        check(live() == 1)
        check(region.allocation(address).free() and live() == 0)
        raises(ValueError, region.allocation, address, says="no allocation")


@test("a closed region stays attached until its last view is gone, and says that it is closed")
def closing():
    region = mapped()
    a = region.alloc(BS)
    kv = a.numpy()
    kv[:] = 5
    fd = region.fileno()
    check(not region.close() and region.closed and region.close())
    check(int(kv.sum()) == 5 * BS)
    raises(ValueError, region.touch, 0, says="closed")
    raises(ValueError, a.view, says="closed")
    os.fstat(fd)
    del kv, a
    raises(OSError, os.fstat, fd, errno=errno.EBADF)
    region = mapped()
    a = region.alloc(BS)
    check(region.close() and a.nbytes == BS, "an allocation without a view held it up")
    with mapped() as region:
        pass
    check(region.closed)


@test("indices are taken where they are: numpy, array.array, memoryview, ctypes, read-only ones too")
def index_arrays():
    with mapped() as region:
        a = region.alloc(NR * BS)
        first = region.index(a)
        check(first == 0)

        def touched():
            return [b.touches for b in region.query(range(4))]

        frozen = np.array([3, 3], np.uint64)
        frozen.flags.writeable = False
        for same in (
            np.array([3, 3], np.uint64),
            np.array([3, 3], np.int64),
            np.array([[3], [3]], "u8"),
            np.array([0, 3, 3], "u8")[1:],
            frozen,
            array.array("Q", [3, 3]),
            array.array("q", [3, 3]),
            memoryview(array.array("L", [3, 3])),
            (ctypes.c_uint64 * 2)(3, 3),
            memoryview(b"\3\0\0\0\0\0\0\0" * 2).cast("Q"),
            [3, 3],
            (3, 3),
            iter([3, 3]),
        ):
            before = touched()
            region.touch(same)
            after = touched()
            check(after[3] == before[3] + 2 and after[:3] == before[:3], f"{type(same)}: {before} {after}")
        region.touch(3)
        region.touch(np.uint64(3))
        region.touch(np.array([], "u8"))
        region.touch([])
        raises(TypeError, region.touch, np.array([3], "i4"), says="astype")
        raises(TypeError, region.touch, np.array([3.0]))
        raises(TypeError, region.touch, [3.0])
        raises(TypeError, region.touch, np.array([3], ">u8"))
        raises(TypeError, region.touch, b"12345678")
        raises(TypeError, region.touch, None)
        raises(ValueError, region.touch, np.arange(8, dtype="u8")[::2], says="contiguous")
        raises(OverflowError, region.touch, -1)
        raises(OverflowError, region.touch, 1 << 64)
        raises(kvoff.Error, region.touch, np.array([-1]), errno=errno.ERANGE)
        raises(OverflowError, region.alloc, (1 << 64) + 1)


@test("a large array of indices is not copied")
def no_copy():
    with mapped() as region:
        a = region.alloc(NR * BS)
        many = np.zeros(1 << 18, np.uint64)
        frozen = many[:]
        frozen.flags.writeable = False
        region.touch(many)
        tracemalloc.start()
        region.touch(many)
        region.touch(frozen)
        region.prefetch(memoryview(many))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        check(region.query_ptr(a).touches > many.size)
        check(peak < 1 << 18, f"{peak} bytes were allocated for {many.nbytes} bytes of indices")


@test("memory is named by allocations, numpy slices, views and addresses")
def spans():
    with mapped() as region:
        a = region.alloc(4 * BS, alignment=BS)
        first = region.index(a)
        kv = a.numpy("u1", (4, BS))

        def touched():
            return [b.touches for b in region.query(range(first, first + 4))]

        for memory, blocks in (
            (a, [0, 1, 2, 3]),
            (kv[1], [1]),
            (kv[1:3], [1, 2]),
            (a.view()[BS - 1 : BS + 1], [0, 1]),
            ((a.address + 3 * BS, 1), [3]),
            (region.memory(region.offset(a), 1), [0]),
        ):
            before = touched()
            region.touch_ptr(memory)
            check([n for n in range(4) if touched()[n] > before[n]] == blocks, f"{memory}")
        raises(ValueError, region.touch_ptr, kv[:, 0], says="contiguous")
        raises(kvoff.Error, region.touch_ptr, np.zeros(4), errno=errno.ERANGE)
        raises(kvoff.Error, region.touch_ptr, (a.address, 0), errno=errno.EINVAL)
        raises(ValueError, region.offset, np.zeros(4), says="not in the region")
        raises(ValueError, region.memory, 0, region.stats().length + 1, says="not in the region")
        region.prefetch_ptr(kv[0])
        region.hint_ptr(kv[0], kvoff.Hint.COLD)
        with region.acquire_ptr(kv[1]) as held:
            check(held.held and region.query_ptr(kv[1]).acquired and not region.query_ptr(kv[2]).acquired)
        check(not held.held and not region.query_ptr(kv[1]).acquired)
        region.acquire_ptr(kv[1])
        region.release_ptr(kv[1])
        raises(kvoff.Error, region.release_ptr, kv[1], errno=errno.EINVAL)


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
        check(acquired() == [])
        raises(ValueError, blocks.release, says="released")
        raises(ValueError, lambda: blocks[0], says="released")
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
        check(list(table["touches"][:NR]) == [1] * NR and table["tier"][0] in (now.fast, now.far))
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


@test("errors have their number and the library's words")
def errors():
    e = raises(kvoff.Error, kvoff.open, block_size=3, errno=errno.EINVAL, says="block_size 3")
    check(isinstance(e, OSError) and e.strerror.startswith("kvoff: "))
    raises(kvoff.Error, kvoff.open, label="no name!", errno=errno.EINVAL, says="no name!")
    raises(kvoff.Error, kvoff.open, framed=True, errno=errno.EINVAL, says="fast_bytes")
    raises(kvoff.Error, kvoff.attach, -1, errno=errno.EBADF)
    with open("/dev/null") as null:
        raises(kvoff.Error, kvoff.attach, null.fileno(), errno=errno.ENOTTY)
    with mapped() as region:
        raises(kvoff.Error, region.alloc, 0, errno=errno.EINVAL)
        raises(kvoff.Error, region.alloc, BS, alignment=3, errno=errno.EINVAL)
        raises(kvoff.Error, region.alloc, 1 << 50, errno=errno.ENOMEM)
        raises(kvoff.Error, region.block_alloc, 1, errno=errno.EOPNOTSUPP)
        raises(kvoff.Error, region.windows, errno=errno.EOPNOTSUPP)
        raises(ValueError, region.seal_tagged, 0, 1, b"x" * 65, says="64")
        raises(OverflowError, region.prefetch_until, [0], 1 << 64)


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
        for to in (now.far, now.fast):
            if REAL:
                now.move(region, h, to)
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


@test("a framed window outlives its closed region as long as it is looked at")
def window_views():
    region = framed()
    h = region.block_alloc(1)
    with region.acquire(h) as blocks:
        blocks[0].view()[0] = 77
    tables = [w.numpy("u1", (w.nbytes // BS, BS)) for w in region.windows()]
    check(not region.close())
    check(any((t[:, 0] == 77).any() for t in tables))


@test("bytes stay the same while blocks move, and acquired blocks do not move")
def moving():
    real()
    with mapped() as region:
        a = region.alloc(NR * BS, alignment=BS)
        kv = a.numpy("u4", (NR, BS // 4))
        kv[:] = np.arange(NR * BS // 4, dtype="u4").reshape(kv.shape)
        before = kv.copy()
        ids = np.arange(NR, dtype="u8") + np.uint64(region.index(a))
        for to in (now.far, now.fast, now.far):
            now.move(region, ids, to)
            check(set(np.asarray(region.query(ids))["tier"]) == {to} and (kv == before).all())
        with region.acquire(ids[:2]):
            results = now.control.move([(region.stats().region_id, int(i), now.fast) for i in ids[:3]])
            check(results == [-errno.EAGAIN, -errno.EAGAIN, 0], f"{results}")
        now.move(region, ids, now.fast)


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
        now.move(region, ids, now.far)
        fd = region.eventfd()
        readable = lambda s: bool(select.select([fd], [], [], s)[0])  # noqa: E731
        region.prefetch_until(ids[:2], cookie=(1 << 64) - 1)
        region.prefetch_until(ids[2:], cookie=7, deadline_ns=kvoff.deadline(0.2))
        check(region.reap() == [])
        now.move(region, ids[:2], now.fast)
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
        now.move(region, ids[:2], now.fast)
        done = await asyncio.wait_for(first, 120)
        check(done.n_fast == 2 and not done.late, f"{done}")
        # what is there already is not waited for
        check((await asyncio.wait_for(prefetcher.until(ids[:2]), 120)).n_fast == 2)

    with mapped() as region:
        a = region.alloc(4 * BS, alignment=BS)
        a.numpy()[:] = 1
        ids = np.arange(4, dtype="u8") + np.uint64(region.index(a))
        now.move(region, ids, now.far)
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
            now.control.poison(where, 1)
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


def same_bytes(fd, offset, want):
    """In another process: a read-only and a writing attachment see what is there."""
    try:
        with kvoff.attach(fd, readonly=True) as region:
            there = region.memory(offset, BS).numpy()
            assert there[0] == want and not there.flags.writeable
            assert region.query([0])[0].tier >= 0
            raises(kvoff.Error, region.touch, [0], errno=errno.EACCES)
        with kvoff.attach(fd) as region:
            raises(kvoff.Error, region.alloc, BS, errno=errno.EPERM)
            region.touch([0])
            region.memory(offset, BS).numpy()[1] = want + 1
            assert region.stats().nr_attached >= 2
        return 0
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1


def child(call, *args):
    """Its exit status in a forked child."""
    pid = os.fork()
    if pid == 0:
        os._exit(call(*args))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@test("a forked child is told so, and attaches by the descriptor")
def forked():
    region = mapped()
    a = region.alloc(BS)
    a.numpy()[:] = 3

    def in_child():
        raises(ValueError, region.touch, [0], says="forked")
        raises(ValueError, a.view, says="forked")
        return same_bytes(region.fileno(), 0, 3)

    check(child(in_child) == 0)
    check(a.numpy()[1] == 4 and region.stats().nr_allocated == 1)
    region.close()


@test("descriptors go over sockets")
def passed():
    here, there = socket.socketpair()
    with mapped() as region, here, there:
        a = region.alloc(BS)
        a.numpy()[:] = 9

        def in_child():
            _, fds, _, _ = socket.recv_fds(there, 1, 1)
            return same_bytes(fds[0], region_offset, 9)

        region_offset = region.offset(a)
        socket.send_fds(here, [b"x"], [region.fileno()])
        check(child(in_child) == 0 and a.numpy()[1] == 10)


def worker(region, offset, pipe):
    with region:
        there = region.memory(offset, BS).numpy()
        pipe.send((int(there[0]), region.stats().region_id))


@test("a region is an argument of a process that multiprocessing spawns")
def spawned():
    context = multiprocessing.get_context("spawn")
    with mapped() as region:
        a = region.alloc(BS)
        a.numpy()[:] = 21
        here, there = context.Pipe()
        process = context.Process(target=worker, args=(region, region.offset(a), there))
        process.start()
        check(here.poll(120), "no answer")
        check(here.recv() == (21, region.stats().region_id))
        process.join()
        check(process.exitcode == 0)


@test("threads share a region; each sees its own errors")
def threads():
    wrong = []
    with mapped() as region:
        ids = np.arange(NR, dtype="u8")
        a = region.alloc(NR * BS)

        def work(n):
            try:
                for i in range(50):
                    with region.acquire(ids), region.alloc(BS // (n + 1)):
                        region.touch(ids)
                    raises(kvoff.Error, region.alloc, BS, alignment=3 + n, errno=errno.EINVAL, says=str(3 + n))
                    raises(kvoff.Error, region.touch, [1 << 50 | i], errno=errno.ERANGE)
            except Exception as e:
                wrong.append(e)

        some = [threading.Thread(target=work, args=(2 * n,)) for n in range(4)]
        for t in some:
            t.start()
        for t in some:
            t.join()
        check(not wrong, f"{wrong}")
        check(not any(b.acquired for b in region.query(ids)) and a.free() and region.stats().nr_allocated == 0)


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
        now.control.forget(number)


@test("tensors of torch: views without a copy, and indices")
def torch():
    try:
        import torch
    except ImportError:
        raise Skip("there is no torch") from None
    region = mapped()
    a = region.alloc(4 * BS, alignment=BS)
    t = a.torch(torch.float16, (4, BS // 2))
    t[2] = 1.5
    check(t.data_ptr() == a.address and a.numpy("f2", (4, BS // 2))[2, 7] == 1.5)
    check(a.torch().dtype == torch.uint8 and a.torch().numel() == 4 * BS)
    check(torch.frombuffer(a.view(), dtype=torch.float16).data_ptr() == a.address)
    ids = torch.tensor([1, 2], dtype=torch.int64)
    with region.acquire(ids) as blocks:
        check(list(blocks.addresses) == [region.base + BS, region.base + 2 * BS])
    region.touch(ids)
    before = region.query_ptr(t[3]).touches
    region.touch_ptr(t[3])
    check(region.query_ptr(t[3]).touches == before + 1)
    raises(TypeError, region.touch, ids.to(torch.int32), says="64-bit")
    raises(ValueError, region.touch, torch.arange(8)[::2], says="contiguous")
    raises(ValueError, region.touch_ptr, t[:, 0], says="contiguous")
    del a
    check(not region.close() and float(t[2, 0]) == 1.5)
    del t
    region = framed()
    windows = [w.torch(torch.float16, (w.nbytes // BS, BS // 2)) for w in region.windows()]
    with region.acquire(region.block_alloc(1)) as blocks:
        blocks[0].torch(torch.float16)[0] = 3
        check(any(bool((w[:, 0] == 3).any()) for w in windows))
    check(not region.close())


@test("every function of the library was called")
def all_called():
    never = [name for name, n in calls.items() if not n]
    check(not never, f"never: {never}")


if __name__ == "__main__":
    count_calls()
    run(world)
