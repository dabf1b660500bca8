"""Verifiers of formation energy and energy above the hull, on unrelaxed primitive cells in batches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from domains.crystal.contacts import contacts
from domains.crystal.crystal import Crystal
from domains.crystal.energy import EnergyModel, formation_energy
from domains.crystal.hull import Hull
from domains.crystal.reading import Reader, Unreadable
from sciRL.errors import UserError
from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.base import Cost, Item

CACHE_SIZE = 16_384
CLOSEST = 0.5
"""Shortest contact in angstrom of which an energy is taken: no model is made for atoms that sit in each other."""


class EnergyTable:
    """Formation energies in eV/atom by crystal, each computed once with one model."""

    def __init__(self, model: EnergyModel, capacity: int = CACHE_SIZE) -> None:
        self.model, self.capacity = model, capacity
        self._known: OrderedDict[Crystal, float] = OrderedDict()

    def fill(self, crystals: Sequence[Crystal]) -> None:
        """Compute what is missing, in one batch."""
        for crystal in crystals:
            # What this batch needs is the last to be forgotten.
            if crystal in self._known:
                self._known.move_to_end(crystal)
        wanted = [c for c in dict.fromkeys(crystals) if c not in self._known and self.out_of_range(c) is None]
        structures = [crystal.to_structure(primitive=True) for crystal in wanted]
        for crystal, structure, energy in zip(wanted, structures, self.model.energies(structures), strict=True):
            per_cell = energy * crystal.n_atoms / len(structure)
            self._known[crystal] = formation_energy(per_cell, crystal.composition, self.model.reference)
        while len(self._known) > max(self.capacity, len(crystals)):
            self._known.popitem(last=False)

    def e_form(self, crystal: Crystal) -> float:
        """Return the formation energy; nan when the model failed."""
        return self._known[crystal]

    def out_of_range(self, crystal: Crystal) -> str | None:
        """Say why a crystal lies outside what the model is made for, or None."""
        size = len(crystal.primitive.numbers)
        if size > self.model.max_atoms:
            return f"{size} atoms in the primitive cell; {self.model.name} is used up to {self.model.max_atoms}"
        contact, _ = contacts(crystal)
        if contact < CLOSEST:
            return f"atoms at {contact:.2f} angstrom; energies are taken from {CLOSEST} on"
        missing = sorted(set(crystal.elements) - set(self.model.reference))
        return f"{self.model.name} has no reference for {', '.join(missing)}" if missing else None


class EnergyVerifier(ABC):
    """Base of the energy verifiers: decode, compute all energies in one batch, judge each.

    A crystal outside the model's stated range (size, elements) scores 0 with the reason; an energy that the model
    fails to give is the verifier's failure (status `error`).
    """

    name: str
    cost: Cost = "inline"

    def __init__(self, reader: Reader, energies: EnergyTable) -> None:
        self.reader = reader
        self.energies = energies

    def verify(self, items: Sequence[Item]) -> list[Score]:
        """Return one score per item, in order."""
        crystals = [self.reader.read(answer) for _, answer in items]
        wanted = [
            crystal
            for (task, _), crystal in zip(items, crystals, strict=True)
            if not isinstance(crystal, Unreadable) and self.wants(task)
        ]
        try:
            self.energies.fill(wanted)
        except Exception as error:  # a broken model must not look like bad answers
            failure = Score.failed(Status.ERROR, f"{self.name}: {type(error).__name__}: {error}")
            return [failure] * len(items)
        return [self._score(task, crystal) for (task, _), crystal in zip(items, crystals, strict=True)]

    def _score(self, task: Task, crystal: Crystal | Unreadable) -> Score:
        if isinstance(crystal, Unreadable):
            return Score.malformed(crystal.reason, code=crystal.code)
        if not self.wants(task):
            return Score.ok(1.0)
        reason = self.energies.out_of_range(crystal)
        if reason is not None:
            return Score.ok(0.0, reason)
        e_form = self.energies.e_form(crystal)
        if not math.isfinite(e_form):
            return Score.failed(Status.ERROR, f"{self.name}: {self.energies.model.name} gave no energy")
        return self.judge(task, crystal, e_form)

    def wants(self, task: Task) -> bool:
        """Whether the task is judged on this energy at all (otherwise it scores 1)."""
        return True

    @abstractmethod
    def judge(self, task: Task, crystal: Crystal, e_form: float) -> Score:
        """Return the score of a crystal with its formation energy in eV/atom."""


def _falling(excess: float, width: float) -> float:
    """1 up to no excess, then linearly down to 0 at `width`."""
    if excess <= 0:
        return 1.0
    return max(0.0, 1.0 - excess / width) if width > 0 else 0.0


class EForm(EnergyVerifier):
    """Formation energy within `e_form_tolerance` of the reference's `e_form` (eV/atom); falls to 0 at twice that.

    Example: asked -1.0 with tolerance 0.1, a crystal at -0.85 scores 0.5. Tasks that ask for none score 1.
    """

    name = "e_form"

    def wants(self, task: Task) -> bool:
        """Whether the reference names a target."""
        return isinstance(task.reference, dict) and task.reference.get("e_form") is not None

    def judge(self, task: Task, crystal: Crystal, e_form: float) -> Score:
        """Compare with the target."""
        assert isinstance(task.reference, dict)  # wants() has checked
        target, tolerance = float(task.reference["e_form"]), float(task.reference.get("e_form_tolerance") or 0.1)
        value = _falling(abs(e_form - target) - tolerance, tolerance)
        reason = "" if value == 1.0 else f"e_form {e_form:.3f} eV/atom, asked {target:.3f} +- {tolerance}"
        return Score.ok(value, reason, e_form=round(e_form, 4), energy_model=self.energies.model.name)


class EHull(EnergyVerifier):
    """Energy above the hull at most the reference's `e_hull_max`, or `threshold` (eV/atom).

    Args:
        reader: decodes answers.
        energies: formation energies, shared with `EForm`.
        hull: reference phases.
        threshold: for tasks that name no limit; None measures their crystals without judging them (they score 1).
        width: over which the score falls from 1 to 0 above the limit (0: at once).
    """

    name = "e_hull"

    def __init__(
        self, reader: Reader, energies: EnergyTable, hull: Hull, threshold: float | None = 0.1, width: float = 0.0
    ) -> None:
        super().__init__(reader, energies)
        self.hull, self.threshold, self.width = hull, threshold, width

    def judge(self, task: Task, crystal: Crystal, e_form: float) -> Score:
        """Compare with the limit; an element that the hull lacks is outside its range and scores 0."""
        limit = self._limit(task)
        measured = {"e_form": round(e_form, 4), "energy_model": self.energies.model.name, "hull": self.hull.name}
        try:
            above = self.hull.e_hull(crystal.composition, e_form)
        except UserError as error:
            return Score.ok(0.0, str(error), **measured)
        except Exception as error:  # the phase diagram's failure
            return Score.failed(Status.ERROR, f"e_hull: {type(error).__name__}: {error}")
        value = 1.0 if limit is None else _falling(above - limit, self.width)
        reason = "" if value == 1.0 else f"{above:.3f} eV/atom above the hull; at most {limit}"
        return Score.ok(value, reason, e_hull=round(above, 4), **measured)

    def _score(self, task: Task, crystal: Crystal | Unreadable) -> Score:
        score = super()._score(task, crystal)
        if score.status is Status.OK and self._limit(task) is None:
            return replace(score, value=1.0, reason="")
        return score

    def _limit(self, task: Task) -> float | None:
        asked = task.reference.get("e_hull_max") if isinstance(task.reference, dict) else None
        return self.threshold if asked is None else float(asked)
