"""What a sampler has read and drawn before, so that the next turn of a conversation need not read it again.

Shapes: L layers, K key heads, T tokens, D head size.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sciRL.models.lean import Cache


@dataclass(frozen=True)
class KeptRow:
    """Token ids with their keys and values [L, K, T, D]."""

    ids: tuple[int, ...]
    keys: Tensor
    values: Tensor

    def recall(self, count: int, cache: Cache, row: int, first: int) -> None:
        """Write the first `count` tokens into a row of a cache, from column `first` on."""
        cache.keys[:, row, :, first : first + count] = self.keys[:, :, :count]
        cache.values[:, row, :, first : first + count] = self.values[:, :, :count]


class PrefixMemory:
    """Rows that were read or drawn, found again by what a new row has in common with them."""

    def __init__(self) -> None:
        self._rows: list[KeptRow] = []

    def keep(self, ids: Sequence[int], cache: Cache, row: int, first: int) -> None:
        """Copy what a row of a cache holds from column `first` on: the keys and values of `ids`."""
        columns = slice(first, first + len(ids))
        kept = KeptRow(tuple(ids), cache.keys[:, row, :, columns].clone(), cache.values[:, row, :, columns].clone())
        insort(self._rows, kept, key=lambda row: row.ids)

    def find(self, ids: tuple[int, ...]) -> tuple[KeptRow | None, int]:
        """Return the kept row that begins most like `ids`, and how many ids they share.

        Sorted rows that begin alike lie together, so the longest shared beginning is that of a neighbour of `ids`.
        """
        place = bisect_right(self._rows, ids, key=lambda row: row.ids)
        shared = [(_shared(row.ids, ids), row) for row in self._rows[max(0, place - 1) : place + 1]]
        count, row = max(shared, key=lambda pair: pair[0], default=(0, None))
        return row, count


def _shared(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Return the length of the common beginning."""
    size = min(len(left), len(right))
    if left[:size] == right[:size]:
        return size
    return next(index for index in range(size) if left[index] != right[index])
