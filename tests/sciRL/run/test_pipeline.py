"""Whole runs of a tiny real model on a toy domain: controls, resume, kill -9, other data, failing verifiers."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_domain import DOMAIN

from sciRL.config import load_config
from sciRL.domain import BuildReport
from sciRL.errors import UserError
from sciRL.families.language import warn_of_rates
from sciRL.run.pipeline import dataset_folder, train
from sciRL.run.results import load_arms
from sciRL.run.settings import RunConfig, for_domain
from sciRL.run.tree import load_tree

SUPPORT = Path(__file__).resolve().parents[2] / "support"
RECIPE = SUPPORT / "toy.yaml"
SHORT = ["stages.sft.steps=4", "stages.grpo.steps=4", "stages.continued.steps=2", "stages.dpo.steps=1"]


def digest(folder: Path) -> str:
    """Hash of everything a resumed run must share with the uninterrupted one: weights, metrics, samples, results."""
    files = [folder / "metrics.jsonl", folder / "samples.jsonl"]
    files += sorted((folder / "policy").glob("*.safetensors")) + sorted((folder / "results").glob("*.json*"))
    hashed = hashlib.sha256()
    for file in files:
        hashed.update(file.name.encode() + file.read_bytes())
    return hashed.hexdigest()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(DOMAIN, RECIPE, None, None, [], tmp_path_factory.mktemp("runs") / "whole")


def test_a_run_has_every_arm_and_every_file(uninterrupted: Path) -> None:
    arms = load_arms(uninterrupted / "results")
    assert list(arms) == ["untrained", "sft", "grpo", "continued", "dpo"]
    assert [arm.role for arm in arms.values()] == ["untrained", "reference", "trained", "control", "trained"]
    for name in ("config.yaml", "manifest.json", "metrics.jsonl", "samples.jsonl", "report.html", "policy/config.json"):
        assert (uninterrupted / name).is_file(), name
    rows = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    spent = {stage: max(row["compute"] for row in rows if row["stage"] == stage) for stage in ("grpo", "continued")}
    assert spent["continued"] >= spent["grpo"]
    one_step = spent["continued"] / sum(row["stage"] == "continued" for row in rows)
    assert spent["continued"] - spent["grpo"] <= 2 * one_step


def test_the_gap_between_sampler_and_trainer_is_logged_and_small(uninterrupted: Path) -> None:
    rows = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    gaps = [row["logp_gap"] for row in rows if row["stage"] == "grpo" and "logp_gap" in row]
    assert len(gaps) == 8
    assert max(gaps) < 1e-5


def test_the_same_seed_gives_the_same_run(uninterrupted: Path, tmp_path: Path) -> None:
    assert digest(train(DOMAIN, RECIPE, None, None, [], tmp_path / "again")) == digest(uninterrupted)


def run_in_process(out: Path, *, resume: bool) -> subprocess.Popen[bytes]:
    code = (
        "import sys, torch; torch.set_num_threads(1); from pathlib import Path; from toy_domain import DOMAIN; "
        "from sciRL.run.pipeline import train; "
        f"train(DOMAIN, Path({str(RECIPE)!r}), None, None, [], Path({str(out)!r}), resume={resume})"
    )
    environment = os.environ | {"PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)


def test_killed_at_random_moments_and_resumed_it_is_the_same_run(uninterrupted: Path, tmp_path: Path) -> None:
    """Kill -9 while it trains, evaluates or saves; benchmarks/kill_resume.py does it 20 times."""
    out = tmp_path / "killed"
    pause = random.Random(0)
    for _ in range(3):
        process = run_in_process(out, resume=(out / "manifest.json").exists())
        deadline = time.monotonic() + 60
        while not (out / "metrics.jsonl").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(pause.uniform(0.1, 2.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = run_in_process(out, resume=True)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()[-2000:]
    assert digest(out) == digest(uninterrupted)


def test_a_run_resumed_between_two_stages_saves_the_same_states(uninterrupted: Path, tmp_path: Path) -> None:
    """What watches over the whole run, such as the failure monitor, must not start anew with the stage."""
    out = tmp_path / "cut"
    shutil.copytree(uninterrupted, out)
    state = load_tree(sorted((out / "checkpoints").iterdir())[-1] / "state.safetensors")
    assert len(state["monitor"]["steps"]) > 8  # the steps of GRPO and the rounds of DPO
    later = [
        path for path in (out / "checkpoints").iterdir() if int(path.name[5:]) > state["progress"]["ends"]["continued"]
    ]
    assert later
    for folder in later:
        shutil.rmtree(folder)
    train(DOMAIN, None, None, None, [], out, resume=True)
    for folder in later:
        name = f"checkpoints/{folder.name}/state.safetensors"
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes(), name


def test_ctrl_c_saves_and_the_resumed_run_is_the_same(uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    process = run_in_process(out, resume=False)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (out / "metrics.jsonl").exists():
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    resumed = run_in_process(out, resume=True)
    _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors.decode()[-2000:]
    assert digest(out) == digest(uninterrupted)


def test_resuming_with_other_data_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "manifest.json").write_text("{}")
    out = train(DOMAIN, RECIPE, data, None, [*SHORT, "controls=false"], tmp_path / "run")
    (data / "manifest.json").write_text('{"changed": true}')
    with pytest.raises(UserError, match="hash"):
        train(DOMAIN, None, None, None, [], out, resume=True)


def test_a_dataset_built_beside_a_run_is_that_of_its_source_and_says_what_was_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(self: object, source: str, out: Path, options: object) -> BuildReport:
        out.mkdir()
        (out / "manifest.json").write_text(Path(source).read_text())
        return BuildReport(out, 9, 7, {"not a number": 2})

    monkeypatch.setattr(type(DOMAIN), "build", build)
    source, out = tmp_path / "rows.csv", tmp_path / "run"
    found = []
    for content in ("one", "two", "one"):
        source.write_text(content)
        found.append(dataset_folder(DOMAIN, source, out))
        assert (found[-1] / "manifest.json").read_text() == content
    assert found[0] == found[2] != found[1]
    printed = capsys.readouterr().out
    assert f"{found[1]}: kept 7 of 9 rows" in printed
    assert printed.count("     2  not a number") == 2


def test_a_run_stops_when_its_verifier_fails(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the verifier failed on"):
        train(DOMAIN, RECIPE, None, None, [*SHORT, "domain.broken_share=0.5"], tmp_path / "run")


def test_failed_verifications_are_masked_not_zeroed(tmp_path: Path) -> None:
    overrides = [*SHORT, "domain.broken_share=0.3", "compute.max_failure_share=1.0", "controls=false"]
    out = train(DOMAIN, RECIPE, None, None, overrides, tmp_path / "run")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert any(row.get("verifier_failures", 0) > 0 for row in rows)
    arm = load_arms(out / "results")["grpo"]
    failed = [record for record in arm.records if not record.score.scorable]
    assert failed
    assert all(record.score.value is None for record in failed)
    assert arm.n == 20


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.grpo.start=sfft", "stages.grpo.start is 'sfft'; allowed: an earlier stage: sft"),
        ("stages.grpo.train.method=grop", "method"),
        ("stages.grpo.train.clipp=1", "clipp"),
        ("final=nothing", "final is 'nothing'"),
        ("stages.grpo.steps=0", "steps"),
    ],
)
def test_bad_settings_are_one_clear_error(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message.replace(".", r"\.").replace("(", r"\(")) as found:
        train(DOMAIN, RECIPE, None, None, [override], tmp_path / "run")
    assert "Traceback" not in str(found.value)
    assert not (tmp_path / "run").exists()


def test_an_answer_may_be_as_long_as_the_longest_demonstration_when_no_limit_is_set(tmp_path: Path) -> None:
    open_limits = ["evaluation.sampling.max_new_tokens=", "stages.grpo.train.sampling.max_new_tokens="]
    given = [*SHORT, *open_limits, "model.max_length=128", "controls=false"]
    written = load_config(
        for_domain(RunConfig, DOMAIN), train(DOMAIN, RECIPE, None, None, given, tmp_path / "run") / "config.yaml"
    )
    # Two digits and the end, to the next multiple of 64; what has a limit keeps it.
    assert written.stages["grpo"].train.sampling.max_new_tokens == 64
    assert written.evaluation.model_dump()["sampling"]["max_new_tokens"] == 64
    assert written.stages["dpo"].train.sampling.max_new_tokens == 4


@pytest.mark.parametrize("section", ["evaluation", "stages.grpo.train"])
def test_prompts_that_leave_no_room_for_answers_end_a_run_before_it_begins(section: str, tmp_path: Path) -> None:
    message = rf"{section}\.sampling\.max_new_tokens is 30 and prompts have up to 5 tokens.* at most 27 fit"
    with pytest.raises(UserError, match=message):
        train(DOMAIN, RECIPE, None, None, [f"{section}.sampling.max_new_tokens=30"], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_large_models_at_the_rates_of_small_ones_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_rates(500_000_000, {"sft": 2e-3, "grpo": 1e-6})
    assert "(stages.sft 0.002), but this one has 500 M weights" in capsys.readouterr().err
    warn_of_rates(500_000_000, {"sft": 1e-4})
    warn_of_rates(1_000_000, {"sft": 2e-3})
    assert capsys.readouterr().err == ""


def test_a_saved_policy_loads_in_plain_transformers_and_generates(uninterrupted: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    model = AutoModelForCausalLM.from_pretrained(uninterrupted / "policy", dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(uninterrupted / "policy")
    ids = tokenizer("3+4=", return_tensors="pt", add_special_tokens=False).input_ids
    out = model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    assert out.shape[1] > ids.shape[1]
