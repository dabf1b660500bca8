"""Episodes: what was sampled is the record, only actions are trained, rebuilt contexts are rows of one trajectory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from game_domain import KEY_DOOR, LOOKUP, GameDomain, GameOptions
from torch import Tensor

from sciRL.algorithms.policy_optimization import PolicyOptimization, PolicyOptimizationConfig, TurnConfig
from sciRL.algorithms.setting import LanguageComputeConfig, LanguageSetting, SamplingConfig
from sciRL.algorithms.supervised import SupervisedConfig, SupervisedFineTuning, demonstration_batch
from sciRL.environments.conversation import Reply
from sciRL.environments.games.lookup import Lookup, LookupEnvironment
from sciRL.errors import UserError
from sciRL.families.language import LanguageEvaluationConfig, answer
from sciRL.learning.distributed import ProcessGroup
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.models.loading import ModelConfig, decode_completion, load_policy
from sciRL.rollout.base import ForcedText, Request
from sciRL.rollout.episodes import EpisodeRollout
from sciRL.rollout.statistics import batch_metrics
from sciRL.run.evaluation import evaluate_policy
from sciRL.score import Status
from sciRL.task import Message, Task
from sciRL.trajectory import Role, TrajectoryBatch
from sciRL.verification.pool import WorkerPool
from sciRL.verification.runner import FailureMonitor

SMALL = {"path": "tiny", "hidden": 32, "layers": 2, "heads": 2, "kv_heads": 1, "mlp": 64, "max_length": 640}


def make_setting(domain: GameDomain) -> LanguageSetting:
    options, data = GameOptions(), Path()
    policy = load_policy(ModelConfig(**SMALL), domain.vocabulary(data, options).tokens)
    return LanguageSetting(
        domain, options, data, policy, WorkerPool(0), FailureMonitor(1.0, 0), ProcessGroup(), LanguageComputeConfig(), 0
    )


def make_algorithm(domain: GameDomain, **settings: Any) -> PolicyOptimization:
    given = {"prompts": 4, "group_size": 4, "sampling": SamplingConfig(max_new_tokens=4), **settings}
    config = PolicyOptimizationConfig(optimizer=OptimizerConfig(learning_rate=1e-3), **given)
    return PolicyOptimization(make_setting(domain), config, 5)


def collect(algorithm: PolicyOptimization) -> TrajectoryBatch:
    return algorithm.rollout.collect(algorithm.scheduler, 0, algorithm.config.sampling.parameters())


def pieces(batch: TrajectoryBatch, row: int) -> list[tuple[Role, int, list[int]]]:
    """Return a row's runs of tokens by role and turn."""
    found: list[tuple[Role, int, list[int]]] = []
    for position in range(int(batch.offsets[row]), int(batch.offsets[row + 1])):
        role, turn = Role(int(batch.role[position])), int(batch.turn[position])
        if not found or (found[-1][0], found[-1][1]) != (role, turn):
            found.append((role, turn, []))
        found[-1][2].append(int(batch.ids[position]))
    return found


def test_a_row_is_the_sampled_ids_with_the_replies_between_them() -> None:
    algorithm = make_algorithm(LOOKUP, turns=TurnConfig())
    batch = collect(algorithm)
    tokenizer = algorithm.setting.policy.tokenizer
    assert len(batch) == 16
    for row in range(len(batch)):
        runs = pieces(batch, row)
        assert [role for role, *_ in runs[:2]] == [Role.PROMPT, Role.ACTION]
        texts = [decode_completion(tokenizer, ids) for role, _, ids in runs if role is Role.ACTION]
        assert json.loads(batch.rows["answer"][row]) == [text.strip() for text in texts]
        assert [turn for role, turn, _ in runs if role is Role.ACTION] == list(range(len(texts)))
        assert sum(batch.turns["row"] == row) == len(texts)
    drawn = ~batch.logp_sampler.isnan() if batch.logp_sampler is not None else None
    assert drawn is not None
    assert torch.equal(drawn, batch.action)
    assert torch.equal(batch.weight > 0, batch.action)


Nudge: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Changes logits [B, T, V] given which of them predict a token that the policy wrote [B, T]."""


def gradient(algorithm: PolicyOptimization, batch: TrajectoryBatch, nudge: Nudge) -> Tensor:
    """Return the gradient of the loss when the model's logits are changed on their way out."""
    learner = algorithm.learner
    # The plain path leaves the logits out that no action needs, so that there would be nothing to change.
    learner.scorer.plain_head = learner.scorer.flat = False
    bounds = pairwise(batch.offsets.tolist())
    written = {tuple(batch.ids[a:b].tolist()): batch.action[a:b] for a, b in bounds}

    def change(module: Any, args: Any, given: dict[str, Any], output: Any) -> Any:
        mask = torch.zeros(output.logits.shape[:2], dtype=torch.bool)
        for row, ids in enumerate(given["input_ids"].tolist()):
            action = next(mask for known, mask in written.items() if list(known) == ids[: len(known)])
            mask[row, : len(action) - 1] = action[1:]
        output.logits = nudge(output.logits, mask)
        return output

    handle = learner.model.register_forward_hook(change, with_kwargs=True)
    learner.model.zero_grad()
    learner.accumulate_gradients(batch, algorithm.terms)
    handle.remove()
    return torch.cat([p.grad.flatten() for p in learner.model.parameters() if p.grad is not None])


def test_logits_of_other_tokens_change_no_gradient() -> None:
    algorithm = make_algorithm(LOOKUP, turns=TurnConfig())
    batch = collect(algorithm)
    batch = batch.with_columns({"advantage": torch.linspace(-1, 1, batch.n_tokens)})
    assert bool((batch.role == Role.OBSERVATION).any())
    noise = torch.Generator().manual_seed(0)

    def others(logits: Tensor, written: Tensor) -> Tensor:
        return torch.where(written[..., None], logits, 3 * logits + torch.randn(logits.shape, generator=noise))

    def one_of_the_policy(logits: Tensor, written: Tensor) -> Tensor:
        place = torch.zeros_like(written)
        place[tuple(written.nonzero()[0])] = True
        return torch.where(place[..., None], 3 * logits, logits)

    plain = gradient(algorithm, batch, lambda logits, written: logits)
    assert float(plain.norm()) > 0
    assert torch.equal(gradient(algorithm, batch, others), plain)
    assert not torch.allclose(gradient(algorithm, batch, one_of_the_policy), plain)


def test_advantages_of_other_tokens_change_no_gradient() -> None:
    algorithm = make_algorithm(LOOKUP, turns=TurnConfig())
    batch = collect(algorithm)
    advantage = torch.linspace(-1, 1, batch.n_tokens)
    found = [
        gradient(
            algorithm,
            batch.with_columns({"advantage": torch.where(batch.action, advantage, other)}),
            lambda logits, written: logits,
        )
        for other in (0.0, 5e6)
    ]
    assert torch.equal(*found)


@pytest.mark.parametrize("probe", [False, True])
def test_a_draw_depends_on_its_seed_alone_and_not_on_the_probe(probe: bool) -> None:
    plain = make_algorithm(LOOKUP, turns=TurnConfig())
    requests = [Request(task, 2) for task in LOOKUP.tasks(Path(), "test", None)[:3]]
    parameters = plain.config.sampling.parameters()

    def play(algorithm: PolicyOptimization, chosen: Sequence[Request], first: int) -> list[list[int]]:
        assert isinstance(algorithm.rollout, EpisodeRollout)
        return [e.rows[-1].ids for e in algorithm.rollout.play(chosen, 0, parameters, "train", first)]

    other = make_algorithm(LOOKUP, turns=TurnConfig(method="igpo" if probe else "outcome"))
    assert play(plain, requests, 0)[4:] == play(other, requests[2:], 2)


def test_gains_of_belief_telescope() -> None:
    algorithm = make_algorithm(LOOKUP, turns=TurnConfig(method="igpo"))
    rollout = algorithm.rollout
    assert isinstance(rollout, EpisodeRollout)
    task = LOOKUP.tasks(Path(), "test", None)[0]
    [episode] = rollout.play([Request(task, 1)], 0, algorithm.config.sampling.parameters(), "train")
    tokenizer = algorithm.setting.policy.tokenizer
    target = rollout.environment.target(task)
    assert target is not None
    begin, right = (tokenizer.encode(part, add_special_tokens=False) for part in target)

    def belief(ids: list[int]) -> float:
        return math.exp(float(rollout.sampler.logp([ForcedText((*ids, *begin), tuple(right))])[0].mean()))

    row = episode.rows[0]
    kept = [segment for segment in row.segments if segment.turn < len(episode.gains) - 1 or segment.role is Role.PROMPT]
    last = [token for segment in kept for token in segment.ids]
    first = row.segments[0].ids
    assert sum(episode.gains) == pytest.approx(belief(last) - belief(first), abs=1e-6)


class Forgetful(Lookup):
    """The game with a context that holds the last reply only."""

    def context(self) -> Sequence[Message]:
        return ({"role": "user", "content": f"start {self.start}\n"},)


class ForgetfulEnvironment(LookupEnvironment):
    def reset(self, task: Task, seed: int) -> Forgetful:
        assert isinstance(task.reference, dict)
        return Forgetful(task.reference["table"], task.reference["start"])


def test_rebuilt_contexts_are_rows_of_one_trajectory() -> None:
    algorithm = make_algorithm(LOOKUP, turns=TurnConfig())
    assert isinstance(algorithm.rollout, EpisodeRollout)
    algorithm.rollout.environment = ForgetfulEnvironment()
    batch = collect(algorithm)
    names = batch.rows["trajectory"]
    assert len(set(names)) == 16
    assert len(batch) == len(batch.turns["row"]) > 16
    for name in set(names):
        rows = [row for row in range(len(batch)) if names[row] == name]
        assert len({float(batch.outcome[row]) for row in rows}) == 1
        assert [pieces(batch, row)[1][1] for row in rows] == list(range(len(rows)))


class Broken(Lookup):
    def step(self, text: str) -> Reply:
        return Reply(done=True, status=Status.ERROR, info={"reason": "the table is gone"})


class BrokenEnvironment(LookupEnvironment):
    def reset(self, task: Task, seed: int) -> Lookup:
        assert isinstance(task.reference, dict)
        kind = Broken if task.id < "8" else Lookup
        return kind(task.reference["table"], task.reference["start"])


def test_an_environment_that_fails_masks_its_episode() -> None:
    algorithm = make_algorithm(LOOKUP, turns=TurnConfig(), prompts=12)
    assert isinstance(algorithm.rollout, EpisodeRollout)
    algorithm.rollout.environment = BrokenEnvironment()
    batch = collect(algorithm)
    failed = ~batch.scorable
    assert 0 < int(failed.sum()) < len(batch)
    assert bool(batch.outcome[failed].isnan().all())
    assert float(batch.segment_sum(batch.weight, "row")[failed].sum()) == 0.0
    assert {s.reason for s in batch.rows["score"] if not s.scorable} == {"the table is gone"}


def test_turn_settings_need_a_conversation() -> None:
    from toy_domain import DOMAIN, ToyOptions

    policy = load_policy(ModelConfig(**SMALL), DOMAIN.vocabulary(Path(), ToyOptions()).tokens)
    setting = LanguageSetting(
        DOMAIN,
        ToyOptions(),
        Path(),
        policy,
        WorkerPool(0),
        FailureMonitor(),
        ProcessGroup(),
        LanguageComputeConfig(),
        0,
    )
    with pytest.raises(UserError, match="turns is set, but domain 'toy' asks for one answer"):
        PolicyOptimization(setting, PolicyOptimizationConfig(turns=TurnConfig()), 1)


def test_a_demonstration_of_several_turns_trains_on_the_actions_alone() -> None:
    setting = make_setting(KEY_DOOR)
    [shown] = KEY_DOOR.demonstrations(Path(), "train", None, 0)[:1]
    batch = demonstration_batch(setting.policy, [shown])
    runs = pieces(batch, 0)
    written = [setting.policy.tokenizer.decode(ids[:-1]) for role, _, ids in runs if role is Role.ACTION]
    assert written == [text for text, _ in shown.earlier] + [shown.answer]
    read = [setting.policy.tokenizer.decode(ids) for role, _, ids in runs if role is Role.OBSERVATION]
    assert read == [reply + "\n" for _, reply in shown.earlier]


def test_an_evaluation_plays_episodes_and_judges_their_records() -> None:
    setting = make_setting(LOOKUP)
    tasks = LOOKUP.tasks(Path(), "test", None)[:5]
    config = LanguageEvaluationConfig(sampling=SamplingConfig(max_new_tokens=4))
    answers = answer(setting, config, tasks)
    assert answers == answer(setting, config, tasks)
    records = [one.text for one in answers]
    scores = LOOKUP.rubric(None, setting.options).verify(list(zip(tasks, records, strict=True)))
    assert [score.measurements["turns"] for score in scores] == [len(json.loads(record)) for record in records]


def test_an_evaluation_never_scores_an_environment_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = make_setting(LOOKUP)
    monkeypatch.setattr(type(LOOKUP), "conversation", lambda *_: BrokenEnvironment())
    config = LanguageEvaluationConfig(sampling=SamplingConfig(max_new_tokens=4))
    records = evaluate_policy(setting, config, LOOKUP.rubric(None, setting.options), 12, "test")
    failed = [record for record in records if record.task.id < "8"]
    assert 0 < len(failed) < 12
    assert [record for record in records if not record.score.scorable] == failed


@pytest.mark.parametrize("method", ["outcome", "turns", "igpo", "promed"])
def test_every_turn_method_trains(method: str) -> None:
    algorithm = make_algorithm(LOOKUP, turns=TurnConfig(method=method))
    before = [p.detach().clone() for p in algorithm.setting.policy.model.parameters()]
    metrics = [algorithm.iterate() for _ in range(2)]
    assert all(math.isfinite(value) for found in metrics for value in found.values())
    # Random weights never win, so that only gains of belief tell one turn from another.
    moved = any(
        not torch.equal(p, old) for p, old in zip(algorithm.setting.policy.model.parameters(), before, strict=True)
    )
    assert moved == (method == "igpo")


def test_demonstrations_of_several_turns_are_learnt() -> None:
    setting = make_setting(KEY_DOOR)
    config = SupervisedConfig(batch_size=8, optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=5))
    training = SupervisedFineTuning(setting, config, 40)
    losses = [training.iterate()["loss"] for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]


class Paid(Lookup):
    """The game with a wage: the first turn earns 1, the second 2, and so on."""

    def rewards(self) -> tuple[float, ...]:
        return tuple(float(number) for number in range(1, len(self.turns) + 1))


class PaidEnvironment(LookupEnvironment):
    def reset(self, task: Task, seed: int) -> Paid:
        assert isinstance(task.reference, dict)
        return Paid(task.reference["table"], task.reference["start"])


def test_turns_earn_what_the_episode_says_at_its_end() -> None:
    algorithm = make_algorithm(LOOKUP, turns=TurnConfig(method="promed"))
    assert isinstance(algorithm.rollout, EpisodeRollout)
    algorithm.rollout.environment = PaidEnvironment()
    batch = collect(algorithm)
    assert len(batch.turns["reward"]) > 16
    assert batch.turns["reward"].tolist() == [float(turn + 1) for turn in batch.turns["turn"].tolist()]
    metrics = batch_metrics(batch)
    assert metrics["turns/mean"] == len(batch.turns["reward"]) / 16
    assert metrics["turns/reward"] == pytest.approx(float(batch.turns["reward"].sum()) / 16)
