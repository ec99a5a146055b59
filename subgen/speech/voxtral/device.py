"""Where MLX computes, and what has to be settled before it is first imported.

On Linux the wheel of MLX's CPU back end links reference BLAS, whose float32 products run at 2 to
4 GFLOP/s. A BLAS that is already loaded globally takes its place: with OpenBLAS the same products ran
at 50 to 157 GFLOP/s on two cores. The package's `__init__` calls `fast_blas` before any of its
modules imports `mlx.core`.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import sys
import warnings
from dataclasses import dataclass

BLAS_LIBRARIES = ("libopenblas.so.0", "libopenblas.so", "libmkl_rt.so.2", "libblis.so.4", "libblis.so.3")
NO_BLAS = "no fast BLAS found, transcription will be about 30 times slower: apt-get install libopenblas0"


class SlowBlasWarning(UserWarning):
    """MLX will compute on reference BLAS."""


@dataclass(frozen=True, slots=True)
class Device:
    """`kind` is `metal`, `cuda` or `cpu`; `blas` the library that the CPU's products go through."""

    kind: str
    blas: str | None

    @property
    def is_cpu(self) -> bool:
        """Whether products of 16 and 4 bits are slower than float32's."""
        return self.kind == "cpu"

    def __str__(self) -> str:
        return f"{self.kind} ({self.blas or 'reference BLAS'})" if self.is_cpu else self.kind


@functools.cache
def fast_blas() -> str | None:
    """Load a fast BLAS for all later libraries and say which; None where there is none.

    Must run before `mlx.core` is first imported, or it has no effect.
    """
    if sys.platform != "linux":
        return "Accelerate"
    if "mlx.core" in sys.modules:
        warnings.warn(
            "import subgen before mlx: no other BLAS can be used now", SlowBlasWarning, stacklevel=2
        )
        return None
    for name in BLAS_LIBRARIES:
        try:
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL | os.RTLD_NOW)
        except OSError:
            continue
        return name
    return None


@functools.cache
def device() -> Device:
    """The device that MLX computes on; warns once where that is a CPU without a fast BLAS."""
    import mlx.core as mx

    if mx.default_device() == mx.Device(mx.cpu):
        found = Device("cpu", fast_blas())
        if found.blas is None:
            warnings.warn(NO_BLAS, SlowBlasWarning, stacklevel=2)
        return found
    return Device("metal" if mx.metal.is_available() else "cuda", fast_blas())


def mlx_version() -> str:
    """The version of MLX that is installed."""
    return importlib.metadata.version("mlx")


def available_bytes() -> int:
    """Memory that can still be taken without swapping, in bytes (0: unknown)."""
    if sys.platform == "linux":
        with open("/proc/meminfo") as info:  # noqa: PTH123
            for line in info:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return max(pages * size, 0) * 3 // 4
