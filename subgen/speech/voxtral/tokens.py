"""Token ids: which are special, and the raw bytes of the others (MODEL.md, "Tokens")."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subgen.errors import CheckpointInvalid
from subgen.model import Frame, TokenKind

BOS, EOS, STREAMING_PAD, STREAMING_WORD = 1, 2, 32, 33
_NAMES = {"<s>": "bos", "</s>": "eos", "[STREAMING_PAD]": "pad", "[STREAMING_WORD]": "word"}


@dataclass(frozen=True, slots=True)
class Tokens:
    """The vocabulary of a checkpoint. Text id t is `pieces[t - special]`."""

    pieces: tuple[bytes, ...]
    special: int = 1000
    bos: int = BOS
    eos: int = EOS
    pad: int = STREAMING_PAD
    word: int = STREAMING_WORD

    @classmethod
    def load(cls, folder: Path) -> Tokens:
        """Read `folder/tekken.json`; raise `CheckpointInvalid` where it is missing or broken."""
        path = folder / "tekken.json"
        try:
            content = json.loads(path.read_text("utf-8"))
            pieces = tuple(base64.b64decode(entry["token_bytes"]) for entry in content["vocab"])
            special = int(content.get("config", {}).get("default_num_special_tokens", 1000))
            return cls(pieces, special, **_special_ids(content))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise CheckpointInvalid(
                f"{path}: no vocabulary to be read ({error})", "download the checkpoint again"
            ) from error

    def frame(self, index: int, token_id: int) -> Frame:
        """What token `token_id` says at frame `index`."""
        if token_id == self.pad:
            return Frame(index, token_id, TokenKind.PAD)
        if token_id == self.word:
            return Frame(index, token_id, TokenKind.WORD)
        place = token_id - self.special
        if 0 <= place < len(self.pieces):
            return Frame(index, token_id, TokenKind.TEXT, self.pieces[place])
        return Frame(index, token_id, TokenKind.CONTROL)


def _special_ids(content: dict[str, Any]) -> dict[str, int]:
    """The ids that tekken.json names; older files have no such list, and the known ids hold."""
    return {
        _NAMES[entry["token_str"]]: int(entry["rank"])
        for entry in content.get("special_tokens", [])
        if entry.get("token_str") in _NAMES
    }
