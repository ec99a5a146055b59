"""Voxtral Realtime on MLX. MODEL.md beside this file is the specification."""

from subgen.speech.voxtral.device import fast_blas

fast_blas()  # before any module of this package imports MLX: see device.py
