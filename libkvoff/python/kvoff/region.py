# SPDX-License-Identifier: LGPL-2.1-or-later
"""A region this process is attached to, and all that can be said to it."""

from __future__ import annotations

import ctypes
import errno
import os
import weakref
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _abi
from ._abi import Block, CompletionStruct, StatsStruct, UnitStruct, WindowStruct, lib
from ._array import Index, Span, indices, pointer, span, unsigned
from ._attachment import Attachment, Door
from ._error import PoisonError, fail, fail_errno, message
from ._result import Completion, Hint, Stats, Unit
from .acquired import Acquired, Held
from .memory import Allocation, Memory, Window

if TYPE_CHECKING:
    Blocks = ctypes.Array[Block]
    Handles = ctypes.Array[ctypes.c_uint64]

_NOWHERE = (1 << 64) - 1


class Region:
    """A region, from kvoff.open(), attach() or open_named(). Threads may share it.

    Calls on blocks take indices, in a framed region handles of block_alloc(): an int, any contiguous array of 64-bit
    integers with the buffer protocol (numpy, array.array) or of torch, which is read where it is and not copied, or a
    sequence of int, which is. In any order, repetitions allowed. Their _ptr forms take memory of a mapped region: an
    Allocation, any contiguous view of one (a numpy slice, a tensor), or (address, bytes); they mean all blocks that
    this touches.

    Calls fail with kvoff.Error, whose errno is one of those that libkvoff.h lists for the call. On blocks: ERANGE, an
    index is outside the region; ESTALE, the block of a handle was freed; EACCES, a read-only attachment; EINVAL, a
    range without bytes; EOPNOTSUPP, a call for the other kind of region; then nothing was done. ValueError: the region
    is closed, or this is a child that was forked.
    """

    def __init__(self, attachment: Attachment) -> None:
        """Regions are made by kvoff.open(), attach() and open_named()."""
        self._door = Door(attachment)
        self._fd = attachment.fd
        self.framed: bool = attachment.framed
        self.readonly: bool = attachment.readonly
        self.block_size: int = attachment.block_size

    # -- the region itself

    def close(self) -> bool:
        """Detach; the region is gone when the last process has. Closing it again does nothing.

        True: done. False: views of its memory are left, or calls in other threads; it is detached with the last.
        What was allocated need not be freed first. As a context manager the region is closed at the end.
        """
        at = self._door.attachment
        if at is None:
            return True
        there = weakref.ref(at)
        del at
        self._door.attachment = None
        return there() is None

    @property
    def closed(self) -> bool:
        """close() was called."""
        return self._door.attachment is None

    def __enter__(self) -> Region:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The region's descriptor, to be passed to another process (kvoff.attach()); stays the library's.

        Close-on-exec, unless it was opened with inherit=True. A forked child can attach by it.
        """
        return self._fd

    def __reduce__(self) -> tuple[Any, ...]:
        """An argument of a multiprocessing.Process: the process attaches to the region."""
        from multiprocessing import reduction

        self._door.enter()
        return _attach_to, (reduction.DupFd(self._fd), self.readonly)

    @property
    def base(self) -> int | None:
        """Address of the region's first byte in this process; None in a framed region."""
        base: int | None = lib.libkvoff_base(self._door.enter())
        return base

    def offset(self, memory: int | Span) -> int:
        """Byte offset in the region of an address or of memory's first byte, the same in all processes.

        ValueError: it is not in the region.
        """
        return self._place(lib.libkvoff_offset, memory)

    def index(self, memory: int | Span) -> int:
        """Index of the block that holds an address or memory's first byte. ValueError: it is not in the region."""
        return self._place(lib.libkvoff_index, memory)

    def _place(self, call: Any, memory: int | Span) -> int:
        address, _keep = pointer(memory)
        unsigned(address)
        place = int(call(self._door.enter(), address))
        if place == _NOWHERE:
            raise ValueError(f"kvoff: {address:#x} is not in the region")
        return place

    def stats(self) -> Stats:
        """Figures. Error ENODEV: the region is gone."""
        out = StatsStruct(size=ctypes.sizeof(StatsStruct))
        ret = lib.libkvoff_stats(self._door.enter(), out)
        if ret:
            fail(ret)
        return Stats(
            region_id=out.region_id,
            length=out.length,
            committed=out.committed,
            used=out.used,
            allocated=out.allocated,
            nr_allocated=out.nr_allocated,
            nr_attached=out.nr_attached,
            tier_used=tuple(out.tier_used),
            fallback=bool(out.flags & _abi.STATS_FALLBACK),
        )

    # -- memory of a mapped region

    def alloc(self, nbytes: int, alignment: int = 0) -> Allocation:
        """Memory with a stable address. Contents are undefined.

        At least 64-byte aligned, or to alignment bytes: a power of two up to 1 GiB; 0 for no wish.
        Error ENOMEM: the tiers or the region are full; EDQUOT: the tenant's quota; EPERM: an attached region; EINVAL:
        0 bytes, or a bad alignment; EOPNOTSUPP: a framed region.
        """
        at = self._door.enter()
        unsigned(nbytes, alignment)
        if alignment:
            address = lib.libkvoff_aligned_alloc(at, alignment, nbytes)
        else:
            address = lib.libkvoff_alloc(at, nbytes)
        if not address:
            fail_errno()
        return Allocation(self._door, address, nbytes)

    def allocation(self, address: int) -> Allocation:
        """The live allocation that starts at an address: a unit found after kvoff.open_named(), or a sealed block.

        ValueError: none starts there.
        """
        unsigned(address)
        nbytes = lib.libkvoff_usable_size(self._door.enter(), address)
        if not nbytes:
            raise ValueError(f"kvoff: no allocation starts at {address:#x}")
        return Allocation(self._door, address, nbytes)

    def memory(self, offset: int, nbytes: int) -> Memory:
        """A piece of the region by its offset in bytes: another process's allocation, say. ValueError: outside."""
        base = self.base
        if base is None:
            raise ValueError("kvoff: a framed region has no addresses of its own: acquire() says where a block is")
        if offset < 0 or nbytes < 0 or offset + nbytes > self.stats().length:
            raise ValueError(f"kvoff: {nbytes} bytes at offset {offset} are not in the region")
        return Memory(self._door, base + offset, nbytes)

    # -- blocks of a framed region

    def windows(self, chunk: int = 0) -> list[Window]:
        """The windows, to be registered with devices, in pieces of chunk bytes: a multiple of the block size.

        0 for a whole window each. Their pages stay what they are until the region is closed.
        """
        at = self._door.enter()
        unsigned(chunk)
        n = lib.libkvoff_windows(at, chunk, None, 0)
        while n >= 0:
            out = (WindowStruct * n)()
            there = lib.libkvoff_windows(at, chunk, out, n)
            if there <= n:
                n = there
                break
            n = there
        if n < 0:
            fail(n)
        return [Window(self._door, w.addr, w.len, w.tier) for w in out[:n]]

    def block_alloc(self, n: int) -> Handles:
        """Handles of n blocks, all or none: an array of unsigned 64-bit integers with the buffer protocol.

        Contents are undefined, but never another region's. Error ENOSPC: the windows are full; EPERM: attached.
        """
        out = (ctypes.c_uint64 * n)()
        ret = lib.libkvoff_block_alloc(self._door.enter(), ctypes.addressof(out), n)
        if ret:
            fail(ret)
        return out

    def block_free(self, handle: Index) -> None:
        """Give blocks back. Error ESTALE: freed already, or named twice; EBUSY: somebody has acquired one.

        Then those before it are freed, it and those after it are not. ERANGE: nothing was done.
        """
        self._blocks(lib.libkvoff_block_free, handle)

    # -- use of blocks

    def _blocks(self, call: Any, index: Index, *more: int) -> None:
        address, n, keep = indices(index)
        ret = call(self._door.enter(), address, n, *more)
        if ret:
            self._fail(ret, keep)

    def _span(self, call: Any, memory: Span, *more: int) -> None:
        address, nbytes, _keep = span(memory)
        ret = call(self._door.enter(), address, nbytes, *more)
        if ret:
            self._fail(ret, None, (address, nbytes))

    def _fail(self, ret: int, index: Index, memory: tuple[int, int] | None = None) -> None:
        """Raise; where memory errors are to blame, with the blocks that have them."""
        if ret != -errno.EIO:
            fail(ret)
        text = message(ret)
        if memory is not None:
            index = range(self.index(memory[0]), self.index(memory[0] + memory[1] - 1) + 1)
        address, n, _keep = indices(index)
        asked = (ctypes.c_uint64 * n).from_address(address)
        raise PoisonError(-ret, text, [i for i, block in zip(asked, self.query(index)) if block.poisoned])

    def acquire(self, index: Index, addresses: bool = True) -> Acquired:
        """These blocks stay where they are until they are released: by the object that this returns, a context manager
        that also says where they are, or by release(). All or none. References nest.

        addresses  False leaves them out, where nobody asks
        Error EOVERFLOW: 2**31 - 1 references of this process to a block; ENXIO: a block is in a part of a window that
        was added after this process attached. PoisonError: a block is poisoned.
        """
        at = self._door.enter()
        address, n, _keep = indices(index)
        # the caller may change the array before the release
        held = array("Q", bytes(8 * n))
        where = held.buffer_info()[0]
        ctypes.memmove(where, address, 8 * n)
        out = Acquired(self._door, n if addresses else 0, lambda: self._blocks(lib.libkvoff_release, held))
        if addresses:
            ret = lib.libkvoff_acquire_addr(at, where, n, ctypes.addressof(out.addresses))
        else:
            ret = lib.libkvoff_acquire(at, where, n)
        if ret:
            self._fail(ret, held)
        return out

    def acquire_ptr(self, memory: Span) -> Held:
        """The same for the blocks that memory touches."""
        self._span(lib.libkvoff_acquire_ptr, memory)
        address, nbytes, _keep = span(memory)
        return Held(lambda: self.release_ptr((address, nbytes)))

    def release(self, index: Index) -> None:
        """End what acquire() began. Error EINVAL: a block is not acquired, nothing was done."""
        self._blocks(lib.libkvoff_release, index)

    def release_ptr(self, memory: Span) -> None:
        """End what acquire_ptr() began. Error EINVAL: a block is not acquired, nothing was done."""
        self._span(lib.libkvoff_release_ptr, memory)

    def touch(self, index: Index) -> None:
        """These blocks are being used; ends their prefetch, cold and done hints. No system call."""
        self._blocks(lib.libkvoff_touch, index)

    def touch_ptr(self, memory: Span) -> None:
        """The same for the blocks that memory touches."""
        self._span(lib.libkvoff_touch_ptr, memory)

    def hint(self, index: Index, hint: Hint | int) -> None:
        """Say something about these blocks. Error EINVAL: an unknown hint."""
        self._blocks(lib.libkvoff_hint, index, int(hint))

    def hint_ptr(self, memory: Span, hint: Hint | int) -> None:
        """The same for the blocks that memory touches."""
        self._span(lib.libkvoff_hint_ptr, memory, int(hint))

    def discard(self, index: Index) -> None:
        """The bytes are dead: the range stays allocated and reads as zero. Ends seals and mends poisoned blocks."""
        self._blocks(lib.libkvoff_discard, index)

    def discard_ptr(self, memory: Span) -> None:
        """The same; memory must be whole blocks (Error EINVAL)."""
        self._span(lib.libkvoff_discard_ptr, memory)

    def query(self, index: Index) -> Blocks:
        """Where blocks are: an array of Block in the order of index, with the buffer protocol. No system call.

        numpy.asarray() makes a structured array of it (fields tier, flags, generation, touches). Blocks that are
        poisoned or were freed fail no query: they say so.
        """
        address, n, _keep = indices(index)
        out = (Block * n)()
        ret = lib.libkvoff_query(self._door.enter(), address, n, out)
        if ret not in (0, -errno.EIO, -errno.ESTALE):
            fail(ret)
        return out

    def query_ptr(self, memory: int | Span) -> Block:
        """Where the one block is that holds an address or memory's first byte."""
        address, _keep = pointer(memory)
        out = Block()
        ret = lib.libkvoff_query_ptr(self._door.enter(), address, out)
        if ret not in (0, -errno.EIO):
            fail(ret)
        return out

    # -- prefetches

    def prefetch(self, index: Index) -> None:
        """These blocks will be used soon, in this order; a wish, no error if it is not met. No system call."""
        self._blocks(lib.libkvoff_prefetch, index)

    def prefetch_ptr(self, memory: Span) -> None:
        """The same for the blocks that memory touches."""
        self._span(lib.libkvoff_prefetch_ptr, memory)

    def prefetch_until(self, index: Index, cookie: int, deadline_ns: int = 0) -> None:
        """The same, and reap() tells when they are there.

        cookie       from 0 to 2**64 - 1, given back by reap()
        deadline_ns  on the clock of time.monotonic_ns(), when it is too late (kvoff.deadline()); 0 for never
        Error ENOTSUP: plain memory (LIBKVOFF_FALLBACK=1), where nothing moves; ENOMEM. Then nothing was done.
        """
        unsigned(deadline_ns, cookie)
        self._blocks(lib.libkvoff_prefetch_until, index, deadline_ns, cookie)

    def eventfd(self) -> int:
        """A descriptor that is readable while reap() may have something to say: for select and asyncio's add_reader().

        Do not read or close it. Error ENOTSUP: plain memory; EACCES: a read-only attachment; EMFILE, ENFILE, ENOMEM.
        """
        fd = int(lib.libkvoff_eventfd(self._door.enter()))
        if fd < 0:
            fail(fd)
        return fd

    def reap(self, n: int = 64) -> list[Completion]:
        """Up to n prefetches that are done or late, each once; an empty list for none yet. Never waits."""
        out = (CompletionStruct * n)()
        ret = lib.libkvoff_reap(self._door.enter(), out, n)
        if ret < 0:
            fail(ret)
        return [Completion(c.cookie, c.n, c.n_fast, bool(c.late)) for c in out[:ret]]

    # -- seals

    def seal(self, index: Index) -> None:
        """These blocks do not change any more; writing to one is a bug (SIGBUS in a mapped region).

        discard() or freeing ends it. Error ENODATA: a block has no memory; EBUSY: one is pinned. PoisonError. Then the
        blocks of lower indices may be sealed.
        """
        self._blocks(lib.libkvoff_seal, index)

    def seal_ptr(self, memory: Span) -> None:
        """The same; memory must be whole blocks (Error EINVAL)."""
        self._span(lib.libkvoff_seal_ptr, memory)

    def seal_tagged(self, first: int, nr: int, tag: bytes) -> None:
        """Seal nr blocks from index first on (framed: a handle) as one unit, to be found again by its tag.

        tag  up to TAG_LEN bytes, filled up with zeros (ValueError: more)
        Error EEXIST: a block belongs to a unit already; ENOTSUP: plain memory; and those of seal().
        """
        if len(tag) > _abi.TAG_LEN:
            raise ValueError(f"kvoff: a tag of {len(tag)} bytes: there is room for {_abi.TAG_LEN}")
        unsigned(first, nr)
        ret = lib.libkvoff_seal_tagged(self._door.enter(), first, nr, tag.ljust(_abi.TAG_LEN, b"\0"))
        if ret:
            fail(ret)

    def units(self, start: int = 0) -> Iterator[Unit]:
        """The units that begin at this block index (or this handle's) or above, in ascending order.

        Error ENOTSUP: plain memory.
        """
        unsigned(start)
        out = (UnitStruct * 64)()
        while True:
            n = lib.libkvoff_units(self._door.enter(), start, out, len(out))
            if n < 0:
                fail(n)
            # a copy, for the array is filled again while the caller has these
            yield from [Unit(u.first, u.nr, bytes(u.tag)) for u in out[:n]]
            if n < len(out):
                return
            start = out[n - 1].first + 1

    def __repr__(self) -> str:
        kind = "framed" if self.framed else "mapped"
        return f"<kvoff.Region {kind}, blocks of {self.block_size}{', closed' if self.closed else ''}>"


def make(kv: int, framed: bool, readonly: bool, named: bool) -> Region:
    """The object for a struct libkvoff, which it owns from now on."""
    return Region(Attachment(kv, framed, readonly, named))


def _attach_to(descriptor: Any, readonly: bool) -> Region:
    from . import attach

    fd = descriptor.detach()
    try:
        return attach(fd, readonly=readonly)
    finally:
        os.close(fd)
