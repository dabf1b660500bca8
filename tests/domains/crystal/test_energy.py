"""Energy models and the verifiers on them; CHGNet runs with the weights of its own package."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence

import pytest

from domains.crystal.codec import WyText
from domains.crystal.energy import ChgnetModel, chgnet_reference, formation_energy, lennard_jones_model
from domains.crystal.energy_verifiers import EForm, EHull, EnergyTable
from domains.crystal.hull import Hull
from domains.crystal.novelty import TrainingSet
from domains.crystal.reading import Reader
from domains.crystal.rubrics import make_rubric
from sciRL.errors import UserError
from sciRL.score import Status
from sciRL.task import Json, Task

SALT = "Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b"
HELIUM = "He4\nSG 225\nCELL 4.200\nHe 4a"


def ask(reference: Json = None) -> Task:
    return Task("crystal", ({"role": "user", "content": "a crystal"},), reference=reference)


@pytest.fixture(scope="module")
def chgnet() -> ChgnetModel:
    pytest.importorskip("chgnet")
    return ChgnetModel()


def test_formation_energy_names_a_missing_reference() -> None:
    with pytest.raises(UserError, match="He"):
        formation_energy(-1.0, {"He": 1}, chgnet_reference())


def test_lennard_jones_has_a_minimum_and_relaxes_into_it() -> None:
    model = lennard_jones_model(sigma=2.5)
    # The nearest-neighbour optimum of fcc Lennard-Jones is 1.09 sigma, a = 3.85.
    structures = [
        WyText().decode(f"Cu4\nSG 225\nCELL {a}\nCu 4a").to_structure(primitive=True)
        for a in ("3.500", "3.850", "4.500")
    ]
    low, best, high = model.energies(structures)
    assert best < min(low, high)
    relaxed = model.relax([structures[2]], steps=200, fmax=0.01)[0]
    assert relaxed.converged
    assert relaxed.energy == pytest.approx(best, abs=0.02)
    assert pickle.loads(pickle.dumps(model)).energies(structures)[1] == best


def test_chgnet_formation_energy_of_rock_salt(chgnet: ChgnetModel) -> None:
    structure = WyText().decode(SALT).to_structure(primitive=True)
    energy = chgnet.energies([structure])[0]
    # Materials Project: -2.10 eV/atom.
    assert formation_energy(energy, {"Na": 1, "Cl": 1}, chgnet.reference) == pytest.approx(-2.10, abs=0.08)
    assert math.isnan(ChgnetModel(max_atoms=1).energies([structure])[0])


def test_one_broken_structure_leaves_its_batch_alone(chgnet: ChgnetModel) -> None:
    lonely = WyText().decode("Na1\nSG 1\nCELL 60.000 60.000 60.000 90.00 90.00 90.00\nNa 1a 0.000 0.000 0.000")
    salt = WyText().decode(SALT).to_structure(primitive=True)
    alone, beside = chgnet.energies([salt])[0], chgnet.energies([salt, lonely.to_structure()])[0]
    assert beside == pytest.approx(alone, abs=1e-4)


def test_e_form_target_falls_linearly_and_ignores_other_tasks(chgnet: ChgnetModel) -> None:
    verifier = EForm(Reader(WyText()), EnergyTable(chgnet))
    near, half, far, other, text = verifier.verify(
        [
            (ask({"e_form": -2.1, "e_form_tolerance": 0.1}), SALT),
            (ask({"e_form": -1.0, "e_form_tolerance": 0.7}), SALT),
            (ask({"e_form": 1.0, "e_form_tolerance": 0.1}), SALT),
            (ask(), SALT),
            (ask({"e_form": 0.0}), "no crystal"),
        ]
    )
    assert (near.value, far.value, other.value) == (1.0, 0.0, 1.0)
    assert half.value is not None
    assert 0 < half.value < 1
    assert text.status is Status.MALFORMED


def test_e_hull_and_what_lies_out_of_range(chgnet: ChgnetModel) -> None:
    hull = Hull.from_rows([{"formula": "NaCl", "e_form": -2.3}])
    verifier = EHull(Reader(WyText()), EnergyTable(chgnet), hull)
    at_default, at_limit, helium = verifier.verify([(ask(), SALT), (ask({"e_hull_max": 0.5}), SALT), (ask(), HELIUM)])
    assert (at_default.value, at_limit.value) == (0.0, 1.0)
    assert at_limit.measurements["e_hull"] == pytest.approx(0.2, abs=0.1)
    assert "partial" in at_limit.measurements["hull"]
    assert (helium.value, helium.status) == (0.0, Status.OK)
    assert "He" in helium.reason


def test_strict_measures_the_energy_and_judges_only_a_limit_that_was_asked(chgnet: ChgnetModel) -> None:
    hull = Hull.from_rows([{"formula": "NaCl", "e_form": -2.3}])
    training = TrainingSet.from_rows([{"id": "potash", "text": SALT.replace("Na", "K")}], WyText())
    rubric = make_rubric("strict", training=training, energy=chgnet, hull=hull)
    unasked, asked, helium = rubric.verify([(ask(), SALT), (ask({"e_hull_max": 0.01}), SALT), (ask(), HELIUM)])
    assert (unasked.components["e_hull"], asked.components["e_hull"]) == (1.0, 0.0)
    assert unasked.measurements["e_hull"] == asked.measurements["e_hull"] > 0.05
    assert helium.components["e_hull"] == 1.0
    assert "e_hull" not in helium.measurements


def test_atoms_inside_each_other_have_no_energy(chgnet: ChgnetModel) -> None:
    hull = Hull.from_rows([{"formula": "NaCl", "e_form": -2.3}])
    inside = "Na1Cl1\nSG 1\nCELL 4.000 4.000 4.000 90.00 90.00 90.00\nNa 1a 0.000 0.000 0.000\nCl 1a 0.100 0.000 0.000"
    score = EHull(Reader(WyText()), EnergyTable(chgnet), hull).verify([(ask(), inside)])[0]
    assert (score.value, score.status) == (0.0, Status.OK)
    assert "0.40 angstrom" in score.reason


def test_a_full_table_forgets_what_the_batch_does_not_need() -> None:
    table = EnergyTable(lennard_jones_model(sigma=2.5), capacity=2)
    old, *others = [WyText().decode(f"Cu4\nSG 225\nCELL {a}\nCu 4a") for a in ("3.600", "3.700", "3.800", "3.900")]
    table.fill([old])
    table.fill([others[0]])
    table.fill([old, others[1]])
    assert table.e_form(old) != table.e_form(others[1])
    with pytest.raises(KeyError):
        table.e_form(others[0])


class _Broken:
    """An energy model that fails as real ones do."""

    name, scale, max_atoms = "broken", "raw", 100
    reference = {"Na": 0.0, "Cl": 0.0}  # noqa: RUF012

    def __init__(self, raises: bool) -> None:
        self.raises = raises

    def energies(self, structures: Sequence[object]) -> list[float]:
        if self.raises:
            raise RuntimeError("out of memory")
        return [math.nan] * len(structures)


@pytest.mark.parametrize("raises", [True, False])
def test_a_failed_model_is_an_error_never_a_zero(raises: bool) -> None:
    hull = Hull.from_rows([{"formula": "NaCl", "e_form": -2.3}])
    score = EHull(Reader(WyText()), EnergyTable(_Broken(raises)), hull).verify([(ask(), SALT)])[0]  # type: ignore[arg-type]
    assert score.value is None
    assert score.status is Status.ERROR
