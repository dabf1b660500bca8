"""The nanorobot and GFlowNet domains as whole runs: recipes that load, arms, exact measures, resumption."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sciRL.algorithms.gflownet import GFlowNet
from sciRL.algorithms.q_learning import QLearning
from sciRL.config import load_config
from sciRL.domain import domain_names, load_domain
from sciRL.run.pipeline import train
from sciRL.run.results import load_arms
from sciRL.run.settings import RunConfig, fill_likes, for_domain

SHORT = {
    "gflownet": ["evaluation.samples=200", "stages.tb.steps=6", "stages.subtb.steps=2", "logging.checkpoint_every=1"],
    "nanorobot": [
        "evaluation.samples=8",
        "domain.duration=6",
        "stages.tabular_q.steps=4",
        "stages.tabular_q.train.steps=30",
        "stages.tabular_q.train.environments=16",
        "stages.dqn.steps=1",
        "stages.dqn.train.environments=16",
        "stages.dqn.train.steps=10",
        "stages.ppo_memory.steps=1",
        "stages.ppo_memory.train.environments=16",
        "stages.ppo_memory.train.steps=8",
        "logging.checkpoint_every=1",
    ],
}
RECIPES = [(name, path) for name in domain_names() for path in sorted(load_domain(name).recipes.glob("*.yaml"))]


@pytest.mark.parametrize(("name", "path"), RECIPES, ids=[f"{name}-{path.stem}" for name, path in RECIPES])
def test_every_recipe_is_a_valid_configuration(name: str, path: Path) -> None:
    config = load_config(for_domain(RunConfig, load_domain(name)), path, prepare=fill_likes)
    assert config.final_stage() in config.active_stages()


def digest(folder: Path) -> str:
    files = [folder / "metrics.jsonl", *sorted((folder / "policy").glob("*"))]
    files += sorted((folder / "results").glob("*.jsonl"))
    hashed = hashlib.sha256()
    for file in files:
        hashed.update(file.name.encode() + file.read_bytes())
    return hashed.hexdigest()


def short_run(name: str, out: Path, resume: bool = False) -> Path:
    overrides = [] if resume else [*SHORT[name], "logging.trackers=[]"]
    return train(name, load_domain(name).recipes / "tiny.yaml", None, None, overrides, out, resume)


@pytest.mark.parametrize(("name", "learner"), [("gflownet", GFlowNet), ("nanorobot", QLearning)])
def test_a_run_that_breaks_off_goes_on_as_the_same_run(
    name: str, learner: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = short_run(name, tmp_path / "whole")
    honest, calls = learner.iterate, [0]

    def breaks_off(self: object) -> dict[str, float]:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return honest(self)  # type: ignore[no-any-return]

    monkeypatch.setattr(learner, "iterate", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        short_run(name, tmp_path / "broken")
    monkeypatch.undo()
    assert digest(short_run(name, tmp_path / "broken", resume=True)) == digest(whole)


def uniform_l1() -> float:
    """Distance of uniform choices on the 8 x 8 grid from R / Z, by hand."""
    visits, stops, rewards = {(0, 0): 1.0}, {}, {}
    for cell in sorted(((i, j) for i in range(8) for j in range(8)), key=sum):
        children = [c for c in ((cell[0] + 1, cell[1]), (cell[0], cell[1] + 1)) if max(c) < 8]
        share = visits[cell] / (1 + len(children))
        stops[cell] = share
        for child in children:
            visits[child] = visits.get(child, 0.0) + share
        ax = [abs(s / 7 - 0.5) for s in cell]
        rewards[cell] = 0.1 + 0.5 * (min(ax) > 0.25) + 2.0 * (min(ax) > 0.3 and max(ax) < 0.4)
    total = sum(rewards.values())
    return sum(abs(stops[cell] - rewards[cell] / total) for cell in stops)


def test_a_grid_is_measured_exactly_beside_its_samples(tmp_path: Path) -> None:
    arms = load_arms(short_run("gflownet", tmp_path / "run") / "results")
    assert arms["untrained"].metrics["exact_l1"] == pytest.approx(uniform_l1(), abs=1e-6)
    assert arms["tb"].metrics["exact_l1"] < arms["untrained"].metrics["exact_l1"]
    assert arms["tb"].n == 200
