# SPDX-License-Identifier: LGPL-2.1-or-later
"""Negative error numbers become exceptions that have the library's own message."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Sequence
from typing import NoReturn

from ._abi import lib


class Error(OSError):
    """A call into libkvoff failed.

    errno     the error number, as libkvoff.h lists them for each call
    strerror  what went wrong and what to do, in the library's words
    """


class PoisonError(Error):
    """EIO: blocks have lost their bytes to a memory error. Discarding or freeing them makes them usable again.

    blocks    the indices (in a framed region handles) of those that were asked for and are poisoned
    """

    blocks: tuple[int, ...]

    def __init__(self, err: int, message: str, blocks: Sequence[int] = ()) -> None:
        super().__init__(err, message)
        self.blocks = tuple(blocks)


def message(err: int) -> str:
    """What went wrong in this thread's last failed call, where that failed with err; else a general text."""
    text = lib.libkvoff_strerror(err)
    return text.decode(errors="replace") if text else ""


def fail(ret: int) -> NoReturn:
    """Raise what a call says that returned ret, a negative error number."""
    if -ret == errno.EIO:
        raise PoisonError(-ret, message(ret))
    raise Error(-ret, message(ret))


def fail_errno() -> NoReturn:
    """Raise what a call says that returned NULL."""
    fail(-ctypes.get_errno())
