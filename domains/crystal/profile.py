"""Profile: the structural facts of a set of crystals that histograms and summaries are drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from domains.crystal.answers import read_answer
from domains.crystal.options import CrystalOptions
from domains.crystal.rows import CrystalRow
from sciRL.domain import Record


@dataclass
class Profile:
    """Counts over the readable crystals of one arm (or of the training rows); `attempts` counts all answers."""

    name: str
    attempts: int = 0
    readable: int = 0
    passed: int = 0
    groups: Counter[int] = field(default_factory=Counter)
    templates: Counter[str] = field(default_factory=Counter)
    elements: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    e_hull: list[float] = field(default_factory=list)

    def add(self, sg: int, template: str, elements: Iterable[str], n_atoms: int) -> None:
        """Count one readable crystal; `n_atoms` is that of the conventional cell."""
        self.readable += 1
        self.groups[sg] += 1
        self.templates[template] += 1
        self.elements.update(set(elements))
        self.sizes[n_atoms] += 1

    @property
    def label(self) -> str:
        """The name with how many answers could be read."""
        if self.readable == self.attempts:
            return f"{self.name} (n = {self.attempts})"
        return f"{self.name} (readable {self.readable} of {self.attempts})"


def profile_rows(rows: Sequence[CrystalRow], name: str = "training data") -> Profile:
    """Return the profile of dataset rows."""
    profile = Profile(name, attempts=len(rows))
    for row in rows:
        profile.add(row.sg, row.template, row.elements, row.n_atoms)
    return profile


def profile_records(name: str, records: Sequence[Record], options: CrystalOptions) -> Profile:
    """Return the profile of scored answers, from their measurements where the verifiers left them."""
    profile = Profile(name, attempts=len(records))
    for record in records:
        measured = record.score.measurements
        profile.passed += bool(measured.get("passed"))
        if all(key in measured for key in ("sg_written", "template", "elements", "n_atoms")):
            profile.add(measured["sg_written"], measured["template"], measured["elements"], measured["n_atoms"])
        else:
            crystal = read_answer(record.answer, options)
            if crystal is None:
                continue
            profile.add(crystal.sg, crystal.template, crystal.elements, crystal.n_atoms)
        if isinstance(measured.get("e_hull"), (int, float)):
            profile.e_hull.append(float(measured["e_hull"]))
    return profile
