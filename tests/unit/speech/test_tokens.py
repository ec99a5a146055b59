"""Token ids and raw bytes from tekken.json."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from subgen.errors import CheckpointInvalid
from subgen.model import Frame, TokenKind
from subgen.speech.voxtral.tokens import Tokens


def write(folder: Path, **extra: Any) -> Path:
    pieces = [" día".encode(), "日".encode()[:2], "日".encode()[2:]]
    vocabulary = [{"rank": i, "token_bytes": base64.b64encode(p).decode()} for i, p in enumerate(pieces)]
    (folder / "tekken.json").write_text(json.dumps({"vocab": vocabulary, **extra}))
    return folder


def test_without_a_list_of_special_tokens_the_known_ids_hold(tmp_path: Path) -> None:
    tokens = Tokens.load(write(tmp_path))
    assert (tokens.special, tokens.bos, tokens.eos, tokens.pad, tokens.word) == (1000, 1, 2, 32, 33)


def test_special_ids_are_read_from_the_file(tmp_path: Path) -> None:
    listed = [{"rank": 40, "token_str": "[STREAMING_PAD]"}, {"rank": 41, "token_str": "[STREAMING_WORD]"}]
    folder = write(tmp_path, config={"default_num_special_tokens": 50}, special_tokens=listed)
    tokens = Tokens.load(folder)
    assert (tokens.special, tokens.pad, tokens.word, tokens.bos) == (50, 40, 41, 1)
    assert tokens.frame(3, 41) == Frame(3, 41, TokenKind.WORD)
    assert tokens.frame(4, 50).piece == " día".encode()


def test_kinds_and_raw_bytes(tmp_path: Path) -> None:
    tokens = Tokens.load(write(tmp_path))
    assert tokens.frame(0, 32).kind is TokenKind.PAD
    assert tokens.frame(0, 33).kind is TokenKind.WORD
    assert tokens.frame(0, 2).kind is TokenKind.CONTROL
    assert tokens.frame(0, 1003).kind is TokenKind.CONTROL  # beyond the vocabulary
    assert (tokens.frame(0, 1001).piece + tokens.frame(1, 1002).piece).decode() == "日"


@pytest.mark.parametrize(
    "content", ["", "[]", '{"vocab": [{"rank": 0}]}', '{"vocab": [{"token_bytes": "a"}]}']
)
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tekken.json").write_text(content)
    with pytest.raises(CheckpointInvalid, match=r"tekken\.json"):
        Tokens.load(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointInvalid, match=r"tekken\.json"):
        Tokens.load(tmp_path)
