"""Measurements as JSON and as a table in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from scripts.benchmark.compare import Failure
from scripts.benchmark.limits import Limits
from scripts.benchmark.rows import Row

HEAD = (
    "weights", "program", "audio", "lanes", "files", "time", "x real time", "ratio", "memory",
    "GFLOP/s of audio", "products", "while decoding", "bandwidth while decoding", "idle",
)  # fmt: skip


def as_json(machine: str, limits: Limits, results: Sequence[Row | Failure]) -> dict[str, Any]:
    """All figures, with their units in their names or in the docstrings of `Row` and `Heard`."""
    return {
        "machine": machine,
        "limits": asdict(limits),
        "rows": [asdict(r) for r in results if isinstance(r, Row)],
        "failures": [asdict(r) for r in results if isinstance(r, Failure)],
    }


def markdown(machine: str, limits: Limits, results: Sequence[Row | Failure]) -> str:
    """Machine, limits, the table, and what one has to know to read it."""
    rows = [r for r in results if isinstance(r, Row)]
    lines = [
        f"{machine}; {limits.device}.",
        f"Products ({limits.dtype}): {limits.products / 1e9:,.0f} GFLOP/s. "
        f"Memory: {limits.bandwidth / 1e9:.1f} GB/s.",
        "",
        _line(HEAD),
        _line(["---"] * len(HEAD)),
        *(_line(cells(row)) for row in rows),
        "",
        *notes(rows),
        *(
            f"- {f.weights}: {f.contender} gave no figure for {f.minutes:g} min: {f.reason}"
            for f in results
            if isinstance(f, Failure)
        ),
    ]
    return "\n".join(lines)


def cells(row: Row) -> list[str]:
    """One line of the table. The ratio is that to each peer."""
    heard = row.heard
    device = f" + {heard.device_peak_bytes / 2**30:.1f}" if heard.device_peak_bytes > heard.peak_bytes else ""
    counted = heard.counters
    idle = max(1 - counted.busy_seconds / heard.seconds, 0) if counted else None
    return [
        row.weights,
        row.contender,
        f"{row.minutes:g} min" if heard.audio_seconds >= row.minutes * 60 else f"{heard.audio_seconds:g} s",
        str(row.lanes),
        str(row.files),
        f"{heard.seconds:.1f} s",
        f"{row.speed:.3g}",
        ", ".join(f"{times:.3g} ({peer})" for peer, times in row.ratio.items()) or "",
        f"{heard.peak_bytes / 2**30:.1f}{device} GiB",
        f"{row.operations_per_second / 1e9:.3g}",
        _percent(row.share_of_products),
        _percent(row.share_of_products_decoding),
        _percent(row.share_of_bandwidth_decoding),
        _percent(idle),
    ]


def notes(rows: Sequence[Row]) -> list[str]:
    """What holds for these rows."""
    said = [
        "- GFLOP/s of audio: what a second of audio needs, from the shape alone, without the zeros before and"
        " after a chunk. Products: that times x real time, as a share of the measured rate; while decoding:"
        " the operations of all decode steps in the time spent decoding, as a share of the same.",
        "- Bandwidth while decoding: weights read once a step, keys and values once a lane, as a share of the"
        " measured rate; caches of the processor may serve some of it.",
        "- Memory: the most that the process held, loading included; after a plus sign, on the device.",
    ]
    for row in rows:
        if row.contender != "subgen" and row.heard.audio_seconds < row.minutes * 60:
            said.append(
                f"- {row.weights}: {row.contender} heard the first {row.heard.audio_seconds:g} s of"
                f" {row.minutes:g} min only, at {row.speed_as_heard:.3g}x real time. Its figure above is that"
                " of its longest stretches at the same operations a second, so that the zeros around a"
                " short stretch are not held against it."
            )
        if row.contender == "voxmlx":
            said.append(f"- {row.weights}: voxmlx knows only a delay of {row.heard.delay_ms} ms.")
    return list(dict.fromkeys(said))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _line(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"
