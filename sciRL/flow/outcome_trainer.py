"""OutcomeTrainer: pre-trains an outcome-conditioned GFlowNet without any reward, resumable bit for bit.

trainer = OutcomeTrainer(Hypergrid(2, 8), OutcomeSettings(), torch.Generator().manual_seed(0))
for _ in range(700):
    metrics = trainer.step()
conversion = convert_network(trainer.environment, trainer.network, log_reward, outcomes)
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.losses import Edges, detailed_balance, score_edges
from sciRL.flow.network import FlowNetwork
from sciRL.flow.outcome_network import OutcomePairs, Reachability, outcome_network, success_rate
from sciRL.flow.rollout import Trajectories, sample, walk_back
from sciRL.flow.samplers import UniformSampler


class OutcomeNetworkSettings(BaseModel):
    """The network of states and outcomes."""

    model_config = ConfigDict(extra="forbid")

    hidden: int = Field(256, ge=1)
    """Width of the hidden layers."""
    layers: int = Field(2, ge=1)
    """Number of hidden layers."""


class OutcomeOptimiserSettings(BaseModel):
    """Adam."""

    model_config = ConfigDict(extra="forbid")

    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    decay_steps: int = Field(0, ge=0)
    """The rate falls along a cosine to `decay_to` of itself in so many steps; 0 keeps it constant."""
    decay_to: float = Field(0.0, ge=0, le=1)
    """Share of the rate that is left after `decay_steps`."""
    grad_norm: float = Field(10.0, ge=0)
    """Largest norm of the gradient; 0 does not clip."""


class OutcomeSettings(BaseModel):
    """Settings of an `OutcomeTrainer`."""

    model_config = ConfigDict(extra="forbid")

    objective: Literal["mle", "anchor", "positives", "contrastive", "teleport"] = "mle"
    """What is minimised on trajectories that end in the outcome asked for ("successes").

    `mle`: -log P_F of the successes, and the residuals of `anchor` with P_F fixed, for log F. `anchor`: detailed
    balance and log F(source | y) = 0, which holds as the rewards R(x | y) sum to 1. `positives`: detailed balance
    alone, which leaves the flow undetermined (a control). `contrastive` (the paper): detailed balance on successes and
    on as many trajectories of the policy itself. `teleport`: the same with outcome teleportation on the latter."""
    batch: int = Field(64, ge=1)
    """Successes a step; `contrastive` and `teleport` draw as many trajectories again."""
    exploration: Literal["backward", "forward"] = "backward"
    """Where successes come from: backward walks from drawn outcomes, or uniform forward trajectories relabelled with
    the object that they reached."""
    epsilon: float = Field(0.0, ge=0, le=1)
    """Share of uniform actions in the policy's own trajectories (contrastive, teleport)."""
    log_epsilon: float = Field(-6.0, lt=0)
    """log R(x | y) of a trajectory that missed its outcome (contrastive, teleport)."""
    reachability: Reachability = "flow"
    """What the environment's knowledge of reachable outcomes is used for: nothing, masking flows in the conversion, or
    besides limiting the actions to useful ones."""
    network: OutcomeNetworkSettings = Field(default_factory=OutcomeNetworkSettings)
    """The network."""
    optimiser: OutcomeOptimiserSettings = Field(default_factory=OutcomeOptimiserSettings)
    """How the loss is minimised."""


class Descent:
    """Adam with clipping along a cosine of learning rates.

    Args:
        parameters: what is learnt.
        settings: rates and limits.
    """

    def __init__(self, parameters: list[nn.Parameter], settings: OutcomeOptimiserSettings) -> None:
        self.parameters, self.settings = parameters, settings
        self.optimiser = torch.optim.Adam(parameters, lr=settings.lr, fused=True)

    def rate(self, steps: int) -> float:
        """Return the learning rate after so many steps."""
        settings = self.settings
        if not settings.decay_steps:
            return settings.lr
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, steps / settings.decay_steps)))
        return settings.lr * (settings.decay_to + (1.0 - settings.decay_to) * cosine)

    def step(self, loss: Tensor, steps: int) -> float:
        """Take one step down a loss and return the norm of its gradient."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.grad_norm or math.inf)
        self.optimiser.step()
        return float(norm)


def draw_outcomes(environment: FlowEnvironment, n: int, generator: torch.Generator) -> Tensor:
    """Return n outcomes [n, S]: even over all objects, or the ends of uniform trajectories where there are too many."""
    objects = all_objects(environment)
    if objects is None:
        return sample(environment, UniformSampler(), n, generator).objects
    return drawn_from(objects, n, generator)


def all_objects(environment: FlowEnvironment) -> Tensor | None:
    """Return all objects [Y, S], or None where there are too many states to list."""
    states = environment.enumerate()
    return None if states is None else states[environment.forward_mask(states)[:, environment.stop]]


def drawn_from(objects: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n of the objects [n, S], drawn evenly with replacement."""
    return objects[torch.randint(len(objects), (n,), generator=generator, device=objects.device)]


def relabel(pairs: OutcomePairs, trajectories: Trajectories) -> Trajectories:
    """Return trajectories of the base environment as successes: each for the object that it reached, R(x | y) = 1.

    Hindsight relabelling, Andrychowicz et al. 2017, arXiv 1707.01495; `pairs.outcomes` are those objects.
    """
    states = torch.cat([trajectories.states, pairs.outcomes[trajectories.rows]], 1)
    return replace(trajectories, states=states, log_reward=pairs.log_reward(pairs.ends()))


def teleported(edges: Edges) -> Tensor:
    """Return the residuals [K] of detailed balance with outcome teleportation.

    log F(s | y) + log P_F(s' | s, y) - log F(s' | y) - log P_B(s | s') - log R(x | y), x being the end of the edge's
    own trajectory; on the stop edge log R(x | y) stands once. On a success it is detailed balance.
    """
    trajectories = edges.trajectories
    residuals = detailed_balance(edges).values
    moving = trajectories.moving
    return residuals.index_add(0, moving, -trajectories.log_reward[trajectories.rows[moving]])


class OutcomeTrainer:
    """Learns to reach any outcome, by one optimiser step at a time.

    Args:
        environment: the states; its reward is not read.
        settings: everything else.
        generator: on the environment's device; all randomness comes from it.
        network: made by `outcome_network`; by default from a seed that `generator` gives.
        outcomes: [M, S] objects to draw outcomes from, evenly; by default as `draw_outcomes` does.

    Raises:
        UserError: the objective learns flows from successes alone, and the environment does not tell where they hold.
    """

    def __init__(
        self,
        environment: FlowEnvironment,
        settings: OutcomeSettings,
        generator: torch.Generator,
        network: FlowNetwork | None = None,
        outcomes: Tensor | None = None,
    ) -> None:
        source = environment.source(1)
        on_successes = settings.objective in ("mle", "anchor", "positives")
        if on_successes and settings.reachability != "none" and environment.reaches(source, source) is None:
            raise UserError(
                f"objective {settings.objective}: {environment.name} does not tell which outcomes a state reaches, and "
                "elsewhere flows learnt from successes alone would swamp a conversion; use objective contrastive, or "
                "reachability: none for a policy that is not to be converted"
            )
        self.environment, self.settings, self.generator = environment, settings, generator
        self.outcomes = all_objects(environment) if outcomes is None else outcomes
        if network is None:
            seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
            weights = torch.Generator().manual_seed(int(seed))
            network = outcome_network(environment, weights, **settings.network.model_dump())
        self.network = network
        learnt = [p for name, p in network.named_parameters() if name != "log_z"]
        self._descent = Descent(learnt, settings.optimiser)
        self.steps = 0
        """Optimiser steps done."""
        self.trajectories = 0
        """Trajectories drawn for training, successes and others."""

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Return n outcomes [n, S] as training draws them."""
        generator = self.generator if generator is None else generator
        if self.outcomes is None:
            return draw_outcomes(self.environment, n, generator)
        return drawn_from(self.outcomes, n, generator)

    def step(self) -> dict[str, float]:
        """Draw a batch, take one optimiser step and return its metrics.

        Keys: `loss`, `log_likelihood` (mean log P_F of a success), `residual` (mean squared detailed balance of the
        successes), `log_flow` (mean log F(source | y), 0 when exact), `reached` (share of the policy's own trajectories
        that end in their outcome; contrastive and teleport), `length`, `lr`, `grad_norm`.
        """
        settings = self.settings
        pairs, successes = self._successes()
        edges = score_edges(pairs, self.network, successes)
        likelihood = edges.row_sum(edges.log_forward).mean()
        balance = detailed_balance(edges).values
        source = edges.log_flow[: settings.batch]
        metrics: dict[str, float] = {}
        if settings.objective == "mle":
            flow = detailed_balance(replace(edges, log_forward=edges.log_forward.detach())).values
            loss = -likelihood + flow.square().mean() + source.square().mean()
        elif settings.objective == "anchor":
            loss = balance.square().mean() + source.square().mean()
        elif settings.objective == "positives":
            loss = balance.square().mean()
        else:
            own = self._own_residuals(pairs, metrics)
            loss = balance.square().mean() + own.square().mean()
        metrics |= {
            "loss": float(loss.detach()),
            "log_likelihood": float(likelihood.detach()),
            "residual": float(balance.detach().square().mean()),
            "log_flow": float(source.detach().mean()),
            "length": float(successes.lengths.double().mean()),
            "lr": self._descent.rate(self.steps),
        }
        metrics["grad_norm"] = self._descent.step(loss, self.steps)
        self.steps += 1
        return metrics

    def success(self, n: int, generator: torch.Generator, greedy: bool = False) -> float:
        """Return the share of n drawn outcomes that one trajectory each reaches."""
        outcomes = self.draw(n, generator)
        settings = self.settings
        return success_rate(self.environment, self.network, outcomes, generator, greedy, settings.reachability)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs: weights, optimiser, random state, counters."""
        return {
            "network": {name: value.clone() for name, value in self.network.state_dict().items()},
            "optimiser": copy.deepcopy(self._descent.optimiser.state_dict()),
            "generator": self.generator.get_state(),
            "steps": self.steps,
            "trajectories": self.trajectories,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, of a trainer with the same environment and settings."""
        self.network.load_state_dict(state["network"])
        self._descent.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.steps, self.trajectories = int(state["steps"]), int(state["trajectories"])

    def _pairs(self, outcomes: Tensor) -> OutcomePairs:
        return OutcomePairs(self.environment, outcomes, self.settings.log_epsilon, self.settings.reachability)

    def _successes(self) -> tuple[OutcomePairs, Trajectories]:
        """Return trajectories that end in their outcomes."""
        n = self.settings.batch
        self.trajectories += n
        if self.settings.exploration == "backward":
            pairs = self._pairs(self.draw(n))
            return pairs, walk_back(pairs, self.network, pairs.ends(), self.generator)
        explored = sample(self.environment, UniformSampler(), n, self.generator)
        pairs = self._pairs(explored.objects)
        return pairs, relabel(pairs, explored)

    def _own_residuals(self, pairs: OutcomePairs, metrics: dict[str, float]) -> Tensor:
        """Return the residuals of the policy's own trajectories to the same outcomes."""
        own = sample(pairs, self.network, len(pairs.outcomes), self.generator, self.settings.epsilon)
        self.trajectories += len(own)
        metrics["reached"] = float((own.log_reward == 0).double().mean())
        edges = score_edges(pairs, self.network, own)
        return teleported(edges) if self.settings.objective == "teleport" else detailed_balance(edges).values
