"""The sample checkpoint's vocabulary: 1000 special ids, 256 bytes, and byte-pair merges.

`tekken.json` as mistral-common lays it out, so that every reader of the real file reads ours.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from .sentences import Grammar

BOS, EOS, PAD, WORD = 1, 2, 32, 33
SPECIAL = 1000
SIZE = 1606
_NAMES = {0: "<unk>", BOS: "<s>", EOS: "</s>", PAD: "[STREAMING_PAD]", WORD: "[STREAMING_WORD]"}


def train_merges(texts: Iterable[str], count: int) -> list[bytes]:
    """Byte-pair encoding inside words (a word carries the space before it)."""
    words = Counter((" " + w) for text in texts for w in text.split())
    split = {w: [bytes([b]) for b in w.encode()] for w in words}
    merges: list[bytes] = []
    while len(merges) < count:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, parts in split.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            raise ValueError(f"the text has only {len(merges)} merges in it")
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best[0] + best[1])
        split = {word: _merge(parts, best) for word, parts in split.items()}
    return merges


def _merge(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    out: list[bytes] = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out


def tekken() -> dict[str, Any]:
    """The content of tekken.json."""
    grammar = Grammar(0)
    merges = train_merges([grammar.sentence() for _ in range(4000)], SIZE - SPECIAL - 256)
    pieces = [bytes([b]) for b in range(256)] + merges
    return {
        "config": {
            "pattern": r" ?[^\s]+|\s+",
            "num_vocab_tokens": len(pieces),
            "default_vocab_size": SIZE,
            "default_num_special_tokens": SPECIAL,
            "version": "v13",
        },
        "vocab": [
            {
                "rank": i,
                "token_bytes": base64.b64encode(p).decode(),
                "token_str": p.decode("utf-8", "replace") if len(p) > 1 or p < b"\x80" else None,
            }
            for i, p in enumerate(pieces)
        ],
        "special_tokens": [
            {"rank": i, "token_str": _NAMES.get(i, f"<SPECIAL_{i}>"), "is_control": True}
            for i in range(SPECIAL)
        ],
    }


class Encoder:
    """Text of one word -> token ids, by the ranks of tekken.json."""

    def __init__(self, path: Path) -> None:
        vocab = json.loads(path.read_text("utf-8"))["vocab"]
        self.ranks = {base64.b64decode(v["token_bytes"]): int(v["rank"]) for v in vocab}
        self._known: dict[str, list[int]] = {}

    def word(self, text: str) -> list[int]:
        """Ids of `text` with a space before it."""
        if text not in self._known:
            parts = [bytes([b]) for b in f" {text}".encode()]
            while len(parts) > 1:
                rank, i = min((self.ranks.get(a + b, SIZE), i) for i, (a, b) in enumerate(pairwise(parts)))
                if rank == SIZE:
                    break
                parts[i : i + 2] = [parts[i] + parts[i + 1]]
            self._known[text] = [SPECIAL + self.ranks[p] for p in parts]
        return self._known[text]
