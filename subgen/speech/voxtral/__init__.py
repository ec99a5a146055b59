"""Voxtral Realtime on MLX. MODEL.md beside this file is the specification."""

from subgen.speech.voxtral.device import fast_blas, keep_freed_memory

fast_blas()  # before any module of this package imports MLX: see device.py
keep_freed_memory()
