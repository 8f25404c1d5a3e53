# SPDX-License-Identifier: LGPL-2.1-or-later
"""kvoff: memory for KV caches whose blocks move between fast memory and CXL under names that never change.

The whole of libkvoff for Python, by ctypes: nothing is compiled. libkvoff(7) has the overview; a call here is the
call of the same name there, a method of Region, and raises kvoff.Error where that returns an error number.

    import kvoff, numpy

    with kvoff.open(label="server") as region:
        kv = region.alloc(1 << 30).numpy("f2", (512, 2, 32, 16, 8, 128))    # no copy: numpy on the region's memory
        region.touch_ptr(kv[7])                                             # block 7 is being used
        with region.acquire_ptr(kv[7]):                                     # from here to the end it stays where it is
            ...

Every call lets other threads run. With LIBKVOFF_FALLBACK=1 in the environment it all works without the kernel module,
on plain memory; KVOFF_LIBRARY names another libkvoff.so than the installed one.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from typing import Union

from ._abi import MAX_TIERS, OPEN_FRAMED, OPEN_INHERIT, OPEN_RDONLY, TAG_LEN, UID_SELF, Block, Options, lib
from ._array import unsigned
from ._error import Error, PoisonError, fail
from ._result import Completion, Hint, Stats, Unit
from .acquired import Acquired, Held
from .memory import Allocation, Memory, Window
from .region import Region, make

__version__ = "0.1.0"
__all__ = [
    "MAX_TIERS",
    "TAG_LEN",
    "Acquired",
    "Allocation",
    "Block",
    "Completion",
    "Error",
    "Held",
    "Hint",
    "Memory",
    "PoisonError",
    "Region",
    "Stats",
    "Unit",
    "Window",
    "attach",
    "deadline",
    "open",
    "open_named",
]

Text = Union[str, bytes, None]


def _bytes(text: Text) -> bytes | None:
    return os.fsencode(text) if text is not None else None


def _label() -> bytes | None:
    """The script's name in what a label may have; the library knows only the interpreter's."""
    name = re.sub("[^A-Za-z0-9_.-]", "-", os.path.basename(sys.argv[0]) if sys.argv else "").lstrip(".")
    return name[:31].encode() or None


def open(
    *,
    tenant: Text = None,
    label: Text = None,
    block_size: int = 0,
    length: int = 0,
    unit_size: int = 0,
    commit_step: int = 0,
    framed: bool = False,
    fast_bytes: int = 0,
    far_bytes: int = 0,
    name: Text = None,
    mode: int = 0,
    ttl_s: int = 0,
    inherit: bool = False,
) -> Region:
    """Make a region and attach to it. Nothing is committed before it is allocated, but for the windows.

    tenant       the device node below /dev/kvoff; None for "default"
    label        a name for people; None for the script's
    block_size   bytes, a power of two from 64 KiB to 2 MiB; 0 for 2 MiB, or, where unit_size is given, the largest not
                 above that
    length       bytes of address space; 0 for 1 TiB, in a framed region for as many blocks as the windows have frames
    unit_size    bytes the server thinks in (one KV block of all layers, say); 0 if there is no such thing
    commit_step  bytes by which the library commits; 0 for 64 MiB or 1/16 of length, whichever is less
    framed       blocks by handle, in windows that can be registered with devices for life
    fast_bytes   framed: bytes of the windows in the fastest tiers together; one of the two is needed
    far_bytes    framed: bytes of the windows in all other tiers. Leave some more frames than there will be blocks: one
                 moves only where a frame is free
    name         makes a region that outlives its processes, to be found by open_named(). What is allocated in it goes
                 back by Allocation.free() only
    mode         with name: who else may open it, as of a file; 0 for 0o600
    ttl_s        with name: seconds that it waits, attached to by nobody; 0 for ever
    inherit      the descriptor is kept over exec()

    Error ENODEV: the module is not loaded; EACCES: no permission on the tenant's node; ENOENT: no such tenant; EINVAL:
    something out of range; EEXIST: this user has a region of that name; ENOTSUP: a name, with plain memory; ENOMEM:
    the tiers have not so much; EDQUOT: the tenant's quota; EOPNOTSUPP: the module is too old; EMFILE.
    """
    unsigned(block_size, length, unit_size, commit_step, fast_bytes, far_bytes, mode, ttl_s)
    options = Options(
        size=ctypes.sizeof(Options),
        flags=(OPEN_INHERIT if inherit else 0) | (OPEN_FRAMED if framed else 0),
        tenant=_bytes(tenant),
        label=_bytes(label) if label is not None else _label(),
        block_size=block_size,
        length=length,
        unit_size=unit_size,
        commit_step=commit_step,
        name=_bytes(name),
        mode=mode,
        ttl_s=ttl_s,
        fast_bytes=fast_bytes,
        far_bytes=far_bytes,
    )
    kv = ctypes.c_void_p()
    ret = lib.libkvoff_open(kv, options)
    if ret:
        fail(ret)
    return make(kv.value or 0, framed, False, name is not None)


def attach(fd: int, *, readonly: bool = False, inherit: bool = False, commit_step: int = 0) -> Region:
    """Attach to a region that another process opened, or this one before it was forked.

    fd        its fileno() as it came from the other process (socket.send_fds(), inheritance); stays the caller's
    readonly  nothing can be touched or acquired, and views are read-only

    Memory is allocated by the process that opened the region; offsets, indices and handles are the same in all. A
    Region given to a multiprocessing.Process arrives there attached.
    Error EBADF; ENOTTY: not a region; EACCES: more asked than the descriptor allows; EUSERS: 4096 attachments.
    """
    unsigned(commit_step)
    flags = (OPEN_INHERIT if inherit else 0) | (OPEN_RDONLY if readonly else 0)
    options = Options(size=ctypes.sizeof(Options), flags=flags, commit_step=commit_step)
    kv = ctypes.c_void_p()
    ret = lib.libkvoff_attach(kv, fd, options)
    if ret:
        fail(ret)
    return make(kv.value or 0, lib.libkvoff_base(kv) is None, readonly, False)


def open_named(
    name: str | bytes,
    *,
    uid: int | None = None,
    tenant: Text = None,
    readonly: bool = False,
    inherit: bool = False,
    commit_step: int = 0,
) -> Region:
    """Attach to a named region that is there: what was sealed in it is where it was (Region.units()).

    uid  whose it is; None for this process's effective user

    The process that opens it while nobody else is attached may allocate. In a mapped region each unit, and each sealed
    block without one, is a live allocation (Region.allocation()).
    Error ENOENT: there is none (any more); EACCES; ENOTSUP: plain memory; EOPNOTSUPP: the module is too old.
    """
    unsigned(commit_step)
    flags = (OPEN_INHERIT if inherit else 0) | (OPEN_RDONLY if readonly else 0)
    options = Options(
        size=ctypes.sizeof(Options), flags=flags, tenant=_bytes(tenant), commit_step=commit_step, name=_bytes(name)
    )
    kv = ctypes.c_void_p()
    ret = lib.libkvoff_open_named(kv, UID_SELF if uid is None else uid, options)
    if ret:
        fail(ret)
    return make(kv.value or 0, lib.libkvoff_base(kv) is None, readonly, True)


def deadline(seconds: float) -> int:
    """So many seconds from now, as Region.prefetch_until() wants it."""
    return time.monotonic_ns() + int(seconds * 1e9)
