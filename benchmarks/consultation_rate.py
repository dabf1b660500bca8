"""Consultations a second: 64 at once, one generation call a turn for all of them, against one after the other.

    python benchmarks/consultation_rate.py

The tiny recipe's model is first fitted to the embedded dialogues for a few steps, so that it asks and answers. Both
sides then play the same patients with the same seeds and a budget of ten questions, in interleaved rounds, and their
records are compared. Prints one table and writes benchmarks/results/consultation_rate.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from domains.medical import DOMAIN
from sciRL.algorithms.setting import LanguageComputeConfig, LanguageSetting
from sciRL.algorithms.supervised import SupervisedConfig, SupervisedFineTuning
from sciRL.config import load_config
from sciRL.learning.distributed import ProcessGroup
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.models.loading import load_policy
from sciRL.rollout.base import Request, SamplingParameters
from sciRL.rollout.episodes import EpisodeRollout
from sciRL.rollout.samplers import make_sampler
from sciRL.run.randomness import seed_everything
from sciRL.run.settings import RunConfig, fill_likes, for_domain
from sciRL.verification.pool import WorkerPool
from sciRL.verification.runner import FailureMonitor

PARAMETERS = SamplingParameters(max_new_tokens=4)


def fitted(steps: int) -> LanguageSetting:
    """Return the setting of the tiny recipe with its model fitted to the dialogues."""
    config = load_config(for_domain(RunConfig, DOMAIN), DOMAIN.recipes / "tiny.yaml", [], prepare=fill_likes)
    data, options = DOMAIN.default_data(), config.domain  # type: ignore[attr-defined]
    seed_everything(0)
    vocabulary = DOMAIN.vocabulary(data, options)
    assert vocabulary is not None
    policy = load_policy(config.model, vocabulary.tokens)  # type: ignore[attr-defined]
    setting = LanguageSetting(
        DOMAIN, options, data, policy, WorkerPool(0), FailureMonitor(), ProcessGroup(), LanguageComputeConfig(), 0
    )
    learner = SupervisedFineTuning(
        setting, SupervisedConfig(batch_size=64, optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=10)), steps
    )
    for _ in range(steps):
        learner.iterate()
    return setting


def main() -> None:
    """Print one table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--fit", type=int, default=80, help="supervised steps before")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "consultation_rate.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    setting = fitted(options.fit)
    environment = DOMAIN.conversation(setting.data, setting.options)
    assert environment is not None
    sampler = make_sampler("auto", setting.policy, torch.float32)
    sampler.sync(setting.policy.model)
    rollout = EpisodeRollout(
        policy=setting.policy,
        sampler=sampler,
        rubric=DOMAIN.rubric(setting.data, setting.options),
        pool=setting.pool,
        processes=setting.processes,
        seed=0,
        environment=environment,
        max_context=setting.policy.max_context,
    )
    tasks = DOMAIN.tasks(setting.data, "test", setting.options)[: options.episodes]
    requests = [Request(task, 1) for task in tasks]
    rates: dict[str, list[float]] = {"together": [], "one at a time": []}
    turns = 0
    for number in range(options.rounds):
        began = time.perf_counter()
        together = rollout.play(requests, number, PARAMETERS, "bench")
        rates["together"].append(len(requests) / (time.perf_counter() - began))
        began = time.perf_counter()
        alone = [
            rollout.play([request], number, PARAMETERS, "bench", group)[0] for group, request in enumerate(requests)
        ]
        rates["one at a time"].append(len(requests) / (time.perf_counter() - began))
        pairs = zip(together, alone, strict=True)
        different = sum(a.conversation.record() != b.conversation.record() for a, b in pairs)
        turns = sum(len(episode.replies) for episode in together)
        print(f"round {number + 1}: {different} of {len(requests)} consultations differ (rounding)", flush=True)
    ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
    for name, values in rates.items():
        print(f"{name:14} {statistics.median(values):8.2f} consultations/s")
    print(f"ratio {ratio:.1f}; {turns / len(requests):.1f} turns a consultation")
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "episodes": len(requests),
        "turns_per_episode": turns / len(requests),
        "consultations_per_s": rates,
        "ratio": ratio,
    }
    options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
