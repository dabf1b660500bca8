"""Fragments of molecules: SMILES whose `*` are the stems where fragments are joined by single bonds.

The list is this project's own. It follows two rules, so that a molecule has few ways to be built:
- with all its stems in use, no fragment is a tree of others: amides are carbonyl + amine, methyl groups are a carbon
  with one stem in use;
- where a ring has equivalent places, its stems are equivalent too, as far as three stems allow. What is left: a ring
  listed with several stem patterns (p-, m- and o-phenylene) is the same ring while one stem of it is in use.

Substituents have one stem, as chemistry has it; everything else has two or three. A stem that is not in use carries
hydrogen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from sciRL.errors import UserError

MAX_STEMS = 3
ROOT = -1
"""The entry of a fragment that was placed first: none of its stems is in use."""


@dataclass(frozen=True)
class Fragment:
    """A piece of a molecule: a name for reports, and SMILES with one to three `*`."""

    name: str
    smiles: str


def _fragments(text: str) -> tuple[Fragment, ...]:
    pairs = (line.rsplit(maxsplit=1) for line in text.strip().splitlines())
    return tuple(Fragment(name.strip(), smiles) for name, smiles in pairs)


FRAGMENTS = _fragments("""
    fluoro                       *F
    chloro                       *Cl
    bromo                        *Br
    nitrile                      *C#N
    nitro                        *[N+](=O)[O-]
    trifluoromethyl              *C(F)(F)F
    carbon                       *C(*)*
    dimethylmethylene            *C(*)(C)C
    ether                        *O*
    thioether                    *S*
    amine                        *N(*)*
    carbonyl                     *C(*)=O
    amidine carbon               *C(*)=N*
    sulfonyl                     *S(*)(=O)=O
    sulfoxide                    *S(*)=O
    vinylene                     *C=C*
    ethynylene                   *C#C*
    p-phenylene                  *c1ccc(*)cc1
    m-phenylene                  *c1cc(*)cc(*)c1
    o-phenylene                  *c1ccccc1*
    naphthalene-1,4              *c1ccc(*)c2ccccc12
    naphthalene-2,6              *c1ccc2cc(*)ccc2c1
    benzodioxole-5               *c1cc2OCOc2cc1*
    pyridine-2,5                 *c1ccc(*)cn1
    pyridine-2,6                 *c1cccc(*)n1
    pyridine-2,4                 *c1ccnc(*)c1
    pyridine-3,5                 *c1cncc(*)c1
    pyrimidine-2,5               *c1cnc(*)nc1
    pyrimidine-4,6               *c1cc(*)ncn1
    pyrimidine-2,4               *c1ccnc(*)n1
    pyrazine-2,5                 *c1cnc(*)cn1
    pyridazine-3,6               *c1ccc(*)nn1
    triazine-2,4,6               *c1nc(*)nc(*)n1
    pyridone-1,4                 *n1ccc(*)cc1=O
    uracil-1,5                   *n1cc(*)c(=O)[nH]c1=O
    furan-2,5                    *c1ccc(*)o1
    thiophene-2,5                *c1ccc(*)s1
    thiophene-2,4                *c1csc(*)c1
    pyrrole-1,2                  *c1cccn1*
    pyrazole-1,4                 *c1cnn(*)c1
    pyrazole-1,3                 *c1ccn(*)n1
    imidazole-1,4                *c1cn(*)cn1
    imidazole-1,2                *c1nccn1*
    oxazole-2,5                  *c1cnc(*)o1
    isoxazole-3,5                *c1cc(*)on1
    thiazole-2,4                 *c1csc(*)n1
    thiazole-2,5                 *c1cnc(*)s1
    1,3,4-oxadiazole-2,5         *c1nnc(*)o1
    1,2,4-oxadiazole-3,5         *c1noc(*)n1
    1,3,4-thiadiazole-2,5        *c1nnc(*)s1
    1,2,3-triazole-1,4           *c1cn(*)nn1
    1,2,4-triazole-1,3           *c1ncn(*)n1
    tetrazole-1,5                *c1nnnn1*
    indole-1,3                   *c1cn(*)c2ccccc12
    indole-3,5                   *c1c[nH]c2ccc(*)cc12
    indazole-1,3                 *c1nn(*)c2ccccc12
    benzimidazole-1,2            *c1nc2ccccc2n1*
    benzofuran-2,5               *c1cc2cc(*)ccc2o1
    benzothiophene-2,5           *c1cc2cc(*)ccc2s1
    benzoxazole-2,5              *c1nc2cc(*)ccc2o1
    benzothiazole-2,6            *c1nc2ccc(*)cc2s1
    quinoline-4,7                *c1ccnc2cc(*)ccc12
    quinazoline-4,6              *c1ncnc2ccc(*)cc12
    quinoxaline-2,6              *c1cnc2cc(*)ccc2n1
    purine-6,9                   *c1ncnc2c1ncn2*
    imidazopyridine-2,6          *c1cn2cc(*)ccc2n1
    cyclopropane-1,2             *C1CC1*
    cyclobutane-1,3              *C1CC(*)C1
    cyclopentane-1,3             *C1CCC(*)C1
    cyclohexane-1,4              *C1CCC(*)CC1
    bicyclopentane-1,3           *C12CC(*)(C1)C2
    azetidine-1,3                *C1CN(*)C1
    pyrrolidine-1,3              *C1CCN(*)C1
    pyrrolidine-1,2              *C1CCCN1*
    piperidine-1,4               *C1CCN(*)CC1
    piperazine-1,4               *N1CCN(*)CC1
    morpholine-2,4               *C1CN(*)CCO1
    tetrahydropyran-2,4          *C1CCOC(*)C1
    pyrrolidinone-1,4            *C1CC(=O)N(*)C1
    oxazolidinone-3,5            *C1CN(*)C(=O)O1
    tetrahydroisoquinoline-2,7   *c1ccc2CCN(*)Cc2c1
    indoline-1,5                 *c1ccc2N(*)CCc2c1
    tropane-3,8                  *C1CC2CCC(C1)N2*
""")
"""The default list: 6 substituents with one stem and 77 fragments with two or three."""


@dataclass(frozen=True)
class FragmentTable:
    """What trees need to know of a list of fragments.

    Attributes:
        fragments: the list.
        classes: `classes[f][entry + 1]` has one label for each of the three stems: equal where the stems can be
            exchanged by a symmetry of fragment f that keeps the entry stem in place (`ROOT` keeps none). Labels of
            stems that do not exist or are the entry are -1.
        hetero: `hetero[f][stem]`: the stem's atom is N, O, thioether S or a halogen.
        blocks: every (fragment, entry stem) that a growing molecule can be extended by, one of each set of equivalent
            stems; the block with entry 0 of each fragment also places it first.
    """

    fragments: tuple[Fragment, ...]
    classes: tuple[tuple[tuple[int, int, int], ...], ...]
    hetero: tuple[tuple[bool, ...], ...]
    blocks: tuple[tuple[int, int], ...]

    def stems(self, fragment: int) -> int:
        """Return how many stems a fragment has."""
        return len(self.hetero[fragment])


@lru_cache(maxsize=8)
def fragment_table(fragments: tuple[Fragment, ...] = FRAGMENTS) -> FragmentTable:
    """Return the table of a list of fragments.

    Raises:
        UserError: a SMILES that cannot be read, has no or more than three `*`, a `*` not held by one single bond, the
            same fragment twice, or a symmetry of three stems that turns but does not exchange them.
    """
    from rdkit import Chem

    if not fragments:
        raise UserError("fragments: the list is empty; at least one fragment is needed")
    classes, hetero, blocks = [], [], []
    seen: dict[str, str] = {}
    for number, fragment in enumerate(fragments):
        mol = Chem.MolFromSmiles(fragment.smiles)
        if mol is None:
            raise UserError(f"fragment {fragment.name!r}: {fragment.smiles!r} is no SMILES that rdkit reads")
        smiles = Chem.MolToSmiles(mol)
        if smiles in seen:
            raise UserError(f"fragments {seen[smiles]!r} and {fragment.name!r} are the same: {smiles}")
        seen[smiles] = fragment.name
        dummies = stem_atoms(mol, fragment)
        groups = _permutations(mol, dummies)
        classes.append(tuple(_classes(groups, len(dummies), entry, fragment) for entry in range(ROOT, len(dummies))))
        hetero.append(tuple(_is_hetero(mol.GetAtomWithIdx(dummy).GetNeighbors()[0]) for dummy in dummies))
        labels = classes[-1][0]
        blocks += [(number, entry) for entry in range(len(dummies)) if labels.index(labels[entry]) == entry]
    return FragmentTable(fragments, tuple(classes), tuple(hetero), tuple(blocks))


def stem_atoms(mol: Any, fragment: Fragment) -> list[int]:
    """Return the indices of the `*` of an rdkit molecule, checked, in the order of the SMILES."""
    dummies = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]
    if not 1 <= len(dummies) <= MAX_STEMS:
        raise UserError(f"fragment {fragment.name!r}: {len(dummies)} stems in {fragment.smiles!r}; 1 to 3 are allowed")
    for dummy in dummies:
        bonds = mol.GetAtomWithIdx(dummy).GetBonds()
        if len(bonds) != 1 or bonds[0].GetBondTypeAsDouble() != 1.0 or bonds[0].GetOtherAtomIdx(dummy) in dummies:
            raise UserError(
                f"fragment {fragment.name!r}: each * in {fragment.smiles!r} needs one single bond to an atom"
            )
    return dummies


def _permutations(mol: Any, dummies: list[int]) -> set[tuple[int, ...]]:
    """Return the permutations of the stems that symmetries of the fragment make."""
    matches = mol.GetSubstructMatches(mol, uniquify=False, maxMatches=10_000)
    return {tuple(dummies.index(match[dummy]) for dummy in dummies) for match in matches}


def _classes(groups: set[tuple[int, ...]], n: int, entry: int, fragment: Fragment) -> tuple[int, int, int]:
    """Return the label of each stem under the symmetries that keep the entry in place."""
    kept = [p for p in groups if entry == ROOT or p[entry] == entry]
    label = [-1 if stem == entry else min(p[stem] for p in kept) for stem in range(n)]
    for first in set(label) - {-1}:
        members = [stem for stem in range(n) if label[stem] == first]
        for one, other in pairwise(members):
            swap = list(range(n))
            swap[one], swap[other] = other, one
            if tuple(swap) not in kept:
                # Sorting the children of a class is canonical only where its members can be exchanged freely.
                raise UserError(f"fragment {fragment.name!r}: its stems can be turned but not exchanged one by one")
    filled = label + [-1] * (MAX_STEMS - n)
    return filled[0], filled[1], filled[2]


def _is_hetero(atom: Any) -> bool:
    """Whether an atom is one that must not be bonded to another of its kind: sulfonyl and sulfoxide S may be."""
    if atom.GetSymbol() == "S":
        return not any(bond.GetBondTypeAsDouble() == 2.0 for bond in atom.GetBonds())
    return atom.GetSymbol() in ("N", "O", "F", "Cl", "Br", "I")
