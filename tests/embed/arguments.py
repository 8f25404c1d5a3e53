# SPDX-License-Identifier: GPL-2.0-or-later
"""What calls take: arrays of indices and pieces of memory, without copies; and what they say when it is wrong."""

import array
import ctypes
import errno
import tracemalloc

import kvoff
import numpy as np
from ktap import check, raises, test
from world import BS, NR, mapped


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
