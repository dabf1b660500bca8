"""The rollout loop: plan, sample, verify, and lay the result out as a TrajectoryBatch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sciRL.learning.distributed import ProcessGroup
from sciRL.models.loading import LanguagePolicy, decode_completion
from sciRL.rollout.base import (
    Completion,
    GenerationRequest,
    Request,
    Sampler,
    SamplingParameters,
    Scheduler,
    SchedulerContext,
)
from sciRL.rollout.verify import verify_answers
from sciRL.score import Score, Status
from sciRL.seeding import request_seed
from sciRL.task import Task
from sciRL.trajectory import RowStatus, TrajectoryBatch
from sciRL.verification.base import Rubric
from sciRL.verification.pool import WorkerPool

ROW_STATUS = {
    Status.OK: RowStatus.OK,
    Status.MALFORMED: RowStatus.MALFORMED,
    Status.TIMEOUT: RowStatus.TIMEOUT,
    Status.ERROR: RowStatus.ERROR,
}


@dataclass
class Rollout:
    """Draws and scores answers; a draw depends only on (seed, stream, step, task, sample index)."""

    policy: LanguagePolicy
    sampler: Sampler
    rubric: Rubric
    pool: WorkerPool
    processes: ProcessGroup
    seed: int

    def collect(
        self, scheduler: Scheduler, step: int, parameters: SamplingParameters, stream: str = "train"
    ) -> TrajectoryBatch:
        """Ask the scheduler until it has enough, and return all rows of the step, scored."""
        context = SchedulerContext(step)
        while (requests := scheduler.plan(context)) is not None:
            start = sum(len(set(batch.group.tolist())) for batch in context.collected)
            context.collected.append(self.ask(requests, step, parameters, stream, first_group=start))
        batch = TrajectoryBatch.concatenate(context.collected)
        scheduler.observe(batch)
        return batch

    def ask(
        self,
        requests: Sequence[Request],
        step: int,
        parameters: SamplingParameters,
        stream: str,
        first_group: int = 0,
    ) -> TrajectoryBatch:
        """Sample and score every request; each request becomes one group."""
        drawn = draw_answers(
            self.policy, self.sampler, self.processes, requests, parameters, (self.seed, stream, step), first_group
        )
        scores = verify_answers(self.rubric, self.pool, self.processes, drawn.tasks, drawn.answers)
        return scored_batch(drawn, scores, self.rubric, version=step)


@dataclass(frozen=True)
class Drawn:
    """Sampled answers, one entry a sample in each list; samples of one request share a group."""

    tasks: list[Task]
    requests: list[GenerationRequest]
    completions: list[Completion]
    answers: list[str]
    groups: list[int]


def draw_answers(
    policy: LanguagePolicy,
    sampler: Sampler,
    processes: ProcessGroup,
    requests: Sequence[Request],
    parameters: SamplingParameters,
    seeds: tuple[Any, ...],
    first_group: int = 0,
) -> Drawn:
    """Sample every request, shared among the processes; a draw depends on `seeds`, its group, task and index alone."""
    tasks: list[Task] = []
    groups: list[int] = []
    generation: list[GenerationRequest] = []
    prompts = {request.task.id: policy.render(request.task.prompt, request.task.images) for request in requests}
    for group, request in enumerate(requests, start=first_group):
        for sample in range(request.n):
            tasks.append(request.task)
            groups.append(group)
            seed = request_seed(*seeds, group, request.task.id, sample)
            generation.append(GenerationRequest(tuple(prompts[request.task.id]), seed, request.task.images))
    completions = processes.gather_shares(sampler.generate(processes.share(generation), parameters))
    answers = [decode_completion(policy.tokenizer, completion.ids) for completion in completions]
    return Drawn(tasks, generation, completions, answers, groups)


def scored_batch(drawn: Drawn, scores: Sequence[Score], rubric: Rubric, version: int) -> TrajectoryBatch:
    """Lay sampled and scored answers out; rows whose verifier failed get weight 0 and outcome NaN."""
    batch = TrajectoryBatch.from_rows(
        [request.prompt_ids for request in drawn.requests],
        [completion.ids.tolist() for completion in drawn.completions],
        drawn.groups,
        logp_sampler=[completion.logp.tolist() for completion in drawn.completions],
        truncated=[completion.stop == "length" for completion in drawn.completions],
        version=version,
        rows={
            "task": drawn.tasks,
            "answer": drawn.answers,
            "score": list(scores),
            "images": [request.images for request in drawn.requests],
        },
    )
    return fill_scores(batch, scores, rubric.component_names)


def fill_scores(batch: TrajectoryBatch, scores: Sequence[Score], names: tuple[str, ...]) -> TrajectoryBatch:
    """Fill outcome, components, status and weight of the rows from one score each [N]."""
    batch.component_names = names
    batch.components = torch.tensor(
        [[float(score.components.get(name, 0.0)) for name in names] for score in scores]
    ).reshape(len(scores), len(names))
    batch.status = torch.tensor([int(ROW_STATUS[score.status]) for score in scores], dtype=torch.int8)
    batch.outcome = torch.tensor([float("nan") if score.value is None else score.value for score in scores])
    batch.weight = batch.weight * batch.spread(batch.scorable, "row")
    return batch
