"""The bank of spoken sentences that training clips are composed from.

    python -m train_sample.bank FOLDER [--count 20000]

Writes FOLDER/bank.pcm (int16, 16 kHz, utterance after utterance) and FOLDER/bank.json (text,
voice, offset and word times of each). Every utterance is drawn from its own seed, so the bank
does not depend on the number of worker processes. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .sentences import Grammar
from .speak import Utterance, Voice, _trim, speak

ACCENTS = [
    "gmw/en", "gmw/en-US", "gmw/en-GB-x-rp", "gmw/en-GB-scotland", "gmw/en-029",
    "gmw/en-GB-x-gbclan", "gmw/en-GB-x-gbcwmd", "gmw/en-US-nyc",
]  # fmt: skip
VARIANTS = [
    "", "", "", "f1", "f2", "f3", "f4", "m1", "m2", "m3", "m4", "m6", "m7", "Alex", "Andrea", "Andy",
    "Annie", "Gene", "Jacky", "Lee", "Mario", "Michael", "Mike", "adam", "anika", "antonio", "aunty",
    "belinda", "benjamin", "boris", "david", "ed", "edward", "grandma", "grandpa", "gustave", "iven",
    "iven3", "john", "kaukovalta", "klatt", "klatt3", "linda", "marcelo", "max", "miguel", "norbert",
    "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "steph", "steph3", "travis",
    "victor", "zac",
]  # fmt: skip
HELD_OUT = [
    *(Voice("espeak", name) for name in ("gmw/en-US+f5", "gmw/en+m5", "gmw/en-US+m8", "gmw/en+shelby")),
    Voice("flite", "rms"),
]
FESTIVAL = {"kal": "voice_kal_diphone", "ked": "voice_ked_diphone", "slt_hts": "voice_cmu_us_slt_arctic_hts"}
BATCH = 100


def draw_voice(rng: random.Random) -> Voice:
    """A voice that may be trained on."""
    r = rng.random()
    if r < 0.48:
        variant = rng.choice(VARIANTS)
        name = rng.choice(ACCENTS) + (f"+{variant}" if variant else "")
        return Voice("espeak", name, rng.randint(120, 215), rng.randint(25, 75))
    rate = rng.randint(130, 205)
    if r < 0.86:
        return Voice(
            "flite", rng.choice(["slt", "awb", "slt", "awb", "kal", "kal16"]), rate, rng.randint(30, 72)
        )
    return Voice("festival", rng.choice(["kal", "ked", "ked", "slt_hts", "slt_hts"]), rate)


def _batch(task: tuple[int, str]) -> list[tuple[str, Voice, Utterance]]:
    """Utterances number `index * BATCH` onwards of one split."""
    index, split = task
    grammar, rng = Grammar(1000 + index), random.Random(f"voices {split} {index}")
    pairs = [(grammar.sentence(split), draw_voice(rng)) for _ in range(BATCH)]
    out = []
    for text, voice in pairs:
        if voice.engine != "festival" and (said := speak(text, voice)):
            out.append((text, voice, said))
    out += _festival([(t, v) for t, v in pairs if v.engine == "festival"])
    return out


def _festival(pairs: list[tuple[str, Voice]]) -> Iterator[tuple[str, Voice, Utterance]]:
    """Say many sentences in one festival process (it starts slowly)."""
    if not pairs:
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            "(define (say voice stretch text file)",
            " (voice) (Parameter.set 'Duration_Stretch stretch)",
            " (set! utt (utt.synth (eval (list 'Utterance 'Text text))))",
            " (utt.wave.resample utt 16000) (utt.save.wave utt file 'riff)",
            ' (format t "utterance\\n")',
            ' (mapcar (lambda (w) (format t "%f %f\\n"',
            '  (item.feat w "R:SylStructure.daughter1.daughter1.R:Segment.p.end")',
            '  (item.feat w "R:SylStructure.daughtern.daughtern.R:Segment.end")))',
            "  (utt.relation.items utt 'Word)))",
        ]
        for i, (text, voice) in enumerate(pairs):
            lines.append(f'(say {FESTIVAL[voice.name]} {170 / voice.rate:.3f} "{text}" "{folder}/{i}.wav")')
        script = Path(folder, "say.scm")
        script.write_text("\n".join(lines), "utf-8")
        printed = subprocess.run(
            ["festival", "-b", str(script)], capture_output=True, text=True, check=True
        ).stdout
        for i, ((text, voice), block) in enumerate(zip(pairs, printed.split("utterance\n")[1:], strict=True)):
            times = [tuple(float(x) for x in line.split()) for line in block.splitlines() if line.strip()]
            words = text.split()
            if len(times) != len(words):
                continue
            with wave.open(f"{folder}/{i}.wav") as sound:
                raw = np.frombuffer(sound.readframes(sound.getnframes()), np.int16).astype(np.float32)
            pcm = raw / max(float(np.abs(raw).max(initial=0)), 1.0) * np.float32(0.89)
            marks = _trim(pcm, [(round(s * 16000), round(e * 16000)) for s, e in times])
            yield text, voice, Utterance(pcm, [(w, s, e) for w, (s, e) in zip(words, marks, strict=True)])


def build(folder: Path, count: int, split: str = "train") -> None:
    """Write bank.pcm and bank.json of `count` utterances (a few are dropped as unusable)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    offset = 0
    tasks = [(i, split) for i in range(-(-count // BATCH))]
    with (folder / "bank.pcm").open("wb") as sink, multiprocessing.Pool() as pool:
        for batch in pool.imap(_batch, tasks):
            for text, voice, said in batch:
                sink.write((said.pcm * 32767).astype("<i2").tobytes())
                rows.append(
                    {
                        "text": text,
                        "voice": f"{voice.engine}/{voice.name}",
                        "offset": offset,
                        "samples": len(said.pcm),
                        "ends": [[s, e] for _, s, e in said.words],
                    }
                )
                offset += len(said.pcm)
            print(f"\r{len(rows)} utterances, {offset / 16000 / 3600:.2f} h", end="", flush=True)
    print()
    partial = folder / "bank.json.part"
    partial.write_text(json.dumps(rows), "utf-8")
    partial.replace(folder / "bank.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args()
    build(options.folder, options.count)
