"""A plot of what `compare --json` wrote: speed over lanes, minutes of audio, and files at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AXES = {"lanes": "lanes", "minutes": "minutes of audio", "files": "files at once"}
Line = list[tuple[float, float]]


def lines(rows: Sequence[dict[str, Any]], axis: str) -> dict[str, Line]:
    """By name, the points (value on `axis`, x real time) of subgen's rows; the fastest of each place."""
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for row in rows:
        if row["contender"] == "subgen":
            best = found[row["weights"]]
            best[row[axis]] = max(row["speed"], best.get(row[axis], 0.0))
    return {name: sorted(points.items()) for name, points in found.items()}


def peers(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """By name, the best speed of every other program."""
    found: dict[str, float] = {}
    for row in rows:
        if row["contender"] != "subgen":
            name = f"{row['weights']}, {row['contender']}"
            found[name] = max(row["speed"], found.get(name, 0.0))
    return found


def plot(content: dict[str, Any], path: Path) -> None:
    """Draw into `path`; its ending says in which format. An axis along which nothing grew is left out."""
    try:
        import matplotlib
    except ImportError as error:
        raise SystemExit("bench.py: matplotlib is not installed: ./scripts/set-up dev bench") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = content["rows"]
    grown = [axis for axis in AXES if any(len(points) > 1 for points in lines(rows, axis).values())] or [
        "lanes"
    ]
    figure, places = pyplot.subplots(1, len(grown), figsize=(5.5 * len(grown), 4.5), squeeze=False)
    for axis, place in zip(grown, places[0], strict=True):
        for name, points in lines(rows, axis).items():
            place.plot(*zip(*points, strict=True), marker="o", label=f"{name}, subgen")
        for name, speed in peers(rows).items():
            place.axhline(speed, linestyle="--", linewidth=1, color="grey")
            place.annotate(name, (0.02, speed), xycoords=("axes fraction", "data"), fontsize=7, va="bottom")
        place.set(xlabel=AXES[axis], ylabel="x real time", yscale="log")
        place.legend(fontsize=7)
        place.grid(alpha=0.3)
    figure.suptitle(f"{content['machine']}; {content['limits']['device']}", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
