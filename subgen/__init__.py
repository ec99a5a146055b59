"""Subtitles appear next to your videos, made on your own machine.

from subgen import transcribe
for word in transcribe("film.mkv", model="samples/tiny"):
    print(word.start_ms, word.text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subgen.app import Transcription, transcribe

__version__ = "0.1.0"
__all__ = ["Transcription", "__version__", "transcribe"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # Late, so that `import subgen` and `subgen --help` need neither numpy nor MLX.
    if name in ("Transcription", "transcribe"):
        from subgen import app

        return getattr(app, name)
    raise AttributeError(name)
