# SPDX-License-Identifier: LGPL-2.1-or-later
"""libkvoff.h for ctypes: structures, constants, prototypes, and the loaded library.

Everything here is the C interface as it is; tests compare it with the header and with the compiler's layout.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_uint32, c_uint64, c_void_p
from typing import Any

SONAME = "libkvoff.so.0"

OPEN_INHERIT = 1 << 0
OPEN_RDONLY = 1 << 1
OPEN_FRAMED = 1 << 2
UID_SELF = 0xFFFFFFFF
TAG_LEN = 64
BLOCK_MOVING = 1 << 0
BLOCK_ACQUIRED = 1 << 1
BLOCK_SEALED = 1 << 2
BLOCK_POISONED = 1 << 3
MAX_TIERS = 16
STATS_FALLBACK = 1 << 0
HINT_NORMAL = 0
HINT_COLD = 1
HINT_SHARED = 2
HINT_DONE = 3


class Options(ctypes.Structure):
    """struct libkvoff_options"""

    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint),
        ("tenant", c_char_p),
        ("label", c_char_p),
        ("block_size", c_size_t),
        ("length", c_uint64),
        ("unit_size", c_uint64),
        ("commit_step", c_uint64),
        ("name", c_char_p),
        ("mode", c_uint),
        ("ttl_s", c_uint),
        ("fast_bytes", c_uint64),
        ("far_bytes", c_uint64),
    ]


class CompletionStruct(ctypes.Structure):
    """struct libkvoff_completion"""

    _fields_ = [("cookie", c_uint64), ("n", c_size_t), ("n_fast", c_size_t), ("late", c_int)]


class UnitStruct(ctypes.Structure):
    """struct libkvoff_unit"""

    _fields_ = [("first", c_uint64), ("nr", c_uint64), ("tag", c_ubyte * TAG_LEN)]


class WindowStruct(ctypes.Structure):
    """struct libkvoff_window"""

    _fields_ = [("addr", c_void_p), ("len", c_size_t), ("tier", c_int)]


class Block(ctypes.Structure):
    """What Region.query() tells of a block (struct libkvoff_block).

    tier        tier number, -1 while the block has no memory, and for the handle of a block that was freed
    flags       the bits that the properties below name
    generation  changes whenever the block's frame changes; wraps at 2**16
    touches     touches by all who are attached; wraps at 2**32; 0 on a read-only attachment
    """

    tier: int
    flags: int
    generation: int
    touches: int

    _fields_ = [("tier", c_int), ("flags", c_uint), ("generation", c_uint), ("touches", c_uint)]

    @property
    def moving(self) -> bool:
        """A move is under way."""
        return bool(self.flags & BLOCK_MOVING)

    @property
    def acquired(self) -> bool:
        """This process holds a reference."""
        return bool(self.flags & BLOCK_ACQUIRED)

    @property
    def sealed(self) -> bool:
        """It does not change any more."""
        return bool(self.flags & BLOCK_SEALED)

    @property
    def poisoned(self) -> bool:
        """Its bytes are lost to a memory error: discard or free it."""
        return bool(self.flags & BLOCK_POISONED)

    def __repr__(self) -> str:
        said = [f for f in ("moving", "acquired", "sealed", "poisoned") if getattr(self, f)]
        return f"Block(tier={self.tier}, {'|'.join(said) or '-'}, generation={self.generation}, touches={self.touches})"


class StatsStruct(ctypes.Structure):
    """struct libkvoff_stats"""

    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint),
        ("region_id", c_uint),
        ("length", c_uint64),
        ("committed", c_uint64),
        ("used", c_uint64),
        ("allocated", c_uint64),
        ("nr_allocated", c_uint64),
        ("nr_attached", c_uint),
        ("reserved", c_uint),
        ("tier_used", c_uint64 * MAX_TIERS),
    ]


# A region, an address in it, and an array of indices are all passed as addresses.
_kv, _ptr, _index, _n = c_void_p, c_void_p, c_void_p, c_size_t

PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "libkvoff_open": (c_int, [POINTER(c_void_p), POINTER(Options)]),
    "libkvoff_attach": (c_int, [POINTER(c_void_p), c_int, POINTER(Options)]),
    "libkvoff_open_named": (c_int, [POINTER(c_void_p), c_uint32, POINTER(Options)]),
    "libkvoff_close": (None, [_kv]),
    "libkvoff_fd": (c_int, [_kv]),
    "libkvoff_base": (c_void_p, [_kv]),
    "libkvoff_block_size": (c_size_t, [_kv]),
    "libkvoff_offset": (c_uint64, [_kv, _ptr]),
    "libkvoff_index": (c_uint64, [_kv, _ptr]),
    "libkvoff_alloc": (c_void_p, [_kv, c_size_t]),
    "libkvoff_aligned_alloc": (c_void_p, [_kv, c_size_t, c_size_t]),
    "libkvoff_free": (c_int, [_kv, _ptr]),
    "libkvoff_usable_size": (c_size_t, [_kv, _ptr]),
    "libkvoff_acquire": (c_int, [_kv, _index, _n]),
    "libkvoff_acquire_ptr": (c_int, [_kv, _ptr, _n]),
    "libkvoff_acquire_addr": (c_int, [_kv, _index, _n, c_void_p]),
    "libkvoff_release": (c_int, [_kv, _index, _n]),
    "libkvoff_release_ptr": (c_int, [_kv, _ptr, _n]),
    "libkvoff_touch": (c_int, [_kv, _index, _n]),
    "libkvoff_touch_ptr": (c_int, [_kv, _ptr, _n]),
    "libkvoff_prefetch": (c_int, [_kv, _index, _n]),
    "libkvoff_prefetch_ptr": (c_int, [_kv, _ptr, _n]),
    "libkvoff_prefetch_until": (c_int, [_kv, _index, _n, c_uint64, c_uint64]),
    "libkvoff_eventfd": (c_int, [_kv]),
    "libkvoff_reap": (c_int, [_kv, POINTER(CompletionStruct), _n]),
    "libkvoff_seal": (c_int, [_kv, _index, _n]),
    "libkvoff_seal_ptr": (c_int, [_kv, _ptr, _n]),
    "libkvoff_seal_tagged": (c_int, [_kv, c_uint64, c_uint64, c_void_p]),
    "libkvoff_units": (c_int, [_kv, c_uint64, POINTER(UnitStruct), _n]),
    "libkvoff_windows": (c_int, [_kv, c_size_t, POINTER(WindowStruct), _n]),
    "libkvoff_block_alloc": (c_int, [_kv, _index, _n]),
    "libkvoff_block_free": (c_int, [_kv, _index, _n]),
    "libkvoff_hint": (c_int, [_kv, _index, _n, c_int]),
    "libkvoff_hint_ptr": (c_int, [_kv, _ptr, _n, c_int]),
    "libkvoff_discard": (c_int, [_kv, _index, _n]),
    "libkvoff_discard_ptr": (c_int, [_kv, _ptr, _n]),
    "libkvoff_query": (c_int, [_kv, _index, _n, POINTER(Block)]),
    "libkvoff_query_ptr": (c_int, [_kv, _ptr, POINTER(Block)]),
    "libkvoff_stats": (c_int, [_kv, POINTER(StatsStruct)]),
    "libkvoff_strerror": (c_char_p, [c_int]),
}


def load() -> ctypes.CDLL:
    """The library, with its prototypes set. KVOFF_LIBRARY names a file to take instead of the installed one."""
    path = os.environ.get("KVOFF_LIBRARY") or SONAME
    try:
        found = ctypes.CDLL(path, use_errno=True)
    except OSError as e:
        raise ImportError(
            f"kvoff: {path} cannot be loaded ({e}): install libkvoff (make install, then ldconfig), "
            "or set KVOFF_LIBRARY to its path"
        ) from e
    for name, (restype, argtypes) in PROTOTYPES.items():
        try:
            function = getattr(found, name)
        except AttributeError as e:
            raise ImportError(f"kvoff: {path} has no {name}(): it is older than this module, install both anew") from e
        function.restype = restype
        function.argtypes = argtypes
    return found


lib = load()
