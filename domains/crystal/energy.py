"""Energy models behind one protocol, and formation energies from their totals.

Models name the scale of their energies: CHGNet 0.3.0 already holds Materials Project's 2020 anion and GGA/GGA+U
corrections ("mp2020_corrected"), most other potentials do not ("raw"). Correcting twice is wrong by several tenths
of an eV per anion, so nothing here corrects; each model carries elemental references of its own scale instead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sciRL.errors import UserError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

Scale = Literal["mp2020_corrected", "raw"]

_REFERENCE = Path(__file__).parent / "tables" / "chgnet_elemental_reference.json"


@dataclass(frozen=True)
class Relaxed:
    """A relaxed structure, its total energy in eV (nan when the model failed) and whether the forces met `fmax`."""

    structure: Structure
    energy: float
    converged: bool


class EnergyModel(Protocol):
    """Total energies of periodic structures.

    `reference` maps a symbol to the element's energy in eV/atom on the model's own scale; structures of more than
    `max_atoms` atoms are not evaluated.
    """

    @property
    def name(self) -> str:
        """The model with its version, as reports print it."""
        ...

    @property
    def scale(self) -> Scale:
        """Which corrections the energies hold."""
        ...

    @property
    def reference(self) -> Mapping[str, float]:
        """Elemental energies in eV/atom."""
        ...

    @property
    def max_atoms(self) -> int:
        """Largest structure evaluated."""
        ...

    def energies(self, structures: Sequence[Structure]) -> list[float]:
        """Return total energies in eV, nan where the model fails."""
        ...

    def relax(self, structures: Sequence[Structure], steps: int, fmax: float) -> list[Relaxed]:
        """Relax positions and cells for at most `steps` steps, or until the largest force is below `fmax` eV/A."""
        ...


def formation_energy(energy: float, composition: Mapping[str, int], reference: Mapping[str, float]) -> float:
    """Return the formation energy in eV/atom: E/N - sum of x_i mu_i.

    Args:
        energy: total energy in eV.
        composition: atoms by symbol, of the same cell.
        reference: mu by symbol in eV/atom.

    Raises:
        UserError: an element without a reference.

    Example:
        >>> formation_energy(-8.0, {"Na": 1, "Cl": 1}, {"Na": -1.3, "Cl": -1.8})
        -2.45
    """
    missing = sorted(set(composition) - set(reference))
    if missing:
        raise UserError(f"no elemental reference energy for {', '.join(missing)}")
    size = sum(composition.values())
    return round((energy - sum(reference[el] * count for el, count in composition.items())) / size, 10)


@cache
def chgnet_reference() -> dict[str, float]:
    """Return CHGNet 0.3.0's elemental references in eV/atom.

    Fitted so that CHGNet energies of 3,840 MP-20 compounds give Materials Project's formation energies
    (held-out mean absolute error 0.023 eV/atom at DFT geometry; CHGNet has probably seen these compounds).
    """
    data = json.loads(_REFERENCE.read_text(encoding="utf-8"))
    return {symbol: row["mu"] for symbol, row in data["mu"].items()}


@dataclass
class ChgnetModel:
    """CHGNet 0.3.0 (Deng et al., Nature Machine Intelligence 5, 1031 (2023)) with the weights of its package.

    The network is loaded on first use and left out of pickles; torch is set to one thread by the caller.
    Pass primitive cells: the cost grows with the atoms.
    """

    max_atoms: int = 100
    batch_size: int = 16
    device: str = "cpu"
    name: str = field(default="CHGNet 0.3.0", init=False)
    scale: Scale = field(default="mp2020_corrected", init=False)
    _network: Any = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_network": None}

    @property
    def reference(self) -> Mapping[str, float]:
        """The shipped references."""
        return chgnet_reference()

    def energies(self, structures: Sequence[Structure]) -> list[float]:
        """Return total energies in eV; a structure that breaks a batch is nan and the others are evaluated alone."""
        out = [math.nan] * len(structures)
        small = [i for i, structure in enumerate(structures) if len(structure) <= self.max_atoms]
        for start in range(0, len(small), self.batch_size):
            part = small[start : start + self.batch_size]
            try:
                values = self._predict([structures[i] for i in part])
            except Exception:  # one bad structure (isolated atoms, unknown element) fails the whole batch
                values = [self._predict_or_nan(structures[i]) for i in part]
            for index, value in zip(part, values, strict=True):
                out[index] = value
        return out

    def relax(self, structures: Sequence[Structure], steps: int, fmax: float) -> list[Relaxed]:
        """Relax with FIRE and a Frechet cell filter."""
        from chgnet.model.dynamics import StructOptimizer

        optimizer = StructOptimizer(model=self._load(), use_device=self.device, on_isolated_atoms="ignore")
        out = []
        for structure in structures:
            try:
                result: dict[str, Any] = optimizer.relax(
                    structure, fmax=fmax, steps=steps, verbose=False, assign_magmoms=False
                )
                trajectory = result["trajectory"]
                force = float(abs(trajectory.forces[-1]).max())
                out.append(Relaxed(result["final_structure"], float(trajectory.energies[-1]), force <= fmax))
            except Exception:  # a structure that the network cannot read is reported as nan, not raised
                out.append(Relaxed(structure, math.nan, False))
        return out

    def _load(self) -> Any:
        if self._network is None:
            try:
                from chgnet.model.model import CHGNet
            except ModuleNotFoundError as error:
                raise UserError(
                    f"energy model chgnet needs the package {error.name!r}: pip install 'sciRL[crystal]'"
                ) from error
            self._network = CHGNet.load(use_device=self.device, verbose=False)
        return self._network

    def _predict(self, structures: list[Structure]) -> list[float]:
        found = self._load().predict_structure(structures, task="e", batch_size=self.batch_size)
        results = found if isinstance(found, list) else [found]
        return [float(r["e"]) * len(s) for r, s in zip(results, structures, strict=True)]

    def _predict_or_nan(self, structure: Structure) -> float:
        try:
            return self._predict([structure])[0]
        except UserError:
            raise
        except Exception:  # the model's limits, reported as nan
            return math.nan


@dataclass
class AseModel:
    """Any ASE calculator as an energy model.

    Args:
        name: printed in reports.
        make_calculator: a picklable function that returns an ASE calculator.
        scale: which corrections the calculator's energies hold.
        reference: elemental energies in eV/atom on the calculator's scale.
        max_atoms: largest structure evaluated.
    """

    name: str
    make_calculator: Callable[[], Any]
    scale: Scale
    reference: Mapping[str, float]
    max_atoms: int = 100

    def energies(self, structures: Sequence[Structure]) -> list[float]:
        """Return total energies in eV, nan where the calculator fails."""
        return [relaxed.energy for relaxed in self.relax(structures, steps=0, fmax=math.inf)]

    def relax(self, structures: Sequence[Structure], steps: int, fmax: float) -> list[Relaxed]:
        """Relax with FIRE and a Frechet cell filter."""
        from pymatgen.io.ase import AseAtomsAdaptor

        out = []
        for structure in structures:
            if len(structure) > self.max_atoms:
                out.append(Relaxed(structure, math.nan, False))
                continue
            atoms: Any = AseAtomsAdaptor.get_atoms(structure, msonable=False)
            try:
                atoms.calc = self.make_calculator()
                converged = _run_fire(atoms, steps, fmax) if steps else False
                energy = float(atoms.get_potential_energy())
            except Exception:  # a calculator may raise anything on an odd structure
                out.append(Relaxed(structure, math.nan, False))
                continue
            out.append(Relaxed(AseAtomsAdaptor.get_structure(atoms) if steps else structure, energy, converged))
        return out


def _run_fire(atoms: Any, steps: int, fmax: float) -> bool:
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    make_filter: Any = FrechetCellFilter
    return bool(FIRE(make_filter(atoms), logfile=None).run(fmax=fmax, steps=steps))


def lennard_jones_model(sigma: float = 2.5, epsilon: float = 0.1) -> AseModel:
    """Return a toy model (Lennard-Jones between all atoms, references 0) for tests and dry runs.

    Args:
        sigma: in angstrom.
        epsilon: in eV.
    """
    from domains.crystal.element_facts import element_facts

    reference = dict.fromkeys(element_facts(), 0.0)
    name = f"Lennard-Jones toy (sigma {sigma}, epsilon {epsilon})"
    return AseModel(name, _LennardJones(sigma, epsilon), "raw", reference)


@dataclass(frozen=True)
class _LennardJones:
    sigma: float
    epsilon: float

    def __call__(self) -> Any:
        from ase.calculators.lj import LennardJones

        make: Any = LennardJones
        return make(sigma=self.sigma, epsilon=self.epsilon, rc=3 * self.sigma, smooth=True)
