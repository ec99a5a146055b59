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
import time
import warnings
from dataclasses import dataclass

from subgen.speech.voxtral import cgroup

BLAS_LIBRARIES = ("libopenblas.so.0", "libopenblas.so", "libmkl_rt.so.2", "libblis.so.4", "libblis.so.3")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
NO_BLAS = "no fast BLAS found, transcription will be about 30 times slower: apt-get install libopenblas0"
SLOW_GFLOPS = 10


class SpeedWarning(UserWarning):
    """Something that somebody who waits should know."""


class SlowBlasWarning(SpeedWarning):
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
    # OpenBLAS's threads would wait in a loop for the next product, on cores that others compute on meanwhile.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
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


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for what is allocated next, instead of giving it back at once.

    MLX's CPU back end allocates each intermediate array anew. From 128 KB on glibc maps new pages for each,
    and to have them zeroed by the system takes longer than to add up what is written to them: the encoder's
    feed-forward took twice as long. Weights (64 MB and more) are still given back.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "gnu_get_libc_version"):
        libc.mallopt(_M_MMAP_THRESHOLD, 64 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


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
    """Memory that can still be taken without swapping, in bytes (0: unknown).

    On Linux the limits of the process's control groups count as well.
    """
    if sys.platform == "linux":
        with open("/proc/meminfo") as info:  # noqa: PTH123
            for line in info:
                if line.startswith("MemAvailable:"):
                    free = int(line.split()[1]) * 1024
                    limit = cgroup.headroom_bytes()
                    return free if limit is None else min(free, limit)
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return max(pages * size, 0) * 3 // 4


def memory_limit_bytes() -> int | None:
    """How much memory MLX may take on its device, in bytes; None where that is not known.

    On a CPU and on CUDA what is free now; Metal recommends a bound for all that it holds at once.
    """
    if device().is_cpu:
        return available_bytes() or None
    import mlx.core as mx

    info = mx.device_info()
    limit = info.get("max_recommended_working_set_size", info.get("free_memory"))
    return None if limit is None else int(limit)


@functools.cache
def product_gflops() -> float:
    """The rate of large float32 products, in 10^9 operations per second; measured for 0.2 s, once."""
    small = _product_gflops(256, 0.02)
    # Reference BLAS would take seconds for the large one.
    return small if small < SLOW_GFLOPS else _product_gflops(1024, 0.15)


def _product_gflops(size: int, seconds: float) -> float:
    """The best of several products of two matrices [size, size] within about `seconds`."""
    import mlx.core as mx

    a, b = mx.random.normal((2, size, size))
    mx.eval(a @ b)
    best, end = 0.0, time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        mx.eval(a @ b)
        best = max(best, 2 * size**3 / (time.perf_counter() - start) / 1e9)
    return best
