"""Crystals as a stack of choices: space group, Wyckoff template, elements, cell.

A state is the row [group, template, element of each slot, length bin, stretch and angle bins], `NONE` where nothing is
chosen yet, and one choice is open at a time (as in Crystal-GFN, Mila AI4Science et al., arXiv 2310.04925, where the
environment of a property opens when the one before has stopped):

1. a space group among those of the templates;
2. one of its templates: Wyckoff sites with their free coordinates, one element *slot* for the sites of one element;
3. a different element for each slot, in the order of the slots;
4. the length a of the conventional cell (`LENGTH_BINS` bins of equal ratios), then what of shape the crystal system
   leaves free, relative to the template's own shape: stretches of b/a and c/a, and shifts of alpha, beta, gamma;
5. stop, which is the only action of a complete crystal.

Each state has one parent, so P_B = 1 and two actions never lead to the same child. Different states are different
texts. Slots that a shift of the origin exchanges (rock salt: 4a and 4b) take their elements in rising order only, so
that no crystal is counted once for each of these origins.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import permutations

import torch
from torch import Tensor

from domains.crystal.codec import CodecError, WyText, origin_variants
from domains.crystal.codec.wytext import canonical_sites
from domains.crystal.crystal import Crystal, Site
from domains.crystal.element_facts import element_facts
from domains.crystal.sources import PROTOTYPE_FILE
from domains.crystal.wyckoff import cell_parameter_names, full_cell
from domains.gflownet.molecules import TextReward
from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment

NONE = -1
LENGTH_BINS = 24
SHORTEST, LONGEST = 2.5, 20.0
"""Lengths a in angstrom of the first and of the last bin; neighbours differ by 9.5 %."""
STRETCHES = (0.80, 0.85, 0.90, 0.95, 1.0, 1.05, 1.10, 1.15, 1.20)
"""Factors on the template's b/a and c/a."""
SHIFTS = (-10.0, -6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0, 10.0)
"""Degrees added to the template's angles."""
SHAPES = ("b", "c", "alpha", "beta", "gamma")
"""Free cell parameters beside a, in the order in which they are chosen."""
CACHED = 200_000

Pattern = tuple[tuple[str, int, tuple[float, ...]], ...]
"""The sites of a slot: letter, multiplicity, free coordinates; sorted."""


@dataclass(frozen=True)
class Template:
    """A crystal without its elements and size.

    Attributes:
        sg: space group.
        cell: (a, b, c, alpha, beta, gamma) of the crystal it was taken from; its shape is the reference.
        slots: the sites of each element; slots that a shift of the origin exchanges are neighbours.
        rising: `rising[k]`: slot k takes a later element than slot k - 1.
    """

    sg: int
    cell: tuple[float, float, float, float, float, float]
    slots: tuple[Pattern, ...]
    rising: tuple[bool, ...]

    @property
    def shapes(self) -> tuple[int, ...]:
        """Indices into `SHAPES` of the cell parameters that are free beside a."""
        return tuple(SHAPES.index(name) for name in cell_parameter_names(self.sg) if name != "a")

    @property
    def key(self) -> tuple[int, tuple[Pattern, ...]]:
        """Equal for templates with the same sites at the same coordinates."""
        return self.sg, tuple(sorted(self.slots))

    def crystal(self, elements: Sequence[str], length: float, shape: Sequence[float]) -> Crystal:
        """Return the crystal with these elements.

        Args:
            elements: one a slot.
            length: a of the conventional cell in angstrom.
            shape: stretch of b/a, of c/a, and shifts of the angles, as `SHAPES`; those that are not free are ignored.
        """
        a, b, c = self.cell[:3]
        values = {"a": length, "b": length * b / a * shape[0], "c": length * c / a * shape[1]}
        values |= {name: angle + shift for name, angle, shift in zip(SHAPES[2:], self.cell[3:], shape[2:], strict=True)}
        cell = full_cell(self.sg, [values[name] for name in cell_parameter_names(self.sg)])
        sites = tuple(
            Site(element, letter, multiplicity, coords)
            for element, slot in zip(elements, self.slots, strict=True)
            for letter, multiplicity, coords in slot
        )
        return Crystal(self.sg, cell, sites)


def template_of(crystal: Crystal) -> Template:
    """Return the template of a crystal: its sites by element, without the elements."""
    by_element: dict[str, list[tuple[str, int, tuple[float, ...]]]] = {}
    for site in canonical_sites(crystal):
        by_element.setdefault(site.element, []).append((site.letter, site.multiplicity, site.coords))
    slots = [tuple(sorted(sites)) for sites in by_element.values()]
    slots.sort(key=lambda slot: (len(slot), slot))
    return _with_rising(Template(crystal.sg, crystal.cell, tuple(slots), (False,) * len(slots)))


def _with_rising(template: Template) -> Template:
    """Order the slots and mark which must take rising elements, from the shifts of the origin that exchange slots."""
    n = len(template.slots)
    named = template.crystal(_NAMES[:n], 5.0, (1.0, 1.0, 0.0, 0.0, 0.0))
    own = _slots_by_element(named)
    group = {tuple(range(n))}
    for variant in origin_variants(named):
        moved = _slots_by_element(variant)
        group |= {p for p in permutations(range(n)) if all(moved[_NAMES[p[k]]] == own[_NAMES[k]] for k in range(n))}
    classes: list[list[int]] = []
    for slot in range(n):
        for members in classes:
            swap = list(range(n))
            swap[slot], swap[members[-1]] = members[-1], slot
            if tuple(swap) in group:
                members.append(slot)
                break
        else:
            classes.append([slot])
    order = [slot for members in classes for slot in members]
    rising = tuple(place > 0 for members in classes for place in range(len(members)))
    return replace(template, slots=tuple(template.slots[slot] for slot in order), rising=rising)


_NAMES = ("Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Ca")
"""Stand for the slots while their symmetry is found."""
MAX_SLOTS = len(_NAMES)


def _slots_by_element(crystal: Crystal) -> dict[str, Pattern]:
    out: dict[str, list[tuple[str, int, tuple[float, ...]]]] = {}
    for site in canonical_sites(crystal):
        out.setdefault(site.element, []).append((site.letter, site.multiplicity, site.coords))
    return {element: tuple(sorted(sites)) for element, sites in out.items()}


def templates_of(texts: Iterable[str], most: int = 500) -> tuple[Template, ...]:
    """Return the different templates of WyText with formula lines, the first `most`, in order of space group.

    Two crystals share a template when group, letters and coordinates (to 0.05) agree; the first one's are kept.

    Raises:
        UserError: a text that is no crystal, has more than eight elements, or two of them at the same place.
    """
    codec = WyText()
    found: dict[object, Template] = {}
    for number, text in enumerate(texts, 1):
        try:
            crystal = codec.decode(text)
        except CodecError as error:
            raise UserError(f"template {number}: {error}") from None
        if len(crystal.elements) > MAX_SLOTS:
            raise UserError(f"template {number}: {len(crystal.elements)} elements; at most {MAX_SLOTS} are allowed")
        if len(set(_slots_by_element(crystal).values())) < len(crystal.elements):
            raise UserError(f"template {number}: two elements are on the same sites")
        template = template_of(crystal)
        rough = tuple((x, m, tuple(round(c / 0.05) for c in at)) for slot in template.slots for x, m, at in slot)
        found.setdefault((template.sg, rough), template)
        if len(found) == most:
            break
    return tuple(sorted(found.values(), key=lambda template: template.sg))


@lru_cache(maxsize=1)
def prototype_templates() -> tuple[Template, ...]:
    """Return the templates of the embedded textbook structures."""
    lines = PROTOTYPE_FILE.read_text(encoding="utf-8").splitlines()
    return templates_of(json.loads(line)["text"] for line in lines if line.strip())


@lru_cache(maxsize=1)
def prototype_elements() -> tuple[str, ...]:
    """Return the elements of the embedded textbook structures up to bismuth, by atomic number."""
    codec = WyText()
    lines = PROTOTYPE_FILE.read_text(encoding="utf-8").splitlines()
    seen = {element for line in lines for element in codec.decode(json.loads(line)["text"]).elements}
    return tuple(sorted((e for e in seen if element_facts()[e].z <= 83), key=lambda e: element_facts()[e].z))


class CrystalEnvironment(FlowEnvironment):
    """Crystals chosen part by part; the objects are WyText.

    Args:
        reward: log R of WyText, such as `RubricReward` of a crystal rubric that reads the same codec.
        templates: Wyckoff templates; those of the embedded textbook structures by default.
        elements: symbols to choose from; those of the embedded structures by default.
        codec: the variant of WyText in which objects are written.
        device: where the tensors live; rewards are computed on the CPU.

    Raises:
        UserError: no template, an unknown element, or fewer elements than a template has slots.

    Example: with the default templates the groups run from 122 to 229 (14 of them), and rock salt, Mg, O and the
    seventh length is `Mg4O4 / SG 225 / CELL 4.301 / Mg 4a / O 4b`.
    """

    def __init__(
        self,
        reward: TextReward,
        templates: Sequence[Template] | None = None,
        elements: Sequence[str] | None = None,
        codec: WyText | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.reward = reward
        self.templates = tuple(prototype_templates() if templates is None else templates)
        self.elements = tuple(prototype_elements() if elements is None else elements)
        self._check()
        self.codec = WyText() if codec is None else codec
        self.device = torch.device(device)
        self.groups = tuple(sorted({template.sg for template in self.templates}))
        self.slots = max(len(template.slots) for template in self.templates)
        ratio = (LONGEST / SHORTEST) ** (1 / (LENGTH_BINS - 1))
        self.lengths = tuple(SHORTEST * ratio**k for k in range(LENGTH_BINS))
        self.name = f"crystals-{len(self.templates)}"
        # Columns of a state, and how many options each has; slots share the options of one column of actions.
        slot_columns = [len(self.elements)] * self.slots
        shape_columns = [len(STRETCHES)] * 2 + [len(SHIFTS)] * 3
        self._options = [len(self.groups), len(self.templates), *slot_columns, LENGTH_BINS, *shape_columns]
        self._length = 2 + self.slots
        self.state_size = len(self._options)
        self.n_actions, self.n_back = sum(self._options) + 1, 1
        self.max_length = self.state_size + 1
        self.feature_size = sum(self._options) + self.state_size + 1
        self._make_tensors()
        self._text = lru_cache(maxsize=CACHED)(self._write)

    def _check(self) -> None:
        if not self.templates:
            raise UserError("crystals: no template was given; at least one is needed")
        unknown = [element for element in self.elements if element not in element_facts()]
        if unknown or len(set(self.elements)) != len(self.elements):
            raise UserError(f"crystals: elements {unknown or self.elements}: known symbols are needed, each once")
        most = max(len(template.slots) for template in self.templates)
        if len(self.elements) < most:
            raise UserError(f"crystals: {len(self.elements)} elements for a template of {most} slots")
        if len({template.key for template in self.templates}) != len(self.templates):
            raise UserError("crystals: two templates have the same sites")

    def _make_tensors(self) -> None:
        """Put what masks look up on the device: for each template, its group, columns in use, and rising slots."""
        n = len(self.templates)
        group = [self.groups.index(template.sg) for template in self.templates]
        used = torch.zeros(n, self.state_size, dtype=torch.bool)
        later = torch.zeros(n, self.slots + 1, dtype=torch.int64)
        rising = torch.zeros(n, self.slots + 1, dtype=torch.bool)
        for row, template in enumerate(self.templates):
            k = len(template.slots)
            used[row, : 2 + k] = used[row, self._length] = True
            for shape in template.shapes:
                used[row, self._length + 1 + shape] = True
            rising[row, :k] = torch.tensor(template.rising)
            for slot in range(k - 2, -1, -1):
                # Elements that must still come after the one chosen here.
                later[row, slot] = later[row, slot + 1] + 1 if template.rising[slot + 1] else 0
        self._group_of = torch.tensor(group, dtype=torch.int64, device=self.device)
        self._used, self._later, self._rising = used.to(self.device), later.to(self.device), rising.to(self.device)
        columns = torch.arange(self.state_size, device=self.device)
        options = torch.tensor(self._options, device=self.device)
        self._column_of = torch.repeat_interleave(columns, options)
        self._starts = options.cumsum(0) - options
        self._option_of = torch.arange(len(self._column_of), device=self.device) - self._starts[self._column_of]

    def _wanted(self, states: Tensor) -> Tensor:
        """[B, columns] bool: what the chosen template asks for; before that, group and template."""
        template = states[:, 1]
        wanted = self._used[template.clamp(min=0)]
        first = torch.arange(self.state_size, device=self.device) < 2
        return torch.where((template >= 0).unsqueeze(1), wanted, first)

    def _open(self, states: Tensor) -> Tensor:
        """[B] the column to be chosen next, `state_size` for complete crystals."""
        missing = self._wanted(states) & (states < 0)
        return torch.where(missing.any(-1), missing.long().argmax(-1), self.state_size)

    def _last(self, states: Tensor) -> Tensor:
        """[B] the column that was chosen last, `NONE` for the source."""
        columns = torch.arange(self.state_size, device=self.device)
        return torch.where(states >= 0, columns, NONE).max(-1).values

    def complete(self, states: Tensor) -> Tensor:
        """Return [B] bool: the states that are crystals."""
        return self._open(states) == self.state_size

    def source(self, n: int) -> Tensor:
        """Return n rows in which nothing is chosen [n, S]."""
        return torch.full((n, self.state_size), NONE, dtype=torch.int64, device=self.device)

    def forward_mask(self, states: Tensor) -> Tensor:
        """Return [B, n_actions]: the options of the open column; stop for complete crystals."""
        column = self._open(states)
        mask = self._column_of == column.unsqueeze(1)
        of_group = self._group_of == states[:, :1]
        mask[:, self._slice(1)] &= of_group
        allowed = self._elements(states, column)
        for slot in range(self.slots):
            mask[:, self._slice(2 + slot)] &= allowed
        return torch.cat([mask, (column == self.state_size).unsqueeze(1)], 1)

    def _slice(self, column: int) -> slice:
        start = sum(self._options[:column])
        return slice(start, start + self._options[column])

    def _elements(self, states: Tensor, column: Tensor) -> Tensor:
        """[B, E] bool: elements for the open slot: not in use, later than the one before where that is asked, and with
        enough free ones after it for the slots of the same class.
        """
        chosen = states[:, 2 : 2 + self.slots]
        free = torch.ones(len(states), len(self.elements) + 1, dtype=torch.bool, device=self.device)
        free.scatter_(1, torch.where(chosen >= 0, chosen, len(self.elements)), False)
        free = free[:, :-1]
        slot = (column - 2).clamp(0, self.slots).unsqueeze(1)
        template = states[:, 1].clamp(min=0)
        before = chosen.gather(1, (slot - 1).clamp(0, self.slots - 1))
        lower = torch.where(self._rising[template].gather(1, slot), before, NONE)
        after = free.long().flip(1).cumsum(1).flip(1) - free.long()
        numbers = torch.arange(len(self.elements), device=self.device)
        return free & (numbers > lower) & (after >= self._later[template].gather(1, slot))

    def backward_mask(self, states: Tensor) -> Tensor:
        """Return [B, 1]: something was chosen."""
        return (self._last(states) >= 0).unsqueeze(1)

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Write the option into its column."""
        return states.scatter(1, self._column_of[actions].unsqueeze(1), self._option_of[actions].unsqueeze(1))

    def back(self, states: Tensor, actions: Tensor) -> Tensor:
        """Take the last choice back."""
        return states.scatter(1, self._last(states).unsqueeze(1), NONE)

    def back_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return 0: the only backward action."""
        return torch.zeros_like(actions)

    def forth_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the last choice."""
        column = self._last(states)
        return self._starts[column] + states.gather(1, column.unsqueeze(1)).squeeze(1)

    def encode(self, states: Tensor) -> Tensor:
        """Return the choices and the open column, one-hot [B, F]."""
        features = torch.zeros(len(states), self.feature_size + 1, device=self.device)
        trash = self.feature_size
        features.scatter_(1, torch.where(states >= 0, self._starts + states, trash), 1.0)
        features.scatter_(1, (self.n_actions - 1 + self._open(states)).unsqueeze(1), 1.0)
        return features[:, :-1]

    def log_reward(self, states: Tensor) -> Tensor:
        """Return log R(x) [B] of complete crystals, float64.

        Raises:
            UserError: a state that is not complete.
        """
        return torch.tensor(list(self.reward(self.texts(states))), dtype=torch.float64, device=self.device)

    def log_reward_partial(self, states: Tensor) -> Tensor:
        """Return log R of complete crystals and 0 for the others, about which nothing is known."""
        out = torch.zeros(len(states), dtype=torch.float64, device=self.device)
        done = self.complete(states)
        out[done] = self.log_reward(states[done])
        return out

    def texts(self, states: Tensor) -> list[str]:
        """Return WyText.

        Raises:
            UserError: a state that is not complete.
        """
        if not bool(self.complete(states).all()):
            raise UserError(f"{self.name}: a state that is not complete is no crystal")
        return [self._text(tuple(row)) for row in states.tolist()]

    def _write(self, row: tuple[int, ...]) -> str:
        template = self.templates[row[1]]
        elements = [self.elements[option] for option in row[2 : 2 + len(template.slots)]]
        bins = row[self._length + 1 :]
        shape = [(STRETCHES if k < 2 else SHIFTS)[b] if b >= 0 else float(k < 2) for k, b in enumerate(bins)]
        return self.codec.canonical(template.crystal(elements, self.lengths[row[self._length]], shape))

    @cached_property
    def _by_key(self) -> dict[tuple[int, tuple[Pattern, ...]], int]:
        return {template.key: number for number, template in enumerate(self.templates)}

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the states [B, S] of crystals on this environment's grid of cells, at any equivalent origin.

        Raises:
            UserError: a text that is no crystal, or one whose sites, elements or cell cannot be chosen here.
        """
        rows = [self._read_one(text) for text in texts]
        return torch.tensor(rows, dtype=torch.int64, device=self.device).view(len(texts), self.state_size)

    def _read_one(self, text: str) -> list[int]:
        try:
            crystal = self.codec.decode(text)
        except CodecError as error:
            raise UserError(f"{self.name}: {error}") from None
        for same in (crystal, *origin_variants(crystal)):
            row = self._row(same)
            if row is not None and self._text(tuple(row)) == self.codec.canonical(same):
                return row
        raise UserError(f"{self.name}: {text[:80]!r} has sites, elements or a cell that cannot be chosen here")

    def _row(self, crystal: Crystal) -> list[int] | None:
        """Return the state of a crystal's template and elements with the nearest cell, or None."""
        patterns = _slots_by_element(crystal)
        number = self._by_key.get((crystal.sg, tuple(sorted(patterns.values()))))
        if number is None or not patterns.keys() <= set(self.elements):
            return None
        template = self.templates[number]
        by_pattern = {pattern: self.elements.index(element) for element, pattern in patterns.items()}
        chosen = [by_pattern[slot] for slot in template.slots]
        if any(up and chosen[k] <= chosen[k - 1] for k, up in enumerate(template.rising)):
            return None
        row = [self.groups.index(crystal.sg), number, *chosen, *[NONE] * (self.slots - len(chosen))]
        length = math.log(crystal.cell[0] / SHORTEST) / math.log(LONGEST / SHORTEST)
        row.append(min(LENGTH_BINS - 1, max(0, round(length * (LENGTH_BINS - 1)))))
        (a, b, c), (a0, b0, c0) = crystal.cell[:3], template.cell[:3]
        stretches = ((b / a) / (b0 / a0), (c / a) / (c0 / a0))
        shifts = [angle - own for angle, own in zip(crystal.cell[3:], template.cell[3:], strict=True)]
        for shape, value in enumerate((*stretches, *shifts)):
            grid = STRETCHES if shape < 2 else SHIFTS
            row.append(_nearest(grid, value) if shape in template.shapes else NONE)
        return row


def _nearest(grid: Sequence[float], value: float) -> int:
    return min(range(len(grid)), key=lambda k: abs(grid[k] - value))
