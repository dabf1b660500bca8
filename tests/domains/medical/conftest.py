"""Fixtures: the three-fact example of ProMed's card, small knowledge bases and cases, DDXPlus-shaped files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from domains.medical.datasets import build
from domains.medical.kb import Disease, Finding, KnowledgeBase, embedded_kb
from domains.medical.schema import Case, Fact

THREE = [[0.9, 0.8, 0.1], [0.6, 0.2, 0.5], [0.3, 0.5, 0.5]]


@pytest.fixture(scope="session")
def kb() -> KnowledgeBase:
    return embedded_kb()


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty patients of the first 29 diseases of the embedded knowledge base."""
    out = tmp_path_factory.mktemp("medical") / "toy"
    build("toy", out, {"count": "60", "diseases": "29"})
    return out


@pytest.fixture(scope="session")
def three_kb() -> KnowledgeBase:
    """P(f = 1 | d) of the worked example, with no leak."""
    findings = tuple(Finding(f"f{i}", f"Is sign {i} there?", 0.0) for i in (1, 2, 3))
    diseases = tuple(
        Disease(f"d{row}", f"illness {row}", prior, {f"f{i + 1}": p for i, p in enumerate(chances)})
        for row, (prior, chances) in enumerate(zip((0.5, 0.3, 0.2), THREE, strict=True))
    )
    return KnowledgeBase(diseases, findings)


@pytest.fixture(scope="session")
def three_case() -> Callable[..., Case]:
    """Makes the worked example's patient: findings as given, true disease 0, nothing known unless said."""

    def make(found: tuple[int, int, int] = (1, 1, 0), known: tuple[str, ...] = ()) -> Case:
        facts = tuple(
            Fact(f"f{i}", f"Is sign {i} there? {'Yes' if value else 'No'}.", f"f{i}", bool(value))
            for i, value in enumerate(found, start=1)
        )
        options = ("illness 0", "illness 1", "illness 2")
        return Case("three", facts, known, "Which illness?", options, "A", {"world": "closed"})

    return make


@pytest.fixture
def text_case() -> Case:
    """A case of an examination: facts without keys, open world."""
    facts = (
        Fact("f1", "Patient is a 30-year-old woman."),
        Fact("f2", "Patient complains of fever."),
        Fact("f3", "Patient denies vomiting."),
        Fact("f4", "Her left knee is swollen and hot."),
    )
    options = ("Septic arthritis", "Gout", "Influenza", "Rheumatoid arthritis")
    return Case("exam", facts, ("f1",), "Which diagnosis is the most likely?", options, "A")


EVIDENCES = {
    "E_1": ("B", "Do you have a fever?", []),
    "E_2": ("B", "Do you cough?", []),
    "E_3": ("B", "Do you wheeze?", []),
    "E_4": ("C", "How intense is the pain?", [0, 1, 2, 3]),
    "E_5": ("M", "Where does it hurt?", ["V_0", "V_1", "V_2", "V_3"]),
}
WORDS = {"V_0": "nowhere", "V_1": "chest", "V_2": "back", "V_3": "leg"}
PATHOLOGIES = ("Flu", "Asthma", "Sciatica")


@pytest.fixture
def ddxplus_folder(tmp_path: Path) -> Callable[[int], Path]:
    """Writes a small ontology and a CSV of generated patients in the form of the DDXPlus release."""

    def write(rows: int, seed: int = 0) -> Path:
        folder = tmp_path / "ddxplus"
        folder.mkdir()
        evidences = {
            name: {
                "name": name,
                "code_question": name,
                "question_en": question,
                "data_type": kind,
                "possible-values": values,
                "value_meaning": {value: {"en": WORDS[value]} for value in values if value in WORDS},
                "default_value": {"B": 0, "C": 0, "M": "V_0"}[kind],
            }
            for name, (kind, question, values) in EVIDENCES.items()
        }
        (folder / "release_evidences.json").write_text(json.dumps(evidences))
        (folder / "release_conditions.json").write_text(json.dumps({name: {} for name in PATHOLOGIES}))
        rng = np.random.default_rng(seed)
        with (folder / "release_train_patients.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["AGE", "DIFFERENTIAL_DIAGNOSIS", "SEX", "PATHOLOGY", "EVIDENCES", "INITIAL_EVIDENCE"])
            for _ in range(rows):
                writer.writerow(_patient(rng))
        return folder

    return write


def _patient(rng: np.random.Generator) -> list[object]:
    """Flu: fever and cough; asthma: cough and wheeze; sciatica: strong pain in the back and the leg."""
    row = int(rng.integers(3))
    chances = {"E_1": (0.9, 0.1, 0.05), "E_2": (0.8, 0.7, 0.05), "E_3": (0.1, 0.9, 0.05)}
    shown = [name for name, chance in chances.items() if rng.random() < chance[row]]
    if row == 2 or not shown:
        shown += [f"E_4_@_{rng.integers(1, 4)}", "E_5_@_V_2"] + (["E_5_@_V_3"] if rng.random() < 0.7 else [])
    differential = [[PATHOLOGIES[row], 0.9], [PATHOLOGIES[(row + 1) % 3], 0.1]]
    initial = shown[0].partition("_@_")[0]
    return [
        int(rng.integers(1, 90)),
        str(differential),
        "MF"[int(rng.integers(2))],
        PATHOLOGIES[row],
        str(shown),
        initial,
    ]
