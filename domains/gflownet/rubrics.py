"""Rubric presets of molecules, and the rubric of a grid or of bit sequences.

========  ==========================================================================================================
preset    what it pays
========  ==========================================================================================================
druglike  parse (gate), then QED 2, logP 1, SA 1: the mean, for training and reports
novel     druglike, and novel 1 and unique 1: known molecules and copies lose a third
strict    all or nothing: parse, QED >= 0.6, logP in the window, SA <= 4, novel, unique, each a gate
========  ==========================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from domains.gflownet.bits import BitSequences
from domains.gflownet.hypergrid import Hypergrid
from domains.gflownet.verifiers import (
    BitMode,
    GridMode,
    LogPWindow,
    NovelMolecule,
    ParseMolecule,
    Qed,
    SyntheticAccess,
    UniqueMolecule,
)
from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment
from sciRL.verification.base import Rubric, Stage

STRICT_QED = 0.6
STRICT_SA = (10.0 - 4.0) / 9.0
"""The score of SA = 4, above which molecules are hard to make."""
ROUNDING = 1e-9


def molecule_rubric(
    preset: str, known: Iterable[str] = (), logp: tuple[float, float] = (0.0, 5.0), max_atoms: int = 100
) -> Rubric:
    """Return a rubric of molecules.

    Args:
        preset: `druglike`, `novel` or `strict` (see the module's table).
        known: SMILES that are not novel; `druglike` does not read them.
        logp: the window of logP.
        max_atoms: most heavy atoms.

    Raises:
        UserError: an unknown preset, or a known SMILES that cannot be read.

    Example: aspirin by `druglike` scores (1 + 2 * 0.5501 + 1 + 0.9356) / 5 = 0.8072.
    """
    if preset not in PRESETS:
        raise UserError(f"unknown molecule rubric {preset!r}; allowed: {', '.join(PRESETS)}")
    base = [
        Stage(ParseMolecule(max_atoms), 1.0, gate=True),
        Stage(Qed(), 2.0, threshold=STRICT_QED),
        Stage(LogPWindow(*logp), 1.0),
        Stage(SyntheticAccess(), 1.0, threshold=STRICT_SA),
    ]
    return Rubric(preset, PRESETS[preset](base, known))


def _fresh(known: Iterable[str]) -> list[Stage]:
    return [Stage(NovelMolecule(known), 1.0), Stage(UniqueMolecule(), 1.0)]


def _druglike(base: list[Stage], known: Iterable[str]) -> list[Stage]:
    return base


def _novel(base: list[Stage], known: Iterable[str]) -> list[Stage]:
    return [*base, *_fresh(known)]


def _strict(base: list[Stage], known: Iterable[str]) -> list[Stage]:
    stages = [*base, *_fresh(known)]
    # Only the last stage pays, so that the score is 1 when every gate was passed and 0 otherwise.
    gates = [Stage(s.verifier, 0.0, gate=True, threshold=s.threshold) for s in stages[:-1]]
    return [*gates, Stage(stages[-1].verifier, 1.0, gate=True)]


PRESETS: Mapping[str, Callable[[list[Stage], Iterable[str]], list[Stage]]] = {
    "druglike": _druglike,
    "novel": _novel,
    "strict": _strict,
}


def mode_rubric(environment: FlowEnvironment) -> Rubric:
    """Return the rubric of a grid or of bit sequences: how near a mode an object is, passed when it is in one.

    Raises:
        UserError: an environment of another kind.
    """
    if isinstance(environment, Hypergrid):
        return Rubric("mode", [Stage(GridMode(environment), 1.0, threshold=1.0 - ROUNDING)])
    if isinstance(environment, BitSequences):
        return Rubric("mode", [Stage(BitMode(environment, environment.n / 4), 1.0, threshold=ROUNDING)])
    raise UserError(f"{environment.name} has no modes; a rubric of its own is needed")
