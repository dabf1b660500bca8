"""Is a crystal already known? Buckets by reduced formula, then pymatgen's StructureMatcher inside the bucket.

The matcher needs equal reduced formulas anyway, so bucketing loses nothing; its default `scale=True` makes a
compressed copy count as known. It is not transitive, so the order of comparison is fixed (rows of the training set,
items of the batch) and the first hit decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.crystal.chemistry import composition_key
from domains.crystal.codec.base import Codec, CodecError
from domains.crystal.crystal import Crystal
from sciRL.errors import UserError

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core.structure import Structure

# A difference this small in every parameter is far inside the matcher's tolerances (20 % of a length, 5 degrees,
# 0.3 of the mean atomic spacing), so the matcher need not be asked.
_SAME_LENGTH = 0.02
_SAME_ANGLE = 0.5
_SAME_SHIFT = 0.05


def same_crystal(first: Crystal, second: Crystal) -> bool:
    """Whether two crystals are the same material: pymatgen's StructureMatcher with its defaults, on primitive cells.

    Args:
        first: a crystal of the same reduced formula as `second` (others never match).
        second: the crystal to compare with.
    """
    if first == second or nearly_equal(first, second):
        return True
    return bool(_matcher().fit(_reduced(first), _reduced(second), skip_structure_reduction=True))


def nearly_equal(first: Crystal, second: Crystal) -> bool:
    """Whether two crystals have the same Wyckoff sites and all but equal parameters, up to a change of volume."""
    if first.sg != second.sg or len(first.sites) != len(second.sites):
        return False
    for one, other in zip(first.sites, second.sites, strict=True):
        if one.element != other.element or one.letter != other.letter:
            return False
    lengths = np.array(first.cell[:3]) / np.array(second.cell[:3])
    if lengths.max() / lengths.min() > 1 + _SAME_LENGTH:
        return False
    if max(abs(a - b) for a, b in zip(first.cell[3:], second.cell[3:], strict=True)) > _SAME_ANGLE:
        return False
    longest = max(second.cell[:3])
    for one, other in zip(first.sites, second.sites, strict=True):
        for a, b in zip(one.coords, other.coords, strict=True):
            gap = abs(a - b)
            if min(gap, 1 - gap) * longest > _SAME_SHIFT:
                return False
    return True


class TrainingSet:
    """The crystals that a policy was trained on, as the reference for novelty and for distributions.

    Args:
        crystals: (id, crystal) pairs; their order decides which match is named.

    Example: a training set with rock salt contains NaCl compressed by 10 % (`contains` returns its id).
    """

    def __init__(self, crystals: Iterable[tuple[str, Crystal]]) -> None:
        self._buckets: dict[str, list[tuple[str, Crystal]]] = {}
        self._exact: dict[Crystal, str] = {}
        self.templates: Counter[str] = Counter()
        self.space_groups: Counter[int] = Counter()
        self.elements: Counter[str] = Counter()
        self.n_elements: Counter[int] = Counter()
        for name, crystal in crystals:
            self._buckets.setdefault(composition_key(crystal.composition), []).append((name, crystal))
            self._exact.setdefault(crystal, name)
            self.templates[crystal.template] += 1
            self.space_groups[crystal.sg] += 1
            self.elements.update(crystal.elements)
            self.n_elements[len(crystal.elements)] += 1

    def __len__(self) -> int:
        """Number of crystals."""
        return sum(self.space_groups.values())

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], codec: Codec) -> TrainingSet:
        """Decode dataset rows (`text`; `id` or `material_id` names the row, else its number).

        Raises:
            UserError: a text that the codec cannot read, with the row.
        """
        crystals = []
        for number, row in enumerate(rows, 1):
            name = str(row.get("id") or row.get("material_id") or number)
            try:
                crystals.append((name, codec.decode(row["text"])))
            except CodecError as error:
                raise UserError(f"training row {number} ({name}): {error}") from None
        return cls(crystals)

    def contains(self, crystal: Crystal) -> str | None:
        """Return the id of the first training crystal that matches, or None when the crystal is new."""
        if crystal in self._exact:
            return self._exact[crystal]
        bucket = self._buckets.get(composition_key(crystal.composition), ())
        for name, known in bucket:
            if nearly_equal(crystal, known):
                return name
        for name, known in bucket:
            if same_crystal(crystal, known):
                return name
        return None


def load_matcher() -> None:
    """Import pymatgen's matcher now (about a second), so that the first comparison does not pay for it."""
    _matcher()


@cache
def _matcher() -> StructureMatcher:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return StructureMatcher()


@lru_cache(maxsize=4096)
def _reduced(crystal: Crystal) -> Structure:
    """The reduced structure that `StructureMatcher.fit` would make of a crystal, made once."""
    structure = crystal.to_structure(primitive=True)
    return structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()
