"""Properties of molecules that rewards and verifiers read: QED, logP, synthetic accessibility (rdkit).

- QED: quantitative estimate of drug-likeness, 0 to 1 (Bickerton et al., Nat. Chem. 4, 90 (2012)).
- logP: Crippen's octanol-water partition coefficient (Wildman and Crippen, J. Chem. Inf. Comput. Sci. 39, 868 (1999)).
- SA: synthetic accessibility, 1 easy to 10 hard (Ertl and Schuffenhauer, J. Cheminform. 1, 8 (2009)); the authors' code
  and fragment table ship with rdkit (`Contrib/SA_Score`).
"""

from __future__ import annotations

import importlib.util
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from domains.gflownet.reading import CACHE_SIZE, Problem, read_molecule
from sciRL.errors import UserError


class Properties(NamedTuple):
    """What is measured of one molecule; `atoms` counts heavy atoms."""

    qed: float
    logp: float
    sa: float
    atoms: int


@lru_cache(maxsize=CACHE_SIZE)
def properties(smiles: str) -> Properties | Problem:
    """Return the properties of a SMILES, or why it is no molecule.

    Example: aspirin, `CC(=O)Oc1ccccc1C(=O)O`, has QED 0.55, logP 1.31 and SA 1.58.
    """
    from rdkit.Chem import rdMolDescriptors
    from rdkit.Chem.QED import qed

    mol = read_molecule(smiles)
    if isinstance(mol, Problem):
        return mol
    return Properties(
        float(qed(mol)),
        float(rdMolDescriptors.CalcCrippenDescriptors(mol)[0]),
        float(_sa_scorer().calculateScore(mol)),
        mol.GetNumAtoms(),
    )


def measured(smiles: str) -> Properties:
    """Return the properties of a SMILES that is known to be readable; any other raises `ValueError`."""
    found = properties(smiles)
    if isinstance(found, Problem):
        raise ValueError(f"{smiles[:80]!r}: {found}")
    return found


@cache
def _sa_scorer() -> Any:
    """Import the scorer that ships with rdkit from its folder, without touching `sys.path`."""
    from rdkit.Chem import RDConfig

    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("sascorer", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UserError(f"the synthetic accessibility score needs {path}, which rdkit wheels ship; it is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache(maxsize=CACHE_SIZE)
def fingerprint(smiles: str) -> Any:
    """Return the Morgan fingerprint (radius 2, 2,048 bits; ECFP4) of a readable SMILES; others raise `ValueError`."""
    mol = read_molecule(smiles)
    if isinstance(mol, Problem):
        raise ValueError(f"{smiles[:80]!r}: {mol}")
    return _generator().GetFingerprint(mol)


@cache
def _generator() -> Any:
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def scaffold(smiles: str) -> str:
    """Return the Murcko scaffold of a readable SMILES (Bemis and Murcko, J. Med. Chem. 39, 2887 (1996)).

    It is empty for molecules without rings.
    """
    from rdkit.Chem.Scaffolds import MurckoScaffold

    found: str = MurckoScaffold.MurckoScaffoldSmiles(mol=read_molecule(smiles))
    return found
