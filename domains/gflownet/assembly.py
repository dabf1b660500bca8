"""From trees of fragments to molecules and back (rdkit)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rdkit import Chem

from domains.gflownet.fragments import ROOT, Fragment, FragmentTable, stem_atoms
from domains.gflownet.reading import Problem, canonical_smiles

Node = tuple[int, int, int, int]
"""A node of a tree: fragment, parent node (-1), stem of the parent (-1), entry stem (-1)."""

SEARCH_STEPS = 20_000
"""Pieces tried before a molecule is given up as too hard to take apart."""


@dataclass(frozen=True)
class _Piece:
    """A fragment with its stems left open: the atoms, and which atom each stem is on."""

    mol: Any
    core: Any
    stems: tuple[int, ...]


@lru_cache(maxsize=1024)
def _piece(fragment: Fragment) -> _Piece:
    mol = Chem.MolFromSmiles(fragment.smiles)
    dummies = stem_atoms(mol, fragment)
    held = [mol.GetAtomWithIdx(dummy).GetNeighbors()[0].GetIdx() for dummy in dummies]
    editable = Chem.RWMol(mol)
    for dummy in sorted(dummies, reverse=True):
        editable.RemoveAtom(dummy)
    stems = tuple(atom - sum(dummy < atom for dummy in dummies) for atom in held)
    core = editable.GetMol()
    for atom in core.GetAtoms():
        atom.SetNoImplicit(False)
    return _Piece(core, Chem.MolFromSmarts(_pattern(core, set(stems))), stems)


def _pattern(core: Any, stems: set[int]) -> str:
    """Return SMARTS of a fragment in which only stem atoms may have further bonds."""
    query = Chem.RWMol(core)
    for atom in core.GetAtoms():
        index, degree = atom.GetIdx(), atom.GetDegree()
        symbol = f"#{atom.GetAtomicNum()}{'a' if atom.GetIsAromatic() else 'A'}"
        bonds = "" if index in stems else f";D{degree}"
        query.ReplaceAtom(index, Chem.AtomFromSmarts(f"[{symbol}{bonds};{atom.GetFormalCharge():+d}]"))
    smarts: str = Chem.MolToSmarts(query)
    return smarts


def assemble(nodes: Sequence[Node], table: FragmentTable) -> Any:
    """Return the sanitised rdkit molecule of a tree; open stems carry hydrogen.

    Raises:
        ValueError: no nodes, or rdkit refuses the molecule (never for the default fragments).
    """
    if not nodes:
        raise ValueError("a molecule needs at least one fragment")
    made = Chem.RWMol()
    atoms: list[list[int]] = []
    open_stems: list[set[int]] = []
    for fragment, parent, stem, entry in nodes:
        piece = _piece(table.fragments[fragment])
        offset = made.GetNumAtoms()
        made.InsertMol(piece.mol)
        atoms.append([offset + atom for atom in piece.stems])
        open_stems.append(set(range(len(piece.stems))))
        if entry != ROOT:
            made.AddBond(atoms[parent][stem], atoms[-1][entry], Chem.BondType.SINGLE)
            open_stems[parent].discard(stem)
            open_stems[-1].discard(entry)
    for where, left in zip(atoms, open_stems, strict=True):
        for stem in left:
            atom = made.GetAtomWithIdx(where[stem])
            if atom.GetIsAromatic() and atom.GetSymbol() == "N":
                # rdkit adds no hydrogen to an aromatic nitrogen of its own.
                atom.SetNumExplicitHs(1)
    mol = made.GetMol()
    Chem.SanitizeMol(mol)
    return mol


def smiles_of(nodes: Sequence[Node], table: FragmentTable) -> str:
    """Return the canonical SMILES of a tree, as `canonical_smiles` gives it.

    Raises:
        ValueError: as `assemble`, or a molecule beyond the limits of `reading`.
    """
    smiles = canonical_smiles(Chem.MolToSmiles(assemble(nodes, table)))
    if isinstance(smiles, Problem):
        raise ValueError(str(smiles))
    return smiles


def take_apart(smiles: str, table: FragmentTable, most: int) -> list[Node] | str:
    """Return a tree of at most `most` fragments that makes the molecule, or why there is none.

    Ways to tile the atoms with fragments are tried in a fixed order, and the first tree that assembles to the same
    canonical SMILES is returned; it is one of several where the fragments allow them. The search gives up after
    `SEARCH_STEPS` pieces.

    Example: "c1ccccc1C(=O)N" is a tree of p-phenylene, carbonyl and amine.
    """
    wanted = canonical_smiles(smiles)
    if isinstance(wanted, Problem):
        return wanted
    mol = Chem.MolFromSmiles(wanted)
    steps = [SEARCH_STEPS]
    pieces = _occurrences(mol, table)
    for tiling in _tilings(mol, pieces, most, steps):
        nodes = _tree(mol, tiling)
        if nodes is not None and smiles_of(nodes, table) == wanted:
            return nodes
    if steps[0] <= 0:
        return f"no tree of fragments found in {SEARCH_STEPS} steps"
    return f"no tree of at most {most} fragments of the list makes this molecule"


@dataclass(frozen=True)
class _Placed:
    """A fragment found in a molecule: its atoms and, by stem, the molecule's atom."""

    fragment: int
    atoms: frozenset[int]
    stems: tuple[int, ...]


def _occurrences(mol: Any, table: FragmentTable) -> dict[int, list[_Placed]]:
    """Return every fragment occurrence, largest first, by each of its atoms."""
    found: dict[int, list[_Placed]] = {atom: [] for atom in range(mol.GetNumAtoms())}
    placed: dict[tuple[int, frozenset[int]], _Placed] = {}
    for number, fragment in enumerate(table.fragments):
        piece = _piece(fragment)
        # Of the ways to lay a fragment on the same atoms, one is kept: the first.
        for match in mol.GetSubstructMatches(piece.core, uniquify=False, maxMatches=2_000):
            atoms = frozenset(match)
            stems = tuple(match[atom] for atom in piece.stems)
            one = _Placed(number, atoms, stems)
            if _exits_fit(mol, one):
                placed.setdefault((number, atoms), one)
    for one in sorted(placed.values(), key=lambda p: (-len(p.atoms), p.fragment, sorted(p.atoms))):
        for atom in one.atoms:
            found[atom].append(one)
    return found


def _exits_fit(mol: Any, placed: _Placed) -> bool:
    """Whether all bonds out of the piece are single, outside rings, and no more than the stems of their atoms."""
    for atom in placed.atoms:
        exits = 0
        for bond in mol.GetAtomWithIdx(atom).GetBonds():
            if bond.GetOtherAtomIdx(atom) not in placed.atoms:
                if bond.GetBondType() != Chem.BondType.SINGLE or bond.IsInRing():
                    return False
                exits += 1
        if exits > placed.stems.count(atom):
            return False
    return True


def _tilings(mol: Any, pieces: dict[int, list[_Placed]], most: int, steps: list[int]) -> Iterator[list[_Placed]]:
    """Yield the ways to cover all atoms once with at most `most` pieces."""
    everything = frozenset(range(mol.GetNumAtoms()))

    def extend(chosen: list[_Placed], left: frozenset[int]) -> Iterator[list[_Placed]]:
        if not left:
            yield list(chosen)
            return
        if len(chosen) == most:
            return
        for piece in pieces[min(left)]:
            steps[0] -= 1
            if steps[0] <= 0:
                return
            if piece.atoms <= left:
                chosen.append(piece)
                yield from extend(chosen, left - piece.atoms)
                chosen.pop()

    yield from extend([], everything)


def _tree(mol: Any, tiling: Sequence[_Placed]) -> list[Node] | None:
    """Join the pieces of a tiling into a tree from the piece of the first atom, or None where stems do not suffice."""
    owner = {atom: index for index, piece in enumerate(tiling) for atom in piece.atoms}
    free = [{atom: [s for s, on in enumerate(p.stems) if on == atom] for atom in p.stems} for p in tiling]
    links: dict[int, list[tuple[int, int, int]]] = {index: [] for index in range(len(tiling))}
    for bond in mol.GetBonds():
        one, other = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if owner[one] == owner[other]:
            continue
        if not free[owner[one]].get(one) or not free[owner[other]].get(other):
            return None
        a, b = free[owner[one]][one].pop(0), free[owner[other]][other].pop(0)
        links[owner[one]].append((owner[other], a, b))
        links[owner[other]].append((owner[one], b, a))
    nodes: list[Node] = []
    stack = [(0, -1, -1, ROOT)]
    seen: set[int] = set()
    while stack:
        index, parent, stem, entry = stack.pop()
        if index in seen:
            return None
        seen.add(index)
        nodes.append((tiling[index].fragment, parent, stem, entry))
        here = len(nodes) - 1
        stack += [(to, here, out, into) for to, out, into in links[index] if out != entry]
    return nodes if len(seen) == len(tiling) else None
