"""Reading SMILES that anybody may have written: bounded in size and time, one connected molecule (rdkit)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

MAX_CHARACTERS = 400
"""Longest SMILES that is read."""
MAX_ATOMS = 100
"""Most heavy atoms that are read."""
MAX_RINGS = 20
"""Most ring bonds in excess of a tree: rdkit's ring search and canonical ranks stay fast up to here."""
CACHE_SIZE = 65_536
_SETTLE_ROUNDS = 6

_ALPHABET = re.compile(r"[A-Za-z0-9@+\-\[\]()=#$:/\\.%*]+")
_BRACKETED = re.compile(r"\[[^\]]*\]")
_CLOSURE = re.compile(r"%\([0-9]{1,5}\)|%[0-9]{2}|[0-9]")

CODES: dict[str, str] = {
    "E_EMPTY": "no text",
    "E_SIZE": "too many characters, atoms or rings",
    "E_CHARACTER": "a character that SMILES does not have",
    "E_COMPONENTS": "more than one molecule",
    "E_SMILES": "rdkit cannot read it",
    "E_ATOM": "an atom that is no element, or none at all",
}


class Problem(str):
    """Why a text is no molecule: the message, with its code."""

    code: str

    def __new__(cls, code: str, message: str) -> Problem:
        """Make a message that starts with its code."""
        made = super().__new__(cls, f"{code}: {message}")
        made.code = code
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Problem, (self.code, self.removeprefix(f"{self.code}: "))


def read_molecule(text: str) -> Any | Problem:
    """Return the rdkit molecule of a SMILES, or why there is none; never raises on a text.

    Size and alphabet are checked before rdkit sees the text. White space at the ends is allowed.

    Example: `read_molecule("CC.O")` is the problem `E_COMPONENTS: ...`.
    """
    text = text.strip() if len(text) <= 2 * MAX_CHARACTERS else text
    if not text:
        return Problem("E_EMPTY", "no SMILES was given")
    if len(text) > MAX_CHARACTERS:
        return Problem("E_SIZE", f"{len(text)} characters; at most {MAX_CHARACTERS} are read")
    if not _ALPHABET.fullmatch(text):
        strange = next(c for c in text if not _ALPHABET.fullmatch(c))
        return Problem("E_CHARACTER", f"{strange!r} (U+{ord(strange):04X}) is no character of SMILES")
    return _read(text)


@lru_cache(maxsize=4096)
def _read(text: str) -> Any | Problem:
    from rdkit import Chem, rdBase

    if "." in text:
        return Problem("E_COMPONENTS", "one connected molecule is needed; found a '.'")
    if len(_CLOSURE.findall(_BRACKETED.sub("", text))) > 2 * MAX_RINGS:
        return Problem("E_SIZE", f"more than {MAX_RINGS} ring closures")
    with rdBase.BlockLogs():
        try:
            mol = Chem.MolFromSmiles(text)
        except Exception as error:  # rdkit raises C++ errors of many kinds for broken text
            return Problem("E_SMILES", f"rdkit: {type(error).__name__}")
    if mol is None:
        return Problem("E_SMILES", f"rdkit reads no molecule in {text[:60]!r}")
    n = mol.GetNumAtoms()
    if n == 0 or any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
        return Problem("E_ATOM", "every atom must be an element; found '*' or nothing")
    if n > MAX_ATOMS:
        return Problem("E_SIZE", f"{n} heavy atoms; at most {MAX_ATOMS} are read")
    return mol


@lru_cache(maxsize=CACHE_SIZE)
def canonical_smiles(text: str) -> str | Problem:
    """Return rdkit's canonical SMILES of a molecule, or why there is none.

    The text returned is read back and written again until it stays the same, so that it is itself readable and its own
    canonical form.
    """
    from rdkit import Chem

    smiles = text
    for _ in range(_SETTLE_ROUNDS):
        mol = read_molecule(smiles)
        if isinstance(mol, Problem):
            return mol
        written: str = Chem.MolToSmiles(mol)
        if written == smiles:
            return smiles
        smiles = written
    return Problem("E_SMILES", f"rdkit finds no stable canonical form of {text[:60]!r}")


def heavy_atoms(smiles: str) -> int:
    """Return the number of atoms that rdkit keeps of a readable SMILES; any other raises `ValueError`."""
    mol = read_molecule(smiles)
    if isinstance(mol, Problem):
        raise ValueError(f"{smiles[:80]!r}: {mol}")
    return int(mol.GetNumAtoms())
