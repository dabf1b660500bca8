"""One GRPO step against TRL's GRPOTrainer: same model, prompts, reward, optimiser and number of tokens, taking turns.

    python benchmarks/grpo_step.py                      # process CPU seconds at one thread: immune to neighbours
    python benchmarks/grpo_step.py --threads 2          # wall-clock, for a quiet machine
    python benchmarks/grpo_step.py --quick              # two rounds of the small model

A step is 8 prompts of 16 tokens, 8 answers each, one AdamW step. TRL runs in fp32 without gradient checkpointing, with
its default loss (`dapo`, a token mean) and beta 0; ours is the same loss. On a `fixed` workload every answer has 64
tokens. On `ragged` the vocabulary is 64, so that an untrained model ends an answer with probability 1/64 a token, and
the reward is constant in every second group, whose advantages are therefore zero. The ratio is the median over rounds
of TRL's step over ours within a round. Before timing, loss and gradient of both are taken on one batch and compared.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import trl
from datasets import Dataset

from sciRL.advantage.base import AdvantageContext, apply_transforms
from sciRL.advantage.group import GroupAdvantage
from sciRL.learning.learner import Learner
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.models.tiny import EOS_ID, tiny_model, tokenizer_from_tokens
from sciRL.objective.policy import ClippedPolicy
from sciRL.rollout.base import GenerationRequest, SamplingParameters
from sciRL.rollout.lean import LeanSampler
from sciRL.trajectory import TrajectoryBatch

PROMPTS, GROUP, PROMPT_TOKENS, NEW_TOKENS = 8, 8, 16, 64
LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class Workload:
    """A model size and how long answers are."""

    name: str
    vocabulary: int
    hidden: int
    mlp: int
    ragged: bool = False
    new_tokens: int = NEW_TOKENS


WORKLOADS = (
    Workload("fixed 2.5M", 512, 192, 512),
    Workload("fixed 10M", 512, 384, 1024),
    Workload("ragged 2.5M", 64, 192, 512, ragged=True, new_tokens=128),
)


def reward(answer: list[int], group: int, ragged: bool) -> float:
    """Share of even ids; constant in every second group of the ragged workload."""
    if ragged and group % 2:
        return 0.5
    return sum(token % 2 == 0 for token in answer) / len(answer)


class Ours:
    """Learner, lean sampler, group advantage and clipped policy, without the run around them."""

    def __init__(self, work: Workload, model: Any, prompts: list[tuple[int, ...]], dtype: torch.dtype) -> None:
        self.work, self.prompts = work, prompts
        self.learner = Learner(model, OptimizerConfig(learning_rate=LEARNING_RATE), total_steps=10_000)
        self.sampler = LeanSampler(model, [EOS_ID] if work.ragged else [], dtype=dtype)
        self.parameters = SamplingParameters(max_new_tokens=work.new_tokens)
        self.seeds = iter(range(1 << 40))
        self.transforms, self.terms = [GroupAdvantage("grpo")], [ClippedPolicy(dual_clip=None)]

    def step(self, clock: Callable[[], float]) -> tuple[float, float, int]:
        """Return seconds of generation, seconds of the rest, and answer tokens."""
        start = clock()
        self.sampler.sync(self.learner.model)
        requests = [GenerationRequest(prompt, next(self.seeds)) for prompt in self.prompts for _ in range(GROUP)]
        completions = self.sampler.generate(requests, self.parameters)
        middle = clock()
        answers = [completion.ids.tolist() for completion in completions]
        batch = TrajectoryBatch.from_rows(
            [request.prompt_ids for request in requests],
            answers,
            [index // GROUP for index in range(len(requests))],
            logp_sampler=[completion.logp.tolist() for completion in completions],
        )
        batch.outcome = torch.tensor([reward(a, i // GROUP, self.work.ragged) for i, a in enumerate(answers)])
        batch = apply_transforms(self.transforms, batch, AdvantageContext(0))
        self.learner.update(batch, self.terms)
        return middle - start, clock() - middle, sum(map(len, answers))


class Peer:
    """TRL's trainer, stepped one optimiser step at a time."""

    def __init__(self, work: Workload, model: Any, prompts: list[tuple[int, ...]], folder: str) -> None:
        self.work = work
        self.generation_seconds = 0.0
        self.tokens = 0
        tokenizer = tokenizer_from_tokens([f"t{index}." for index in range(work.vocabulary - 4)])
        texts = [tokenizer.decode(list(prompt)) for prompt in prompts]
        assert [tuple(tokenizer.encode(text, add_special_tokens=False)) for text in texts] == prompts
        self.group_of = {text: index for index, text in enumerate(texts)}
        extra = {} if work.ragged else {"generation_kwargs": {"min_new_tokens": work.new_tokens}}
        config = trl.GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=PROMPTS * GROUP,
            num_generations=GROUP,
            max_completion_length=work.new_tokens,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            top_k=0,
            beta=0.0,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            max_steps=10_000,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            shuffle_dataset=False,
            seed=0,
            **extra,
        )
        self.trainer = trl.GRPOTrainer(
            model=model,
            reward_funcs=self._reward,
            args=config,
            train_dataset=Dataset.from_list([{"prompt": text} for text in texts]),
            processing_class=tokenizer,
        )
        self.trainer.create_optimizer_and_scheduler(num_training_steps=10_000)
        self.inputs = [{"prompt": text} for text in texts for _ in range(GROUP)]
        self._time_generation()

    def _reward(self, prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        self.tokens = sum(map(len, completion_ids))
        return [
            reward(ids, self.group_of[prompt], self.work.ragged)
            for prompt, ids in zip(prompts, completion_ids, strict=True)
        ]

    def _time_generation(self) -> None:
        inner = self.trainer._generate

        def timed(*arguments: Any, **options: Any) -> Any:
            start = self.clock()
            result = inner(*arguments, **options)
            self.generation_seconds = self.clock() - start
            return result

        self.trainer._generate = timed

    def step(self, clock: Callable[[], float]) -> tuple[float, float, int]:
        """Return seconds of generation, seconds of the rest, and answer tokens."""
        self.clock = clock
        start = clock()
        trainer = self.trainer
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = 1
        trainer.training_step(trainer.model, self.inputs, num_items_in_batch=None)
        trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), trainer.args.max_grad_norm)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        trainer.state.global_step += 1
        return self.generation_seconds, clock() - start - self.generation_seconds, self.tokens


def agreement(peer: Peer, work: Workload) -> dict[str, float]:
    """Take loss and gradient norm of both on one batch that TRL sampled, from equal weights."""
    trainer = peer.trainer
    peer.clock = time.perf_counter
    trainer.model.train()
    inputs = trainer._prepare_inputs(list(peer.inputs))
    trainer.model.zero_grad()
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    theirs = torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), float("inf"))
    trainer.model.zero_grad()
    learner = Learner(copy.deepcopy(trainer.model), OptimizerConfig(), total_steps=1)
    mask = inputs["completion_mask"].bool()
    batch = TrajectoryBatch.from_rows(
        inputs["prompt_ids"].tolist(),
        [ids[kept].tolist() for ids, kept in zip(inputs["completion_ids"], mask, strict=True)],
        [index // GROUP for index in range(len(mask))],
    )
    batch.advantage = batch.spread(inputs["advantages"].float(), "row") * batch.action
    sums = learner.accumulate_gradients(batch, [ClippedPolicy(dual_clip=None)])
    ours = torch.nn.utils.clip_grad_norm_(learner.scorer.parameters(), float("inf"))
    return {
        "loss_trl": float(loss),
        "loss_sciRL": sums["loss/policy"],
        "gradient_norm_trl": float(theirs),
        "gradient_norm_sciRL": float(ours),
    }


def measure(work: Workload, rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Time TRL and our fp32 and bf16-sampling steps in turn, after one warm-up round."""
    model = tiny_model(
        work.vocabulary, "qwen2", hidden=work.hidden, layers=6, heads=6, kv_heads=2, mlp=work.mlp, max_length=256
    )
    rng = np.random.default_rng(0)
    prompts = [tuple(int(t) for t in rng.integers(4, work.vocabulary, PROMPT_TOKENS)) for _ in range(PROMPTS)]
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(work, copy.deepcopy(model), prompts, folder)
        same = agreement(peer, work)
        contestants: dict[str, Peer | Ours] = {
            "TRL": peer,
            "sciRL fp32": Ours(work, copy.deepcopy(model), prompts, torch.float32),
            "sciRL bf16 sampling": Ours(work, copy.deepcopy(model), prompts, torch.bfloat16),
        }
        times: dict[str, list[tuple[float, float, int]]] = {name: [] for name in contestants}
        for turn in range(rounds + 1):
            for name, contestant in contestants.items():
                measured = contestant.step(clock)
                if turn:
                    times[name].append(measured)
    return {"workload": asdict(work), "same_batch": same, "rows": [_row(name, times) for name in contestants]}


def _row(name: str, times: dict[str, list[tuple[float, float, int]]]) -> dict[str, Any]:
    # On the ragged workload each draws its own lengths: seconds are compared a token, which is fair to both.
    totals = [(g + u) / n for g, u, n in times[name]]
    base = [(g + u) / n for g, u, n in times["TRL"]]
    return {
        "name": name,
        "step_s": statistics.median(g + u for g, u, _ in times[name]),
        "generate_s": statistics.median(g for g, _, _ in times[name]),
        "update_s": statistics.median(u for _, u, _ in times[name]),
        "answer_tokens": statistics.median(n for _, _, n in times[name]),
        "ratio": statistics.median(b / t for b, t in zip(base, totals, strict=True)),
    }


def show(result: dict[str, Any]) -> None:
    """Print the rows of one workload."""
    for row in result["rows"]:
        print(
            f"{result['workload']['name']:12} {row['name']:20} {row['step_s']:8.3f} {row['generate_s']:10.3f} "
            f"{row['update_s']:8.3f} {row['answer_tokens']:8.0f} {row['ratio']:10.2f}",
            flush=True,
        )
    same = result["same_batch"]
    print(
        f"{'':12} same batch: loss {same['loss_trl']:.7f} / {same['loss_sciRL']:.7f}, "
        f"gradient norm {same['gradient_norm_trl']:.6f} / {same['gradient_norm_sciRL']:.6f} (TRL / sciRL)"
    )


def main() -> None:
    """Print one table and write benchmarks/results/grpo_step.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="two rounds of the first workload, nothing written")
    parser.add_argument("--only", choices=[work.name for work in WORKLOADS])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "grpo_step.json")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    load = os.getloadavg()[0]
    chosen = [work for work in WORKLOADS if options.only in (None, work.name)]
    print(
        f"{'workload':12} {'trainer':20} {'step s':>8} {'generate s':>10} {'update s':>8} {'tokens':>8} {'x TRL':>10}"
    )
    results = []
    for work in chosen[:1] if options.quick else chosen:
        results.append(measure(work, 2 if options.quick else options.rounds, clock))
        show(results[-1])
    if options.quick:
        return
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "clock": "process CPU, one thread" if options.threads == 1 else f"wall, {options.threads} threads",
        "rounds": options.rounds,
        "load_average_at_start": load,
        "machine": platform.processor() or platform.machine(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__},
        "results": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    partial = options.out.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, options.out)


if __name__ == "__main__":
    main()
