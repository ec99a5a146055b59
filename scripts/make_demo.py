"""Make samples/demo.mkv and samples/demo.words.json.

    .venv/bin/python scripts/make_demo.py

About 90 s: sentences that training never met, in five synthetic voices, with pauses, music alone
and music under speech; the audio track starts 1.2 s after the picture. Needs espeak-ng, flite and ffmpeg.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from train_sample import sounds
from train_sample.sentences import Grammar
from train_sample.speak import Voice, speak

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
START_MS = 1200
SECONDS = 88
VOICES = [
    Voice("flite", "slt"),
    Voice("espeak", "gmw/en-US+m3", 160, 45),
    Voice("flite", "awb"),
    Voice("espeak", "gmw/en-GB-x-rp+f2", 155, 55),
    Voice("flite", "kal16", 160),
]
MUSIC_ALONE = (38.0, 45.0)  # seconds of the audio track
MUSIC_UNDER = (60.0, 72.0)


def main() -> None:
    rng = np.random.default_rng(2026)
    pcm, words = speech(rng)
    for (first, last), level in ((MUSIC_ALONE, 1.0), (MUSIC_UNDER, 0.12)):
        a, b = int(first * 16_000), int(last * 16_000)
        fade = np.minimum(1, np.minimum(np.arange(b - a), np.arange(b - a)[::-1]) / 8000)
        pcm[a:b] += (sounds.additive_music(rng, b - a) * level * fade).astype(np.float32)
    pcm += sounds.coloured_noise(rng, len(pcm)) * 0.004
    write_video(np.clip(pcm, -1, 1), SAMPLES / "demo.mkv")
    truth = {"language": "en", "audio_start_ms": START_MS, "words": words}
    (SAMPLES / "demo.words.json").write_text(json.dumps(truth, indent=1) + "\n", "utf-8")
    print(f"{len(words)} words")


def speech(rng: np.random.Generator) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Sentences with pauses, none during MUSIC_ALONE, and the words' times on the video's clock."""
    grammar = Grammar(41)
    pcm = np.zeros(SECONDS * 16_000, np.float32)
    words: list[dict[str, object]] = []
    at, turn = int(0.6 * 16_000), 0
    while True:
        said = speak(grammar.sentence("test", sense=True), VOICES[turn // 2 % len(VOICES)])
        if said is None or said.guessed or len(said.words) < 4:
            continue
        end = (at + len(said.pcm)) / 16_000
        if end > MUSIC_ALONE[0] - 0.5 and at / 16_000 < MUSIC_ALONE[1]:
            at = int((MUSIC_ALONE[1] + 0.5) * 16_000)
            continue
        if end > SECONDS - 1:
            return pcm, words
        pcm[at : at + len(said.pcm)] += said.pcm * np.float32(0.7)
        for text, first, last in said.words:
            times = {"start_ms": START_MS + (at + first) // 16, "end_ms": START_MS + (at + last) // 16}
            words.append({"text": text, **times})
        at += len(said.pcm) + int(rng.choice([0.4, 0.8, 1.5, 2.5]) * 16_000)
        turn += 1


def write_video(pcm: np.ndarray, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder, "sound.wav")
        with wave.open(str(sound), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16_000)
            out.writeframes((pcm * 32767).astype("<i2").tobytes())
        picture = f"gradients=size=320x180:rate=10:speed=0.02:seed=7:duration={SECONDS + START_MS / 1000}"
        command = [
            "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture,
            "-itsoffset", str(START_MS / 1000), "-i", str(sound), "-map", "0:v", "-map", "1:a",
            "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "34", "-preset", "veryslow",
            "-c:a", "aac", "-b:a", "64k", "-metadata:s:a:0", "language=eng",
            "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", str(path),
        ]  # fmt: skip
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
