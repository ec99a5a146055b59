#!/usr/bin/env python3
"""Measure subgen against other programs for the same model, and against this machine.

.venv/bin/python scripts/bench.py --help
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.benchmark.cli import main

if __name__ == "__main__":
    sys.exit(main())
