"""What this machine can do: the rate of large matrix products, and of moving memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MEASURE_SECONDS = 2.0
COPY_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """`products` in operations a second, in the type that the engine computes in; `bandwidth` in bytes
    a second, read and written."""

    device: str
    dtype: str
    products: float
    bandwidth: float


def measure(stored_dtype: str) -> Limits:
    """Take a few seconds. On a CPU products are measured in float32, on a GPU in the weights' type."""
    from subgen.speech.voxtral.device import device

    dtype = "F32" if device().is_cpu else stored_dtype
    bandwidth = cpu_bandwidth() if device().is_cpu else gpu_bandwidth()
    return Limits(str(device()), dtype, product_rate(dtype, 3072 if device().is_cpu else 8192), bandwidth)


def best(one: Limits, other: Limits) -> Limits:
    """The larger figure of each: a machine that others use as well shows its limits now and then only."""
    products, bandwidth = max(one.products, other.products), max(one.bandwidth, other.bandwidth)
    return Limits(one.device, one.dtype, products, bandwidth)


def product_rate(dtype: str, size: int) -> float:
    """Operations a second of the best square product of `size`."""
    import mlx.core as mx

    kind = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}[dtype]
    a = mx.random.normal((size, size)).astype(kind)
    b = mx.random.normal((size, size)).astype(kind)
    return 2 * size**3 / best_seconds(lambda: mx.eval(a @ b))


def gpu_bandwidth() -> float:
    """Bytes a second of adding a number to a large array: each is read once and written once."""
    import mlx.core as mx

    x = mx.zeros((COPY_BYTES // 4,))
    return 2 * COPY_BYTES / best_seconds(lambda: mx.eval(x + 1))


def cpu_bandwidth() -> float:
    """Bytes a second of copying large arrays, one in each of as many threads as there are cores."""
    cores = os.cpu_count() or 1
    source = [np.ones(COPY_BYTES // 4, np.float32) for _ in range(cores)]
    target = [np.zeros(COPY_BYTES // 4, np.float32) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        return 2 * COPY_BYTES * cores / best_seconds(lambda: list(pool.map(np.copyto, target, source)))


def best_seconds(work: Callable[[], object]) -> float:
    """The shortest of as many runs as fit into MEASURE_SECONDS, after one that does not count."""
    work()
    took: list[float] = []
    while sum(took) < MEASURE_SECONDS:
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def machine() -> str:
    """Processor, cores and memory, in a line."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}{_graphics()}"


def _processor() -> str:
    if sys.platform == "darwin":
        return _said("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _graphics() -> str:
    name = _said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    return f", {name[0]}" if name else ""


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
