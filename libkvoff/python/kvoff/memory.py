# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pieces of a region's memory, and views of them that share it: memoryview, numpy, torch."""

from __future__ import annotations

import ctypes
import math
import weakref
from typing import TYPE_CHECKING, Any, Union

from ._abi import lib
from ._attachment import Allocated, Door

if TYPE_CHECKING:
    import numpy
    import torch

Shape = Union[int, tuple[int, ...], None]


def _count(shape: int | tuple[int, ...]) -> int:
    return shape if isinstance(shape, int) else math.prod(shape)


class Memory:
    """A piece of memory of a region in this process.

    Views of it are no copies. They keep the region open (Region.close()), and where it was allocated, allocated.
    Everything with the buffer protocol works on view(); from Python 3.12 on, on the object itself.

    address   of the first byte
    nbytes    length in bytes
    readonly  True in a read-only attachment; its views are read-only too
    """

    __slots__ = ("address", "nbytes", "readonly", "_door", "__weakref__")

    def __init__(self, door: Door, address: int, nbytes: int) -> None:
        self._door = door
        self.address = address
        self.nbytes = nbytes
        self.readonly = door.enter().readonly

    def _owner(self) -> object:
        """What a view has to keep."""
        return self._door.enter()

    def view(self) -> memoryview:
        """The bytes. ValueError: the memory was freed, or its region closed."""
        buffer = (ctypes.c_ubyte * self.nbytes).from_address(self.address)
        buffer._owner = self._owner()  # type: ignore[attr-defined]
        # ctypes calls the format '<B', which memoryview itself cannot index
        seen = memoryview(buffer).cast("B")
        return seen.toreadonly() if self.readonly else seen

    def numpy(self, dtype: Any = "u1", shape: Shape = None) -> numpy.ndarray[Any, Any]:
        """An array on this memory; shape None is one dimension over all of it.

        A shape that needs less takes the first bytes. ValueError: it needs more.
        """
        import numpy

        if shape is None:
            return numpy.frombuffer(self.view(), dtype)
        return numpy.frombuffer(self.view(), dtype, _count(shape)).reshape(shape)

    def torch(self, dtype: torch.dtype | None = None, shape: Shape = None) -> torch.Tensor:
        """A tensor on this memory (torch.frombuffer()); dtype None is torch.uint8, shape as for numpy().

        Tensors cannot be read-only: writing to one of a read-only attachment ends the process (SIGSEGV).
        """
        import torch

        dtype = torch.uint8 if dtype is None else dtype
        if shape is None:
            return torch.frombuffer(self.view(), dtype=dtype)
        return torch.frombuffer(self.view(), dtype=dtype, count=_count(shape)).reshape(shape)

    def __buffer__(self, flags: int) -> memoryview:
        return self.view()

    def __len__(self) -> int:
        return self.nbytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}(address={self.address:#x}, nbytes={self.nbytes})"


class Allocation(Memory):
    """Memory from Region.alloc(): its address never changes while its blocks move.

    It goes back when free() was called, or the object is gone, and no view is left. In a region with a name, whose
    memory is to outlive the program, free() alone gives it back. As a context manager it is freed at the end.
    """

    __slots__ = ("_allocated",)

    def __init__(self, door: Door, address: int, nbytes: int) -> None:
        super().__init__(door, address, nbytes)
        self._allocated: Allocated | None = Allocated(door, address, door.enter().named)

    def _owner(self) -> object:
        return self._door.enter(), self._live()

    def _live(self) -> Allocated:
        if self._allocated is None:
            raise ValueError(f"kvoff: {self!r} was freed")
        return self._allocated

    @property
    def usable_size(self) -> int:
        """Bytes that may be used, nbytes and what rounding added. 0 in a closed region."""
        at = self._door.attachment
        return 0 if at is None or at.forked else int(lib.libkvoff_usable_size(at, self._live().address))

    def keep(self) -> None:
        """From now on free() alone gives it back, as in a region with a name."""
        self._live().keep = True

    def free(self) -> bool:
        """Give it back. True: that was done; False: it will be when the last view of it is gone.

        ValueError: it was freed before.
        """
        allocated = self._live()
        allocated.keep = False
        there = weakref.ref(allocated)
        del allocated
        self._allocated = None
        return there() is None

    def __enter__(self) -> Allocation:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._allocated is not None:
            self.free()


class Window(Memory):
    """A piece of a framed region's window, to be registered with a device once, for the region's life.

    tier  tier number
    """

    __slots__ = ("tier",)

    def __init__(self, door: Door, address: int, nbytes: int, tier: int) -> None:
        super().__init__(door, address, nbytes)
        self.tier = tier
