# SPDX-License-Identifier: LGPL-2.1-or-later
"""What calls answer with."""

from __future__ import annotations

import enum
from typing import NamedTuple

from . import _abi


class Hint(enum.IntEnum):
    """What Region.hint() can say; NORMAL takes all back."""

    NORMAL = _abi.HINT_NORMAL
    COLD = _abi.HINT_COLD  # the bytes matter, just not soon
    SHARED = _abi.HINT_SHARED  # a prefix that many requests share
    DONE = _abi.HINT_DONE  # the session that used it has ended


class Completion(NamedTuple):
    """What became of a prefetch."""

    cookie: int  # of Region.prefetch_until()
    n: int  # how many blocks it had
    n_fast: int  # how many of them are in one of the fastest tiers now
    late: bool  # the deadline has passed and blocks were still to come


class Unit(NamedTuple):
    """A unit sealed with a tag."""

    first: int  # index (framed regions: handle) of its first block
    nr: int  # how many blocks
    tag: bytes  # TAG_LEN bytes


class Stats(NamedTuple):
    """A region in figures."""

    region_id: int  # the kernel's number for the region
    length: int  # bytes of address space
    committed: int  # bytes committed
    used: int  # bytes that have memory
    allocated: int  # bytes handed out and not freed; framed: those of the blocks that are not free
    nr_allocated: int  # how many live allocations, or blocks
    nr_attached: int  # attachments of all processes
    tier_used: tuple[int, ...]  # bytes in each of MAX_TIERS tiers, by tier number
    fallback: bool  # plain memory: there is no module and LIBKVOFF_FALLBACK=1 is set
