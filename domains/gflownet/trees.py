"""Trees of fragments as rows of integers, in a canonical order, for whole batches.

A tree of at most N nodes is a row of 3 N integers, three a node: its fragment, its place (parent node * 3 + stem of the
parent; `NONE` for the root) and its entry (the own stem towards the parent; `NONE` for the root). Nodes stand in
preorder; rows without a node hold `NONE` in all three.

Canonical order: the children of exchangeable stems (`FragmentTable.classes`) are sorted by a hash of their subtrees,
largest first, stems without a child last; so one tree up to symmetry is one row. The root is the fragment that was
placed first and stays. Two facts make forward actions unique, and tests check both:
- equivalent actions differ by a symmetry that keeps the root, which exchanges equal subtrees at stems of one class.
  Only nodes outside later twins, and of each class only the first open stem, are offered (`representative`);
- two leaves of a rooted tree whose removal gives the same tree are exchanged by such a symmetry (induction over the
  subtrees), so no two inequivalent actions lead to the same child. In trees without a root this is false: in a chain of
  equal asymmetric fragments, removing either end gives the same tree.

Legend: B trees, N nodes, 3 stems. Column N of padded tensors stands for "no node".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from domains.gflownet.fragments import MAX_STEMS, FragmentTable

NONE = -1
_PAIRS = ((0, 1), (0, 2), (1, 2))
"""Comparisons that sort three, or any two of them, largest first."""
_MULTIPLIERS = (0x2545F4914F6CDD1D, 0x369DEA0F31A53F85, 0x27BB2EE687B0B0FD)
_CODE_BITS = (1 << 61) - 1


class TreeTables:
    """The fragment table as tensors on a device.

    Attributes:
        same: [F, 4, 3 pairs] whether the two stems of `_PAIRS` are exchangeable, by fragment and entry + 1.
        stems: [F] number of stems.
        seeds: [F, 4] hash of a fragment with its entry.
    """

    def __init__(self, table: FragmentTable, device: torch.device) -> None:
        rows = [[*group, *[(-1, -1, -1)] * (MAX_STEMS + 1 - len(group))] for group in table.classes]
        labels = torch.tensor(rows, dtype=torch.int64, device=device)
        self.labels = labels
        self.same = torch.stack([(labels[..., a] == labels[..., b]) & (labels[..., a] >= 0) for a, b in _PAIRS], dim=-1)
        self.stems = torch.tensor([table.stems(f) for f in range(len(table.fragments))], device=device)
        generator = torch.Generator().manual_seed(20_240_229)
        self.seeds = torch.randint(1 << 62, labels.shape[:2], generator=generator).to(device)


@dataclass(frozen=True)
class Trees:
    """B trees taken apart: fragments [B, N], places [B, N], entries [B, N]; parents stand before their children."""

    fragments: Tensor
    places: Tensor
    entries: Tensor

    @classmethod
    def of(cls, states: Tensor) -> Trees:
        """Read rows [B, 3 N]."""
        columns = states.view(len(states), states.shape[1] // 3, 3).unbind(-1)
        return cls(*columns)

    @property
    def rows(self) -> Tensor:
        """The trees as rows [B, 3 N]."""
        return torch.stack([self.fragments, self.places, self.entries], dim=-1).flatten(1)

    @property
    def present(self) -> Tensor:
        """[B, N] bool, where there is a node."""
        return self.fragments >= 0

    @cached_property
    def children(self) -> Tensor:
        """[B, N, 3] the node at each stem, N where there is none."""
        b, n = self.fragments.shape
        nodes = torch.arange(n, device=self.fragments.device).expand(b, n)
        target = torch.where(self.places >= 0, self.places, n * MAX_STEMS)
        table = torch.full((b, n * MAX_STEMS + 1), n, dtype=torch.int64, device=self.fragments.device)
        return table.scatter_(1, target, nodes)[:, :-1].view(b, n, MAX_STEMS)


@dataclass(frozen=True)
class Codes:
    """Subtree hashes of trees, and their children in canonical order.

    Attributes:
        codes: [B, N + 1] hash of the subtree of each node; 0 for no node.
        sizes: [B, N + 1] nodes in it.
        children: [B, N, 3] the children after sorting.
    """

    codes: Tensor
    sizes: Tensor
    children: Tensor


def subtree_codes(trees: Trees, tables: TreeTables, marked: Tensor | None = None) -> Codes:
    """Hash every subtree, sorting the children of exchangeable stems.

    Args:
        trees: parents before children.
        tables: the fragments.
        marked: [B] a node whose subtree goes first among equal ones; `NONE` for no node.
    """
    b, n = trees.fragments.shape
    device = trees.fragments.device
    keys = torch.zeros(b, n + 1, dtype=torch.int64, device=device)
    sizes = torch.zeros(b, n + 1, dtype=torch.int64, device=device)
    children = trees.children.clone()
    fragments, entries = trees.fragments.clamp(min=0), trees.entries + 1
    same, seeds = tables.same[fragments, entries], tables.seeds[fragments, entries]
    for node in range(n - 1, -1, -1):
        kids = list(children[:, node].unbind(-1))
        found = [keys.gather(1, kid.unsqueeze(1)).squeeze(1) for kid in kids]
        for pair, (a, c) in enumerate(_PAIRS):
            swap = same[:, node, pair] & (found[a] < found[c])
            found[a], found[c] = torch.where(swap, found[c], found[a]), torch.where(swap, found[a], found[c])
            kids[a], kids[c] = torch.where(swap, kids[c], kids[a]), torch.where(swap, kids[a], kids[c])
        children[:, node] = torch.stack(kids, dim=-1)
        code = seeds[:, node]
        for key, multiplier in zip(found, _MULTIPLIERS, strict=True):
            code = _mix(code * multiplier + (key >> 1))
        # The lowest bit tells a marked subtree from its twin; the code itself does not know of the mark.
        mark = (found[0] | found[1] | found[2]) & 1
        if marked is not None:
            mark = mark | (marked == node).long()
        here = trees.present[:, node].long()
        keys[:, node] = here * (((code & _CODE_BITS) + 1) * 2 + mark)
        sizes[:, node] = here * (1 + sizes.gather(1, torch.stack(kids, dim=-1)).sum(-1))
    return Codes(keys >> 1, sizes, children)


def _mix(code: Tensor) -> Tensor:
    """Scramble 64-bit integers (overflow wraps around)."""
    code = (code ^ (code >> 31)) * 0x1CE4E5B9BF58476D
    return code ^ (code >> 29)


def canonical(trees: Trees, tables: TreeTables, marked: Tensor) -> tuple[Tensor, Tensor]:
    """Return the canonical rows [B, 3 N] of trees and where the marked nodes went [B].

    Among the twins of a marked node it is the first that is returned.

    Args:
        trees: parents before children; rows in between may be empty.
        tables: the fragments.
        marked: [B] node, or `NONE`.
    """
    b, n = trees.fragments.shape
    coded = subtree_codes(trees, tables, marked)
    position = torch.full((b, n + 1), n, dtype=torch.int64, device=trees.fragments.device)
    position[:, 0] = torch.where(trees.present[:, 0], 0, n)
    for node in range(n):
        following = position[:, node] + 1
        for stem in range(MAX_STEMS):
            kid = coded.children[:, node, stem : stem + 1]
            position.scatter_(1, kid, torch.where(kid < n, following.unsqueeze(1), n))
            following = following + coded.sizes.gather(1, kid).squeeze(1)
    places = torch.full((b, n + 1), NONE, dtype=torch.int64, device=trees.fragments.device)
    stems = torch.arange(MAX_STEMS, device=places.device)
    places.scatter_(1, coded.children.flatten(1), (position[:, :n, None] * MAX_STEMS + stems).flatten(1))
    target = torch.where(trees.present, position[:, :n], n)
    columns = []
    for column in (trees.fragments, places[:, :n], trees.entries):
        moved = torch.full((b, n + 1), NONE, dtype=torch.int64, device=places.device)
        columns.append(moved.scatter_(1, target, column)[:, :n])
    where = position.gather(1, marked.clamp(min=0).unsqueeze(1)).squeeze(1)
    return Trees(*columns).rows, torch.where(marked >= 0, where, NONE)


def representative(trees: Trees, tables: TreeTables) -> Tensor:
    """Return [B, N] bool: the nodes that are not in a later twin of an equal subtree (canonical trees)."""
    coded = subtree_codes(trees, tables)
    b, n = trees.fragments.shape
    allowed = torch.zeros(b, n + 1, dtype=torch.bool, device=trees.fragments.device)
    allowed[:, 0] = trees.present[:, 0]
    fragments, entries = trees.fragments.clamp(min=0), trees.entries + 1
    same = tables.same[fragments, entries]
    kid_codes = coded.codes.gather(1, trees.children.flatten(1)).view(b, n, MAX_STEMS)
    twin = torch.zeros(b, n, MAX_STEMS, dtype=torch.bool, device=trees.fragments.device)
    for pair, (a, c) in enumerate(_PAIRS):
        twin[..., c] |= same[..., pair] & (kid_codes[..., a] == kid_codes[..., c])
    for node in range(n):
        kids = trees.children[:, node]
        offered = allowed[:, node : node + 1] & ~twin[:, node]
        # Stems without a child all write to the column of no node.
        allowed.scatter_(1, kids, offered)
    return allowed[:, :n] & trees.present


def open_stems(trees: Trees, tables: TreeTables, most: int) -> Tensor:
    """Return the open stems that are offered [B, most], as node * 3 + stem in canonical order, `NONE` after the last.

    Of the open stems of a class, the first is offered.
    """
    b, n = trees.fragments.shape
    fragments, entries = trees.fragments.clamp(min=0), trees.entries + 1
    stems = torch.arange(MAX_STEMS, device=trees.fragments.device)
    free = (trees.children == n) & (stems < tables.stems[fragments].unsqueeze(-1)) & (stems != trees.entries[..., None])
    offered = free & representative(trees, tables).unsqueeze(-1)
    same = tables.same[fragments, entries]
    for pair, (a, c) in enumerate(_PAIRS):
        offered[..., c] &= ~(same[..., pair] & free[..., a])
    flat = offered.flatten(1)
    rank = flat.long().cumsum(1) - 1
    out = torch.full((b, most + 1), NONE, dtype=torch.int64, device=trees.fragments.device)
    numbers = torch.arange(n * MAX_STEMS, device=out.device).expand(b, -1)
    out.scatter_(1, torch.where(flat, rank, most), torch.where(flat, numbers, NONE))
    return out[:, :most]


def leaves(trees: Trees, tables: TreeTables) -> Tensor:
    """Return [B, N] bool: the nodes without children that are offered for removal, the root where it is alone."""
    childless = (trees.children == trees.fragments.shape[1]).all(-1)
    return childless & representative(trees, tables)
