# SPDX-License-Identifier: LGPL-2.1-or-later
"""What keeps a region attached: its Region object, and every view of its memory.

libkvoff_close() unmaps the memory, and a view that outlived it would be a fault waiting to happen. So the call is made
when the last object that refers to the attachment is gone, and a call under way in another thread is such a reference.
"""

from __future__ import annotations

import ctypes
import os
import weakref

from ._abi import lib


class Attachment:
    """struct libkvoff

    framed, readonly, named  what it was opened as
    forked                   this process is a child of the one that opened it, and has none of its memory
    """

    def __init__(self, kv: int, framed: bool, readonly: bool, named: bool) -> None:
        self._as_parameter_ = kv
        self.framed = framed
        self.readonly = readonly
        self.named = named
        self.forked = False
        self.fd = int(lib.libkvoff_fd(self))
        self.block_size = int(lib.libkvoff_block_size(self))
        _open.add(self)

    def __del__(self) -> None:
        # the child's copy of the descriptor stays, to attach by
        if not self.forked:
            lib.libkvoff_close(self)


class Door:
    """What refers to a region without keeping it attached: closing it leaves the views alone to do so."""

    def __init__(self, attachment: Attachment) -> None:
        self.attachment: Attachment | None = attachment

    def enter(self) -> Attachment:
        """The attachment, for the length of a call. ValueError: the region is not open here."""
        at = self.attachment
        if at is None:
            raise ValueError("kvoff: the region is closed")
        if at.forked:
            raise ValueError(
                "kvoff: this process was forked from the one that opened the region and has none of its memory: "
                "attach here, with kvoff.attach(region.fileno())"
            )
        return at


class Allocated:
    """Memory from libkvoff_alloc(), and the duty to give it back. keep: not without being told."""

    def __init__(self, door: Door, address: int, keep: bool) -> None:
        self.door = door
        self.address = address
        self.keep = keep

    def __del__(self) -> None:
        at = self.door.attachment
        # what a closed region had goes with it
        if at is None or at.forked or self.keep:
            return
        # this may run in the middle of a call that has failed and not yet said why
        errno = ctypes.get_errno()
        lib.libkvoff_free(at, self.address)
        ctypes.set_errno(errno)


_open: weakref.WeakSet[Attachment] = weakref.WeakSet()


def _after_fork() -> None:
    for attachment in list(_open):
        attachment.forked = True


os.register_at_fork(after_in_child=_after_fork)
