# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the bytes of other people's arrays are, without a copy: numpy, torch, array.array, ctypes, memoryview."""

from __future__ import annotations

import ctypes
from array import array
from typing import Any

# What a call takes for a range of memory: an Allocation, Window, acquired block or view, anything contiguous with the
# buffer protocol, a tensor of torch, or (address, bytes).
Span = Any
# What a call takes for blocks: one index, a contiguous array of 64-bit integers, or a sequence or iterator of int.
Index = Any


def unsigned(*values: int) -> None:
    """OverflowError where one is no unsigned 64-bit integer: ctypes would cut it off without a word."""
    for value in values:
        if not 0 <= value < 1 << 64:
            raise OverflowError(f"kvoff: {value} is not from 0 to 2**64 - 1")


class _PyBuffer(ctypes.Structure):
    """Py_buffer, part of CPython's stable interface"""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_get = ctypes.pythonapi.PyObject_GetBuffer
_get.argtypes = [ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int]
_release = ctypes.pythonapi.PyBuffer_Release
_release.argtypes = [ctypes.POINTER(_PyBuffer)]


def address_of(view: memoryview) -> int:
    """The first byte of a C-contiguous view, read-only ones too; true as long as the view lives."""
    buffer = _PyBuffer()
    _get(view, ctypes.byref(buffer), 0)
    address = buffer.buf or 0
    _release(ctypes.byref(buffer))
    return int(address)


def _tensor(obj: Any) -> tuple[int, int]:
    """Address and bytes of a tensor of torch, which has no buffer protocol."""
    if obj.device.type != "cpu":
        raise TypeError(f"kvoff: a tensor on {obj.device}: only the CPU's memory can be read here, use .cpu()")
    if not obj.is_contiguous():
        raise ValueError("kvoff: a tensor that is not contiguous: use .contiguous()")
    return int(obj.data_ptr()), int(obj.numel()) * int(obj.element_size())


def indices(obj: Index) -> tuple[int, int, object]:
    """Address and length of an array of uint64, and what keeps it there."""
    if isinstance(obj, int):
        obj = array("Q", (obj,))
    elif hasattr(obj, "data_ptr"):
        if str(obj.dtype) not in ("torch.int64", "torch.uint64"):
            raise TypeError(f"kvoff: block indices are 64-bit integers, not {obj.dtype}: use .to(torch.int64)")
        address, nbytes = _tensor(obj)
        return address, nbytes // 8, obj
    try:
        view = memoryview(obj)
    except TypeError:
        view = memoryview(array("Q", obj))
    if view.itemsize != 8 or view.format.lstrip("@=<") not in ("Q", "q", "L", "l", "N", "n"):
        raise TypeError(
            f"kvoff: block indices are 64-bit integers, not '{view.format}' of {view.itemsize} bytes: "
            "convert them once, where they are made (numpy: .astype(numpy.uint64))"
        )
    if not view.c_contiguous:
        raise ValueError("kvoff: block indices that are not contiguous: use numpy.ascontiguousarray()")
    return address_of(view), view.nbytes // 8, view


def span(obj: Span) -> tuple[int, int, object]:
    """Address and bytes of a piece of memory, and what keeps it there."""
    if hasattr(obj, "address") and hasattr(obj, "nbytes"):
        return obj.address, obj.nbytes, obj
    if isinstance(obj, tuple):
        address, nbytes = obj
        unsigned(address, nbytes)
        return address, nbytes, None
    if hasattr(obj, "data_ptr"):
        return (*_tensor(obj), obj)
    view = memoryview(obj)
    if not view.c_contiguous:
        raise ValueError("kvoff: memory that is not contiguous: name its rows one by one")
    return address_of(view), view.nbytes, view


def pointer(obj: int | Span) -> tuple[int, object]:
    """The first address of a piece of memory, or the address itself."""
    if isinstance(obj, int):
        return obj, None
    address, _, keep = span(obj)
    return address, keep
