"""Timed tokens -> words -> cues -> text. Pure functions."""
