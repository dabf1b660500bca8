"""Molecules as trees of fragments: each action joins one more fragment to an open stem.

A state is a rooted tree of at most N fragments in canonical form (see `trees`); the first fragment is the root. Action
`j * n_blocks + b` joins block b, a fragment with its entry stem, to the j-th open stem that is offered; at the source
there is one (j = 0), and each fragment is offered once. Any non-empty tree may stop. Backward action i removes leaf i.

- Symmetric stems: of equivalent stems, and of twins of equal subtrees, only the first is offered, so no two actions
  lead to the same child.
- No bond joins two hetero atoms (N, O, thioether S, halogens), so there are no peroxides, hydrazines or N-Cl; every
  state is a molecule that rdkit sanitises.
- The law is over molecules' *fragment trees*: one tree has up to N states, one for each fragment that may have been
  first. `log_reward` is log R(x) - log(number of those states), so that the states of one tree share R(x) and the tree
  itself is drawn in proportion to R(x). Some molecules have several trees (`fragments`), and these are not merged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from domains.gflownet.fragments import FRAGMENTS, MAX_STEMS, Fragment, FragmentTable, fragment_table
from domains.gflownet.trees import NONE, Trees, TreeTables, canonical, leaves, open_stems
from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment

MAX_NODES = 9
CACHED = 200_000

Node = tuple[int, int, int, int]


class TextReward(Protocol):
    """A reward of objects: log R [B] of answer texts, finite, the same for the same text."""

    def __call__(self, texts: Sequence[str]) -> Sequence[float]:
        """Return log R of each text."""
        ...


@dataclass(frozen=True)
class MoleculeReward:
    """R = QED^a w(logP) ((10 - SA) / 9)^b, at least `floor`.

    w is a window with soft edges: sigmoid((logP - low) / width) sigmoid((high - logP) / width).

    Attributes:
        qed_power: a.
        sa_power: b.
        logp_low: lower edge of the window, where w is about 1/2.
        logp_high: upper edge.
        logp_width: softness of the edges.
        floor: smallest R; also that of a text that is no molecule.

    Example: aspirin (QED 0.5501, logP 1.3101, SA 1.5800) has R = 0.5501 * 0.9859 * 0.9356 = 0.5074 by default.
    """

    qed_power: float = 1.0
    sa_power: float = 1.0
    logp_low: float = 0.0
    logp_high: float = 5.0
    logp_width: float = 0.3
    floor: float = 1e-4

    def __post_init__(self) -> None:
        if not 0 < self.floor < 1 or self.logp_width <= 0 or self.logp_low >= self.logp_high:
            raise UserError(
                f"molecule reward: floor {self.floor} (0 to 1), logp_width {self.logp_width} (> 0), logp_low "
                f"{self.logp_low} (< logp_high {self.logp_high})"
            )
        if min(self.qed_power, self.sa_power) < 0:
            raise UserError(f"molecule reward: powers {self.qed_power} and {self.sa_power} must be >= 0")

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """Return log R of SMILES; properties are cached for each text."""
        from domains.gflownet.properties import properties
        from domains.gflownet.reading import Problem

        out = []
        for text in texts:
            found = properties(text)
            if isinstance(found, Problem):
                out.append(math.log(self.floor))
                continue
            edges = _sigmoid((found.logp - self.logp_low) / self.logp_width)
            edges *= _sigmoid((self.logp_high - found.logp) / self.logp_width)
            easy = max(0.0, (10.0 - found.sa) / 9.0)
            out.append(math.log(max(self.floor, found.qed**self.qed_power * edges * easy**self.sa_power)))
        return out


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


class MoleculeEnvironment(FlowEnvironment):
    """Molecules as trees of fragments.

    Args:
        reward: log R of canonical SMILES; `MoleculeReward()` by default, or a `rewards.RubricReward`.
        max_nodes: most fragments, N (1 to 16).
        fragments: the building blocks.
        device: where the tensors live; rewards are computed on the CPU.

    Raises:
        UserError: a size out of range or fragments that cannot be used.

    Example: the default list has 83 fragments and 128 blocks; with 9 nodes there are 1,281 actions.
    """

    def __init__(
        self,
        reward: TextReward | None = None,
        max_nodes: int = MAX_NODES,
        fragments: tuple[Fragment, ...] = FRAGMENTS,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 1 <= max_nodes <= 16:
            raise UserError(f"molecules: max_nodes {max_nodes}; 1 to 16 are allowed")
        self.reward: TextReward = MoleculeReward() if reward is None else reward
        self.table: FragmentTable = fragment_table(fragments)
        self.device = torch.device(device)
        self.name = f"molecules-{max_nodes}"
        self.max_nodes = max_nodes
        self.blocks = self.table.blocks
        # A root has three stems; each further node uses one and brings at most two.
        self.most_open = max_nodes + 1
        self.n_actions = self.most_open * len(self.blocks) + 1
        self.n_back, self.state_size, self.max_length = max_nodes, 3 * max_nodes, max_nodes + 1
        self._tables = TreeTables(self.table, self.device)
        self._make_tensors()
        kinds, n = len(self.table.fragments), max_nodes
        of_nodes = n * (kinds + n * MAX_STEMS + MAX_STEMS)
        self.feature_size = of_nodes + self.most_open * (kinds + MAX_STEMS) + kinds + n + 1
        self._smiles = lru_cache(maxsize=CACHED)(self._assemble)
        self._rootings = lru_cache(maxsize=CACHED)(self._count_rootings)

    def _make_tensors(self) -> None:
        """Put what masks and steps look up on the device."""
        blocks = torch.tensor(self.blocks, dtype=torch.int64, device=self.device)
        self._block_fragment, self._block_entry = blocks.unbind(-1)
        self._first_block = self._block_entry == 0
        kinds = len(self.table.fragments)
        hetero = torch.zeros(kinds, MAX_STEMS, dtype=torch.bool)
        for fragment, flags in enumerate(self.table.hetero):
            hetero[fragment, : len(flags)] = torch.tensor(flags)
        self._hetero = hetero.to(self.device)
        self._hetero_block = self._hetero[self._block_fragment, self._block_entry]
        # Entry stems are the first of their class, so labels find the block that a leaf was.
        number = torch.full((kinds, MAX_STEMS), NONE, dtype=torch.int64)
        for block, (fragment, entry) in enumerate(self.blocks):
            number[fragment, entry] = block
        self._block_of = number.to(self.device)

    def source(self, n: int) -> Tensor:
        """Return n empty trees [n, 3 N]."""
        return torch.full((n, self.state_size), NONE, dtype=torch.int64, device=self.device)

    def _stems(self, trees: Trees) -> Tensor:
        return open_stems(trees, self._tables, self.most_open)

    def forward_mask(self, states: Tensor) -> Tensor:
        """Return [B, n_actions]: blocks that fit an open stem while there is room; stop for any molecule."""
        trees = Trees.of(states)
        stems = self._stems(trees)
        count = trees.present.sum(-1)
        node, stem = stems.clamp(min=0) // MAX_STEMS, stems.clamp(min=0) % MAX_STEMS
        fragment = trees.fragments.gather(1, node).clamp(min=0)
        fits = ~(self._hetero[fragment, stem].unsqueeze(-1) & self._hetero_block)
        fits &= ((stems >= 0) & (count < self.max_nodes).unsqueeze(-1)).unsqueeze(-1)
        fits[:, 0] = torch.where((count == 0).unsqueeze(-1), self._first_block, fits[:, 0])
        return torch.cat([fits.flatten(1), (count > 0).unsqueeze(-1)], 1)

    def backward_mask(self, states: Tensor) -> Tensor:
        """Return [B, N]: leaves outside later twins."""
        return leaves(Trees.of(states), self._tables)

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Join the blocks that `actions` name."""
        return self._grow(states, actions)[0]

    def back_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the node of the child that the new fragment is."""
        return self._grow(states, actions)[1]

    def _grow(self, states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        trees = Trees.of(states)
        block = actions % len(self.blocks)
        place = self._stems(trees).gather(1, (actions // len(self.blocks)).unsqueeze(1))
        new = trees.present.sum(-1, keepdim=True)
        empty = new == 0
        entry = torch.where(empty, NONE, self._block_entry[block].unsqueeze(1))
        grown = Trees(
            trees.fragments.scatter(1, new, self._block_fragment[block].unsqueeze(1)),
            trees.places.scatter(1, new, torch.where(empty, NONE, place)),
            trees.entries.scatter(1, new, entry),
        )
        return canonical(grown, self._tables, new.squeeze(1))

    def back(self, states: Tensor, actions: Tensor) -> Tensor:
        """Remove the leaves `actions`."""
        return self._shrink(states, actions)[0]

    def _shrink(self, states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the parents, and node and stem that the leaf hung on (`NONE` and any where it was the root)."""
        trees = Trees.of(states)
        leaf = actions.unsqueeze(1)
        place = trees.places.gather(1, leaf).squeeze(1)
        columns = (trees.fragments, trees.places, trees.entries)
        shrunk = Trees(*(column.scatter(1, leaf, NONE) for column in columns))
        holder = torch.where(place >= 0, place // MAX_STEMS, NONE)
        parents, where = canonical(shrunk, self._tables, holder)
        return parents, where, place % MAX_STEMS

    def forth_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the action that joins the leaf to its parent again, at the offered one of equivalent stems."""
        trees = Trees.of(states)
        leaf = actions.unsqueeze(1)
        fragment = trees.fragments.gather(1, leaf).squeeze(1)
        entry = trees.entries.gather(1, leaf).squeeze(1)
        block = self._block_of[fragment, entry.clamp(min=0)]
        parents, where, stem = self._shrink(states, actions)
        before = Trees.of(parents)
        at = where.clamp(min=0).unsqueeze(1)
        holder, into = before.fragments.gather(1, at).clamp(min=0), before.entries.gather(1, at) + 1
        labels = self._tables.labels[holder.squeeze(1), into.squeeze(1)]
        label = labels.gather(1, stem.unsqueeze(1))
        stems = self._stems(before)
        of_node = (stems >= 0) & (stems // MAX_STEMS == at)
        same_class = labels.gather(1, stems.clamp(min=0) % MAX_STEMS) == label
        rank = (of_node & same_class).long().argmax(1)
        return torch.where(where >= 0, rank, 0) * len(self.blocks) + block

    def encode(self, states: Tensor) -> Tensor:
        """Return what every node and every offered stem is, one-hot, and counts of fragments [B, F]."""
        trees = Trees.of(states)
        kinds, n = len(self.table.fragments), self.max_nodes
        stems = self._stems(trees)
        holder = trees.fragments.gather(1, stems.clamp(min=0) // MAX_STEMS)
        fragments = _one_hot(trees.fragments, kinds)
        parts = [
            fragments.flatten(1),
            _one_hot(trees.places, n * MAX_STEMS).flatten(1),
            _one_hot(trees.entries, MAX_STEMS).flatten(1),
            _one_hot(torch.where(stems >= 0, holder, NONE), kinds).flatten(1),
            _one_hot(torch.where(stems >= 0, stems % MAX_STEMS, NONE), MAX_STEMS).flatten(1),
            fragments.sum(1),
            _one_hot(trees.present.sum(-1), n + 1),
        ]
        return torch.cat(parts, 1)

    def log_reward(self, states: Tensor) -> Tensor:
        """Return log R(x) - log(states of the same tree) [B], float64; 0 for the source, which is no molecule."""
        return self.log_molecule_reward(states) - self.rootings(states).log()

    def log_molecule_reward(self, states: Tensor) -> Tensor:
        """Return log R(x) [B] of the molecules, float64; 0 for the source."""
        out = torch.zeros(len(states), dtype=torch.float64)
        there = (states[:, 0] >= 0).nonzero().squeeze(1).tolist()
        if there:
            out[there] = torch.tensor(list(self.reward(self.texts(states[there]))), dtype=torch.float64)
        return out.to(self.device)

    def rootings(self, states: Tensor) -> Tensor:
        """Return how many states are the same tree, from any root [B], float64; 1 for the source."""
        counts = [self._rootings(tuple(row)) for row in states.tolist()]
        return torch.tensor(counts, dtype=torch.float64, device=self.device)

    def texts(self, states: Tensor) -> list[str]:
        """Return canonical SMILES; the source is the empty text."""
        return [self._smiles(tuple(row)) for row in states.tolist()]

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return states [B, 3 N] whose molecules are the SMILES given.

        Where a molecule has several trees or roots, one of them is returned: always the same for the same SMILES.

        Raises:
            UserError: a text that is no molecule, or that no tree of these fragments makes.
        """
        from domains.gflownet.assembly import take_apart

        rows = []
        for text in texts:
            nodes = take_apart(text, self.table, self.max_nodes)
            if isinstance(nodes, str):
                raise UserError(f"{self.name}: {text[:80]!r}: {nodes}")
            rows.append(self._row(nodes))
        trees = Trees.of(torch.tensor(rows, dtype=torch.int64, device=self.device).view(len(texts), self.state_size))
        return canonical(trees, self._tables, torch.full((len(texts),), NONE, device=self.device))[0]

    def _row(self, nodes: Sequence[Node]) -> list[int]:
        """Return a tree as a row, entry stems replaced by the first of their class."""
        row: list[int] = []
        entries = [entry for *_, entry in nodes]
        for fragment, parent, stem, entry in nodes:
            place = NONE
            if parent >= 0:
                place = parent * MAX_STEMS + turned(self.table, nodes[parent][0], entries[parent])[stem]
            row += [fragment, place, turned(self.table, fragment, entry)[entry] if entry >= 0 else NONE]
        return row + [NONE] * (self.state_size - len(row))

    def _nodes(self, row: Sequence[int]) -> list[Node]:
        nodes = []
        for at in range(0, len(row), 3):
            fragment, place, entry = row[at : at + 3]
            if fragment >= 0:
                parent, stem = (place // MAX_STEMS, place % MAX_STEMS) if place >= 0 else (NONE, NONE)
                nodes.append((fragment, parent, stem, entry))
        return nodes

    def _assemble(self, row: tuple[int, ...]) -> str:
        from domains.gflownet.assembly import smiles_of

        nodes = self._nodes(row)
        return smiles_of(nodes, self.table) if nodes else ""

    def _count_rootings(self, row: tuple[int, ...]) -> int:
        return count_rootings(self._nodes(row), self.table)


def _one_hot(values: Tensor, size: int) -> Tensor:
    """Return one-hot float32 rows, all zero where a value is `NONE`."""
    return torch.nn.functional.one_hot(values + 1, size + 1)[..., 1:].float()


def turned(table: FragmentTable, fragment: int, entry: int) -> tuple[int, int, int]:
    """Return where each stem goes by the symmetry that takes the entry to the first stem of its class."""
    stems = list(range(MAX_STEMS))
    if entry >= 0:
        labels = table.classes[fragment][0]
        first = labels.index(labels[entry])
        stems[entry], stems[first] = first, entry
    return stems[0], stems[1], stems[2]


Tree = tuple[int, int, tuple[tuple[int, "Tree"], ...]]


def count_rootings(nodes: Sequence[Node], table: FragmentTable) -> int:
    """Return how many different rooted trees one tree has: its nodes up to symmetry (1 for no nodes)."""
    links: list[dict[int, tuple[int, int]]] = [{} for _ in nodes]
    for child, (_, parent, stem, entry) in enumerate(nodes):
        if parent >= 0:
            links[parent][stem], links[child][entry] = (child, entry), (parent, stem)

    def rooted(node: int, entry: int) -> Tree:
        fragment = nodes[node][0]
        turn = turned(table, fragment, entry)
        first = turn[entry] if entry >= 0 else NONE
        labels = table.classes[fragment][first + 1]
        children = sorted(
            (labels[turn[stem]], rooted(other, into)) for stem, (other, into) in links[node].items() if stem != entry
        )
        return fragment, first, tuple(children)

    return len({rooted(node, NONE) for node in range(len(nodes))}) or 1
