"""Verifiers of what GFlowNets draw: molecules as SMILES, cells of grids, bit sequences.

All are total: any text gets a score. An unreadable text is `malformed` for every verifier, with a typed code in its
measurements (`reading.CODES`), so each verifier can also be used alone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from domains.gflownet.bits import BitSequences
from domains.gflownet.hypergrid import Hypergrid
from domains.gflownet.reading import Problem, canonical_smiles, heavy_atoms
from sciRL.errors import UserError
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import Cost, Item, PerItemVerifier


class MoleculeVerifier(PerItemVerifier):
    """Base of the verifiers that judge one molecule by its canonical SMILES."""

    def verify_one(self, task: Task, answer: str) -> Score:
        """Read the answer and judge the molecule; an unreadable answer is malformed."""
        smiles = canonical_smiles(answer)
        if isinstance(smiles, Problem):
            return Score.malformed(str(smiles), code=smiles.code)
        return self.judge(smiles)

    @abstractmethod
    def judge(self, smiles: str) -> Score:
        """Return the score of a molecule by its canonical SMILES."""


class ParseMolecule(MoleculeVerifier):
    """1 when the answer is the SMILES of one molecule of 1 to `max_atoms` heavy atoms.

    Example: "c1ccccc1O" scores 1 and measures `smiles` "Oc1ccccc1"; "C.O" is malformed with E_COMPONENTS.
    """

    name = "parse"

    def __init__(self, max_atoms: int = 100) -> None:
        self.max_atoms = max_atoms

    def judge(self, smiles: str) -> Score:
        """Accept, and record the canonical SMILES and the number of heavy atoms."""
        atoms = heavy_atoms(smiles)
        if atoms > self.max_atoms:
            return Score.malformed(f"E_SIZE: {atoms} heavy atoms; at most {self.max_atoms} are allowed", code="E_SIZE")
        return Score.ok(1.0, smiles=smiles, atoms=atoms)


class Qed(MoleculeVerifier):
    """The quantitative estimate of drug-likeness, 0 to 1. Example: aspirin scores 0.5501."""

    name = "qed"

    def judge(self, smiles: str) -> Score:
        """Measure QED."""
        from domains.gflownet.properties import measured

        found = measured(smiles)
        return Score.ok(min(1.0, max(0.0, found.qed)), qed=found.qed)


class LogPWindow(MoleculeVerifier):
    """1 when Crippen's logP lies in a window, falling to 0 over `slope` outside of it.

    Args:
        low: lower edge.
        high: upper edge.
        slope: distance from an edge at which the score is 0.

    Example: with 0 to 5 and slope 1, hexadecane (logP 6.49) scores 0 and a molecule of logP 5.25 scores 0.75.
    """

    name = "logp"

    def __init__(self, low: float = 0.0, high: float = 5.0, slope: float = 1.0) -> None:
        if not low < high or slope <= 0:
            raise UserError(f"logP window: low {low} must be below high {high}, and slope {slope} above 0")
        self.low, self.high, self.slope = low, high, slope

    def judge(self, smiles: str) -> Score:
        """Measure logP."""
        from domains.gflownet.properties import measured

        logp = measured(smiles).logp
        outside = max(self.low - logp, logp - self.high, 0.0)
        reason = f"logP {logp:.2f} is outside {self.low:g} to {self.high:g}" if outside else ""
        return Score.ok(max(0.0, 1.0 - outside / self.slope), reason, logp=logp)


class SyntheticAccess(MoleculeVerifier):
    """(10 - SA) / 9: 1 for molecules that are easiest to make, 0 for the hardest.

    Example: aspirin, SA 1.58, scores 0.9356.
    """

    name = "sa"

    def judge(self, smiles: str) -> Score:
        """Measure SA."""
        from domains.gflownet.properties import measured

        sa = measured(smiles).sa
        return Score.ok(min(1.0, max(0.0, (10.0 - sa) / 9.0)), sa=sa)


class NovelMolecule(MoleculeVerifier):
    """1 when the molecule is not in a set of known ones, compared by canonical SMILES.

    Args:
        known: SMILES of known molecules, in any form.

    Raises:
        UserError: one of them cannot be read.

    Example: with "OCC" known, "C(O)C" scores 0.
    """

    name = "novel"

    def __init__(self, known: Iterable[str]) -> None:
        found = set()
        for number, text in enumerate(known, 1):
            smiles = canonical_smiles(text)
            if isinstance(smiles, Problem):
                raise UserError(f"known molecule {number}: {text[:80]!r}: {smiles}")
            found.add(smiles)
        self.known = frozenset(found)

    def judge(self, smiles: str) -> Score:
        """Look the molecule up."""
        known = smiles in self.known
        return Score.ok(float(not known), "a known molecule" if known else "")


class UniqueMolecule:
    """1 for the first of equal molecules in the batch, 0 for its later copies."""

    name = "unique"
    cost: Cost = "inline"

    def verify(self, items: Sequence[Item]) -> list[Score]:
        """Return one score per item; the order of the batch decides which copy counts."""
        seen: set[str] = set()
        out = []
        for _, answer in items:
            smiles = canonical_smiles(answer)
            if isinstance(smiles, Problem):
                out.append(Score.malformed(str(smiles), code=smiles.code))
                continue
            out.append(Score.ok(float(smiles not in seen), "a copy in the batch" if smiles in seen else ""))
            seen.add(smiles)
        return out


class GridMode(PerItemVerifier):
    """R of a cell over the largest R of the grid; the measurement `mode` names the mode it is in (-1 for none).

    Example: on `Hypergrid(2, 8)` the cell "[1, 1]" of R = 2.6 scores 1 and "[0, 0]" of R = 0.6 scores 0.2308.
    """

    name = "mode"

    def __init__(self, grid: Hypergrid) -> None:
        self.grid = grid
        # The reward is a product over axes, so the best cell is found on the diagonal, or in a mode.
        side = torch.arange(grid.side, device=grid.device)
        diagonal = side.unsqueeze(1).expand(-1, grid.dimensions)
        self._best = float(grid.log_reward(diagonal).max())

    def verify_one(self, task: Task, answer: str) -> Score:
        """Read the cell and compare its reward."""
        if len(answer) > 40 * self.grid.dimensions:
            return Score.malformed(f"{len(answer)} characters are no cell of {self.grid.name}")
        try:
            state = self.grid.read([answer])
        except UserError as error:
            return Score.malformed(str(error))
        log_reward = float(self.grid.log_reward(state))
        mode = int(self.grid.mode_of(state))
        value = min(1.0, math.exp(log_reward - self._best))
        return Score.ok(value, "" if mode >= 0 else "in no mode", mode=mode, log_reward=log_reward)


class BitMode(PerItemVerifier):
    """1 - d / `distance` for a sequence at Hamming distance d from its nearest mode, 0 from `distance` on.

    The measurement `mode` is that mode where d < `distance` (the published criterion: 30 of 120 bits), else -1.
    """

    name = "mode"

    def __init__(self, bits: BitSequences, distance: float = 30.0) -> None:
        if distance <= 0:
            raise UserError(f"bit modes: distance {distance} must be above 0")
        self.bits, self.distance = bits, distance

    def verify_one(self, task: Task, answer: str) -> Score:
        """Read the sequence and measure its distance from the modes."""
        try:
            state = self.bits.read([answer.strip()])
        except UserError as error:
            return Score.malformed(str(error))
        nearest, mode = self.bits.mode_distances(state)[0].min(-1)
        found = int(mode) if float(nearest) < self.distance else -1
        facts: dict[str, Any] = {"mode": found, "hamming": float(nearest)}
        reason = "" if found >= 0 else f"{nearest:g} bits from the nearest mode"
        return Score.ok(max(0.0, 1.0 - float(nearest) / self.distance), reason, **facts)
