"""The rollout loop: sampled ids are the record, draws depend on their seed alone, failures are masked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sciRL.learning.distributed import ProcessGroup
from sciRL.models.loading import LanguagePolicy
from sciRL.models.tiny import tiny_model
from sciRL.rollout.base import Completion, GenerationRequest, Request, SamplingParameters, SchedulerContext
from sciRL.rollout.collect import Rollout
from sciRL.rollout.samplers import make_sampler
from sciRL.rollout.scheduler import DynamicSampling, UniformScheduler, groups_without_spread
from sciRL.rollout.statistics import batch_metrics
from sciRL.score import Score, Status
from sciRL.seeding import request_seed
from sciRL.task import Task
from sciRL.trajectory import Role
from sciRL.verification.base import Item, Rubric, Stage
from sciRL.verification.pool import WorkerPool


class LengthVerifier:
    """Scores the parity of the answer's length; says that it failed on tasks named so."""

    name = "parity"
    cost = "inline"

    def verify(self, items: Sequence[Item]) -> list[Score]:
        return [
            Score.failed(Status.TIMEOUT, "slow") if "slow" in task.text else Score.ok(len(answer) % 2)
            for task, answer in items
        ]


def merging_policy() -> LanguagePolicy:
    """A model whose byte-pair tokenizer merges across token boundaries: text does not determine ids."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=["<pad>", "<bos>", "<eos>", "<unk>"])
    tokenizer.train_from_iterator(["abab abcab slow abcabc babab ccab"] * 20, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    model = tiny_model(len(fast), "llama", hidden=16, layers=1, heads=2, kv_heads=1, mlp=32, max_length=64, seed=0)
    return LanguagePolicy(model, fast, False, (fast.eos_token_id,))


def make_rollout(policy: LanguagePolicy) -> Rollout:
    sampler = make_sampler("auto", policy)
    sampler.sync(policy.model)
    rubric = Rubric("parity", [Stage(LengthVerifier(), 1.0)])
    return Rollout(policy, sampler, rubric, WorkerPool(0), ProcessGroup(), seed=3)


def task(text: str) -> Task:
    return Task("toy", ({"role": "user", "content": text},))


PARAMETERS = SamplingParameters(max_new_tokens=6)


def test_sampled_ids_are_kept_where_retokenising_would_change_them() -> None:
    policy = merging_policy()
    rollout = make_rollout(policy)
    drawn: list[Completion] = []
    generate = rollout.sampler.generate

    def record(requests: Sequence[GenerationRequest], parameters: SamplingParameters) -> list[Completion]:
        drawn.extend(generate(requests, parameters))
        return drawn

    rollout.sampler.generate = record  # type: ignore[method-assign]
    batch = rollout.ask([Request(task("abab"), 32)], 0, PARAMETERS, "train")
    changed = 0
    for row, completion in enumerate(drawn):
        start, end = int(batch.offsets[row]), int(batch.offsets[row + 1])
        ids = batch.ids[start:end][batch.role[start:end] == Role.ACTION]
        assert ids.tolist() == completion.ids.tolist()
        again = policy.tokenizer.encode(batch.rows["answer"][row], add_special_tokens=False)
        changed += again != [i for i in ids.tolist() if i not in policy.tokenizer.all_special_ids]
    assert changed > 0, "the tokenizer of this test must merge across boundaries"


def test_draws_do_not_depend_on_the_other_requests() -> None:
    rollout = make_rollout(merging_policy())
    together = rollout.ask([Request(task("abab"), 4), Request(task("ccab"), 4)], 0, PARAMETERS, "train")
    alone = rollout.ask([Request(task("abab"), 4)], 0, PARAMETERS, "train")
    assert together.rows["answer"][:4] == alone.rows["answer"]
    other_step = rollout.ask([Request(task("abab"), 4)], 1, PARAMETERS, "train")
    assert other_step.rows["answer"] != alone.rows["answer"]


def test_a_failed_verification_is_masked_counted_and_never_zero() -> None:
    rollout = make_rollout(merging_policy())
    batch = rollout.ask([Request(task("slow"), 3), Request(task("abab"), 3)], 0, PARAMETERS, "train")
    assert batch.outcome[:3].isnan().all()
    assert not batch.outcome[3:].isnan().any()
    assert (batch.weight[batch.row_of_token < 3] == 0).all()
    assert batch_metrics(batch)["verifier_failures"] == 0.5
    assert batch.scorable.tolist() == [False] * 3 + [True] * 3


def test_dynamic_sampling_refills_groups_without_spread() -> None:
    tasks = [task(f"abab {i}") for i in range(10)]
    rollout = make_rollout(merging_policy())
    batch = rollout.collect(DynamicSampling(UniformScheduler(tasks, 4, 2, seed=0), max_rounds=2), 0, PARAMETERS)
    groups = len(set(batch.group.tolist()))
    assert groups > 4
    assert groups_without_spread(batch) >= groups - 4 - 4
    assert batch_metrics(batch)["groups_without_spread"] > 0


def test_the_scheduler_covers_every_task_once_an_epoch_and_resumes() -> None:
    tasks = [task(f"abab {i}") for i in range(7)]
    scheduler = UniformScheduler(tasks, 3, 1, seed=0)
    taken = [r.task.id for _ in range(7) for r in scheduler.plan(SchedulerContext(0)) or []]
    for epoch in range(3):
        assert sorted(taken[7 * epoch : 7 * epoch + 7]) == sorted(t.id for t in tasks)
    resumed = UniformScheduler(tasks, 3, 1, seed=0)
    resumed.load_state_dict(scheduler.state_dict())
    assert [r.task.id for r in resumed.plan(SchedulerContext(0)) or []] == [
        r.task.id for r in scheduler.plan(SchedulerContext(0)) or []
    ]


def test_request_seeds_are_spread_out() -> None:
    seeds = {request_seed(0, "train", step, sample) for step in range(50) for sample in range(50)}
    assert len(seeds) == 2500
    assert max(seeds) > 2**60


def test_both_log_prob_columns_agree() -> None:
    from sciRL.learning.learner import Learner
    from sciRL.learning.optimizer import OptimizerConfig

    policy = merging_policy()
    batch = make_rollout(policy).ask([Request(task("abab"), 8)], 0, PARAMETERS, "train")
    scored = Learner(policy.model, OptimizerConfig(), total_steps=1).score(batch, frozenset({"logp_old"}))
    assert batch.logp_sampler is not None
    assert scored.logp_old is not None
    gap = (batch.logp_sampler - scored.logp_old)[batch.action].abs()
    assert float(np.max(gap.numpy())) < 1e-5
