"""Energy above the convex hull of known phases, from formation energies.

A hull made from a dataset is partial: phases that the dataset lacks are missing, so it can only lie too high and
the energy above it come out too low. Such a hull says so (`partial`), and reports name it.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domains.crystal.chemistry import parse_formula, reduced_counts
from domains.crystal.element_facts import element_facts
from sciRL.errors import UserError

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

Counts = tuple[tuple[str, int], ...]

_CSV_FORMULA = ("formula", "pretty_formula")
_CSV_ENERGY = ("e_form", "formation_energy_per_atom")


class Hull:
    """The lower convex hull of formation energies over composition, one phase diagram per chemical system.

    Of several entries with the same reduced formula the lowest counts; elements sit at 0 by definition.

    Args:
        entries: (composition, formation energy in eV/atom) pairs.
        name: printed in reports.
        partial: whether phases are known to be missing.
        cache_size: phase diagrams kept in memory.

    Example: with the single entry NaCl at -2.0, `e_hull({"Na": 1, "Cl": 1}, -1.9)` is 0.1 and
    `e_hull({"Na": 3, "Cl": 1}, -0.9)` is 0.1 too (the mixture of NaCl and Na is at -1.0).
    """

    def __init__(
        self, entries: Iterable[tuple[Mapping[str, int], float]], name: str, partial: bool, cache_size: int = 512
    ) -> None:
        lowest: dict[Counts, float] = {}
        for composition, e_form in entries:
            counts = reduced_counts(composition)
            if len(counts) > 1 and math.isfinite(e_form):
                lowest[counts] = min(e_form, lowest.get(counts, math.inf))
        if not lowest:
            raise UserError(f"hull {name!r} has no usable entry: it needs compounds with a finite formation energy")
        self.name = name
        self.partial = partial
        self._lowest = lowest
        self._by_system: dict[frozenset[str], list[Counts]] = {}
        for counts in lowest:
            self._by_system.setdefault(frozenset(element for element, _ in counts), []).append(counts)
        self._elements = frozenset(element for system in self._by_system for element in system)
        self._cache_size = cache_size
        self._cache: OrderedDict[frozenset[str], PhaseDiagram] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": OrderedDict()}

    @property
    def n_entries(self) -> int:
        """Number of compounds (distinct reduced formulas)."""
        return len(self._lowest)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], name: str = "dataset") -> Hull:
        """Make a partial hull from dataset rows with `formula` and `e_form` (eV/atom); rows without one are skipped.

        Raises:
            UserError: a formula that cannot be read, with the row's number.
        """
        entries = []
        for number, row in enumerate(rows, 1):
            if row.get("e_form") is None:
                continue
            entries.append((_read_formula(str(row.get("formula")), f"row {number}"), float(row["e_form"])))
        return cls(entries, name=f"{name} (partial hull, lower bound)", partial=True)

    @classmethod
    def from_csv(cls, path: Path, partial: bool = False) -> Hull:
        """Read a CSV(.gz) with a `formula` and an `e_form` column (MP's own column names work too).

        Raises:
            UserError: missing file or column, or a bad formula or number with its line.
        """
        with _open_text(path) as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            formula = next((c for c in _CSV_FORMULA if c in columns), None)
            energy = next((c for c in _CSV_ENERGY if c in columns), None)
            if formula is None or energy is None:
                raise UserError(
                    f"{path}: a hull needs one column of {_CSV_FORMULA} and one of {_CSV_ENERGY}; found {columns}"
                )
            entries = []
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                try:
                    value = float(row[energy])
                except (TypeError, ValueError):
                    raise UserError(f"{where}: {energy} must be a number in eV/atom; found {row[energy]!r}") from None
                entries.append((_read_formula(row[formula], where), value))
        return cls(entries, name=path.name, partial=partial)

    @classmethod
    def from_entries(cls, path: Path, partial: bool = False) -> Hull:
        """Read pymatgen `ComputedEntry` objects from JSON(.gz); formation energies are against its elemental entries.

        Raises:
            UserError: missing file, not a list of entries, or an element without an elemental entry.
        """
        from pymatgen.entries.computed_entries import ComputedEntry

        with _open_text(path) as stream:
            try:
                data = json.load(stream)
                data = data["entries"] if isinstance(data, dict) else data
                parsed = [ComputedEntry.from_dict(item) for item in data]
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise UserError(f"{path}: must hold a list of ComputedEntry objects ({error})") from None
        reference: dict[str, float] = {}
        for entry in parsed:
            if len(entry.composition.elements) == 1:
                symbol = str(entry.composition.elements[0])
                reference[symbol] = min(entry.energy_per_atom, reference.get(symbol, math.inf))
        entries = []
        for entry in parsed:
            amounts = {str(element): round(amount) for element, amount in entry.composition.items()}
            missing = sorted(set(amounts) - set(reference))
            if missing:
                raise UserError(f"{path}: {entry.entry_id or entry.formula} needs an elemental entry for {missing}")
            size = sum(amounts.values())
            mix = sum(count * reference[symbol] for symbol, count in amounts.items()) / size
            entries.append((amounts, entry.energy_per_atom - mix))
        return cls(entries, name=path.name, partial=partial)

    def e_hull(self, composition: Mapping[str, int], e_form_per_atom: float) -> float:
        """Return the energy above the hull in eV/atom (negative: below it, a new stable phase).

        Args:
            composition: atoms by element symbol.
            e_form_per_atom: formation energy in eV/atom on the hull's scale.

        Raises:
            UserError: an element that no entry of the hull contains.
        """
        missing = sorted(set(composition) - self._elements)
        if missing:
            raise UserError(f"hull {self.name!r} has no entry with {', '.join(missing)}: no energy above hull")
        if len(composition) == 1:
            return e_form_per_atom
        from pymatgen.core.composition import Composition

        diagram = self._diagram(frozenset(composition))
        return e_form_per_atom - float(diagram.get_hull_energy_per_atom(Composition(dict(composition))))

    def _diagram(self, system: frozenset[str]) -> PhaseDiagram:
        if system in self._cache:
            self._cache.move_to_end(system)
            return self._cache[system]
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
        from pymatgen.core.composition import Composition

        entries = [PDEntry(Composition(symbol), 0.0) for symbol in sorted(system)]
        for part, members in self._by_system.items():
            if part <= system:
                for counts in members:
                    size = sum(count for _, count in counts)
                    entries.append(PDEntry(Composition(dict(counts)), self._lowest[counts] * size))
        diagram = PhaseDiagram(entries)
        self._cache[system] = diagram
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return diagram


def _read_formula(text: str, where: str) -> dict[str, int]:
    counts = parse_formula(text)
    if counts is None:
        known = f"elements {next(iter(element_facts()))} to {list(element_facts())[-1]} with integer counts"
        raise UserError(f"{where}: formula must be {known}; found {text!r}")
    return counts


def _open_text(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"hull file not found: {path}")
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8", newline="")
