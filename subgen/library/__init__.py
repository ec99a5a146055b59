"""Which file gets which subtitle, and putting it there."""
