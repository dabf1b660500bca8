"""OC-GFN as stages: reward-free pre-training to reach any object, and conversion to the environment's reward.

stages:
  pretrained: {steps: 3000, role: reference, train: {algorithm: outcome_pretraining}}
  converted:  {start: pretrained, steps: 1, train: {algorithm: outcome_finetuning, conversion: exact}}
  amortised:  {start: pretrained, steps: 200, train: {algorithm: outcome_finetuning, conversion: amortised}}

Pan et al. 2024, "Pre-Training and Fine-Tuning Generative Flow Networks", arXiv 2310.03419.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from sciRL.algorithms.base import Metrics
from sciRL.algorithms.setting import FlowSetting
from sciRL.errors import UserError
from sciRL.flow.amortised import AmortisedSettings, AmortisedTrainer, network_edges
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import l1_distance, target_law
from sciRL.flow.exponent import RewardExponent
from sciRL.flow.graph import StateGraph
from sciRL.flow.outcome import importance_weights, object_rows
from sciRL.flow.outcome_network import convert_network
from sciRL.flow.outcome_samplers import AmortisedSampler, OutcomeSampler, TableSampler
from sciRL.flow.outcome_trainer import OutcomeSettings, OutcomeTrainer, draw_outcomes
from sciRL.flow.samplers import NetworkSampler
from sciRL.flow.trainer import FlowNetworkSettings
from sciRL.seeding import request_seed

DRAWN_OUTCOMES = 1024
"""Outcomes drawn where there are too many objects to list."""


class OutcomePretrainingConfig(OutcomeSettings):
    """Settings of an outcome-conditioned pre-training stage; no reward is read."""

    algorithm: Literal["outcome_pretraining"] = "outcome_pretraining"
    """Names this algorithm in a stage."""
    success_every: int = Field(100, ge=0)
    """Steps between measurements of the success rate; 0 is never."""
    success_samples: int = Field(256, ge=1)
    """Outcomes asked for in a measurement."""


class OutcomePretraining:
    """Learns to reach any object; one `iterate` is one optimiser step."""

    def __init__(self, setting: FlowSetting, config: OutcomePretrainingConfig, total_steps: int) -> None:
        self.config = config
        environment = setting.environment()
        generator = _generator(environment)
        start = setting.policy.sampler
        network = start.network if isinstance(start, OutcomeSampler) else None
        self.trainer = OutcomeTrainer(environment, config, generator, network)
        setting.policy.sampler = OutcomeSampler.of(environment, self.trainer.network, config)

    @property
    def compute(self) -> int:
        """Trajectories trained on, both those that reach their outcome and others."""
        return self.trainer.trajectories

    def iterate(self) -> Metrics:
        """Take one optimiser step; from time to time add `success` and `success_greedy`."""
        metrics = self.trainer.step()
        every = self.config.success_every
        if every and self.trainer.steps % every == 0:
            for name, greedy in (("success", False), ("success_greedy", True)):
                # Its own generator: how often is measured must not change what is learnt.
                generator = torch.Generator(device=self.trainer.environment.device).manual_seed(self.trainer.steps)
                metrics[name] = self.trainer.success(self.config.success_samples, generator, greedy)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """Return the trainer's whole state."""
        return self.trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.trainer.load_state_dict(state)


class OutcomeFinetuningConfig(BaseModel):
    """Settings of a stage that turns a pre-trained sampler into one for the environment's reward."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Literal["outcome_finetuning"] = "outcome_finetuning"
    """Names this algorithm in a stage."""
    conversion: Literal["auto", "exact", "amortised"] = "auto"
    """`exact` sums over outcomes for every state, with no training (one step is enough); `amortised` learns a sampler.
    `auto` is exact where all states can be listed."""
    outcomes: int = Field(0, ge=0)
    """Outcomes drawn in place of all objects. In the exact conversion they are draws with importance weights; the
    amortised one takes the distinct ones as its set. 0: all objects, or 1024 draws where they cannot be listed."""
    beta: float = Field(1.0, gt=0)
    """Reward exponent. The conversion's error grows with the largest over the mean reward."""
    lowest_log_reward: float = Field(-75.0, lt=0)
    """log R^beta is clipped here from below."""
    amortised: AmortisedSettings = Field(default_factory=AmortisedSettings)
    """Settings of the amortised conversion."""


class OutcomeFinetuning:
    """Converts the outcome-conditioned sampler that another stage ended with.

    Raises:
        UserError: the stage does not start from such a sampler, or `exact` where states cannot be listed.
    """

    def __init__(self, setting: FlowSetting, config: OutcomeFinetuningConfig, total_steps: int) -> None:
        self.setting, self.config = setting, config
        base = setting.environment()
        self.environment = RewardExponent(base, config.beta, config.lowest_log_reward)
        start = setting.policy.sampler
        if not isinstance(start, (OutcomeSampler, TableSampler, AmortisedSampler)):
            raise UserError(
                "algorithm outcome_finetuning: the stage must `start` from one of algorithm outcome_pretraining; "
                f"it starts from a sampler of kind {start.kind!r}"
            )
        self.origin = start if isinstance(start, OutcomeSampler) else start.origin
        listed = base.enumerate() is not None
        if config.conversion == "exact" and not listed:
            raise UserError(f"conversion exact: {base.name} has too many states to list; use amortised")
        self.objects = self._outcomes(listed)
        self.converted = False
        self.trainer: AmortisedTrainer | None = None
        if config.conversion == "amortised" or not listed:
            self.objects = torch.unique(self.objects, dim=0)
            self.trainer = self._amortised(base)

    @property
    def compute(self) -> int:
        """Rewards evaluated: one for each outcome, and one for each trajectory of the amortised conversion."""
        if self.trainer is not None:
            return len(self.objects) + self.trainer.trajectories
        return len(self.objects) if self.converted else 0

    def iterate(self) -> Metrics:
        """Convert, or take one step of the amortised conversion."""
        if self.trainer is not None:
            return self.trainer.step()
        graph = StateGraph.of(self.environment)
        weights, origin = self._log_weights(graph), self.origin
        made = convert_network(self.environment, origin.network, weights, self.objects, origin.reachability, graph)
        self.setting.policy.sampler = TableSampler(made.table, origin)
        self.converted = True
        return {
            "log_z": float(made.table.log_z),
            "l1": l1_distance(made.law, target_law(self.environment, graph)),
            "outcomes": float(len(self.objects)),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the trainer's whole state, and whether the conversion was done."""
        return {"converted": self.converted, "trainer": None if self.trainer is None else self.trainer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.converted = bool(state["converted"])
        if self.trainer is not None:
            self.trainer.load_state_dict(state["trainer"])

    def _amortised(self, base: FlowEnvironment) -> AmortisedTrainer:
        """Return the trainer of a new network, which becomes the run's sampler."""
        edges = network_edges(base, self.origin.network, self.objects, self.origin.reachability)
        settings = self.config.amortised
        trainer = AmortisedTrainer(self.environment, edges, self.objects, settings, _generator(base))
        shape = FlowNetworkSettings(**settings.network.model_dump(), backward="uniform")
        made = NetworkSampler.of(base, trainer.network, shape)
        self.setting.policy.sampler = AmortisedSampler(made.network, made.shape, self.origin)
        return trainer

    def _outcomes(self, listed: bool) -> Tensor:
        """Return the outcomes [Y, S]; draws depend on the run's seed alone, so that a resumed run has the same."""
        wanted = self.config.outcomes
        if listed and not wanted:
            graph = StateGraph.of(self.environment)
            return graph.states[object_rows(graph)]
        seed = request_seed(self.setting.seed, "outcomes", wanted) % 2**63
        generator = torch.Generator(device=self.environment.device).manual_seed(seed)
        return draw_outcomes(self.environment, wanted or DRAWN_OUTCOMES, generator)

    def _log_weights(self, graph: StateGraph) -> Tensor:
        """Return log w [Y] of the outcomes in the exact conversion: log R of all, or importance weights of draws."""
        log_reward = self.environment.log_reward(self.objects)
        if not self.config.outcomes:
            return log_reward
        evenly = torch.full_like(log_reward, -math.log(len(object_rows(graph))))
        return importance_weights(log_reward, evenly)


def _generator(environment: FlowEnvironment) -> torch.Generator:
    """Return a generator on the environment's device, seeded from the run's."""
    return torch.Generator(device=environment.device).manual_seed(int(torch.randint(2**62, (1,))))
