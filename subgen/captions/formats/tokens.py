"""What the model said, frame by frame: JSON lines, for looking into a transcript that went wrong."""

from __future__ import annotations

import base64
import json

from subgen.model import FRAME_SAMPLES, Frame, TokenKind, Transcript


class Tokens:
    """One line a frame. `frame` counts from the file's beginning, `chunk_frame` from its chunk's."""

    name = "tokens"
    extension = "tokens.jsonl"

    def render(self, transcript: Transcript) -> str:
        """`{"frame", "chunk_frame", "token", "kind"}`, and `text` where the token has any.

        A subword may be a part of a character; then `piece` has its bytes in base64.
        """
        rows = (
            _row(chunk.first_sample // FRAME_SAMPLES, frame)
            for chunk in transcript.frames
            for frame in chunk.frames
        )
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _row(first_frame: int, frame: Frame) -> dict[str, object]:
    row: dict[str, object] = {
        "frame": first_frame + frame.index,
        "chunk_frame": frame.index,
        "token": frame.token_id,
        "kind": frame.kind.value,
    }
    if frame.kind is not TokenKind.TEXT:
        return row
    row["text"] = frame.piece.decode("utf-8", errors="replace")
    try:
        frame.piece.decode("utf-8")
    except UnicodeDecodeError:
        row["piece"] = base64.b64encode(frame.piece).decode("ascii")
    return row
