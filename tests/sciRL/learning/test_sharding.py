"""Two processes (gloo) that share one sharded model train like one process that holds it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from toy_domain import DOMAIN

from sciRL.learning.distributed import ProcessGroup
from sciRL.learning.learner import Learner
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.learning.scorer import TokenScorer
from sciRL.learning.sharding import ShardingKind
from sciRL.models.tiny import tiny_model
from sciRL.objective.sft import CrossEntropy
from sciRL.run.checkpoint import load_tree
from sciRL.run.pipeline import train
from sciRL.trajectory import Source, TrajectoryBatch

SUPPORT = Path(__file__).resolve().parents[2] / "support"
COMMON = ["compute.max_tokens=64"]
SHARDED = [*COMMON, "compute.sharding=fsdp2"]
BASE: dict[str, Any] = {
    "evaluation": {"samples": 4, "untrained": False, "sampling": {"max_new_tokens": 4}},
    "logging": {"checkpoint_every": 2, "keep": 100, "trackers": []},
}
RESUMED_AFTER = 7
"""In the middle of the second stage, when optimiser and reference have a state."""

DEMONSTRATIONS = {"algorithm": "supervised", "batch_size": 16, "optimizer": {"learning_rate": 3e-4}}
ROLLOUTS = {
    "algorithm": "policy_optimization",
    "prompts": 4,
    "group_size": 4,
    "sampling": {"max_new_tokens": 4},
    "kl_coefficient": 0.01,
    "optimizer": {"learning_rate": 3e-4},
}
PAIRS = {
    "algorithm": "preference",
    "prompts": 8,
    "group_size": 4,
    "steps_per_round": 1,
    "batch_pairs": 3,
    "sampling": {"max_new_tokens": 4},
    "optimizer": {"learning_rate": 3e-4},
}
CASES: dict[str, dict[str, Any]] = {
    "whole": {
        "stages": {
            "sft": {"steps": 5, "train": DEMONSTRATIONS},
            "grpo": {"start": "sft", "steps": 5, "train": ROLLOUTS},
            "dpo": {"start": "sft", "steps": 2, "train": PAIRS},
            "continued": {"start": "sft", "steps": 9, "compute_of": "dpo", "train": DEMONSTRATIONS},
        },
        "final": "grpo",
    },
    "adapter": {
        "model": {"lora": {"rank": 4}, "gradient_checkpointing": True},
        "stages": {
            "sft": {"steps": 2, "train": DEMONSTRATIONS},
            "dpo": {"start": "sft", "steps": 2, "train": PAIRS},
        },
    },
    "critic": {
        "compute": {"sampler": "transformers"},
        "stages": {"ppo": {"steps": 2, "train": ROLLOUTS | {"method": "ppo", "minibatches": 2}}},
    },
    "mixed": {
        "compute": {"autocast": "bfloat16"},
        "stages": {"sft": {"steps": 2, "train": DEMONSTRATIONS}},
    },
}


def two_processes(script: Path, calls: Sequence[str]) -> None:
    """Run statements in one launch of two processes."""
    lines = ["import os, sys, torch", "from pathlib import Path", f"sys.path.insert(0, {str(Path(__file__).parent)!r})"]
    lines += ["from test_sharding import DOMAIN, cut_short, gpt2_steps, train", "torch.set_num_threads(1)", *calls]
    script.write_text("\n".join(lines))
    paths = os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]
    launcher += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", str(script)]
    done = subprocess.run(launcher, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


def training(out: Path, recipe: Path | None = None) -> str:
    """Return the statement that trains, or resumes where there is no recipe."""
    given = f"Path({str(recipe)!r}), overrides={SHARDED!r}" if recipe is not None else "resume=True"
    return f"train(DOMAIN, {given}, out=Path({str(out)!r}))"


def cut_short(run: Path, copy: Path) -> Path:
    """Copy a run as a kill would leave it: nothing of what came after one step is there."""
    shutil.copytree(run, copy)
    for folder in (copy / "checkpoints").iterdir():
        if int(folder.name.removeprefix("step-")) > RESUMED_AFTER:
            shutil.rmtree(folder)
    shutil.rmtree(copy / "policy")
    return copy


def gpt2_steps(out: Path, sharding: ShardingKind) -> None:
    """Take two steps on a model whose head is not plain; write losses and what this process holds."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=16, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    model = GPT2LMHeadModel(config).eval()
    for dropout in (module for module in model.modules() if isinstance(module, torch.nn.Dropout)):
        dropout.p = 0.0
    processes = ProcessGroup()
    # Three micro-batches: the second process has one less, and must help the first with its last.
    learner = Learner(model, OptimizerConfig(), total_steps=2, max_tokens=8, processes=processes, sharding=sharding)
    prompts, answers = [[1, 4, 5], [1, 6], [1, 7]], [[8, 9], [2], [3, 4, 5]]
    batch = TrajectoryBatch.from_rows(prompts, answers, [0, 1, 2], source=Source.EXPERT)
    losses = [learner.update(batch, [CrossEntropy("token-mean")])["loss"] for _ in range(2)]
    parameters = list(model.parameters())
    moments = [learner.optimizer.state[parameter]["exp_avg"] for parameter in parameters]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    tensors = {"weights": parameters, "gradients": gradients, "moments": moments}
    held = {name: sum(local(tensor).numel() for tensor in group) for name, group in tensors.items()}
    out.with_suffix(f".{processes.rank}").write_text(json.dumps({"losses": losses, **held}))


def local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case with one process (`one-*`) and with two (`two-*`), and runs that were resumed."""
    root = tmp_path_factory.mktemp("sharded")
    short = [
        "controls=false",
        "final=sft",
        "stages.sft.steps=60",
        "stages.grpo.steps=1",
        "stages.dpo.steps=1",
        "logging.checkpoint_every=500",
    ]
    train(DOMAIN, SUPPORT / "toy.yaml", overrides=short, out=root / "start")
    statements = []
    for name, case in CASES.items():
        recipe = root / f"{name}.yaml"
        model = {"path": str(root / "start" / "policy"), **case.get("model", {})}
        recipe.write_text(yaml.safe_dump(BASE | case | {"model": model}, sort_keys=False))
        train(DOMAIN, recipe, overrides=COMMON, out=root / f"one-{name}")
        statements.append(training(root / f"two-{name}", recipe))
    cut_short(root / "one-whole", root / "one-then-two")
    copy = f"cut_short(Path({str(root / 'two-whole')!r}), Path({str(root / 'two-then-two')!r}))"
    statements += [
        training(root / "one-then-two"),
        f"if os.environ['RANK'] == '0': {copy}",
        "torch.distributed.barrier()",
        training(root / "two-then-two"),
    ]
    gpt2_steps(root / "one-gpt2", "none")
    statements.append(f"gpt2_steps(Path({str(root / 'two-gpt2')!r}), 'fsdp2')")
    two_processes(root / "launch.py", statements)
    train(DOMAIN, resume=True, out=cut_short(root / "two-whole", root / "two-then-one"))
    return root


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def largest_difference(a: Path, b: Path) -> float:
    """Largest difference of any weight of two saved policies."""
    first, second = load_file(a / "policy" / "model.safetensors"), load_file(b / "policy" / "model.safetensors")
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


@pytest.mark.parametrize("case", ["whole", "adapter", "critic"])
def test_losses_gradient_norms_and_weights_are_those_of_one_process(runs: Path, case: str) -> None:
    one, two = metrics(runs / f"one-{case}"), metrics(runs / f"two-{case}")
    assert [(row["stage"], row["compute"]) for row in one] == [(row["stage"], row["compute"]) for row in two]
    for a, b in zip(one, two, strict=True):
        assert abs(a["loss"] - b["loss"]) <= 1e-5, (a, b)
        assert abs(a["gradient_norm"] - b["gradient_norm"]) <= 1e-4, (a, b)
        assert a.get("reward/mean") == b.get("reward/mean")
        assert ("logp_gap" not in b) or a["stage"] == "dpo" or b["logp_gap"] < 1e-5
    assert largest_difference(runs / f"one-{case}", runs / f"two-{case}") <= 1e-5


def test_each_process_holds_its_slice_of_weights_gradients_and_moments(runs: Path) -> None:
    whole = json.loads((runs / "one-gpt2.0").read_text())
    slices = [json.loads((runs / f"two-gpt2.{rank}").read_text()) for rank in (0, 1)]
    for name in ("weights", "gradients", "moments"):
        assert sum(part[name] for part in slices) == whole[name]
        assert max(part[name] for part in slices) <= 0.51 * whole[name]
    for part in slices:
        assert part["losses"] == pytest.approx(whole["losses"], abs=1e-6)


def test_the_compared_runs_learn_from_rewards(runs: Path) -> None:
    rows = [row for row in metrics(runs / "two-whole") if row["stage"] == "grpo"]
    assert any(row["reward/mean"] > 0 for row in rows)
    assert all(row["gradient_norm"] > 0 for row in rows)


def test_mixed_precision_stays_near_mixed_precision_of_one_process(runs: Path) -> None:
    for a, b in zip(metrics(runs / "one-mixed"), metrics(runs / "two-mixed"), strict=True):
        assert 0 < abs(a["loss"] - b["loss"]) < 0.02  # bfloat16 has 8 bits: about 0.4 % of a loss near 1


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(runs: Path) -> None:
    resumed, whole = runs / "two-then-two", runs / "two-whole"
    assert largest_difference(resumed, whole) == 0
    assert [row["loss"] for row in metrics(resumed)] == [row["loss"] for row in metrics(whole)]


@pytest.mark.parametrize("change", ["one-then-two", "two-then-one"])
def test_a_run_goes_on_with_another_number_of_processes(runs: Path, change: str) -> None:
    resumed, whole = runs / change, runs / f"{change[:3]}-whole"
    assert largest_difference(resumed, whole) <= 1e-5
    for a, b in zip(metrics(resumed), metrics(whole), strict=True):
        assert abs(a["loss"] - b["loss"]) <= 1e-5


def test_checkpoints_do_not_depend_on_the_number_of_processes(runs: Path) -> None:
    place = f"checkpoints/step-{RESUMED_AFTER:08d}/state.safetensors"
    one, two = (load_tree(runs / f"{run}-whole" / place)["algorithm"]["learner"] for run in ("one", "two"))
    assert one["optimizer"]["param_groups"] == two["optimizer"]["param_groups"]
    assert one["optimizer"]["state"].keys() == two["optimizer"]["state"].keys()
    for number, moments in one["optimizer"]["state"].items():
        for name, value in moments.items():
            torch.testing.assert_close(two["optimizer"]["state"][number][name], value, rtol=1e-4, atol=1e-6)
    assert one["reference"].keys() == two["reference"].keys()
    for name, value in one["reference"].items():
        torch.testing.assert_close(two["reference"][name], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["whole", "adapter"])
def test_the_saved_policy_is_a_plain_transformers_model(runs: Path, case: str) -> None:
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([[1, 5, 9, 6]])
    with torch.no_grad():
        one, two = (
            AutoModelForCausalLM.from_pretrained(runs / f"{run}-{case}" / "policy")(ids).logits
            for run in ("one", "two")
        )
    torch.testing.assert_close(one, two, rtol=0, atol=1e-4)


def test_one_process_has_nobody_to_share_with() -> None:
    model = tiny_model(12, hidden=16, layers=1, heads=2, kv_heads=1, mlp=16, max_length=16)
    learner = Learner(model, OptimizerConfig(), total_steps=1, sharding="fsdp2")
    assert not learner.sharded
    assert type(learner.scorer) is TokenScorer
    assert all(type(parameter) is torch.nn.Parameter for parameter in model.parameters())
