"""A long row of numbers of which only the end is kept."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


class Tape(Generic[Number]):
    """Numbers are added at the end and dropped from the beginning; each keeps its place in the whole row.

    Adding one costs the same on average, however long the row is.
    """

    def __init__(self, kind: type[Number]) -> None:
        self.first = 0
        self.end = 0
        self._buffer: NDArray[Number] = np.empty(4096, kind)
        self._offset = 0  # of the number at `first` in the buffer

    def add(self, numbers: NDArray[Number]) -> None:
        """Copy `numbers` to the end."""
        kept = self.end - self.first
        if self._offset + kept + len(numbers) > len(self._buffer):
            # A new buffer and not a move within the old one, of which somebody may have a view.
            grown = np.empty(max(2 * (kept + len(numbers)), 4096), self._buffer.dtype)
            grown[:kept] = self._buffer[self._offset : self._offset + kept]
            self._buffer, self._offset = grown, 0
        at = self._offset + kept
        self._buffer[at : at + len(numbers)] = numbers
        self.end += len(numbers)

    def drop(self, before: int) -> None:
        """Forget what lies before the place `before`."""
        before = min(max(before, self.first), self.end)
        self._offset += before - self.first
        self.first = before

    def view(self, first: int, end: int) -> NDArray[Number]:
        """The numbers at the places from `first` up to `end`, not copied; `first` must still be kept."""
        if first < self.first:
            raise IndexError(f"{first} was dropped, {self.first} is the first")
        at = self._offset - self.first
        return self._buffer[at + first : at + min(end, self.end)]
