"""A whole run on pictures: what only they tell is learnt, and a run cut within a stage goes on as if it were not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from picture_domain import DOMAIN
from safetensors.torch import load_file
from tiny_vision import write_tiny_vision

from sciRL.errors import UserError
from sciRL.run.pipeline import train
from sciRL.run.results import load_arms

pytest.importorskip("PIL", reason="Pillow is not installed")

RECIPE = Path(__file__).resolve().parents[2] / "support" / "colours.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours")
    DOMAIN.build("", folder / "data", {})
    model = write_tiny_vision(folder / "model")
    return train(DOMAIN, RECIPE, folder / "data", str(model), [], folder / "run")


def metrics(run: Path) -> list[dict[str, float]]:
    """The metrics of every step, less what the clock says."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("time")} for row in rows]


def test_what_only_the_picture_tells_is_learnt(run: Path) -> None:
    arms = load_arms(run / "results")
    assert arms["untrained"].pass_rate < 0.2
    assert arms["sft"].pass_rate > 0.9  # a third without the picture
    assert min(arms["grpo"].pass_rate, arms["dpo"].pass_rate) > 0.9


def test_sampler_and_trainer_agree_and_both_algorithms_have_pairs_to_learn_from(run: Path) -> None:
    rows = metrics(run)
    gaps = [row["logp_gap"] for row in rows if row["stage"] == "grpo" and "logp_gap" in row]
    assert gaps
    assert max(gaps) < 1e-5
    assert all(row["pairs"] > 0 for row in rows if row["stage"] == "dpo")


@pytest.mark.parametrize("stage", ["grpo", "dpo"])
def test_a_run_cut_within_a_stage_ends_with_the_same_weights(run: Path, stage: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    steps = [row["step"] for row in metrics(run) if row["stage"] == stage]
    for folder in (out / "checkpoints").iterdir():
        if int(folder.name[5:]) > steps[1]:
            shutil.rmtree(folder)
    shutil.rmtree(out / "policy")
    train(DOMAIN, None, None, None, [], out, resume=True)
    assert metrics(out) == metrics(run)
    ends = load_file(out / "policy" / "model.safetensors"), load_file(run / "policy" / "model.safetensors")
    assert all((ends[0][name] == tensor).all() for name, tensor in ends[1].items())


def test_a_model_of_text_is_refused_before_it_draws(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a task has 1 pictures .* reads text alone"):
        train(DOMAIN, RECIPE, run.parent / "data", None, ["model.hidden=8", "model.layers=1"], tmp_path / "text")
    assert not (tmp_path / "text" / "results" / "arms.json").exists()
