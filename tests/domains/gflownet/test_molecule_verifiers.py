"""Molecule verifiers and rubrics: known values, hostile texts in bounded time; modes of grids and bits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciRL.errors import UserError
from sciRL.score import Status
from sciRL.task import Task

Chem = pytest.importorskip("rdkit.Chem", reason="rdkit is not installed (pip install sciRL[gflownet])")

from domains.gflownet.bits import AppendBits  # noqa: E402
from domains.gflownet.hypergrid import Hypergrid  # noqa: E402
from domains.gflownet.molecules import MoleculeEnvironment  # noqa: E402
from domains.gflownet.reading import CODES, Problem, canonical_smiles  # noqa: E402
from domains.gflownet.rubrics import PRESETS, mode_rubric, molecule_rubric  # noqa: E402
from domains.gflownet.verifiers import LogPWindow, NovelMolecule, ParseMolecule  # noqa: E402

TASK = Task("gflownet", ({"role": "user", "content": "Write a molecule."},))
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
CAGE = "c12c3c4c5c1c6c7c8c2c9c1c3c2c3c4c4c%10c5c5c6c6c7c7c%11c8c9c8c9c1c2c1c2c3c4c3c4c%10c5c5c6c6c7c7c%11c8c8c9c1"

HOSTILE: dict[str, str] = {
    "": "E_EMPTY",
    " \n\t": "E_EMPTY",
    "C." * 1000: "E_SIZE",
    "C" * 1_000_000: "E_SIZE",
    "C" * 101: "E_SIZE",
    "(" * 400: "E_SMILES",
    "[" * 400: "E_SMILES",
    "C(" * 200: "E_SMILES",
    "C1" * 60: "E_SIZE",
    CAGE: "E_SIZE",
    "".join(f"C%{k}" for k in range(10, 99)): "E_SIZE",
    "CC.O": "E_COMPONENTS",
    "[Na+].[Cl-]": "E_COMPONENTS",
    "\u0421CO": "E_CHARACTER",  # Cyrillic Es
    "\uff23CO": "E_CHARACTER",  # full-width C
    "C\u200bO": "E_CHARACTER",
    "C\x00O": "E_CHARACTER",
    "CO name": "E_CHARACTER",
    "CC>>CO": "E_CHARACTER",
    "*C": "E_ATOM",
    "[CH5]": "E_SMILES",
    "C(C)(C)(C)(C)C": "E_SMILES",
    "n1cccc1": "E_SMILES",
    "INVALID": "E_SMILES",
    "%%%%": "E_SMILES",
}
ODD = ["[H][H]", "[He]", "[U]", "[2H]", "[999C]", "[Og]", "C12C3C4C1C5C2C3C45", "C1CC1" * 19, "B" * 99, "[C:1000000]"]


@pytest.mark.parametrize("text", list(HOSTILE), ids=lambda text: repr(text[:12]))
def test_hostile_texts_are_malformed_with_a_code(text: str) -> None:
    score = molecule_rubric("druglike").verify([(TASK, text)])[0]
    assert (score.value, score.status) == (0.0, Status.MALFORMED)
    assert score.measurements["code"] == HOSTILE[text]
    assert HOSTILE[text] in CODES
    assert len(score.reason) < 300


def test_odd_molecules_are_scored_and_nothing_takes_long() -> None:
    rubric = molecule_rubric("druglike")
    rubric.verify([(TASK, ASPIRIN)])  # loads the table of the SA score
    start = time.process_time()
    scores = rubric.verify([(TASK, text) for text in [*HOSTILE, *ODD]])
    assert time.process_time() - start < 5.0
    best = rubric.verify([(TASK, ASPIRIN)])[0].value
    assert all(score.scorable and score.value < best for score in scores)


@settings(max_examples=150)
@given(text=st.text(alphabet="CNOSFclnos123()=#[]@+-H%./\\", max_size=60))
def test_any_text_is_scored_and_canonical_forms_are_fixed_points(text: str) -> None:
    score = molecule_rubric("novel", ["CCO"]).verify([(TASK, text)])[0]
    assert score.scorable
    smiles = canonical_smiles(text)
    if not isinstance(smiles, Problem):
        assert canonical_smiles(smiles) == smiles


def test_aspirin_by_hand() -> None:
    score = molecule_rubric("druglike").verify([(TASK, ASPIRIN)])[0]
    assert score.components == pytest.approx({"parse": 1.0, "qed": 0.5501, "logp": 1.0, "sa": 0.9356}, abs=1e-4)
    assert score.value == pytest.approx((1 + 2 * 0.5501 + 1 + 0.9356) / 5, abs=1e-4)
    assert score.measurements["logp"] == pytest.approx(1.3101, abs=1e-4)
    assert not score.measurements["passed"]  # QED below 0.6


def test_strict_is_all_or_nothing() -> None:
    paracetamol, copy = "CC(=O)Nc1ccc(O)cc1", "c1cc(O)ccc1NC(C)=O"
    drug = "CN1CCN(Cc2ccc(F)cc2)CC1"
    scores = molecule_rubric("strict", [copy]).verify([(TASK, t) for t in (paracetamol, drug, drug, ASPIRIN)])
    assert [score.value for score in scores] == [0.0, 1.0, 0.0, 0.0]
    assert [bool(score.measurements["passed"]) for score in scores] == [False, True, False, False]


def test_novelty_and_uniqueness_compare_molecules_not_texts() -> None:
    scores = molecule_rubric("novel", ["OCC"]).verify([(TASK, t) for t in ("CCO", "CCN", "NCC")])
    assert [score.components["novel"] for score in scores] == [0.0, 1.0, 1.0]
    assert [score.components["unique"] for score in scores] == [1.0, 1.0, 0.0]
    with pytest.raises(UserError, match="known molecule 2"):
        NovelMolecule(["C", "C("])


def test_logp_window_falls_linearly_outside() -> None:
    """Hexadecane has a logP of 6.487: 1.487 above 5."""
    assert LogPWindow(0, 5, 2.0).verify_one(TASK, "C" * 16).value == pytest.approx(1 - 1.4876 / 2, abs=1e-3)
    assert LogPWindow(0, 5, 1.0).verify_one(TASK, "C" * 16).value == 0.0
    with pytest.raises(UserError, match="logP window"):
        LogPWindow(5, 0)


def test_size_limit_is_the_parser_s() -> None:
    assert ParseMolecule(5).verify_one(TASK, "CCCCC").value == 1.0
    assert ParseMolecule(5).verify_one(TASK, "CCCCCC").measurements["code"] == "E_SIZE"


def test_unknown_presets_are_named() -> None:
    assert set(PRESETS) == {"druglike", "novel", "strict"}
    with pytest.raises(UserError, match="druglike, novel, strict"):
        molecule_rubric("easy")


def test_grid_modes() -> None:
    rubric = mode_rubric(Hypergrid(2, 8))
    texts = ["[1, 1]", "[6, 1]", "[0, 0]", "[4, 4]", "[8, 0]", "[" * 1000, "[1, 1" + " " * 10**6 + "]"]
    scores = rubric.verify([(TASK, text) for text in texts])
    assert [score.value for score in scores] == pytest.approx([1, 1, 0.6 / 2.6, 0.1 / 2.6, 0, 0, 0])
    assert [bool(score.measurements["passed"]) for score in scores] == [True, True] + [False] * 5
    assert [scores[k].measurements["mode"] for k in range(4)] == [0, 1, -1, -1]


@pytest.mark.parametrize("reward", ["original", "cosine", "sparse", "deceptive"])
@pytest.mark.parametrize("side", [5, 8, 11])
def test_the_best_cell_of_every_grid_scores_one(reward: str, side: int) -> None:
    grid = Hypergrid(2, side, reward)  # type: ignore[arg-type]
    cells = grid.enumerate()
    assert cells is not None
    scores = mode_rubric(grid).verify([(TASK, text) for text in grid.texts(cells)])
    best = int(grid.log_reward(cells).argmax())
    assert scores[best].value == pytest.approx(1.0)
    assert max(float(score.value or 0) for score in scores) == scores[best].value


def test_bit_modes() -> None:
    bits = AppendBits(16, 8)
    mode = "".join("01"[(bit > 0)] for bit in bits._mode_signs[0].tolist())
    flipped = ("1" if mode[0] == "0" else "0") + mode[1:]
    scores = mode_rubric(bits).verify([(TASK, text) for text in (mode, flipped, "01", "x" * 16)])
    assert scores[0].value == 1.0
    assert scores[1].value == pytest.approx(1 - 1 / 4)
    assert [bool(score.measurements["passed"]) for score in scores] == [True, True, False, False]
    assert [score.status for score in scores[2:]] == [Status.MALFORMED] * 2


def test_environments_without_modes_are_refused() -> None:
    with pytest.raises(UserError, match="no modes"):
        mode_rubric(MoleculeEnvironment(max_nodes=2))
