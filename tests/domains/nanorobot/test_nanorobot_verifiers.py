"""Episode records: honest ones are valid, forged claims and hostile texts never score above an honest miss."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.nanorobot.environment import NanorobotEnvironment
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.policies import RandomPolicy
from domains.nanorobot.rubric import make_rubric
from domains.nanorobot.tasks import make_tasks
from domains.nanorobot.verifiers import Success, Time, Validity
from sciRL.errors import UserError
from sciRL.score import Status
from sciRL.task import Task

OPTIONS = NanorobotOptions(start_min=17, start_max=60, duration=10, test_tasks=96, obstacles=((45.0, 0.0, 0.0, 10.0),))


@pytest.fixture(scope="module")
def played() -> list[tuple[Task, str]]:
    tasks = make_tasks(OPTIONS, "test")
    environment = NanorobotEnvironment(OPTIONS, len(tasks), torch.device("cpu"))
    observation = environment.begin(tasks, list(range(len(tasks))))
    while bool(environment.running().any()):
        observation = environment.step(RandomPolicy().act(observation, environment)).observation
    return list(zip(tasks, environment.episodes(), strict=True))


def one(played: list[tuple[Task, str]], hit: bool) -> tuple[Task, dict[str, Any]]:
    return next((task, json.loads(text)) for task, text in played if json.loads(text)["hit"] is hit)


def judge(task: Task, record: Any, preset: str = "success") -> Any:
    text = record if isinstance(record, str) else json.dumps(record)
    return make_rubric(preset).verify([(task, text)])[0]


def test_honest_records_are_valid_and_score_what_happened(played: list[tuple[Task, str]]) -> None:
    scores = make_rubric("success").verify(played)
    hits = [json.loads(text)["hit"] for _, text in played]
    assert 5 < sum(hits) < 91
    assert [score.value for score in scores] == [float(hit) for hit in hits]
    assert all(score.components["validity"] == 1.0 for score in scores), [s.reason for s in scores]
    for (_, text), hit in zip(played, hits, strict=True):
        record = json.loads(text)
        assert set(record) == {"preset", "hit", "hit_time", "tumour", "path", "path_length", "tumbles", "seed"}
        times = [point[0] for point in record["path"]]
        assert times[:2] == [0.0, 1.0] or hit
        assert times[-1] == (record["hit_time"] if hit else 10.0)


def test_time_pays_for_finding_it_sooner(played: list[tuple[Task, str]]) -> None:
    task, record = one(played, hit=True)
    share = 1 - record["hit_time"] / 10
    assert Time().verify_one(task, json.dumps(record)).value == pytest.approx(share)
    assert judge(task, record, "time").value == pytest.approx((1 + share) / 2)
    task, record = one(played, hit=False)
    assert judge(task, record, "time").value == 0.0
    with pytest.raises(UserError, match="success, time"):
        make_rubric("speed")


def forged(record: dict[str, Any], tumour: list[float]) -> dict[str, dict[str, Any]]:
    """Lies about a search that found nothing."""
    path = record["path"]
    end = path[-1]
    near = [end[0], *tumour]
    claim = {"hit": True, "hit_time": end[0], "tumour": 0}
    return {
        "claim alone": {**record, **claim},
        "jump at the end": {**record, **claim, "path": [*path[:-1], near]},
        "jump after the end": {**record, **claim, "path": [*path, [end[0] + 0.1, *tumour]]},
        "another start": {**record, **claim, "path": [[0.0, *tumour]], "hit_time": 0.0},
        "two points": {**record, **claim, "path": [path[0], near]},
        "time stands still": {**record, **claim, "path": [*path, near]},
        "time runs back": {**record, **claim, "path": [*path, [0.0, *tumour]]},
        "more time": {**record, **claim, "path": [*path, *[[end[0] + i, *tumour] for i in range(1, 9)]]},
        "no path": {**record, **claim, "path": []},
        "through the wall": {**record, "path": [*path[:-1], [end[0], 1e9, 0, 0]]},
        "into the obstacle": {**record, "path": [*path[:-1], [end[0], 45.0, 0.0, 0.0]]},
        "stops early": {**record, "path": path[:3]},
        "shorter than its points": {**record, "path_length": 0.0},
        "another preset": {**record, "preset": "strong"},
    }


def test_forged_claims_are_not_valid(played: list[tuple[Task, str]]) -> None:
    task, record = one(played, hit=False)
    assert Validity().verify_one(task, json.dumps(record)).value == 1.0
    for name, lie in forged(record, task.reference["tumours"][0]).items():
        score = Validity().verify_one(task, json.dumps(lie))
        assert score.value == 0.0, name
        assert score.reason, name
        assert judge(task, lie, "time").value == 0.0, name


def test_a_hit_must_be_claimed_as_it_was(played: list[tuple[Task, str]]) -> None:
    task, record = one(played, hit=True)
    lies = [{"hit": False}, {"hit_time": record["hit_time"] - 0.5}, {"tumour": 1}, {"tumour": None}]
    for lie in lies:
        assert judge(task, {**record, **lie}).value == 0.0, lie
    # The success verifier alone reads the path, not the claim.
    assert Success().verify_one(task, json.dumps({**record, "hit": False})).value == 1.0


def hostile(text: str) -> list[str]:
    record = json.loads(text)
    return [
        "",
        "hit",
        "1e999",
        "null",
        "[]",
        "{}",
        '{"hit":true}',
        text + text,
        text + " done",
        f"<answer>{text}</answer>",
        text.replace('"hit":', '"hit":true,"hit":', 1),
        text.replace("0.0", "NaN", 1),
        text.replace("0.0", "Infinity", 1),
        text.replace('"hit_time":null', '"hit_time":1e400'),
        json.dumps({**record, "extra": 1}),
        json.dumps({**record, "hit": 1}),
        json.dumps({**record, "hit": "true"}),
        json.dumps({**record, "seed": True}),
        json.dumps({**record, "seed": 10**40}),
        json.dumps({**record, "path": [[0, 1, 2]]}),
        json.dumps({**record, "path": [["0", "1", "2", "3"]]}),
        json.dumps({**record, "path": [[False, 1, 2, 3]]}),
        json.dumps({**record, "path": {"0": [0, 1, 2, 3]}}),
        "[" * 200_000,
        '{"path":' * 50_000,
        "9" * 1_000_000,
        " " * 9_000_000,
        "\ud800",
        "ｔｒｕｅ",
    ]


def test_hostile_texts_are_malformed(played: list[tuple[Task, str]]) -> None:
    task, record = one(played, hit=False)
    honest = json.dumps(record, separators=(",", ":"))
    for text in hostile(honest):
        if text == honest:
            continue
        for verifier in (Validity(), Success(), Time()):
            score = verifier.verify([(task, text)])[0]
            assert score.status is Status.MALFORMED, text[:80]
        assert judge(task, text).value == 0.0


@settings(max_examples=60)
@given(text=st.one_of(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(str)))
def test_any_text_gets_a_score(text: str, played: list[tuple[Task, str]]) -> None:
    score = judge(played[0][0], text)
    assert score.status is Status.MALFORMED
    assert score.value == 0.0


def test_a_task_without_a_scenario_is_the_verifiers_failure(played: list[tuple[Task, str]]) -> None:
    bare = Task("nanorobot", ({"role": "user", "content": "x"},))
    assert make_rubric().verify([(bare, played[0][1])])[0].status is Status.ERROR
