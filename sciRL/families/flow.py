"""The flow family: GFlowNets that build a domain's objects step by step, in proportion to a reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from sciRL.algorithms.flow_ppo import FlowPPO, FlowPPOConfig
from sciRL.algorithms.gflownet import GFlowNet, GFlowNetConfig
from sciRL.algorithms.outcome_gflownet import (
    OutcomeFinetuning,
    OutcomeFinetuningConfig,
    OutcomePretraining,
    OutcomePretrainingConfig,
)
from sciRL.algorithms.setting import ComputeConfig, FlowSetting
from sciRL.domain import Domain, FlowDomain
from sciRL.families import AlgorithmKind, Answer, Family
from sciRL.flow.exact import l1_distance, target_law
from sciRL.flow.outcome_samplers import AmortisedSampler, OutcomeSampler, TableSampler
from sciRL.flow.samplers import NetworkSampler, SamplerPolicy, UniformSampler
from sciRL.run.settings import EvaluationConfig
from sciRL.seeding import request_seed
from sciRL.task import Task

SAMPLERS = (UniformSampler, NetworkSampler, OutcomeSampler, TableSampler, AmortisedSampler)


class FlowSections(BaseModel):
    """The sections of a GFlowNet recipe."""

    model_config = ConfigDict(extra="forbid")

    compute: ComputeConfig = ComputeConfig()
    """Device, threads, workers."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Held-out evaluation."""


def make_policy(domain: Domain, options: Any, config: Any, data: Path) -> SamplerPolicy:
    """Return the uniform sampler, which stages replace by what they learn."""
    assert isinstance(domain, FlowDomain)
    return SamplerPolicy(UniformSampler(), {kind.kind: kind for kind in SAMPLERS}, config.compute.torch_device())


def answer(setting: FlowSetting, config: EvaluationConfig, tasks: Sequence[Task]) -> list[Answer]:
    """Draw one object a task, all as one batch that depends on the run's seed and the number of tasks alone."""
    environment = setting.environment()
    seed = request_seed(setting.seed, "evaluation", len(tasks)) % 2**63
    generator = torch.Generator(device=environment.device).manual_seed(seed)
    states = setting.policy.sampler.draw(environment, len(tasks), generator)
    return [Answer(text) for text in environment.texts(states)]


def measure(setting: FlowSetting) -> dict[str, float]:
    """Return the exact distance of the policy's law from R / Z where the environment lists its states."""
    environment = setting.environment()
    law = setting.policy.sampler.law(environment)
    return {} if law is None else {"exact_l1": l1_distance(law, target_law(environment))}


FAMILY = Family(
    name="flow",
    sections=FlowSections,
    algorithms=(
        AlgorithmKind(GFlowNetConfig, GFlowNet),
        AlgorithmKind(FlowPPOConfig, FlowPPO),
        AlgorithmKind(OutcomePretrainingConfig, OutcomePretraining),
        AlgorithmKind(OutcomeFinetuningConfig, OutcomeFinetuning),
    ),
    setting=FlowSetting,
    make_policy=make_policy,
    answer=answer,
    measure=measure,
    compute_unit="trajectories",
    rate="trajectories_per_s",
)
