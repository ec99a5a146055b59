"""BLAS before MLX, and nothing else that is global."""

from subgen.speech.voxtral.device import fast_blas

fast_blas()
