"""What every engine promises: frames do not depend on lanes, neighbours, or how audio was cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgen.errors import CheckpointInvalid, CheckpointMissing, IllegalDelay
from subgen.model import Chunk, Frame, Pcm
from subgen.speech.engine import transcribe
from subgen.speech.scripted import ScriptedEngine
from subgen.speech.voxtral.checkpoint import Checkpoint, load
from subgen.speech.voxtral.engine import VoxtralEngine
from subgen.testing import check_engine
from tests.checkpoints import varied_sound, write_checkpoint

SAMPLES = Path(__file__).parents[3] / "samples"
Make = Callable[..., VoxtralEngine]


@pytest.fixture
def engine_of() -> Iterator[Make]:
    """Engines that are closed at the end: each has a thread."""
    made: list[VoxtralEngine] = []

    def make(checkpoint: Checkpoint, *, lanes: int = 2, **how: Any) -> VoxtralEngine:
        made.append(VoxtralEngine(checkpoint, lanes=lanes, **how))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture(scope="module")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load(str(write_checkpoint(tmp_path_factory.mktemp("weights"))))


@pytest.fixture(scope="module")
def sample_checkpoint() -> Checkpoint:
    return load(str(SAMPLES / "tiny"))


def tokens(frames: tuple[Frame, ...] | list[Frame]) -> list[int]:
    return [frame.token_id for frame in frames]


def test_random_weights_keep_the_contract(random_checkpoint: Checkpoint, engine_of: Make) -> None:
    check_engine(engine_of(random_checkpoint, delay_ms=480), varied_sound(5.3))


def test_sample_checkpoint_keeps_the_contract(sample_checkpoint: Checkpoint, engine_of: Make) -> None:
    check_engine(engine_of(sample_checkpoint, delay_ms=480), varied_sound(5.3))


def test_scripted_engine_keeps_the_contract() -> None:
    check_engine(ScriptedEngine([("one", 900), ("two", 1700), ("three", 1750)]), varied_sound(3.0))


@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 8])
def test_tokens_do_not_depend_on_the_number_of_lanes(
    random_checkpoint: Checkpoint, lanes: int, engine_of: Make
) -> None:
    chunks = [Chunk(0, varied_sound(seconds, seed=i)) for i, seconds in enumerate([4.0, 0.03, 2.5, 6.1, 3.3])]
    alone = [engine_of(random_checkpoint, lanes=1).submit(chunk).result() for chunk in chunks]
    assert list(transcribe(engine_of(random_checkpoint, lanes=lanes), chunks)) == alone


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_tokens_do_not_depend_on_the_cutting(random_checkpoint: Checkpoint, data: st.DataObject) -> None:
    pcm = varied_sound(3.7, seed=4)
    cuts = data.draw(st.lists(st.integers(0, len(pcm)), max_size=12).map(sorted))
    with closing(VoxtralEngine(random_checkpoint, delay_ms=240, lanes=1)) as engine:
        assert fed(engine, np.split(pcm, cuts), 4) == fed(engine, [pcm], 4)


def test_one_sample_at_a_time(random_checkpoint: Checkpoint, engine_of: Make) -> None:
    pcm = varied_sound(0.2)
    engine = engine_of(random_checkpoint, delay_ms=80)
    assert fed(engine, np.split(pcm, len(pcm)), 1) == fed(engine, [pcm], 1)


def test_blocks_of_live_and_of_files_give_the_same_tokens(
    random_checkpoint: Checkpoint, engine_of: Make
) -> None:
    pcm = varied_sound(9.0, seed=5)
    engine = engine_of(random_checkpoint, delay_ms=480)
    whole = engine.submit(Chunk(0, pcm)).result()
    assert fed(engine, [pcm], 1) == tokens(whole.frames)


def test_end_of_sequence_ends_nothing(random_checkpoint: Checkpoint, engine_of: Make) -> None:
    """A vocabulary in which a frequent token is EOS: the stream goes on to the last frame."""
    pcm = varied_sound(4.0)
    plain = engine_of(random_checkpoint).submit(Chunk(0, pcm)).result()
    frequent = plain.frames[10].token_id
    vocabulary = type(random_checkpoint.tokens)(random_checkpoint.tokens.pieces, eos=frequent)
    ended = Checkpoint("eos", random_checkpoint.model, vocabulary, {})
    frames = engine_of(ended).submit(Chunk(0, pcm)).result()
    assert tokens(frames.frames) == tokens(plain.frames)
    assert len(frames.frames) == 50 + 11


def test_nothing_in_nothing_out(random_checkpoint: Checkpoint, engine_of: Make) -> None:
    engine = engine_of(random_checkpoint)
    assert len(fed(engine, [np.zeros(0, np.float32)], 4)) == 11
    assert len(engine.submit(Chunk(0, np.zeros(0, np.float32))).result().frames) == 11


def fed(engine: VoxtralEngine, pieces: list[Pcm], block: int) -> list[int]:
    stream = engine.stream(block)
    frames = [frame for piece in pieces for frame in stream.feed(piece)]
    return tokens([*frames, *stream.finish()])


def test_an_illegal_delay_is_refused_with_the_list(random_checkpoint: Checkpoint) -> None:
    with pytest.raises(IllegalDelay, match=r"80, 160, .* 1200, 2400"):
        VoxtralEngine(random_checkpoint, delay_ms=500)


def test_no_folder_and_no_hub_id() -> None:
    with pytest.raises(CheckpointMissing, match="no such folder"):
        load("./nowhere/at/all")


def test_a_folder_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointInvalid, match=r"config\.json"):
        load(str(tmp_path))


def test_another_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    with pytest.raises(CheckpointInvalid, match="whisper"):
        load(str(tmp_path))


def test_weights_of_another_shape(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    config = (tmp_path / "config.json").read_text().replace('"n_layers": 3', '"n_layers": 4')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointInvalid, match="do not fit"):
        load(str(tmp_path))


def test_a_torn_weights_file(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointInvalid, match="broken"):
        load(str(tmp_path))


def test_offline_and_not_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def unreachable(*_: object, **__: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(
        CheckpointMissing, match=r"hub cannot be reached.*tekken\.json into a folder.*--model FOLDER"
    ):
        load("somebody/something")
