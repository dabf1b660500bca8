"""Rows with pictures: what was sampled, scored and trained is one distribution, and the pictures are in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tiny_vision import IMAGE, write_picture, write_tiny_vision
from torch import Tensor

from sciRL.algorithms.supervised import demonstration_batch
from sciRL.domain import Demonstration
from sciRL.environments.conversation import Reply
from sciRL.errors import UserError
from sciRL.learning.distributed import ProcessGroup
from sciRL.learning.learner import Learner
from sciRL.learning.optimizer import OptimizerConfig
from sciRL.models.loading import LanguagePolicy, ModelConfig, load_policy
from sciRL.objective.sft import CrossEntropy
from sciRL.rollout.base import ForcedText, Request, SamplingParameters
from sciRL.rollout.collect import Drawn, draw_answers
from sciRL.rollout.episodes import EpisodeRollout
from sciRL.rollout.lean import LeanSampler
from sciRL.rollout.sampling import draw
from sciRL.rollout.transformers import TransformersSampler
from sciRL.score import Score
from sciRL.task import Message, Task
from sciRL.trajectory import TrajectoryBatch
from sciRL.verification.base import PerItemVerifier, Rubric, Stage
from sciRL.verification.pool import WorkerPool

pytest.importorskip("PIL", reason="Pillow is not installed")

PARAMETERS = SamplingParameters(max_new_tokens=7, temperature=0.8)


@pytest.fixture(scope="module", params=["qwen2_vl", "llava"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguagePolicy:
    folder = write_tiny_vision(tmp_path_factory.mktemp("model") / "model", request.param)
    return load_policy(ModelConfig(path=str(folder)))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    """Three tasks of one text that show none, one and two pictures, of different shapes."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [write_picture(folder / f"{i}.png", i, size) for i, size in enumerate([(56, 56), (90, 40), (40, 90)])]
    shown = ((), (paths[0],), (paths[1], paths[2]))
    return [Task("t", ({"role": "user", "content": "Say it."},), images=images) for images in shown]


@pytest.fixture
def other_picture(tmp_path: Path) -> str:
    """A picture of the size of the second task's."""
    return write_picture(tmp_path / "other.png", 7, (56, 56))


def drawn(policy: LanguagePolicy, tasks: list[Task], n: int = 3) -> Drawn:
    sampler = TransformersSampler(policy.model, policy.eos_ids, max_batch=5, vision=policy.vision)
    return draw_answers(policy, sampler, ProcessGroup(), [Request(task, n) for task in tasks], PARAMETERS, (0,))


def as_batch(found: Drawn) -> TrajectoryBatch:
    return TrajectoryBatch.from_rows(
        [request.prompt_ids for request in found.requests],
        [completion.ids.tolist() for completion in found.completions],
        found.groups,
        logp_sampler=[completion.logp.tolist() for completion in found.completions],
        rows={"images": [request.images for request in found.requests]},
    )


def plain_logp(
    policy: LanguagePolicy,
    prompt: tuple[int, ...],
    answer: list[int],
    images: tuple[str, ...],
    temperature: float = PARAMETERS.temperature,
) -> Tensor:
    """The answer's log-probabilities by one unpadded forward pass of transformers."""
    assert policy.vision is not None
    ids = torch.tensor([[*prompt, *answer]])
    inputs = policy.vision.model_inputs([images], ids)
    with torch.no_grad():
        logits = policy.model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids), **inputs).logits[0]
    logp = (logits[len(prompt) - 1 : -1] / temperature).log_softmax(-1)
    return logp.gather(1, torch.tensor(answer)[:, None])[:, 0]


def learner(policy: LanguagePolicy, max_tokens: int = 4096) -> Learner:
    return Learner(
        policy.model,
        OptimizerConfig(),
        total_steps=1,
        temperature=PARAMETERS.temperature,
        max_tokens=max_tokens,
        vision=policy.vision,
    )


def test_sampled_scored_and_plain_log_probabilities_are_equal(policy: LanguagePolicy, tasks: list[Task]) -> None:
    found = drawn(policy, tasks)
    batch = as_batch(found)
    trainer = learner(policy)
    trainer.freeze_reference()
    scored = trainer.score(batch, frozenset({"logp_old", "logp_ref"}))
    expected = torch.cat(
        [
            plain_logp(policy, request.prompt_ids, completion.ids.tolist(), request.images)
            for request, completion in zip(found.requests, found.completions, strict=True)
        ]
    )
    for column in (batch.logp_sampler, scored.logp_old, scored.logp_ref):
        assert column is not None
        torch.testing.assert_close(column[batch.action], expected, atol=1e-4, rtol=0)


def test_teacher_forced_log_probabilities_see_the_pictures(
    policy: LanguagePolicy, tasks: list[Task], other_picture: str
) -> None:
    sampler = TransformersSampler(policy.model, policy.eos_ids, vision=policy.vision)
    prompts = [tuple(policy.render(task.prompt, task.images)) for task in tasks]
    target = (20, 30, 40)
    forced = [ForcedText(ids, target, task.images) for ids, task in zip(prompts, tasks, strict=True)]
    for text, logp in zip(forced, sampler.logp(forced), strict=True):
        expected = plain_logp(policy, text.prefix, list(target), text.images, temperature=1.0)
        torch.testing.assert_close(logp, expected, atol=1e-4, rtol=0)
    other = [ForcedText(prompts[1], target, (other_picture,))]
    assert float((sampler.logp(other)[0] - sampler.logp(forced[1:2])[0]).abs().max()) > 1e-3


def test_another_picture_gives_other_log_probabilities(
    policy: LanguagePolicy, tasks: list[Task], other_picture: str
) -> None:
    batch = as_batch(drawn(policy, tasks[1:2]))
    trainer = learner(policy)
    seen = trainer.score(batch, frozenset({"logp_old"})).logp_old
    batch.rows["images"] = [(other_picture,)] * len(batch)
    changed = trainer.score(batch, frozenset({"logp_old"})).logp_old
    assert seen is not None
    assert changed is not None
    assert float((seen - changed).abs().max()) > 1e-3


def test_gradients_reach_the_vision_tower_however_the_batch_is_cut(policy: LanguagePolicy, tasks: list[Task]) -> None:
    batch = demonstration_batch(policy, [Demonstration(task, answer) for task in tasks for answer in ("yes", "hm!")])
    found: list[dict[str, Tensor]] = []
    for max_tokens in (1, 100, 4096):
        trainer = learner(policy, max_tokens)
        policy.model.zero_grad()
        trainer.accumulate_gradients(batch, [CrossEntropy("token-mean")])
        found.append({n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None})
    policy.model.zero_grad()
    tower = [name for name in found[0] if "visual" in name or "vision_tower" in name]
    assert sum(bool(found[0][name].abs().max() > 1e-6) for name in tower) > len(tower) / 2 > 5
    for other in found[1:]:
        assert found[0].keys() == other.keys()
        for name, gradient in found[0].items():
            torch.testing.assert_close(other[name], gradient, atol=1e-6, rtol=1e-4)


class Guess:
    """Two turns; the reply between them holds the placeholder's text, as an echo of what a policy wrote could."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def step(self, text: str) -> Reply:
        self.texts.append(text)
        return Reply("No <|image_pad|>, look again.", done=len(self.texts) == 2)

    def context(self) -> Sequence[Message] | None:
        return None

    def rewards(self) -> Sequence[float]:
        return ()

    def record(self) -> str:
        return "|".join(self.texts)


class GuessTwice:
    max_turns = 2

    def reset(self, task: Task, seed: int) -> Guess:
        return Guess()

    def target(self, task: Task) -> tuple[str, str] | None:
        return "it is ", "a"


class Anything(PerItemVerifier):
    name = "anything"

    def verify_one(self, task: Task, answer: str) -> Score:
        return Score.ok(1.0)


def test_an_episode_shows_its_pictures_in_every_turn(policy: LanguagePolicy, tasks: list[Task]) -> None:
    rollout = EpisodeRollout(
        policy=policy,
        sampler=TransformersSampler(policy.model, policy.eos_ids, vision=policy.vision),
        rubric=Rubric("anything", [Stage(Anything(), 1.0)]),
        pool=WorkerPool(0),
        processes=ProcessGroup(),
        seed=0,
        environment=GuessTwice(),
        max_context=policy.max_context,
        probe=True,
    )
    batch = rollout.ask([Request(task, 2) for task in tasks], 0, PARAMETERS, "train")
    assert batch.rows["images"] == [task.images for task in tasks for _ in range(2)]
    assert [int((batch.select([row]).ids == IMAGE).sum()) for row in (0, 2)] == [0, 4]
    scored = learner(policy).score(batch, frozenset({"logp_old"}))
    assert scored.logp_old is not None
    assert batch.logp_sampler is not None
    difference = (scored.logp_old - batch.logp_sampler)[batch.action].abs()
    assert float(difference.max()) < 1e-4
    assert int(batch.turn[batch.action].max()) == 1


def test_a_step_moves_the_vision_tower(tmp_path: Path, tasks: list[Task]) -> None:
    policy = load_policy(ModelConfig(path=str(write_tiny_vision(tmp_path / "model"))))
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters() if "visual" in name}
    learner(policy).update(demonstration_batch(policy, [Demonstration(tasks[1], "yes")]), [CrossEntropy("token-mean")])
    moved = [name for name, p in policy.model.named_parameters() if name in before and not torch.equal(p, before[name])]
    assert len(moved) > len(before) / 2


def test_the_placeholder_is_never_drawn_and_its_probability_stays_in_the_sum() -> None:
    logits = torch.tensor([[0.0, 1.0, 5.0, 0.5]])
    for parameters in (SamplingParameters(temperature=0), SamplingParameters(), SamplingParameters(top_k=1)):
        points = torch.linspace(0, 0.999, 50)
        ids, logp = draw(logits.repeat(50, 1), points, parameters, barred=2)
        assert 2 not in ids.tolist()
        torch.testing.assert_close(logp, logits[0].log_softmax(-1)[ids])
    assert draw(logits, torch.zeros(1), SamplingParameters(temperature=0), barred=2)[0].tolist() == [1]


def test_pictures_are_refused_where_nothing_could_show_them(policy: LanguagePolicy, tasks: list[Task]) -> None:
    found = drawn(policy, tasks[1:2], n=1)
    assert IMAGE not in found.completions[0].ids
    text = load_policy(ModelConfig(hidden=8, layers=1, heads=2, kv_heads=1, mlp=8), ["a", "b"])
    with pytest.raises(UserError, match="sampler 'lean' cannot show pictures to the model; use 'transformers'"):
        LeanSampler(text.model, text.eos_ids).generate(found.requests, PARAMETERS)
    with pytest.raises(UserError, match="LlamaForCausalLM reads text alone"):
        TransformersSampler(text.model, text.eos_ids).generate(found.requests, PARAMETERS)
    two = ProcessGroup()
    two.size = 2
    with pytest.raises(UserError, match=r"compute\.sharding is 'fsdp2', which vision-language models cannot have"):
        Learner(policy.model, OptimizerConfig(), total_steps=1, processes=two, sharding="fsdp2", vision=policy.vision)
    with pytest.raises(UserError, match="was not given the processor"):
        Learner(text.model, OptimizerConfig(), total_steps=1).score(as_batch(found), frozenset({"logp_old"}))
    with pytest.raises(UserError, match="reads text alone; use a vision-language model"):
        draw_answers(text, LeanSampler(text.model, (2,)), ProcessGroup(), [Request(tasks[1], 1)], PARAMETERS, (0,))
