"""The rollout loop: plan, sample, verify, and lay the result out as a TrajectoryBatch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sciRL.learning.distributed import ProcessGroup
from sciRL.models.loading import Policy, decode_completion, render_prompt
from sciRL.rollout.base import (
    Completion,
    GenerationRequest,
    Request,
    Sampler,
    SamplingParameters,
    Scheduler,
    SchedulerContext,
)
from sciRL.score import Score, Status
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


def request_seed(*parts: Any) -> int:
    """Return a 64-bit seed that depends on nothing but the given parts."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@dataclass
class Rollout:
    """Draws and scores answers; a draw depends only on (seed, stream, step, task, sample index)."""

    policy: Policy
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
        tasks: list[Task] = []
        groups: list[int] = []
        generation: list[GenerationRequest] = []
        prompts = {request.task.id: render_prompt(self.policy.tokenizer, request.task.prompt) for request in requests}
        for group, request in enumerate(requests):
            for sample in range(request.n):
                tasks.append(request.task)
                groups.append(first_group + group)
                seed = request_seed(self.seed, stream, step, first_group + group, request.task.id, sample)
                generation.append(GenerationRequest(tuple(prompts[request.task.id]), seed))
        completions = self._generate(generation, parameters)
        answers = [decode_completion(self.policy.tokenizer, completion.ids) for completion in completions]
        scores = self._verify(list(zip(tasks, answers, strict=True)))
        return scored_batch(tasks, generation, completions, answers, scores, groups, self.rubric, version=step)

    def _generate(self, requests: list[GenerationRequest], parameters: SamplingParameters) -> list[Completion]:
        mine = self.sampler.generate(self.processes.share(requests), parameters)
        return self.processes.gather_shares(mine)

    def _verify(self, items: list[tuple[Task, str]]) -> list[Score]:
        scores = self.pool.verify(self.rubric, items) if self.processes.is_main else []
        return self.processes.from_main(scores)


def scored_batch(
    tasks: Sequence[Task],
    requests: Sequence[GenerationRequest],
    completions: Sequence[Completion],
    answers: Sequence[str],
    scores: Sequence[Score],
    groups: Sequence[int],
    rubric: Rubric,
    version: int,
) -> TrajectoryBatch:
    """Lay sampled and scored answers out; rows whose verifier failed get weight 0 and outcome NaN."""
    batch = TrajectoryBatch.from_rows(
        [request.prompt_ids for request in requests],
        [completion.ids.tolist() for completion in completions],
        groups,
        logp_sampler=[completion.logp.tolist() for completion in completions],
        truncated=[completion.stop == "length" for completion in completions],
        version=version,
        rows={"task": list(tasks), "answer": list(answers), "score": list(scores)},
    )
    names = rubric.component_names
    batch.component_names = names
    batch.components = torch.tensor(
        [[float(score.components.get(name, 0.0)) for name in names] for score in scores]
    ).reshape(len(scores), len(names))
    batch.status = torch.tensor([int(ROW_STATUS[score.status]) for score in scores], dtype=torch.int8)
    batch.outcome = torch.tensor([float("nan") if score.value is None else score.value for score in scores])
    batch.weight = batch.weight * batch.spread(batch.scorable, "row")
    return batch
