"""Known crystals are found however they are written; others are not."""

from __future__ import annotations

import pickle

import pytest

from domains.crystal.codec import WyText
from domains.crystal.novelty import TrainingSet, nearly_equal, same_crystal
from sciRL.errors import UserError

SALT = "Na4Cl4\nSG 225\nCELL 5.640\nNa 4a\nCl 4b"
OTHER_ORIGIN = "Na4Cl4\nSG 225\nCELL 5.640\nNa 4b\nCl 4a"
CSCL_TYPE = "Na1Cl1\nSG 221\nCELL 3.500\nNa 1a\nCl 1b"
RUTILE = "Ti2O4\nSG 136\nCELL 4.594 2.959\nTi 2a\nO 4f 0.305"
read = WyText().decode


@pytest.fixture
def training() -> TrainingSet:
    rows = [{"id": "salt", "text": SALT}, {"id": "rutile", "text": RUTILE}]
    return TrainingSet.from_rows(rows, WyText())


def test_exact_compressed_and_moved_copies_are_known(training: TrainingSet) -> None:
    assert training.contains(read(SALT)) == "salt"
    assert training.contains(read(SALT.replace("5.640", "5.070"))) == "salt"
    assert training.contains(read(OTHER_ORIGIN)) == "salt"
    assert training.contains(read(RUTILE.replace("0.305", "0.311"))) == "rutile"
    # The same atoms written without symmetry.
    assert (
        training.contains(read("Na1Cl1\nSG 166\nCELL 3.988 9.769\nNa 3a\nCl 3b".replace("Na1Cl1", "Na3Cl3"))) == "salt"
    )


def test_other_structures_and_formulas_are_new(training: TrainingSet) -> None:
    assert training.contains(read(CSCL_TYPE)) is None
    assert training.contains(read(SALT.replace("Na", "K"))) is None
    assert training.contains(read(RUTILE.replace("0.305", "0.150"))) is None


def test_shortcut_agrees_with_the_matcher() -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    first, second = read(RUTILE), read(RUTILE.replace("0.305", "0.308").replace("4.594", "4.650"))
    assert nearly_equal(first, second)
    assert StructureMatcher().fit(first.to_structure(), second.to_structure())
    assert not nearly_equal(first, read(RUTILE.replace("0.305", "0.350")))
    assert same_crystal(first, second)


def test_pickles_and_counts(training: TrainingSet) -> None:
    copy = pickle.loads(pickle.dumps(training))
    assert copy.contains(read(OTHER_ORIGIN)) == "salt"
    assert len(copy) == 2
    assert copy.space_groups == {225: 1, 136: 1}
    assert set(copy.templates) == {"225:a-b", "136:a-f"}


def test_bad_training_row_is_named() -> None:
    with pytest.raises(UserError, match=r"row 2 \(bad\).*E_"):
        TrainingSet.from_rows([{"id": "a", "text": SALT}, {"id": "bad", "text": "SG 1"}], WyText())
