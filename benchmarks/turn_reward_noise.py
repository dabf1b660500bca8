"""How noisy turn rewards are: do two halves of the same consultations ask for the same step?

    python benchmarks/turn_reward_noise.py runs/medical/checkpoints/step-00000320/policy

A policy of the tiny recipe (the folder named, of Hugging Face layout) leads eight consultations with each of 256
patients. Every rule of `turn_reward` pays the same consultations; with discounts 0, 0.5 and 1 the returns, compared at
their place, become the policy gradient of each half of the patients. The cosine between the two gradients says how much
of a step is signal: c = s / (s + n) for signal s and noise n, squared norms, of 1,024 consultations. The mean reward of
a turn stands beside it: that of `expected` is the mean of `belief` as far as the table of chances is true of the
patients. Prints one table and writes benchmarks/results/turn_reward_noise.json.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from domains.medical import DOMAIN, make_clinic
from domains.medical.environment import ConsultationEpisode, turn_rewards
from sciRL.advantage.base import AdvantageContext
from sciRL.advantage.turns import TurnAdvantage
from sciRL.algorithms.policy_optimization import PolicyOptimization, PolicyOptimizationConfig
from sciRL.algorithms.setting import LanguageSetting
from sciRL.config import load_config
from sciRL.rollout.base import SchedulerContext
from sciRL.rollout.episodes import Episode, EpisodeRollout, episode_batch
from sciRL.run.pipeline import make_setting
from sciRL.run.settings import RunConfig, fill_likes, for_domain
from sciRL.trajectory import TrajectoryBatch
from sciRL.verification.pool import WorkerPool

RULES = ("sig", "belief", "expected")
DISCOUNTS = (0.0, 0.5, 1.0)


def played(folder: Path, patients: int, pool: WorkerPool) -> tuple[PolicyOptimization, list[Episode], TrajectoryBatch]:
    """Return the learner of a policy and the consultations that it led, eight with each patient."""
    config = load_config(
        for_domain(RunConfig, DOMAIN), DOMAIN.recipes / "tiny.yaml", [f"model.path={folder}"], prepare=fill_likes
    )
    setting = make_setting(DOMAIN, config, DOMAIN.default_data(), pool)
    assert isinstance(setting, LanguageSetting)
    train = PolicyOptimizationConfig.model_validate(
        {"prompts": patients, "aggregation": "token-mean", "turns": {"method": "turns"}}
    )
    algorithm = PolicyOptimization(setting, train, 1)
    rollout = algorithm.rollout
    assert isinstance(rollout, EpisodeRollout)
    rollout.sampler.sync(setting.policy.model)
    requests = algorithm.scheduler.plan(SchedulerContext(0))
    assert requests is not None
    sampling = train.sampling.model_copy(update={"max_new_tokens": 4})
    episodes = rollout.play(requests, 0, sampling.parameters(), "train")
    batch = episode_batch(episodes, rollout.judge(episodes), rollout.rubric.component_names, 0)
    return algorithm, episodes, batch


def paid(episodes: list[Episode], rule: str) -> Tensor:
    """Return what a rule pays for every turn of the consultations."""
    rewards: list[float] = []
    for episode in episodes:
        conversation = episode.conversation
        assert isinstance(conversation, ConsultationEpisode)
        clinic = conversation.clinic
        other = make_clinic(clinic.data, clinic.options.model_copy(update={"turn_reward": rule}))
        rewards += turn_rewards(conversation.interview.record, other)
    return torch.tensor(rewards)


def gradient(algorithm: PolicyOptimization, batch: TrajectoryBatch, half: int) -> Tensor:
    """Return the policy gradient of the patients with odd or even numbers."""
    learner = algorithm.learner
    parameters = list(learner.scorer.parameters())
    for parameter in parameters:
        parameter.grad = None
    learner.accumulate_gradients(batch.select((batch.group % 2 == half).nonzero().flatten()), algorithm.terms)
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", type=Path)
    parser.add_argument("--patients", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "turn_reward_noise.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells: list[dict[str, Any]] = []
    with WorkerPool(0) as pool:
        algorithm, episodes, batch = played(options.policy, options.patients, pool)
        print("| rule | mean reward of a turn | discount | cosine of two halves |\n| --- | ---: | ---: | ---: |")
        for rule in RULES:
            rewards = paid(episodes, rule)
            mean, error = float(rewards.mean()), float(rewards.std() / len(rewards) ** 0.5)
            rewarded = batch.with_columns({"turn_reward": rewards})
            for gamma in DISCOUNTS:
                transform = TurnAdvantage("return", True, "place", False, gamma, 1.0, 0.0)
                filled = rewarded.with_columns(transform.apply(rewarded, AdvantageContext(0)))
                first, second = (gradient(algorithm, filled, half) for half in (0, 1))
                cosine = float(torch.nn.functional.cosine_similarity(first, second, dim=0))
                cells.append({"rule": rule, "mean": mean, "mean_error": error, "discount": gamma, "cosine": cosine})
                print(f"| {rule} | {mean:.4f} +- {error:.4f} | {gamma} | {cosine:.3f} |", flush=True)
    result = {"date": datetime.now(UTC).isoformat(), "patients": options.patients, "consultations": 8, "cosines": cells}
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
