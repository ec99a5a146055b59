"""BLAS before MLX, and no deadlines: these machines are noisy."""

from hypothesis import settings

from subgen.speech.voxtral.device import fast_blas

fast_blas()
settings.register_profile("subgen", deadline=None)
settings.load_profile("subgen")
