"""The medical domain on the run loop: records, rewards, lessons, rubrics, and whole multi-turn runs."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from consultations import meet

from domains.medical import DOMAIN, make_clinic
from domains.medical.belief import NaiveBayesBelief
from domains.medical.clinic import Clinic
from domains.medical.consultation import Consultation
from domains.medical.datasets import build
from domains.medical.environment import ConsultationEnvironment, turn_rewards
from domains.medical.kb import KnowledgeBase, first_diseases, parse_kb
from domains.medical.lessons import load_lessons
from domains.medical.matching import kb_matcher
from domains.medical.options import EndpointOptions, MedicalOptions
from domains.medical.record import read_record, write_record
from domains.medical.rows import load_cases
from domains.medical.schema import Case
from domains.medical.tasks import case_of, make_task
from domains.medical.verifiers import judge_question
from sciRL.errors import UserError
from sciRL.run.pipeline import train
from sciRL.run.results import load_arms
from sciRL.score import Status

COMPACT = MedicalOptions(prompt_style="compact", teacher="greedy", budget=4)
TINY = """
model: {path: tiny, hidden: 32, layers: 2, heads: 2, kv_heads: 1, mlp: 64, max_length: 128}
domain: {prompt_style: compact, budget: 4, teacher: greedy, turn_reward: sig}
compute: {max_tokens: 4096}
evaluation: {samples: 12, sampling: {max_new_tokens: 4}}
logging: {checkpoint_every: 2, trackers: []}
stages:
  sft:
    role: reference
    steps: 30
    train: {algorithm: supervised, batch_size: 16, optimizer: {learning_rate: 3.0e-3}}
  rl:
    start: sft
    steps: 5
    train:
      algorithm: policy_optimization
      prompts: 3
      group_size: 4
      turns: {method: turns}
      sampling: {max_new_tokens: 4}
      optimizer: {learning_rate: 1.0e-3}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("medical") / "data"
    build("toy", out, {"count": "80", "diseases": "29", "dialogues": "bon", "iterations": "4", "budget": "6"})
    return out


@pytest.fixture(scope="module")
def case(folder: Path) -> Case:
    return load_cases(folder, "train")[0]


def converse(folder: Path, case: Case, options: MedicalOptions, *texts: str) -> Consultation:
    return meet(case, make_clinic(folder, options), texts)


def ask(case: Case, *keys: str) -> list[str]:
    by_key = {fact.key: fact.text.removesuffix(" Yes.").removesuffix(" No.") for fact in case.facts}
    return [f"question: {by_key[key]}" for key in keys]


# -- datasets ----------------------------------------------------------------------------------------


def test_a_table_is_cut_to_its_first_diseases_and_what_they_show(kb: KnowledgeBase) -> None:
    text = (Path(__file__).parents[3] / "domains/medical/data/toy_kb.txt").read_text()
    small = parse_kb(first_diseases(text, 29), "small")
    assert [d.id for d in small.diseases] == [d.id for d in kb.diseases[:29]]
    assert {f.id for f in small.findings} == {name for d in small.diseases for name in d.causes}
    assert len(small.findings) == 68
    assert all(set(names) <= set(small.finding_index) for names in small.red_flags.values())
    assert first_diseases(text, 52) == text


@pytest.mark.parametrize(("diseases", "message"), [("1", "0 or 2 to 52"), ("53", "0 or 2 to 52")])
def test_too_few_or_too_many_diseases_are_refused(diseases: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        build("toy", tmp_path / "out", {"diseases": diseases})
    assert not (tmp_path / "out").exists()


def test_searched_dialogues_are_right_and_lie_beside_the_cases(folder: Path) -> None:
    lessons = load_lessons(folder)
    cases = {case.id: case for case in load_cases(folder, "train")}
    assert 0.5 * len(cases) < len(lessons) <= len(cases)
    for lesson in lessons:
        assert lesson.answer == cases[lesson.case_id].answer
        assert 1 <= len(lesson.asked) <= 6
    assert DOMAIN.check(folder) == []


def test_the_embedded_dataset_is_sound_and_its_builder_makes_it_again(tmp_path: Path) -> None:
    embedded = DOMAIN.default_data()
    assert DOMAIN.check(embedded) == []
    settings = json.loads((embedded / "manifest.json").read_text())["settings"]
    given = {name: str(settings[name]) for name in ("seed", "count", "diseases", "options", "min_present")}
    build("toy", tmp_path / "again", given)
    for split in ("train", "validation", "test"):
        assert (tmp_path / "again" / f"{split}.jsonl").read_bytes() == (embedded / f"{split}.jsonl").read_bytes()


# -- records -----------------------------------------------------------------------------------------


def test_a_record_is_judged_by_asking_the_patient_again(folder: Path, case: Case) -> None:
    turns = ask(case, "fever", "cough")
    played = converse(folder, case, COMPACT, *turns, f"answer: {case.answer}")
    record = write_record(played)
    clinic = make_clinic(folder, COMPACT)
    assert read_record(record, case, COMPACT.budget, clinic.patient) == played
    forged = json.loads(record)
    for turn in forged["turns"]:
        turn["patient"] = "Yes, all of them. Yes."
    again = read_record(json.dumps(forged), case, COMPACT.budget, clinic.patient)
    assert again == played


def test_recorded_replies_tell_only_what_the_case_confirms(text_case: Case) -> None:
    turns = [
        {"doctor": "question: Fever?", "patient": "Patient complains of fever."},
        {"doctor": "question: Vomiting?", "patient": "The patient vomits."},
        {"doctor": "answer: A"},
    ]
    consultation = read_record(json.dumps({"turns": turns}), text_case, 5)
    assert consultation.told == (("f2",), ())
    assert consultation.correct


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"turns": 3}', '{"turns": [{}]}', '{"turns": [{"doctor": 3}]}', "{" * 9999]
)
def test_what_is_no_record_is_malformed(text: str, folder: Path, case: Case) -> None:
    rubric = DOMAIN.rubric(folder, COMPACT)
    [score] = rubric.verify([(make_task(case, "train", 4), text)])
    assert score.status is Status.MALFORMED
    assert "not a record" in score.reason


def test_the_rubric_pays_for_the_right_answer_within_the_budget(folder: Path, case: Case) -> None:
    task = make_task(case, "train", 4)
    wrong = next(label for label in case.labels if label != case.answer)
    four = ask(case, "fever", "cough", "headache", "nausea")
    texts = {
        "right": (*four, f"answer: {case.answer}"),
        "wrong": (f"answer: {wrong}",),
        "late": (*four, *ask(case, "vomiting")),
    }
    records = {name: write_record(converse(folder, case, COMPACT, *turns)) for name, turns in texts.items()}
    scores = {name: DOMAIN.rubric(folder, COMPACT).verify([(task, text)])[0] for name, text in records.items()}
    assert {name: score.value for name, score in scores.items()} == {"right": 1.0, "wrong": 0.0, "late": 0.0}
    assert scores["late"].status is Status.MALFORMED
    assert scores["right"].measurements["questions"] == 4
    [thorough] = DOMAIN.rubric(folder, COMPACT, "thorough").verify([(task, records["right"])])
    learned = sum(
        make_clinic(folder, COMPACT).weights(case)[key]
        for key in ("fever", "cough", "headache", "nausea")
        if key not in case.known_ids
    )
    assert thorough.components["learned"] == pytest.approx(learned)
    assert thorough.value == pytest.approx(0.7 + 0.15 * learned + 0.15 * thorough.components["questions"])


# -- rewards and prompts -----------------------------------------------------------------------------


def test_turn_rewards_follow_the_options(folder: Path, case: Case) -> None:
    key = next(fact.key for fact in case.facts if fact.id not in case.known_ids)
    assert key is not None
    turns = [*ask(case, key, key), "nonsense", f"answer: {case.answer}"]
    paid = {}
    for rule in ("none", "sig", "promed", "belief", "expected"):
        options = COMPACT.model_copy(update={"turn_reward": rule})
        clinic = make_clinic(folder, options)
        paid[rule] = turn_rewards(converse(folder, case, options, *turns), clinic)
    weight = make_clinic(folder, COMPACT).weights(case)[key]
    assert paid["none"] == [0.0] * 4
    assert paid["sig"] == pytest.approx([weight, 0.0, 0.0, 0.0])
    assert paid["promed"] == pytest.approx([3 * weight + 1, 1.0, 0.0, 4.0])
    known = [set(case.known_ids), {*case.known_ids, key}]
    sets = [[fact.id in ids for fact in case.facts] for ids in known]
    belief = NaiveBayesBelief(make_clinic(folder, COMPACT).kb)  # type: ignore[arg-type]
    before, after = belief.logp(case, sets)
    assert paid["belief"] == pytest.approx([math.exp(after) - math.exp(before), 0.0, 0.0, 0.0])
    column = next(index for index, fact in enumerate(case.facts) if fact.key == key)
    [gain] = belief.expected_gain(case, np.array(sets[:1]), np.array([column]))
    assert gain > 0
    assert paid["expected"] == pytest.approx([gain, 0.0, 0.0, 0.0])


def test_cases_of_one_name_keep_their_own_weights(folder: Path, case: Case) -> None:
    other = Case.from_dict({**load_cases(folder, "train")[1].to_dict(), "id": case.id})
    clinic = Clinic(folder, COMPACT)
    first = clinic.weights(case)
    assert clinic.weights(other) == Clinic(folder, COMPACT).weights(other) != first


def test_an_unanswered_consultation_has_one_reward_a_turn(folder: Path, case: Case) -> None:
    options = COMPACT.model_copy(update={"turn_reward": "promed", "budget": 1})
    consultation = converse(folder, case, options, *ask(case, "fever", "cough"))
    assert consultation.done
    assert len(turn_rewards(consultation, make_clinic(folder, options))) == 2


def test_rewards_need_a_belief(text_case: Case, tmp_path: Path) -> None:
    clinic = make_clinic(tmp_path, MedicalOptions(turn_reward="sig"))
    with pytest.raises(UserError, match="name a language model with belief_model"):
        ConsultationEnvironment(clinic)


def test_compact_tasks_demonstrations_and_vocabulary_fit_together(folder: Path) -> None:
    from sciRL.models.loading import ModelConfig, load_policy

    tokens = DOMAIN.vocabulary(folder, COMPACT).tokens
    policy = load_policy(
        ModelConfig(path="tiny", hidden=16, layers=1, heads=2, kv_heads=1, mlp=16, max_length=64), tokens
    )
    shown = DOMAIN.demonstrations(folder, "train", COMPACT, 0)
    assert len(shown) == len(load_cases(folder, "train"))
    for demonstration in shown[:20]:
        case = case_of(demonstration.task)
        assert demonstration.answer.removeprefix("answer: ") in case.options
        for asked, reply in demonstration.earlier:
            assert len(policy.tokenizer.encode(asked, add_special_tokens=False)) == 2
            assert len(policy.tokenizer.encode(reply, add_special_tokens=False)) == 3
    [prompt] = shown[0].task.prompt
    assert prompt["content"].startswith("Known: ")
    assert shown[0].task.reference is not None


def test_dialogues_are_imitated_as_they_are(folder: Path) -> None:
    options = COMPACT.model_copy(update={"teacher": "dialogues", "budget": 6, "prompt_style": "chat"})
    lessons = {lesson.case_id: lesson for lesson in load_lessons(folder)}
    shown = DOMAIN.demonstrations(folder, "train", options, 0)
    assert len(shown) == len(lessons)
    first = shown[0]
    lesson = lessons[case_of(first.task).id]
    assert [turn for turn, _ in first.earlier] == ask(case_of(first.task), *lesson.asked)
    assert first.answer == f"answer: {lesson.answer}"
    with pytest.raises(UserError, match="the budget is 1"):
        DOMAIN.demonstrations(folder, "train", options.model_copy(update={"budget": 1}), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (MedicalOptions(prompt_style="compact", teacher="greedy"), "chooses questions from a knowledge base"),
        (MedicalOptions(teacher="greedy"), "chooses questions from a knowledge base"),
        (MedicalOptions(), "has no dialogues.jsonl"),
    ],
)
def test_a_dataset_without_a_table_says_what_it_lacks(
    options: MedicalOptions, message: str, text_case: Case, tmp_path: Path
) -> None:
    (tmp_path / "train.jsonl").write_text(text_case.to_json() + "\n")
    with pytest.raises(UserError, match=message):
        DOMAIN.demonstrations(tmp_path, "train", options, 0)


# -- whole runs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def finished(folder: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(DOMAIN, recipe, folder, None, [], tmp_path_factory.mktemp("runs") / "whole")


def test_a_run_has_its_metrics_and_its_warning(finished: Path) -> None:
    arms = load_arms(finished / "results")
    assert {"accuracy", "questions", "learned", "red_flags_covered"} <= set(arms["rl"].metrics)
    report = (finished / "report.html").read_text()
    assert "not medical advice" in report
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows].count("rl") == 5


def test_a_multi_turn_run_resumes_bit_for_bit(finished: Path, folder: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "cut"
    shutil.copytree(finished, out)
    for place in (out / "checkpoints").iterdir():
        if int(place.name[5:]) > 32:
            shutil.rmtree(place)
    assert max(int(place.name[5:]) for place in (out / "checkpoints").iterdir()) == 32
    train(DOMAIN, None, None, None, [], out, resume=True)
    for name in ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors", "results/arms.json"):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("domain.rubric=answer", "turns is set, but domain 'medical' asks for one answer"),
        ("domain.endpoint={base_url: 'ftp://x', model: m}", "base_url is 'ftp://x'; it must begin with http"),
        ("domain.endpoint={base_url: 'http://x', model: m, api_key_env: NO_SUCH_KEY}", "NO_SUCH_KEY, which is not set"),
    ],
)
def test_what_a_stage_would_refuse_ends_a_run_before_it_begins(
    given: str, message: str, folder: Path, recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        train(DOMAIN, recipe, folder, None, [given], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_data_that_cannot_be_read_leaves_no_run_behind(folder: Path, recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data" / "dialogues.jsonl").unlink()
    given = ["domain.teacher=dialogues"]
    with pytest.raises(UserError, match=r"has no dialogues\.jsonl"):
        train(DOMAIN, recipe, tmp_path / "data", None, given, tmp_path / "run")
    with (tmp_path / "data" / "train.jsonl").open("ab") as file:
        file.write(b"\xff\n")
    with pytest.raises(UserError, match=r"train\.jsonl: line \d+: not a patient"):
        train(DOMAIN, recipe, tmp_path / "data", None, [], tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Slow(BaseHTTPRequestHandler):
    """A model server that never answers in time."""

    def do_POST(self) -> None:
        threading.Event().wait(1.0)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def slow_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_patient_that_times_out_stops_the_run_and_is_never_a_zero(
    slow_server: str, folder: Path, case: Case, recipe: Path, tmp_path: Path
) -> None:
    options = MedicalOptions(endpoint=EndpointOptions(base_url=slow_server, model="patient", timeout_s=0.05))
    episode = ConsultationEnvironment(make_clinic(folder, options)).reset(make_task(case, "train"), 0)
    reply = episode.step("question: Have you had a fever?")
    assert (reply.done, reply.status) == (True, Status.ERROR)
    assert list(episode.rewards()) == [0.0]
    given = [f"domain.endpoint={{base_url: '{slow_server}', model: patient, timeout_s: 0.05}}"]
    with pytest.raises(UserError, match=r"the verifier failed on 12 of 12 samples of this step.*patient"):
        train(DOMAIN, recipe, folder, None, [*given, "stages.sft.steps=150"], tmp_path / "run")
    assert "not medical advice" in json.loads((tmp_path / "run" / "manifest.json").read_text())["disclaimer"]
    records = load_arms(tmp_path / "run" / "results")["sft"].records
    asked = [record for record in records if '"patient": ""' in record.answer]
    assert asked
    assert {record.score.status for record in asked} == {Status.ERROR}


def test_the_belief_names_the_diagnosis_where_the_options_say_so(folder: Path, case: Case) -> None:
    options = COMPACT.model_copy(update={"diagnosis": "belief", "budget": 2})
    clinic = make_clinic(folder, options)
    wrong = next(option for option in case.options if option != case.answer_text)
    keys = [fact.key for fact in case.facts if fact.id not in case.known_ids][:2]
    ended = {}
    for name, texts in {
        "answers": [f"answer: {wrong}"],
        "asks on": [*ask(case, *keys), "question: Do you have a cough?"],
    }.items():
        episode = ConsultationEnvironment(clinic).reset(make_task(case, "train", 2), 0)
        replies = [episode.step(text) for text in texts]
        assert [reply.done for reply in replies] == [False] * (len(texts) - 1) + [True]
        assert len(episode.rewards()) == len(texts)
        ended[name] = clinic.consultation(make_task(case, "train", 2), episode.record())
    belief = NaiveBayesBelief(clinic.kb)  # type: ignore[arg-type]
    for consultation in ended.values():
        best = belief.option_logp(case, consultation.knowledge[-1:])[0].argmax()
        assert consultation.choice == case.labels[best]
    assert ended["asks on"].told == tuple((key,) for key in keys)


def test_rows_are_known_by_their_case(folder: Path) -> None:
    assert {task.metadata["row"] for task in DOMAIN.tasks(folder, "test", COMPACT)} == {
        case.id for case in load_cases(folder, "test")
    }


def test_a_vague_question_settles_nothing(kb: KnowledgeBase, case: Case) -> None:
    matcher = kb_matcher(kb)
    vague, good = "Do you have pain?", kb.findings[kb.finding_index["pain_rlq"]].question
    assert "pain_rlq" in matcher.match(vague).keys
    assert len(matcher.match(vague).keys) > 1
    assert judge_question(good, case, matcher, [vague]).new
    assert not judge_question(good, case, matcher, [good]).new


def test_a_watched_policy_is_diagnosed_for_as_in_its_training_and_a_person_is_not(folder: Path) -> None:
    """The page lets the belief answer where the options say so, but never in a person's place."""
    pytest.importorskip("fastapi")
    from domains.medical.page.practice import PERSON, TRAINED, Practice

    options = COMPACT.model_copy(update={"diagnosis": "belief"})
    practice = Practice(folder, options, None)
    case = practice.cases[0]
    worst = min(zip(practice.clinic.belief.option_logp(case, case.known[None])[0], case.labels, strict=True))[1]  # type: ignore[union-attr]
    chosen = {}
    for name in (PERSON, TRAINED):
        interview = practice.interview(name, case)
        interview.step(f"answer: {worst}")
        chosen[name] = interview.record.choice
    assert chosen[PERSON] == worst
    assert chosen[TRAINED] == practice.clinic.most_probable(interview.record) != worst
