"""The crystal domain object: its contract, its light import, its embedded data and its reward wiring."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from domains.crystal import DOMAIN
from domains.crystal.dataset_check import check
from domains.crystal.options import CrystalOptions
from domains.crystal.reward import build_hull
from domains.crystal.rows import load_rows
from domains.crystal.sources import PROTOTYPE_FILE
from sciRL.dataset_folder import sha256
from sciRL.domain import Domain, Record
from sciRL.errors import UserError
from sciRL.score import Score, Status
from sciRL.task import Task

DATA = DOMAIN.default_data()


def test_import_is_light() -> None:
    code = (
        "import sys, domains.crystal\n"
        "print([m for m in ('pymatgen', 'torch', 'transformers', 'ase', 'spglib') if m in sys.modules])"
    )
    repository = Path(__file__).resolve().parents[3]
    result = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_domain_object() -> None:
    assert isinstance(DOMAIN, Domain)
    assert DOMAIN.name == "crystal"
    assert DOMAIN.Options() == CrystalOptions()


def test_embedded_data_is_sound_and_small() -> None:
    assert check(DATA) == []
    manifest = json.loads((DATA / "manifest.json").read_text())
    assert manifest["source"]["sha256"]["prototypes.jsonl"] == sha256(PROTOTYPE_FILE)
    assert manifest["rows"]["train"] > 3000
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 2_000_000


def test_embedded_answers_are_right_except_where_chemistry_or_symmetry_say_otherwise() -> None:
    options = CrystalOptions()
    demonstrations = DOMAIN.demonstrations(DATA, "test", options, 0)
    rubric = DOMAIN.rubric(DATA, options)
    scores = rubric.verify([(d.task, d.answer) for d in demonstrations[:120]])
    assert all(score.status is Status.OK for score in scores)
    for stage in ("parse", "condition", "sg_match"):
        assert all(score.components[stage] == 1.0 for score in scores), stage
    assert sum(score.components["neutral"] for score in scores) >= 115
    records = [Record(d.task, d.answer, s) for d, s in zip(demonstrations, scores, strict=False)]
    summary = DOMAIN.summarize(records, DATA, options)
    assert summary["readable_share"] == 1.0
    assert summary["effective_space_groups"] > 4


def test_training_answers_are_not_novel() -> None:
    options = CrystalOptions()
    demonstrations = DOMAIN.demonstrations(DATA, "train", options, 0)[:20]
    scores = DOMAIN.rubric(DATA, options).verify([(d.task, d.answer) for d in demonstrations])
    assert [score.components["novel"] for score in scores] == [0.0] * 20


def test_weights_belong_to_the_options_preset() -> None:
    options = CrystalOptions(rubric="ladder", weights={"novel": 0.0})
    assert {s.verifier.name: s.weight for s in DOMAIN.rubric(DATA, options).stages}["novel"] == 0.0
    assert {s.verifier.name: s.weight for s in DOMAIN.rubric(DATA, options, "strict").stages}["novel"] == 1.0
    with pytest.raises(UserError, match="no stage 'novelty'"):
        DOMAIN.rubric(DATA, CrystalOptions(weights={"novelty": 1.0}))


def test_vocabulary_needs_the_compact_form() -> None:
    assert DOMAIN.vocabulary(DATA, CrystalOptions(prompt_style="chat")) is None
    vocabulary = DOMAIN.vocabulary(DATA, CrystalOptions())
    assert vocabulary is not None
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens)


def test_hull_sources(tmp_path: Path) -> None:
    assert build_hull(DATA, "dataset") is None  # the embedded rows have no energies
    (tmp_path / "hull.csv").write_text("formula,e_form\nNaCl,-2.0\n")
    hull = build_hull(DATA, str(tmp_path / "hull.csv"))
    assert hull is not None
    assert hull.e_hull({"Na": 1, "Cl": 1}, -1.9) == pytest.approx(0.1)
    with pytest.raises(UserError, match=r"allowed are 'dataset', a \.csv or a \.json file"):
        build_hull(DATA, "hull.xlsx")


def test_pairs_stay_inside_their_prompt() -> None:
    def record(prompt: str, e_hull: float | None, failed: bool = False) -> Record:
        task = Task("crystal", ({"role": "user", "content": prompt},), reference={})
        score = (
            Score.failed(Status.ERROR, "x")
            if failed
            else Score.ok(0.5, **({} if e_hull is None else {"e_hull": e_hull}))
        )  # type: ignore[arg-type]
        return Record(task, "", score)

    records = [record("a", -0.1), record("b", 0.5), record("a", 0.5), record("b", -0.1), record("a", None, failed=True)]
    pairs = DOMAIN.preference_pairs("basic", records, DATA, CrystalOptions(), seed=0)
    assert set(pairs) == {(0, 2), (3, 1)}
    with pytest.raises(
        UserError, match="unknown pair builder 'best'; allowed are best_vs_worst, best_vs_rest, basic, tiered"
    ):
        DOMAIN.preference_pairs("best", records, DATA, CrystalOptions(), seed=0)


def test_chat_answers_are_scored_with_their_tags() -> None:
    options = CrystalOptions(prompt_style="chat")
    demonstration = DOMAIN.demonstrations(DATA, "test", options, 0)[0]
    rubric = DOMAIN.rubric(DATA, options)
    bare = demonstration.answer.removeprefix("<answer>\n").removesuffix("\n</answer>")
    tagged, untagged = rubric.verify([(demonstration.task, demonstration.answer), (demonstration.task, bare)])
    assert tagged.value == 1.0
    assert (untagged.value, untagged.status) == (0.0, Status.MALFORMED)


def test_rows_file_is_read_again_after_a_change(tmp_path: Path) -> None:
    row = load_rows(DATA, "test")[0]
    (tmp_path / "test.jsonl").write_text(row.to_json() + "\n")
    assert len(load_rows(tmp_path, "test")) == 1
    (tmp_path / "test.jsonl").write_text(row.to_json() + "\n" + row.to_json() + "\n")
    assert len(load_rows(tmp_path, "test")) == 2


def test_summary_measures_the_asked_group_for_frequent_and_rare_groups_apart() -> None:
    salt = "SG 225\nCELL 6.600\nK 4a\nBr 4b"
    asked = [Task("crystal", ({"role": "user", "content": str(n)},), reference={"sg": n}) for n in (225, 221, 1)]
    options = CrystalOptions()
    items = [(asked[0], salt), (asked[1], salt), (asked[2], salt), (asked[0], "no crystal")]
    scores = DOMAIN.rubric(DATA, options).verify(items)
    records = [Record(task, answer, score) for (task, answer), score in zip(items, scores, strict=True)]
    summary = DOMAIN.summarize(records, DATA, options)
    assert summary["sg_right_frequent"] == pytest.approx(1 / 3)
    assert summary["sg_right_rare"] == 0.0
    assert (summary["sg_asked_frequent"], summary["sg_asked_rare"]) == (3.0, 1.0)
