"""Whole runs of the control family: every learner as a stage, stopped and resumed, the same bit for bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from control_domain import DOMAIN

from sciRL.algorithms.actor_critic import PPO
from sciRL.algorithms.dqn import DQN
from sciRL.algorithms.q_learning import QLearning
from sciRL.run.inference import evaluate
from sciRL.run.pipeline import train
from sciRL.run.results import load_arms

RECIPE = Path(__file__).resolve().parents[2] / "support" / "control.yaml"


def digest(folder: Path) -> str:
    files = [folder / "metrics.jsonl", *sorted((folder / "policy").glob("*"))]
    files += sorted((folder / "results").glob("*.json*"))
    hashed = hashlib.sha256()
    for file in files:
        hashed.update(file.name.encode() + file.read_bytes())
    return hashed.hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(DOMAIN, RECIPE, None, None, [], tmp_path_factory.mktemp("control") / "whole")


def test_every_kind_of_learner_is_an_arm(whole: Path) -> None:
    arms = load_arms(whole / "results")
    assert list(arms) == ["untrained", "right", "table", "deep", "memory", "longer"]
    assert arms["right"].pass_rate == 1.0
    assert arms["table"].pass_rate == 1.0
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    spent = {stage: max(row["compute"] for row in rows if row["stage"] == stage) for stage in ("table", "longer")}
    assert spent["table"] == 5 * 20 * 16
    assert spent["table"] <= spent["longer"] < spent["table"] + 8 * 8
    assert (whole / "report.html").is_file()


def test_the_saved_policy_is_that_of_its_arm(whole: Path) -> None:
    final = load_arms(whole / "results")["table"]
    again = evaluate(str(whole), DOMAIN, n=20)
    assert [record.answer for record in again.records] == [record.answer for record in final.records]


@pytest.mark.parametrize(("learner", "call"), [(QLearning, 4), (DQN, 3), (PPO, 3)])
def test_an_interrupted_run_goes_on_as_the_same_run(
    learner: type, call: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, calls = learner.iterate, [0]

    def interrupted(self: object) -> dict[str, float]:
        calls[0] += 1
        if calls[0] == call:
            raise KeyboardInterrupt
        return honest(self)

    monkeypatch.setattr(learner, "iterate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(DOMAIN, RECIPE, None, None, [], tmp_path / "run")
    monkeypatch.undo()
    resumed = train(DOMAIN, None, None, None, [], tmp_path / "run", resume=True)
    assert digest(resumed) == digest(whole)
