"""Train the sample checkpoint; see README.md beside this file.

    python -m train_sample.train FOLDER [--steps N]

Reads FOLDER/bank.*, keeps its state in FOLDER/state.pt (written every few minutes, so a stopped
run goes on where it was) and prints one line every 50 steps.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import signal
import sys
import time
from pathlib import Path
from queue import Empty
from typing import Any

import torch
import torch.nn.functional as F

from .compose import WORD_IDS, Batch, Composer
from .model import LogMel, Shape, Voxtral
from .tokens import SPECIAL, Encoder, tekken

POSITIONS = 300  # 24 s, the prompt and the paddings included
BATCH = 4
PEAK_RATE = 2e-3
CORRUPTED = 0.06
SPOTTER = 0.3
EMA = 0.996


def schedule(step: int, steps: int) -> float:
    """Warm up over 100 steps, stay for 45 % of the run, then fall in a line to nothing."""
    return min(1.0, (step + 1) / 100, max(0.0, (steps - step) / (steps * 0.55)))


def optimisers(model: Voxtral) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside layers and the adapter, AdamW for everything else."""
    matrices = [
        p for n, p in model.named_parameters() if p.ndim == 2 and not n.startswith(("embedding", "spotter"))
    ]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=PEAK_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def losses(
    model: Voxtral, mel: LogMel, batch: Batch, corrupt: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the next token, and of the word spotter."""
    tokens = torch.from_numpy(batch.tokens)
    swap = torch.rand(tokens.shape, generator=corrupt) < CORRUPTED
    swap &= torch.from_numpy(batch.targets) != -100
    noise = torch.randint(SPECIAL + 256, model.shape.vocab, tokens.shape, generator=corrupt)
    features = mel(torch.from_numpy(batch.pcm))
    with torch.autocast("cpu", torch.bfloat16):
        logits, spotted = model(features, torch.where(swap, noise, tokens), torch.from_numpy(batch.delay))
    token_loss = F.cross_entropy(logits.float().flatten(0, 1), torch.from_numpy(batch.targets).flatten())
    weight = torch.ones(spotted.shape[-1])
    weight[0] = 0.2  # most frames end no word
    word_loss = F.cross_entropy(
        spotted.float().flatten(0, 1), torch.from_numpy(batch.spotted).flatten(), weight
    )
    return token_loss, word_loss


def _compose(folder: Path, first: int, steps: int, queue: Any) -> None:
    torch.set_num_threads(1)
    composer = Composer(folder, Encoder(folder / "tekken.json"), POSITIONS)
    for number in range(first, steps):
        queue.put(composer.batch(number, BATCH))


def _next(queue: Any, worker: multiprocessing.Process) -> Batch:
    while True:
        try:
            return queue.get(timeout=60)
        except Empty:
            if not worker.is_alive():
                sys.exit("the process that composes clips has died; see above, and run again to go on")


def _save(
    state: Path, step: int, model: Voxtral, average: Voxtral, optims: list[torch.optim.Optimizer]
) -> None:
    kept = {
        "step": step,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optims": [optim.state_dict() for optim in optims],
    }
    torch.save(kept, state.with_suffix(".part"))
    state.with_suffix(".part").replace(state)


def train(folder: Path, steps: int) -> None:
    (folder / "tekken.json").write_text(json.dumps(tekken()), "utf-8")
    torch.manual_seed(0)
    model = Voxtral(Shape(), len(WORD_IDS) + 1)
    average = copy.deepcopy(model)
    mel, optims = LogMel(), optimisers(model)
    state = folder / "state.pt"
    first = 0
    if state.exists():
        saved = torch.load(state, weights_only=False)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        for optim, kept in zip(optims, saved["optims"], strict=True):
            optim.load_state_dict(kept)
        first = saved["step"]
    queue: Any = multiprocessing.Queue(maxsize=6)
    worker = multiprocessing.Process(target=_compose, args=(folder, first, steps, queue), daemon=True)
    worker.start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; run again to go on"))  # ends the worker, too
    saved_at, seen, shown = time.monotonic(), time.monotonic(), [0.0, 0.0]
    for step in range(first, steps):
        for optim in optims:
            for group in optim.param_groups:
                group["lr"] = PEAK_RATE * schedule(step, steps)
            optim.zero_grad()
        token_loss, word_loss = losses(model, mel, _next(queue, worker), torch.Generator().manual_seed(step))
        (token_loss + SPOTTER * word_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optim in optims:
            optim.step()
        decay = min(EMA, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, now in zip(average.parameters(), model.parameters(), strict=True):
                kept.lerp_(now, 1 - decay)
        shown = [shown[0] + token_loss.item() / 50, shown[1] + word_loss.item() / 50]
        if (step + 1) % 50 == 0:
            took = time.monotonic() - seen
            rate = 50 * BATCH * POSITIONS * 0.08 / took
            print(
                f"step {step + 1}/{steps} loss {shown[0]:.4f} spotter {shown[1]:.4f} {rate:.0f} audio s/s",
                flush=True,
            )
            seen, shown = time.monotonic(), [0.0, 0.0]
        if time.monotonic() - saved_at > 240 or step + 1 == steps:
            _save(state, step + 1, model, average, optims)
            saved_at = time.monotonic()
    worker.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=8000)
    options = parser.parse_args()
    train(options.folder, options.steps)
