"""Builders: MediQ, MedQA, DDXPlus and knowledge bases become checked folders; bad input is named."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from domains.medical.belief import NaiveBayesBelief
from domains.medical.dataset_check import check
from domains.medical.datasets import BAYES_FILE, build, load_bayes
from domains.medical.ddxplus import Ontology, read_patient
from domains.medical.differential import differential_scores, rank_of
from domains.medical.evidence_bayes import EvidenceBayes
from domains.medical.exam_items import split_sentences, split_vignette
from domains.medical.kb import EMBEDDED
from domains.medical.patient import SimulatedPatient
from domains.medical.rows import KbRow, folder_kb, load_cases
from domains.medical.schema import Case
from domains.medical.shapley import fact_values
from sciRL.dataset_folder import SPLITS
from sciRL.errors import UserError

MakeFolder = Callable[..., Path]


def everything(folder: Path) -> list[Case]:
    return [case for split in SPLITS for case in load_cases(folder, split)]


def mediq_item(number: int, **changes: object) -> dict[str, object]:
    item: dict[str, object] = {
        "id": number,
        "question": "What next?",
        "context": [f"A {20 + number}-year-old man has a fever.", "He denies cough."],
        "options": {"A": "Aspirin", "B": "Rest", "C": "Surgery"},
        "answer": "Rest",
        "answer_idx": "B",
        "facts": [
            f"1. Patient is a {20 + number}-year-old man.",
            "2. Patient has a fever.",
            "3. Patient denies cough.",
        ],
    }
    return {**item, **changes}


def write_lines(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# -- MediQ ------------------------------------------------------------------------------------------------------------


def test_mediq_items(tmp_path: Path) -> None:
    rows = [*(mediq_item(number) for number in range(10)), mediq_item(10, facts=[]), mediq_item(11, answer_idx="E")]
    source = write_lines(tmp_path / "items.jsonl", [*rows, mediq_item(3), {"id": 12, "facts": [], "context": []}])
    report = build(str(source), tmp_path / "out", {})
    assert (report.read, report.kept) == (14, 10)
    assert report.dropped == {"no facts": 1, "answer is no option": 1, "id used twice": 1, "missing keys": 1}
    assert report.splits == {"train": 8, "validation": 1, "test": 1}
    assert check(tmp_path / "out") == []
    case = next(case for case in everything(tmp_path / "out") if case.id == "mediq-3")
    assert [fact.text for fact in case.facts][1:] == ["Patient has a fever.", "Patient denies cough."]
    assert (case.known_ids, case.answer_text, case.world) == (("f1",), "Rest", "open")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["dropped"]["no facts"]["rows"] == ["items.jsonl: line 11: item 10"]
    assert "not medical advice" in manifest["disclaimer"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"facts": "1. A man."}, "facts are no list of strings"),
        ({"facts": None}, "facts are no list of strings"),
        ({"facts": ["1. A man.", 2]}, "facts are no list of strings"),
        ({"id": [1]}, "id is no number or string"),
        ({"options": ["Aspirin", "Rest"]}, "options are no object of letters and texts"),
        ({"answer_idx": ["B"]}, "answer is no option"),
    ],
)
def test_items_of_another_form_are_dropped_by_line(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "items.jsonl", [mediq_item(1), {**mediq_item(2), **change}])
    assert build(str(source), tmp_path / "out", {}).dropped == {reason: 1}
    listed = json.loads((tmp_path / "out" / "manifest.json").read_text())["dropped"][reason]["rows"]
    assert listed[0].startswith("items.jsonl: line 2: ")


def test_half_of_the_facts_known(tmp_path: Path) -> None:
    facts = [f"{number}. Fact number {number} of it." for number in range(1, 8)]
    rows = [mediq_item(number, facts=[*facts, f"8. Patient {number}."]) for number in range(10)]
    build(str(write_lines(tmp_path / "items.jsonl", rows)), tmp_path / "out", {"known": "half"})
    assert {case.known_ids for case in everything(tmp_path / "out")} == {("f1", "f2", "f3", "f4")}


def test_real_mediq(shared_data: Path, tmp_path: Path) -> None:
    report = build(str(shared_data / "medical" / "mediq" / "imedqa_dev.jsonl"), tmp_path / "out", {})
    assert (report.read, report.kept, report.dropped) == (1272, 1269, {"no facts": 3})
    dropped = json.loads((tmp_path / "out" / "manifest.json").read_text())["dropped"]["no facts"]["rows"]
    assert [line.split(": ")[-1] for line in dropped] == ["item 224", "item 298", "item 779"]
    cases = everything(tmp_path / "out")
    assert {len(case.options) for case in cases} == {4}
    assert not any(fact.text[0].isdigit() and ". " in fact.text[:4] for case in cases for fact in case.facts)
    assert all(0 < case.known.sum() < len(case.facts) for case in cases)
    assert check(tmp_path / "out") == []


# -- MedQA ------------------------------------------------------------------------------------------------------------


def test_sentences_and_the_question() -> None:
    text = 'Dr. Ng sees a man. His temperature is 38.2°C (100.8°F). He says, "I cough." What is it? Choose one.'
    assert split_sentences(text) == [
        "Dr. Ng sees a man.",
        "His temperature is 38.2°C (100.8°F).",
        'He says, "I cough."',
        "What is it?",
        "Choose one.",
    ]
    statements, question = split_vignette("A man coughs. He coughs. He coughs. What is it?")
    assert (statements, question) == (["A man coughs.", "He coughs."], "What is it?")
    assert split_vignette("A man coughs. The diagnosis is") == (["A man coughs."], "The diagnosis is")
    assert split_vignette("") == ([], "")


def test_medqa_items(tmp_path: Path) -> None:
    options = {"A": "Flu", "B": "Gout", "C": "Cold"}
    rows: list[object] = [
        {"question": f"A man of {n} has a hot toe. He drinks. Which is it?", "options": options, "answer_idx": "B"}
        for n in range(9)
    ]
    rows.append({"question": "Which drug is a beta blocker?", "options": options, "answer_idx": "A"})
    report = build(str(write_lines(tmp_path / "medqa.jsonl", rows)), tmp_path / "out", {})
    assert (report.kept, report.dropped) == (9, {"no facts": 1})
    case = next(case for case in everything(tmp_path / "out") if case.id == "medqa-1")
    assert [fact.text for fact in case.facts] == ["A man of 0 has a hot toe.", "He drinks."]
    assert (case.question, case.answer_text, case.known_ids) == ("Which is it?", "Gout", ("f1",))


def test_cases_of_our_own_keep_one_patient_in_one_split(tmp_path: Path, text_case: Case) -> None:
    rows: list[object] = []
    for number in range(20):
        facts = [{"id": "f1", "text": f"Patient {number // 2}."}, {"id": "f2", "text": "Patient coughs."}]
        rows.append({**text_case.to_dict(), "id": f"c{number}", "facts": facts})
    broken = {**text_case.to_dict(), "id": "bad", "known_ids": ["f9"]}
    report = build(str(write_lines(tmp_path / "own.jsonl", [*rows, broken])), tmp_path / "out", {})
    assert (report.splits, report.dropped) == ({"train": 16, "validation": 2, "test": 2}, {"malformed case": 1})
    assert check(tmp_path / "out") == []
    listed = json.loads((tmp_path / "out" / "manifest.json").read_text())["dropped"]["malformed case"]["rows"]
    assert listed[0].startswith("own.jsonl: line 21: case 'bad': known_ids names 'f9'")


# -- knowledge bases --------------------------------------------------------------------------------------------------


def test_a_knowledge_base_becomes_short_rows_and_whole_cases(tmp_path: Path) -> None:
    report = build("toy", tmp_path / "out", {"count": "40", "options": "6", "seed": "3"})
    assert (report.kept, report.splits) == (40, {"train": 32, "validation": 4, "test": 4})
    assert check(tmp_path / "out") == []
    assert (tmp_path / "out" / "train.jsonl").stat().st_size < 32 * 500
    kb = folder_kb(tmp_path / "out")
    assert kb is not None
    for case in load_cases(tmp_path / "out", "test"):
        assert (len(case.options), len(case.facts)) == (6, len(kb.findings))
        assert KbRow.of(kb, case).case(kb) == case
        assert np.isfinite(NaiveBayesBelief(kb).logp(case, case.known[None])).all()
    again = build("toy", tmp_path / "again", {"count": "40", "options": "6", "seed": "3"})
    assert (again.out / "train.jsonl").read_bytes() == (report.out / "train.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"disease": "plague"}, "'plague' is no disease of kb.txt"),
        ({"present": ["spots"]}, "'spots' is no finding of kb.txt"),
        ({"options": ["flu", "gout"], "disease": "cold"}, "its disease 'cold' is not among the options"),
        ({"extra": 1}, r"unknown \['extra'\]"),
        ({"present": "fever"}, "present, known and options must be lists of ids"),
        ({"known": [1]}, "present, known and options must be lists of ids"),
        ({"id": 5}, "id and disease must be strings"),
    ],
)
def test_rows_that_the_knowledge_base_does_not_know(tmp_path: Path, change: dict[str, object], message: str) -> None:
    row = {"id": "x", "disease": "flu", "present": ["fever"], "known": ["fever"], "options": None, **change}
    write_lines(tmp_path / "train.jsonl", [row])
    (tmp_path / "kb.txt").write_text(EMBEDDED.read_text())
    with pytest.raises(UserError, match=rf"train\.jsonl: line 1: .*{message}"):
        load_cases(tmp_path, "train")


def test_checks_find_what_was_changed(tmp_path: Path) -> None:
    build("toy", tmp_path / "out", {"count": "20"})
    path = tmp_path / "out" / "train.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[0]]))
    (tmp_path / "out" / "test.jsonl").write_text(lines[1] + "\n")
    problems = "\n".join(check(tmp_path / "out"))
    for expected in ("train.jsonl: sha256", "17 rows, the manifest says 16", "ids are used more than once",
                     "patients are in more than one split"):  # fmt: skip
        assert expected in problems


def test_checks_read_the_dialogues(tmp_path: Path) -> None:
    build("toy", tmp_path / "out", {"count": "20"})
    case = load_cases(tmp_path / "out", "train")[0]
    good = {"case": case.id, "asked": ["fever"], "answer": case.answer}
    rows = [good, {**good, "case": "x"}, {**good, "asked": ["fever", "spots"]}, {**good, "answer": "ZZ"}]
    write_lines(tmp_path / "out" / "dialogues.jsonl", [*rows])
    assert check(tmp_path / "out") == [
        "dialogues.jsonl: dialogue 2: no case of train has the id 'x'",
        "dialogues.jsonl: dialogue 3: 'spots' is no finding of kb.txt",
        f"dialogues.jsonl: dialogue 4: the answer 'ZZ' is no option of case {case.id!r}",
    ]
    write_lines(tmp_path / "out" / "dialogues.jsonl", [{**good, "asked": "fever"}])
    assert "dialogues.jsonl: line 1: not a dialogue" in check(tmp_path / "out")[0]


def test_a_broken_table_is_one_problem(tmp_path: Path) -> None:
    build("toy", tmp_path / "out", {"count": "20"})
    with (tmp_path / "out" / "kb.txt").open("a") as file:
        file.write("D x | y | c | A: nothing\n")
    problems = check(tmp_path / "out")
    assert sum("shows the unknown finding 'nothing'" in problem for problem in problems) == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"dialogues": "uct"},
            r"dialogues=uct: a source of kind mediq \(items\.jsonl\) does not read it; it is for kb",
        ),
        ({"count": "100"}, "count=100: a source of kind mediq .* it is for kb"),
        ({"iterations": "3"}, "iterations=3 is read with dialogues=uct or dialogues=bon only"),
    ],
)
def test_an_option_that_nothing_would_read_is_refused(option: dict[str, str], message: str, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "items.jsonl", [mediq_item(1)])
    with pytest.raises(UserError, match=message):
        build(str(source), tmp_path / "out", option)
    with pytest.raises(UserError, match=r"limit=5: a source of kind kb .* it is for mediq, medqa, cases, ddxplus"):
        build("toy", tmp_path / "out", {"limit": "5"})
    assert not (tmp_path / "out").exists()


# -- DDXPlus ----------------------------------------------------------------------------------------------------------


def test_ddxplus_patients_become_cases(ddxplus_folder: MakeFolder, tmp_path: Path) -> None:
    report = build(str(ddxplus_folder(400)), tmp_path / "out", {})
    assert (report.kept, report.dropped) == (400, {})
    assert check(tmp_path / "out") == []
    cases = everything(tmp_path / "out")
    hurting = next(case for case in cases if case.by_key.get("E_5") and "|" in str(case.by_key["E_5"].value))
    assert hurting.by_key["E_5"].text == "Where does it hurt? back, leg."
    assert hurting.by_key["E_5"].value == "V_2|V_3"
    patient = SimulatedPatient(Ontology.load(tmp_path / "out").matcher)
    assert patient.reply(hurting, "Where does it hurt?").fact_ids == ("E_5",)
    without = next(case for case in cases if "E_3" not in case.by_key)
    assert (without.known_ids[:2], patient.reply(without, "Do you wheeze?").text) == (("AGE", "SEX"), "No.")


def test_naive_bayes_learns_from_the_training_split(ddxplus_folder: MakeFolder, tmp_path: Path) -> None:
    folder = ddxplus_folder(1000)
    build(str(folder), tmp_path / "out", {})
    bayes = load_bayes(tmp_path / "out")
    assert bayes.patients.sum() == len(load_cases(tmp_path / "out", "train"))
    with (folder / "release_train_patients.csv").open(newline="") as file:
        patients = [read_patient(row, bayes.ontology) for row in csv.DictReader(file)]
    rows = [bayes.ontology.pathologies.index(patient.pathology) for patient in patients]
    posteriors = [bayes.whole_logp(patient) for patient in patients]
    top = np.mean([rank_of(posterior, row) == 1 for posterior, row in zip(posteriors, rows, strict=True)])
    assert top > 0.9
    assert np.exp(posteriors[0]).sum() == pytest.approx(1)
    for case in load_cases(tmp_path / "out", "test")[:5]:
        values = fact_values(bayes, case)
        assert values.phi.sum() == pytest.approx(values.full - values.empty)
    known = np.array([bayes.logp(case, case.known[None])[0] for case in load_cases(tmp_path / "out", "test")])
    whole = np.array(
        [bayes.logp(case, np.ones((1, len(case.facts)), bool))[0] for case in load_cases(tmp_path / "out", "test")]
    )
    assert np.exp(whole).mean() > np.exp(known).mean() + 0.05


def test_counts_have_laplaces_one_added(ddxplus_folder: MakeFolder) -> None:
    folder = ddxplus_folder(60)
    ontology = Ontology.load(folder)
    with (folder / "release_train_patients.csv").open(newline="") as file:
        patients = [read_patient(row, ontology) for row in csv.DictReader(file)]
    bayes = EvidenceBayes.estimate(patients, ontology)
    flu = [patient for patient in patients if patient.pathology == "Flu"]
    fever = sum("E_1" in patient.evidences for patient in flu)
    weak = sum(patient.evidences.get("E_4", ("0",)) == ("0",) for patient in flu)
    row = ontology.pathologies.index("Flu")
    assert np.exp(bayes.log_present[row, bayes.columns["E_1", ""]]) == pytest.approx((fever + 1) / (len(flu) + 2))
    assert np.exp(bayes.log_present[row, bayes.columns["E_4", "0"]]) == pytest.approx((weak + 1) / (len(flu) + 4))
    values = [np.exp(bayes.log_present[row, bayes.columns["E_4", str(value)]]) for value in range(4)]
    assert sum(values) == pytest.approx(1)
    assert np.exp(bayes.log_prior[row]) == pytest.approx((len(flu) + 1) / 63)
    again = EvidenceBayes.from_json(bayes.to_json(), ontology)
    assert (again.counts == bayes.counts).all()


def test_the_patient_of_the_official_readme(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "medical" / "ddxplus"
    ontology = Ontology.load(folder)
    assert (len(ontology.evidences), len(ontology.pathologies)) == (223, 49)
    report = build(str(folder / "one_patient_from_readme.csv"), tmp_path / "out", {})
    assert (report.read, report.kept) == (1, 1)
    (case,) = everything(tmp_path / "out")
    assert (case.answer_text, case.known_ids) == ("URTI", ("AGE", "SEX", "E_91"))
    assert case.by_key["E_54"].value == "V_161|V_183"
    assert len(case.meta["differential"]) == 8
    assert "E_91" in ontology.matcher.match("Do you have a fever (either felt or measured with a thermometer)?").keys


def test_differentials() -> None:
    log_posterior = np.log([0.6, 0.3, 0.1, 1e-6])
    scores = differential_scores(log_posterior, "ABCD", {"B": 0.5, "D": 0.3, "A": 0.195, "C": 0.005})
    assert scores == pytest.approx({"ddr": 2 / 3, "ddp": 2 / 3, "ddf1": 2 / 3})
    assert [rank_of(log_posterior, row) for row in range(4)] == [1, 2, 3, 4]
    assert rank_of(np.zeros(4), 2) == 4
    assert differential_scores(log_posterior, "ABCD", {})["ddf1"] == 0.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PATHOLOGY": "Plague"}, "unknown pathology"),
        ({"AGE": "-3"}, "age or sex unreadable"),
        ({"SEX": ""}, "missing columns"),
        ({"EVIDENCES": "['E_99']"}, "unknown evidence"),
        ({"EVIDENCES": "['E_5_@_V_9']"}, "unknown evidence value"),
        ({"EVIDENCES": "['E_1_@_V_1']"}, "unknown evidence value"),
        ({"EVIDENCES": "__import__('os')"}, "list unreadable"),
        ({"EVIDENCES": "[" * 500}, "list unreadable"),
        ({"INITIAL_EVIDENCE": "E_3"}, "initial evidence is not among the evidences"),
        ({"DIFFERENTIAL_DIAGNOSIS": "['Flu']"}, "list unreadable"),
        ({"DIFFERENTIAL_DIAGNOSIS": "[['Plague', 1.0]]"}, "unknown pathology"),
    ],
)
def test_bad_ddxplus_rows_are_counted(
    ddxplus_folder: MakeFolder, tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    path = ddxplus_folder(12) / "release_train_patients.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    good = {"AGE": "30", "SEX": "F", "PATHOLOGY": "Flu", "EVIDENCES": "['E_1']", "INITIAL_EVIDENCE": "E_1"}
    with path.open("a", newline="") as file:
        csv.DictWriter(file, list(rows[0])).writerow({"DIFFERENTIAL_DIAGNOSIS": "[['Flu', 1.0]]", **good, **change})
    assert build(str(path), tmp_path / "out", {}).dropped == {reason: 1}


def test_a_row_of_more_cells_than_columns_is_dropped(ddxplus_folder: MakeFolder, tmp_path: Path) -> None:
    path = ddxplus_folder(12) / "release_train_patients.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[-1] + ",more"]))
    assert build(str(path), tmp_path / "out", {}).dropped == {"more cells than columns": 1}


@pytest.mark.parametrize(("key", "value"), [("possible-values", 5), ("value_meaning", [])])
def test_an_ontology_of_another_form_is_named(
    ddxplus_folder: MakeFolder, key: str, value: object, tmp_path: Path
) -> None:
    folder = ddxplus_folder(3)
    path = folder / "release_evidences.json"
    evidences = json.loads(path.read_text())
    evidences["E_4"][key] = value
    path.write_text(json.dumps(evidences))
    with pytest.raises(
        UserError, match=r"release_evidences\.json: E_4: possible-values must be a list and value_meaning"
    ):
        build(str(folder), tmp_path / "out", {})


@pytest.mark.parametrize("content", ["[]", "{}", '{"patients": "x", "counts": 1}', '{"patients": [1], "counts": []}'])
def test_counts_of_another_form_are_named(ddxplus_folder: MakeFolder, content: str, tmp_path: Path) -> None:
    build(str(ddxplus_folder(30)), tmp_path / "out", {})
    (tmp_path / "out" / BAYES_FILE).write_text(content)
    assert "bayes.json: no counts of patients and evidences: " in check(tmp_path / "out")[-1]


def test_ten_thousand_ddxplus_patients_are_built_within_a_minute(ddxplus_folder: MakeFolder, tmp_path: Path) -> None:
    began = time.process_time()
    report = build(str(ddxplus_folder(10_000)), tmp_path / "out", {})
    assert time.process_time() - began < 60
    assert report.kept == 10_000
    bayes, cases = load_bayes(tmp_path / "out"), load_cases(tmp_path / "out", "test")
    assert len(cases) >= 900
    everything = [bayes.option_logp(case, np.ones((1, len(case.facts)), bool))[0] for case in cases]
    assert np.mean([logp.argmax() == case.answer_index for logp, case in zip(everything, cases, strict=True)]) > 0.9


def test_release_splits(ddxplus_folder: MakeFolder, tmp_path: Path) -> None:
    folder = ddxplus_folder(20)
    train = folder / "release_train_patients.csv"
    for name in ("validate", "test"):
        (folder / f"release_{name}_patients.csv").write_text("".join(train.read_text().splitlines(True)[:6]))
    report = build(str(folder), tmp_path / "out", {"split": "source"})
    assert report.splits == {"train": 20, "validation": 5, "test": 5}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["groups_across_splits"]["count"] == 5
    assert json.loads((tmp_path / "out" / BAYES_FILE).read_text())["patients"] is not None


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "the file is empty"),
        ("a.jsonl", "\n\n", "no rows"),
        ("a.jsonl", '{"facts": [', "line 1: not valid JSON"),
        ("a.jsonl", '{"question": "x"}\n[1]\n', "line 2: a JSON object is needed; found list"),
        ("a.jsonl", '{"question": "Why?"}\n', r"none of the 1 rows can be used: missing keys \(a\.jsonl: line 1"),
        ("a.txt", "F fever | Fever? | x\n", "line 1: the leak of 'fever' is 'x'"),
        ("a.csv", "AGE,SEX\n", "DDXPlus needs release_evidences.json"),
        ("a.parquet", "x", "unsupported file type; allowed are .txt"),
    ],
)
def test_unreadable_sources(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        build(str(tmp_path / name), tmp_path / "out", {})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_missing_sources_bad_options_and_broken_ontologies(ddxplus_folder: MakeFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        build(str(tmp_path / "nothing.jsonl"), tmp_path / "out", {})
    with pytest.raises(UserError, match=r"unknown build option 'sead'; allowed are seed, count"):
        build("toy", tmp_path / "out", {"sead": "1"})
    with pytest.raises(UserError, match="options=99: allowed are 2 to"):
        build("toy", tmp_path / "out", {"options": "99"})
    with pytest.raises(UserError, match="split=source needs files called train, validate and test"):
        build("toy", tmp_path / "out", {"split": "source", "count": "10"})
    folder = ddxplus_folder(3)
    (folder / "release_train_patients.csv").write_text("AGE,SEX\n1,M\n")
    with pytest.raises(UserError, match="no column PATHOLOGY; the columns found are AGE, SEX"):
        build(str(folder), tmp_path / "out", {})
    (folder / "release_evidences.json").write_text('{"E_1": {"data_type": "B"}}')
    with pytest.raises(UserError, match="E_1: an object with question_en"):
        Ontology.load(folder)
    with pytest.raises(UserError, match="no folder built from DDXPlus"):
        load_bayes(tmp_path)
