"""Arrays in page-locked memory, which a GPU reads and writes without the processor's help."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PageLocked"]


class PageLocked:
    """Makes arrays with CUDA's runtime library.

    runtime  the loaded library `libcudart`

    `array` raises OSError if there is no such memory.
    """

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime

    @classmethod
    def of_version(cls, major: int) -> PageLocked:
        """Use the library of a CUDA version. Raises OSError if it is missing."""
        return cls(ctypes.CDLL(f"libcudart.so.{major}"))

    def array(self, shape: Sequence[int], kind: npt.DTypeLike) -> npt.NDArray[Any]:
        """An uninitialised array; its memory is freed together with it."""
        dtype = np.dtype(kind)
        size = max(1, int(np.prod(shape)) * dtype.itemsize)
        place = ctypes.c_void_p()
        code = self._runtime.cudaMallocHost(ctypes.byref(place), ctypes.c_size_t(size))
        if code != 0 or place.value is None:
            raise OSError(f"CUDA gives no {size} bytes of page-locked memory: error {code}")
        held = (ctypes.c_ubyte * size).from_address(place.value)
        # The array and all views of it keep `held` alive.
        weakref.finalize(held, self._runtime.cudaFreeHost, ctypes.c_void_p(place.value))
        array: npt.NDArray[Any] = np.ctypeslib.as_array(held)
        return array[: size - size % dtype.itemsize].view(dtype).reshape(shape)
