# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory and views of it: what they share, what keeps them, numpy and torch."""

import errno
import gc
import os
import sys

import numpy as np
from ktap import Skip, check, raises, test
from world import BS, framed, mapped


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


@test("a framed window outlives its closed region as long as it is looked at")
def window_views():
    region = framed()
    h = region.block_alloc(1)
    with region.acquire(h) as blocks:
        blocks[0].view()[0] = 77
    tables = [w.numpy("u1", (w.nbytes // BS, BS)) for w in region.windows()]
    check(not region.close())
    check(any((t[:, 0] == 77).any() for t in tables))


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
