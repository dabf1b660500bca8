"""Two training ideas of CAD-RL (arXiv 2508.10118), each alone, on problems small enough to repeat over many seeds.

1. Precision-token weights (eq. 8): a transformer of 2 layers and width 48 learns to copy four two-digit numbers of a
   specification into a CadQuery program. Accuracy of the next token on held-out specifications, digits and all other
   tokens apart, with the numbers and operations weighing 1 (plain) and 4.
2. Trust-region stretch (eq. 7): a table of 6 slots of 12 values, reward prod(1 - |error| / 12), 0 where a slot is off
   by more than 9, started in a wrong mode (each slot prefers the value 6 away from the right one); groups of 16
   samples, 8 passes over each, plain gradient steps. Mean reward of the samples with ratio bounds 0.8 and 1.2,
   0.6 and 1.8, and none, for two step sizes and three strengths of the wrong preference.

    python benchmarks/cad_training_ideas.py

Prints two tables and writes benchmarks/results/cad_training_ideas.json. One thread, a few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from domains.cad.tokens import precise_spans
from sciRL.advantage.base import AdvantageContext
from sciRL.advantage.group import GroupAdvantage
from sciRL.algorithms.supervised import demonstration_batch
from sciRL.domain import Demonstration
from sciRL.learning.learner import Learner
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.learning.token_weights import precise_tokens
from sciRL.models.loading import LanguagePolicy
from sciRL.models.tiny import EOS_ID, tiny_model, tokenizer_from_tokens
from sciRL.objective.base import MicroBatch
from sciRL.objective.policy import ClippedPolicy
from sciRL.objective.sft import CrossEntropy
from sciRL.task import Task
from sciRL.trajectory import TrajectoryBatch

TEMPLATE = 'result = cq.Workplane("XY").box({}, {}, {}).faces(">Z").workplane().hole({})'
WORDS = ("result", " = ", "cq", "Workplane", "XY", "Z", "box", "faces", "workplane", "hole", ", ")
TOKENS = (*WORDS, *'.()"> ', *"0123456789")
WEIGHTS = (1.0, 4.0)
WIDTH, LEARNING_RATE, BATCH, HELD_OUT = 48, 1e-3, 64, 256

SLOTS, VALUES, GROUP, PASSES, ITERATIONS, TOO_FAR = 6, 12, 16, 8, 40, 9
BOUNDS = {"0.8 to 1.2": (0.2, 0.2), "0.6 to 1.8": (0.4, 0.8), "no clip": (1.0, 1e9)}
STEP_SIZES = (4.0, 16.0)
PREFERENCES = (2.0, 3.0, 4.0)
"""Logit of the wrong value where all others have 0; the first is the one of the acceptance figures."""


# -- precision-token weights -------------------------------------------------------------------


def specifications(count: int, generator: np.random.Generator) -> list[Demonstration]:
    """Return tasks of four numbers from 10 to 99 and the programs that use them."""
    made = []
    for numbers in generator.integers(10, 100, (count, 4)).tolist():
        task = Task("cad", ({"role": "user", "content": " ".join(map(str, numbers))},))
        made.append(Demonstration(task, TEMPLATE.format(*numbers)))
    return made


@torch.no_grad()
def accuracy(policy: LanguagePolicy, batch: TrajectoryBatch) -> tuple[float, float]:
    """Return the share of digits, and of other answer tokens, that are the first choice given the true ones before."""
    digits = torch.tensor(policy.tokenizer.convert_tokens_to_ids(list("0123456789")))
    ids_BT = batch.padded("ids")
    right_BT = policy.model(input_ids=ids_BT).logits[:, :-1].argmax(-1) == ids_BT[:, 1:]
    action_BT = batch.padded(batch.action)[:, 1:]
    digit_BT = torch.isin(ids_BT[:, 1:], digits)
    return float(right_BT[action_BT & digit_BT].float().mean()), float(right_BT[action_BT & ~digit_BT].float().mean())


@torch.no_grad()
def widen(model: torch.nn.Module) -> None:
    """Scale initial matrices from the standard deviation 0.02, meant for wide models, to 1 / sqrt(width)."""
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            parameter.mul_(WIDTH**-0.5 / 0.02)


def fine_tuned(weight: float, seed: int, stops: Sequence[int]) -> list[tuple[float, float]]:
    """Return the accuracies after each number of steps; seeds share data between weights."""
    tokenizer = tokenizer_from_tokens(TOKENS)
    model = tiny_model(len(tokenizer), hidden=WIDTH, layers=2, heads=4, kv_heads=4, mlp=128, max_length=64, seed=seed)
    widen(model)
    policy = LanguagePolicy(model, tokenizer, False, (EOS_ID,))
    learner = Learner(model, OptimizerConfig(learning_rate=LEARNING_RATE), total_steps=max(stops), max_tokens=10**6)
    generator = np.random.default_rng(seed)
    held_out = demonstration_batch(policy, specifications(HELD_OUT, generator))
    found = []
    for step in range(1, max(stops) + 1):
        batch = demonstration_batch(policy, specifications(BATCH, generator))
        batch.weight = batch.weight * torch.where(precise_tokens(batch, tokenizer, precise_spans), weight, 1.0)
        learner.update(batch, [CrossEntropy("seq-mean-token-mean")])
        if step in stops:
            found.append(accuracy(policy, held_out))
    return found


def precision(seeds: int, stops: Sequence[int]) -> list[dict[str, Any]]:
    """Return one row a weight and number of steps."""
    rows = []
    for weight in WEIGHTS:
        runs = [fine_tuned(weight, seed, stops) for seed in range(seeds)]
        for index, steps in enumerate(stops):
            digits, others = zip(*(run[index] for run in runs), strict=True)
            rows.append({"weight": weight, "steps": steps, "digits": digits, "other_tokens": others})
            print(f"| {weight:g} | {steps} | {spread(digits)} | {spread(others)} |", flush=True)
    return rows


# -- trust-region stretch ----------------------------------------------------------------------


def rewards(values: Tensor, target: Tensor) -> Tensor:
    """Return the reward of samples [..., SLOTS]."""
    error = (values - target).abs()
    return (1 - error / VALUES).prod(-1) * (error <= TOO_FAR).all(-1)


def table_curve(bounds: tuple[float, float], step_size: float, preference: float, seeds: int) -> list[list[float]]:
    """Return the mean reward of every iteration's samples, by seed; every seed is a policy and a group of its own."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, VALUES, (seeds, 1, SLOTS), generator=generator)
    wrong = (target + VALUES // 2) % VALUES
    logits = torch.zeros(seeds, SLOTS, VALUES).scatter_(2, wrong.transpose(1, 2), preference).requires_grad_()
    term = ClippedPolicy("seq-mean-token-mean", *bounds, dual_clip=None)
    groups = torch.arange(seeds).repeat_interleave(GROUP).tolist()
    curve = []
    for iteration in range(ITERATIONS):
        law = logits.detach().softmax(-1).flatten(0, 1)
        values = torch.multinomial(law, GROUP, replacement=True, generator=generator)
        values = values.unflatten(0, (seeds, SLOTS)).transpose(1, 2)
        reward = rewards(values, target)
        curve.append(reward.mean(1).tolist())
        batch = TrajectoryBatch.from_rows([[0]] * len(groups), values.flatten(0, 1).tolist(), groups)
        batch.outcome = reward.flatten()
        batch = batch.with_columns(GroupAdvantage("grpo").apply(batch, AdvantageContext(iteration)))
        assert batch.advantage is not None
        action = batch.action
        columns = {
            # Each seed's loss is the mean over its own rows.
            term.name: seeds * term.prepare(batch)[action],
            "advantage": batch.advantage[action],
            "logp_old": chosen(logits, values).detach(),
        }
        for _ in range(PASSES):
            micro = MicroBatch(chosen(logits, values), batch.row_of_token[action], len(batch), columns)
            (gradient,) = torch.autograd.grad(term.loss(micro)[0], logits)
            with torch.no_grad():
                logits -= step_size * gradient
    return curve


def chosen(logits: Tensor, values: Tensor) -> Tensor:
    """Return the log-probability of every sampled value, flat."""
    logp = logits.log_softmax(-1)[:, None].expand(-1, GROUP, -1, -1)
    return logp.gather(3, values[..., None]).flatten()


def trust_region(seeds: int) -> list[dict[str, Any]]:
    """Return one row a preference, step size and pair of bounds."""
    rows = []
    for preference in PREFERENCES:
        for step_size in STEP_SIZES:
            for name, bounds in BOUNDS.items():
                curve = np.array(table_curve(bounds, step_size, preference, seeds))
                middle, end = curve[18:21].mean(0), curve[-3:].mean(0)
                rows.append(
                    {
                        "preference": preference,
                        "step_size": step_size,
                        "bounds": name,
                        "around_20": middle.round(4).tolist(),
                        "last_three": end.round(4).tolist(),
                    }
                )
                print(f"| {preference:g} | {step_size:g} | {name} | {spread(middle)} | {spread(end)} |", flush=True)
    return rows


# -- both --------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> str:
    """Return mean and standard error."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"


def main() -> None:
    """Run both, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="of the precision weights, at least 2")
    parser.add_argument("--table-seeds", type=int, default=30, help="of the trust region, at least 2")
    parser.add_argument("--steps", type=int, nargs="+", default=[40, 80, 200])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cad_training_ideas.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| weight | steps | digits right | other tokens right |\n| --- | --- | --- | --- |")
    document: dict[str, Any] = {"date": date.today().isoformat(), "torch": torch.__version__}
    document["precision"] = precision(options.seeds, options.steps)
    print("\n| wrong logit | step size | ratio | reward, iterations 19 to 21 | reward, 38 to 40 |")
    print("| --- | --- | --- | --- | --- |")
    document["trust_region"] = trust_region(options.table_seeds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    partial = options.out.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, options.out)


if __name__ == "__main__":
    main()
