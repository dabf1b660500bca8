"""Setting: what every algorithm is given, put together once by the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from sciRL.algorithms.base import Policy
from sciRL.domain import ControlDomain, Domain, FlowDomain, LanguageDomain
from sciRL.errors import UserError
from sciRL.learning.distributed import ProcessGroup
from sciRL.models.loading import LanguagePolicy
from sciRL.rollout.base import SamplingParameters

if TYPE_CHECKING:
    from sciRL.control.policy import ControlPolicy
    from sciRL.flow.environment import FlowEnvironment
    from sciRL.flow.samplers import SamplerPolicy
    from sciRL.verification.pool import WorkerPool
    from sciRL.verification.runner import FailureMonitor


class SamplingConfig(BaseModel):
    """How answers are drawn."""

    model_config = ConfigDict(extra="forbid")

    max_new_tokens: int | None = Field(256, ge=1)
    """Longest answer in tokens; null is that of the longest training demonstration, to the next multiple of 64."""
    temperature: float = Field(1.0, ge=0)
    """Softmax temperature; 0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus mass; 1 is off. A policy trained on filtered samples is trained off-policy."""
    top_k: int = Field(0, ge=0)
    """Number of tokens kept; 0 is off."""

    @property
    def limit(self) -> int:
        """The longest answer in tokens.

        Raises:
            UserError: it is null, and no run has put the demonstrations' length in its place.
        """
        if self.max_new_tokens is None:
            raise UserError("sampling.max_new_tokens is null, which only training can fill; give a number of tokens")
        return self.max_new_tokens

    def parameters(self) -> SamplingParameters:
        """Return the sampler's form."""
        return SamplingParameters(self.limit, self.temperature, self.top_p, self.top_k)


class ComputeConfig(BaseModel):
    """Where the work is done; results do not depend on it beyond rounding."""

    model_config = ConfigDict(extra="forbid")

    workers: int = Field(0, ge=0)
    """Verifier processes; 0 verifies in the trainer's process."""
    verifier_limit_s: float = Field(10.0, gt=0)
    """Wall limit of one verification, seconds."""
    max_failure_share: float = Field(0.01, ge=0, le=1)
    """The run stops when more verifications than this fail (timeout or error)."""
    constant_score_steps: int = Field(50, ge=2)
    """The run stops when all scores of this many steps are equal."""
    threads: int = Field(1, ge=1)
    """Torch threads on the CPU; only 1 repeats a run bit for bit, and on a busy machine it is the fastest."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the policy."""

    def torch_device(self) -> torch.device:
        """Return the device, taking CUDA for auto when there is one."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)


class LanguageComputeConfig(ComputeConfig):
    """Where and in which precision a language model is sampled and trained."""

    sampler: Literal["auto", "lean", "transformers", "vllm"] = "auto"
    """Which sampler draws; auto takes the lean one where the model allows."""
    sampler_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the sampler's copy of the weights."""
    autocast: Literal["none", "bfloat16"] = "none"
    """Mixed precision of the training pass; meant for GPUs."""
    max_tokens: int = Field(1024, ge=1)
    """Largest padded micro-batch, in tokens."""
    sharding: Literal["none", "fsdp2"] = "none"
    """What several processes do with the trained model: each holds all of it, or a slice (PyTorch FSDP2)."""

    def sampler_torch_dtype(self) -> torch.dtype:
        """Return the type of the sampler's copy of the weights."""
        return torch.bfloat16 if self.sampler_dtype == "bfloat16" else torch.float32

    def autocast_dtype(self) -> torch.dtype | None:
        """Return the autocast type, or None."""
        return torch.bfloat16 if self.autocast == "bfloat16" else None


@dataclass
class Setting:
    """The parts that the algorithms of one run share."""

    domain: Domain
    options: Any
    data: Path
    policy: Policy
    pool: WorkerPool
    monitor: FailureMonitor
    processes: ProcessGroup
    compute: ComputeConfig
    seed: int


@dataclass
class LanguageSetting(Setting):
    """The setting of a language model's run."""

    domain: LanguageDomain
    policy: LanguagePolicy
    compute: LanguageComputeConfig


@dataclass
class ControlSetting(Setting):
    """The setting of a run whose policy acts in an environment."""

    domain: ControlDomain
    policy: ControlPolicy


@dataclass
class FlowSetting(Setting):
    """The setting of a GFlowNet's run."""

    domain: FlowDomain
    policy: SamplerPolicy

    def environment(self) -> FlowEnvironment:
        """Return the domain's states on the run's device."""
        return self.domain.flow_environment(self.data, self.options, self.compute.torch_device())
