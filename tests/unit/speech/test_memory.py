"""How much memory there is, and how much a checkpoint needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from subgen.errors import EngineError
from subgen.speech.voxtral import memory
from subgen.speech.voxtral.cgroup import headroom_bytes
from subgen.speech.voxtral.headers import Tensor
from subgen.speech.voxtral.weights import skeleton
from tests.checkpoints import SMALL, Shape

MB = 1 << 20
FULL: dict[str, Any] = {"model_type": "voxtral_realtime", "encoder_args": {}, "decoder": {}}
"""mlx-audio's defaults are the 4 B shape."""


def write(root: Path, files: dict[str, str | int]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def test_no_groups_no_limit(tmp_path: Path) -> None:
    assert headroom_bytes(tmp_path) is None


def test_version_2_without_a_limit(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/user", "sys/fs/cgroup/user/memory.max": "max"})
    write(tmp_path, {"sys/fs/cgroup/user/memory.current": 5 * MB})
    assert headroom_bytes(tmp_path) is None


def test_version_2_counts_unused_file_pages_as_free(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": 100 * MB})
    write(tmp_path, {"sys/fs/cgroup/memory.current": 70 * MB})
    assert headroom_bytes(tmp_path) == 30 * MB
    write(tmp_path, {"sys/fs/cgroup/memory.stat": f"anon {50 * MB}\ninactive_file {20 * MB}"})
    assert headroom_bytes(tmp_path) == 50 * MB


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/pod/box"})
    write(tmp_path, {"sys/fs/cgroup/pod/memory.max": 100 * MB, "sys/fs/cgroup/pod/memory.current": 90 * MB})
    write(tmp_path, {"sys/fs/cgroup/pod/box/memory.max": 50 * MB})
    write(tmp_path, {"sys/fs/cgroup/pod/box/memory.current": 20 * MB})
    assert headroom_bytes(tmp_path) == 10 * MB


def test_a_container_that_sees_the_hosts_path(tmp_path: Path) -> None:
    """The group is mounted at the root of the tree, and its path does not exist below it."""
    write(tmp_path, {"proc/self/cgroup": "4:cpu:/docker/abc\n3:memory:/docker/abc"})
    write(tmp_path, {"sys/fs/cgroup/memory/memory.limit_in_bytes": 64 * MB})
    write(tmp_path, {"sys/fs/cgroup/memory/memory.usage_in_bytes": 60 * MB})
    write(tmp_path, {"sys/fs/cgroup/memory/memory.stat": f"inactive_file 0\ntotal_inactive_file {2 * MB}"})
    assert headroom_bytes(tmp_path) == 6 * MB


def test_version_1_says_no_limit_with_a_large_number(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "3:memory:/"})
    write(tmp_path, {"sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712})
    write(tmp_path, {"sys/fs/cgroup/memory/memory.usage_in_bytes": 60 * MB})
    assert headroom_bytes(tmp_path) is None


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": 10 * MB})
    write(tmp_path, {"sys/fs/cgroup/memory.current": 12 * MB})
    assert headroom_bytes(tmp_path) == 0


def test_lanes_need_room() -> None:
    """The 4 B model: 213 kB a position and lane in float32."""
    shape = skeleton(FULL).config
    one, two, sixteen = (memory.reserve_bytes(shape, lanes) for lanes in (1, 2, 16))
    assert sixteen - two == 14 * memory.CHUNK_POSITIONS * 2 * 106_496
    assert one < 1.5e9 < sixteen < 5e9


def test_a_small_window_needs_no_more_than_it_holds() -> None:
    narrow, wide = (skeleton(Shape(decoder_window=w).config()).config for w in (100, 200))
    cache_bytes = 2 * SMALL.decoder_layers * SMALL.kv_heads * SMALL.decoder_head_dim * 4
    assert memory.reserve_bytes(wide, 8) - memory.reserve_bytes(narrow, 8) == 8 * 100 * cache_bytes


@pytest.mark.parametrize("spare", [-1, 0, 10**9, None])
def test_a_machine_that_is_too_small_is_told_the_figures(
    spare: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, stored = skeleton(FULL).config, {"a": Tensor("U32", (1,), 3 * 10**9)}
    needed = memory.memory_needed(shape, stored)
    assert 3e9 < needed < 4.5e9
    monkeypatch.setattr(memory, "memory_limit_bytes", lambda: None if spare is None else needed + spare)
    if spare != -1:
        memory.check_memory(Path("voxtral"), shape, stored)
        return
    with pytest.raises(EngineError, match=r"voxtral: needs \d\.\d GB .* and \d\.\d GB are free: close"):
        memory.check_memory(Path("voxtral"), shape, stored)


def test_the_budget_is_what_is_free_less_the_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = skeleton(FULL).config
    monkeypatch.setattr(memory, "available_bytes", lambda: 24 * 10**9)
    assert memory.weights_budget(shape, 16) == 24 * 10**9 - memory.reserve_bytes(shape, 16)
    monkeypatch.setattr(memory, "available_bytes", lambda: 0)
    assert memory.weights_budget(shape, 16) is None


def test_the_full_shape_widened_fits_a_machine_of_24_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 23 * 10**9)
    budget = memory.weights_budget(skeleton(FULL).config)
    assert budget is not None
    assert budget > 17.8e9
