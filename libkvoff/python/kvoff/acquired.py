# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was acquired, until it is released."""

from __future__ import annotations

import ctypes
from typing import Callable

from ._attachment import Door
from .memory import Memory


class Held:
    """A reference to blocks, from Region.acquire() or acquire_ptr(): they stay where they are until release().

    As a context manager it is released at the end. Letting go of the object releases nothing, for a block may be
    acquired in one place and released by its index in another (Region.release()).
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    @property
    def held(self) -> bool:
        """Not released yet by this object."""
        return self._release is not None

    def release(self) -> None:
        """End it. ValueError: it was ended by this object before. Error EINVAL: by somebody else."""
        if self._release is None:
            raise ValueError("kvoff: released already")
        release, self._release = self._release, None
        release()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._release is not None:
            self.release()


class HeldMemory(Memory):
    """An acquired block's bytes; asked for a view after the release, it says so instead."""

    __slots__ = ("_held",)

    def __init__(self, door: Door, address: int, nbytes: int, held: Held) -> None:
        super().__init__(door, address, nbytes)
        self._held = held

    def _owner(self) -> object:
        if not self._held.held:
            raise ValueError("kvoff: released: acquire the block again to see where it is")
        return super()._owner()


class Acquired(Held):
    """Acquired blocks, a sequence of Memory in the order in which they were named.

    In a framed region their bytes may be read and written until release() only. Views made before cannot be taken back:
    afterwards one shows whatever block the frame holds then.

    addresses  where they are, an array of unsigned 64-bit integers with the buffer protocol (numpy.asarray())
    """

    def __init__(self, door: Door, n: int, release: Callable[[], None]) -> None:
        super().__init__(release)
        self.addresses: ctypes.Array[ctypes.c_uint64] = (ctypes.c_uint64 * n)()
        self._door = door

    def __enter__(self) -> Acquired:
        return self

    def __len__(self) -> int:
        return len(self.addresses)

    def __getitem__(self, i: int) -> Memory:
        if not self.held:
            raise ValueError("kvoff: released: acquire the blocks again to see where they are")
        return HeldMemory(self._door, self.addresses[i], self._door.enter().block_size, self)

    def memory(self) -> list[Memory]:
        """All of them."""
        return [self[i] for i in range(len(self))]
