"""Crystal verifiers: each judges one property of an answer text; `domains.crystal.rubrics` puts them in order.

All of them are total (any text gets a score) and read the text through one `Reader`, which decodes it once.
An unreadable text is `malformed` for every verifier, so each can also be used alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domains.crystal.chemistry import composition_key, neutrality, parse_formula
from domains.crystal.contacts import contacts
from domains.crystal.crystal import Crystal
from domains.crystal.element_facts import element_facts
from domains.crystal.geometry import density
from domains.crystal.novelty import TrainingSet, load_matcher, same_crystal
from domains.crystal.reading import Reader, Unreadable
from domains.crystal.symmetry import SYMPREC, measure_space_group
from sciRL.score import Score, Status
from sciRL.task import Task
from sciRL.verification.base import Cost, Item, PerItemVerifier


class CrystalVerifier(PerItemVerifier):
    """Base of the verifiers that judge one decoded crystal."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def verify_one(self, task: Task, answer: str) -> Score:
        """Decode the answer and judge the crystal; an unreadable answer is malformed."""
        crystal = self.reader.read(answer)
        if isinstance(crystal, Unreadable):
            return Score.malformed(crystal.reason, code=crystal.code)
        return self.judge(task, crystal)

    @abstractmethod
    def judge(self, task: Task, crystal: Crystal) -> Score:
        """Return the score of a decoded crystal."""


class Parse(CrystalVerifier):
    """1 when the answer is a crystal of at most `max_atoms` atoms in the conventional cell.

    Example: "SG 225" alone is malformed with the codec's E_SHORT; its measurements carry the code.
    """

    name = "parse"

    def __init__(self, reader: Reader, max_atoms: int = 200) -> None:
        super().__init__(reader)
        self.max_atoms = max_atoms

    def judge(self, task: Task, crystal: Crystal) -> Score:
        """Accept, and record what reports need of every crystal."""
        if crystal.n_atoms > self.max_atoms:
            reason = f"{crystal.n_atoms} atoms in the cell; at most {self.max_atoms} are allowed"
            return Score.malformed(reason, code="E_SIZE")
        return Score.ok(
            1.0,
            reduced_formula=crystal.reduced_formula,
            sg_written=crystal.sg,
            template=crystal.template,
            n_atoms=crystal.n_atoms,
            n_sites=len(crystal.sites),
            elements=sorted(crystal.elements),
        )


def _same_formula(crystal: Crystal, asked: Any) -> bool:
    counts = parse_formula(str(asked))
    return counts is not None and composition_key(counts) == composition_key(crystal.composition)


CONDITIONS: Mapping[str, Callable[[Crystal, Any], bool]] = {
    "sg": lambda crystal, asked: crystal.sg == asked,
    "formula": _same_formula,
    "elements": lambda crystal, asked: sorted(crystal.elements) == sorted(asked),
    "n_elements": lambda crystal, asked: len(crystal.elements) == asked,
    "n_sites": lambda crystal, asked: len(crystal.sites) == asked,
    "n_atoms_max": lambda crystal, asked: crystal.n_atoms <= asked,
    "template": lambda crystal, asked: crystal.template == asked,
}
"""What `task.reference` may ask of the written crystal; all keys are optional."""


class Condition(CrystalVerifier):
    """The share of the asked conditions that the written crystal meets (1 when all are met, or none was asked).

    The space group here is the written one; that the atoms have it is what `SgMatch` measures.

    Example: reference {"sg": 225, "n_elements": 2} and fcc copper (225, one element) score 0.5.
    """

    name = "condition"

    def judge(self, task: Task, crystal: Crystal) -> Score:
        """Check every known key of the reference."""
        reference = task.reference if isinstance(task.reference, dict) else {}
        asked = [key for key in CONDITIONS if reference.get(key) is not None]
        missed = [key for key in asked if not CONDITIONS[key](crystal, reference[key])]
        value = 1.0 - len(missed) / len(asked) if asked else 1.0
        return Score.ok(value, f"not met: {', '.join(missed)}" if missed else "", conditions_missed=missed)


class MinDistance(CrystalVerifier):
    """1 when no two atoms are too close.

    Args:
        reader: decodes answers.
        minimum: shortest allowed distance in angstrom (0.5 is CDVAE's validity rule).
        radii_share: shortest allowed distance as a share of the sum of the two covalent radii; None for no such rule.
    """

    name = "distance"

    def __init__(self, reader: Reader, minimum: float = 0.5, radii_share: float | None = None) -> None:
        super().__init__(reader)
        self.minimum = minimum
        self.radii_share = radii_share

    def judge(self, task: Task, crystal: Crystal) -> Score:
        """Measure the shortest contact over all periodic images."""
        shortest, share = contacts(crystal)
        measured: dict[str, Any] = {"min_distance": round(shortest, 4), "min_radii_share": round(share, 4)}
        if shortest < self.minimum:
            return Score.ok(0.0, f"atoms {shortest:.3f} A apart; at least {self.minimum} A", **measured)
        if self.radii_share is not None and share < self.radii_share:
            reason = f"atoms at {share:.2f} of their covalent radii; at least {self.radii_share}"
            return Score.ok(0.0, reason, **measured)
        return Score.ok(1.0, **measured)


class Volume(CrystalVerifier):
    """1 when the volume per atom and the density are those of solids.

    Args:
        reader: decodes answers.
        low: smallest volume in cubic angstrom per atom.
        high: largest volume in cubic angstrom per atom.
        max_density: in g/cm^3 (osmium, the densest solid element, has 22.6).
    """

    name = "volume"

    def __init__(self, reader: Reader, low: float = 6.0, high: float = 60.0, max_density: float = 25.0) -> None:
        super().__init__(reader)
        self.low, self.high, self.max_density = low, high, max_density

    def judge(self, task: Task, crystal: Crystal) -> Score:
        """Compare volume per atom and density with their ranges."""
        facts = element_facts()
        per_atom = crystal.volume / crystal.n_atoms
        mass = sum(facts[el].mass * n if el in facts else 262.0 * n for el, n in crystal.composition.items())
        grams = density(mass, crystal.volume)
        measured: dict[str, Any] = {"volume_per_atom": round(per_atom, 4), "density": round(grams, 4)}
        if not self.low <= per_atom <= self.high:
            return Score.ok(0.0, f"{per_atom:.2f} A^3 per atom; allowed {self.low} to {self.high}", **measured)
        if grams > self.max_density:
            return Score.ok(0.0, f"{grams:.1f} g/cm^3; at most {self.max_density}", **measured)
        return Score.ok(1.0, **measured)


class Neutral(CrystalVerifier):
    """1 when oxidation states can balance (see `domains.crystal.chemistry`); Pauling's test is a measurement."""

    name = "neutral"

    def judge(self, task: Task, crystal: Crystal) -> Score:
        """Search an assignment of oxidation states."""
        verdict = neutrality(crystal.composition)
        if verdict.kind == "undecided":
            return Score.failed(Status.ERROR, f"neutral: {crystal.formula} has too many charge combinations")
        reason = "" if verdict.neutral else "no oxidation states balance"
        return Score.ok(float(verdict.neutral), reason, charge=verdict.kind, pauling=verdict.pauling)


class SgMatch(CrystalVerifier):
    """1 when the decoded atoms have exactly the written space group, measured with spglib at 0.1 angstrom.

    Atoms that have more symmetry than written score 0 with `sg_relation` "upgraded".
    """

    name = "sg_match"

    def __init__(self, reader: Reader, symprec: float = SYMPREC) -> None:
        super().__init__(reader)
        self.symprec = symprec

    def judge(self, task: Task, crystal: Crystal) -> Score:
        """Measure the group of the decoded atoms."""
        found = measure_space_group(crystal, self.symprec)
        if found is None:
            if contacts(crystal)[0] > 2 * self.symprec:
                return Score.failed(Status.ERROR, f"sg_match: no space group found for {crystal.formula}")
            return Score.ok(0.0, "atoms coincide within the symmetry tolerance", sg_measured=None, sg_relation="lost")
        reason = "" if found.relation == "equal" else f"written {crystal.sg}, measured {found.number}"
        return Score.ok(float(not reason), reason, sg_measured=found.number, sg_relation=found.relation)


class Novel(CrystalVerifier):
    """1 when no training crystal matches; the matching row's id is in `known_as`."""

    name = "novel"
    cost: Cost = "pool"

    def __init__(self, reader: Reader, training: TrainingSet) -> None:
        super().__init__(reader)
        self.training = training

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Unpickled means sent to a worker, whose time limit counts judging but not loading.
        self.__dict__.update(state)
        load_matcher()

    def judge(self, task: Task, crystal: Crystal) -> Score:
        """Look the crystal up in the training set."""
        known = self.training.contains(crystal)
        measured = {"known_as": known, "template_novel": crystal.template not in self.training.templates}
        return Score.ok(float(known is None), f"matches training crystal {known}" if known else "", **measured)


class Unique:
    """1 for the first crystal of each group of matching ones in the batch, 0 for its later copies.

    `identity` is equal within a group ("NaCl#0": the first kind of NaCl of the batch).
    """

    name = "unique"
    cost: Cost = "inline"

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def verify(self, items: Sequence[Item]) -> list[Score]:
        """Return one score per item; the order of the batch decides which copy counts."""
        kinds: dict[str, list[Crystal]] = {}
        seen: dict[Crystal, str] = {}
        return [self._judge(answer, kinds, seen) for _, answer in items]

    def _judge(self, answer: str, kinds: dict[str, list[Crystal]], seen: dict[Crystal, str]) -> Score:
        crystal = self.reader.read(answer)
        if isinstance(crystal, Unreadable):
            return Score.malformed(crystal.reason, code=crystal.code)
        if crystal in seen:
            return Score.ok(0.0, "same text as an earlier answer of the batch", identity=seen[crystal])
        bucket = kinds.setdefault(composition_key(crystal.composition), [])
        try:
            kind = next((k for k, known in enumerate(bucket) if same_crystal(crystal, known)), None)
        except Exception as error:  # the matcher's failure, not the answer's
            return Score.failed(Status.ERROR, f"unique: {type(error).__name__}: {error}")
        number = len(bucket) if kind is None else kind
        seen[crystal] = f"{crystal.reduced_formula}#{number}"
        if kind is None:
            bucket.append(crystal)
            return Score.ok(1.0, identity=seen[crystal])
        return Score.ok(0.0, "same crystal as an earlier answer of the batch", identity=seen[crystal])


class TemplateSpread:
    """1/k for a crystal whose Wyckoff template k crystals of the batch share that answer the same task.

    The k answers of a template earn together what one answer of its own earns: a policy that is asked the same thing
    several times gains by answers of different structure, and not by many of the safest one.

    Example: of four answers to one task, three in template "225:a-b" and one in "225:a-c" score 1/3 each, and 1.
    """

    name = "spread"
    cost: Cost = "inline"

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def verify(self, items: Sequence[Item]) -> list[Score]:
        """Return one score per item."""
        crystals = [self.reader.read(answer) for _, answer in items]
        shared = Counter(
            (task.id, crystal.template)
            for (task, _), crystal in zip(items, crystals, strict=True)
            if not isinstance(crystal, Unreadable)
        )
        return [self._judge(task, crystal, shared) for (task, _), crystal in zip(items, crystals, strict=True)]

    def _judge(self, task: Task, crystal: Crystal | Unreadable, shared: Counter[tuple[str, str]]) -> Score:
        if isinstance(crystal, Unreadable):
            return Score.malformed(crystal.reason, code=crystal.code)
        count = shared[task.id, crystal.template]
        return Score.ok(1.0 / count, "" if count == 1 else f"{count} answers to this task share its template")
