"""How much memory the control groups of a process leave it: in a container /proc/meminfo is the host's.

Version 2 has one tree (`memory.max`, `memory.current`), version 1 one for memory alone
(`memory.limit_in_bytes`, `memory.usage_in_bytes`). Every group up to the root counts. File pages that
have not been used for a while (`inactive_file`) are counted as used but given back on demand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
NO_LIMIT_BYTES = 1 << 60
"""Version 1 says "no limit" with a number near 2^63."""


@dataclass(frozen=True, slots=True)
class _Version:
    tree: str
    limit: str
    usage: str
    reclaimable: str


_V1 = _Version(
    "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
)
_V2 = _Version("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def headroom_bytes(root: Path = ROOT) -> int | None:
    """What the tightest limit leaves, in bytes; None where there is no limit. `root` is that of /proc."""
    left = [free for version, group in _groups(root) if (free := _left(root, version, group)) is not None]
    return min(left, default=None)


def _groups(root: Path) -> Iterator[tuple[_Version, Path]]:
    """The groups of this process and all that they lie in."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version = _V1 if controllers else _V2
        group = Path(path.lstrip("/"))
        # In a container the path may be the host's, and the group is mounted at the tree's root.
        yield from ((version, parent) for parent in (group, *group.parents))


def _left(root: Path, version: _Version, group: Path) -> int | None:
    folder = root / version.tree / group
    limit, usage = _number(folder / version.limit), _number(folder / version.usage)
    if limit is None or usage is None or limit >= NO_LIMIT_BYTES:
        return None
    return max(limit - usage + _reclaimable(folder, version), 0)


def _reclaimable(folder: Path, version: _Version) -> int:
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == version.reclaimable:
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None  # "max": no limit


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
