"""The README's first command, as a newcomer types it (the set-up itself is already done here)."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_first_command_writes_subtitles(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.S)
    command = shlex.split(blocks[0])
    assert command[:2] == ["./scripts/subgen", "transcribe"]
    command[command.index("--output-dir") + 1] = str(tmp_path)
    environment = {**os.environ, "SUBGEN_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "demo.en.srt")
    assert "-->" in (tmp_path / "demo.en.srt").read_text("utf-8")
