"""Amortised conversion: a sampler of a reward, learnt from a frozen outcome-conditioned flow.

N(s' | s) stands for the edge flow sum_y R(y) F(s | y) P_F(s' | s, y), and Q(y | s', s) for the outcome's law given the
edge; both are learnt at once from

    L = (log N(s' | s) + log Q(y | s', s) - log R(y) - log F(s | y) - log P_F(s' | s, y))^2

on edges of trajectories of N's own policy N / sum N, with outcomes drawn from a tempered Q. Where L is 0 for every y, N
is exact (Pan et al. 2024, arXiv 2310.03419; stop is one more child s'). No sum over outcomes is needed. Here N is a
`FlowNetwork`, log N = log F + log P_F, and Q a table over a finite set of outcomes.

trainer = AmortisedTrainer(environment, network_edges(environment, network, objects), objects, settings, generator)
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.network import FlowNetwork, FlowPolicy, explored, masked_log_softmax
from sciRL.flow.outcome import OutcomeFlow
from sciRL.flow.outcome_network import OutcomePairs, Reachability
from sciRL.flow.outcome_trainer import Descent, OutcomeNetworkSettings, OutcomeOptimiserSettings
from sciRL.flow.rollout import Trajectories, draw, sample
from sciRL.models.networks import mlp

ConditionedEdges: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(states [K, S], actions [K], places of outcomes in the set [K]) -> log F(s | y) + log P_F(a | s, y) [K], float64."""


class AmortisedSettings(BaseModel):
    """Settings of an `AmortisedTrainer`."""

    model_config = ConfigDict(extra="forbid")

    batch: int = Field(16, ge=1)
    """Trajectories a step."""
    updates: int = Field(4, ge=1)
    """Optimiser steps on the edges of a batch, each with new outcomes."""
    draws: int = Field(8, ge=1)
    """Outcomes drawn for an edge."""
    epsilon: float = Field(0.1, ge=0, le=1)
    """Share of uniform actions in the trajectories."""
    outcome_epsilon: float = Field(0.1, ge=0, le=1)
    """Share of outcomes drawn evenly from those that the edge may lead to."""
    outcome_temperature: float = Field(1.5, gt=0)
    """Q^(1/temperature) is sampled for the rest."""
    floor: float = Field(-30.0, lt=0)
    """Least log R + log F + log P_F; stands for log 0."""
    network: OutcomeNetworkSettings = Field(default_factory=OutcomeNetworkSettings)
    """Sizes of N, and of Q."""
    optimiser: OutcomeOptimiserSettings = Field(default_factory=OutcomeOptimiserSettings)
    """How the loss is minimised."""


def exact_edges(environment: FlowEnvironment, flow: OutcomeFlow) -> ConditionedEdges:
    """Return the look-up of exact edge flows; outcomes are those of the flow, in its order."""
    log_edge = flow.log_flow.unsqueeze(-1) + flow.log_forward()
    return lambda states, actions, outcomes: log_edge[environment.index(states), outcomes, actions]


def network_edges(
    environment: FlowEnvironment, network: FlowPolicy, outcomes: Tensor, reachability: Reachability = "flow"
) -> ConditionedEdges:
    """Return the edge flows of a frozen outcome-conditioned network, for outcomes [Y, S].

    The trainer draws only outcomes that an edge may lead to, so flows need no mask here.
    """
    pairs = OutcomePairs(environment, outcomes, reachability=reachability)

    @torch.no_grad()
    def edges(states: Tensor, actions: Tensor, places: Tensor) -> Tensor:
        scores = network.scores(pairs, torch.cat([states, outcomes[places]], 1))
        log_forward = scores.log_forward.gather(1, actions.unsqueeze(1)).squeeze(1)
        return scores.log_flow.double() + log_forward.double()

    return edges


class OutcomePosterior(nn.Module):
    """Q(y | s', s): logits over Y outcomes from the features of s and the action taken there.

    Args:
        environment: the states.
        outcomes: Y.
        generator: draws the initial weights.
        hidden: width of the hidden layers.
        layers: how many.
    """

    def __init__(
        self, environment: FlowEnvironment, outcomes: int, generator: torch.Generator, hidden: int, layers: int
    ) -> None:
        super().__init__()
        self.n_actions = environment.n_actions
        sizes = [environment.feature_size + self.n_actions, *[hidden] * layers, outcomes]
        self.layers = mlp(sizes, generator, nn.LeakyReLU)
        # Q starts uniform.
        last = self.layers[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, actions: Tensor) -> Tensor:
        """Return logits [K, Y] of edges with features [K, F] and actions [K]."""
        taken = nn.functional.one_hot(actions, self.n_actions).to(features.dtype)
        logits: Tensor = self.layers(torch.cat([features, taken], 1))
        return logits


def candidates(environment: FlowEnvironment, states: Tensor, actions: Tensor, outcomes: Tensor) -> Tensor:
    """Return [K, Y] bool: the outcomes that each edge may lead to.

    Stop leads to the state itself alone. Other edges lead to what their child reaches, or perhaps to anything where the
    environment does not say.
    """
    k, y = len(states), len(outcomes)
    at = states.repeat_interleave(y, 0), outcomes.repeat(k, 1)
    allowed = (at[0] == at[1]).all(1).view(k, y)
    moving = (actions != environment.stop).nonzero().squeeze(1)
    if len(moving):
        children = environment.step(states[moving], actions[moving])
        reaches = environment.reaches(children.repeat_interleave(y, 0), outcomes.repeat(len(moving), 1))
        allowed[moving] = True if reaches is None else reaches.view(len(moving), y)
    return allowed


class AmortisedTrainer:
    """Learns N and Q for the environment's reward from a frozen outcome-conditioned flow.

    Args:
        environment: the states and the new log R.
        edges: the frozen flow: `exact_edges` or `network_edges`.
        outcomes: [Y, S] the distinct objects that are drawn; N samples them in proportion to R.
        settings: everything else.
        generator: on the environment's device; all randomness comes from it.
        network: N, to go on with; by default one whose weights come from a seed that `generator` gives.
    """

    def __init__(
        self,
        environment: FlowEnvironment,
        edges: ConditionedEdges,
        outcomes: Tensor,
        settings: AmortisedSettings,
        generator: torch.Generator,
        network: FlowNetwork | None = None,
    ) -> None:
        self.environment, self.outcomes, self.settings, self.generator = environment, outcomes, settings, generator
        self._edges = edges
        self._log_reward = environment.log_reward(outcomes).double()
        seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
        weights = torch.Generator().manual_seed(int(seed))
        sizes = settings.network.model_dump()
        if network is None:
            network = FlowNetwork.of(environment, weights, **sizes, backward="uniform")
        self.network = network
        self.posterior = OutcomePosterior(environment, len(outcomes), weights, **sizes).to(environment.device)
        learnt = [p for name, p in network.named_parameters() if name != "log_z"]
        self._descent = Descent([*learnt, *self.posterior.parameters()], settings.optimiser)
        self.steps = 0
        """Batches of trajectories drawn."""
        self.edges_seen = 0
        """Edges of these trajectories."""

    @property
    def trajectories(self) -> int:
        """Trajectories drawn."""
        return self.steps * self.settings.batch

    def step(self) -> dict[str, float]:
        """Draw trajectories, take `updates` optimiser steps on their edges and return metrics of the last.

        Keys: `loss`, `log_z` (log of N's flow at the source), `log_reward` (mean of the sampled objects), `edges` (so
        far), `lr`, `grad_norm`.
        """
        settings = self.settings
        batch = sample(self.environment, self.network, settings.batch, self.generator, settings.epsilon)
        allowed = candidates(self.environment, batch.states, batch.actions, self.outcomes)
        metrics: dict[str, float] = {}
        for update in range(settings.updates):
            done = self.steps * settings.updates + update
            loss = self.residuals(batch, allowed).square().mean()
            norm = self._descent.step(loss, done)
            metrics = {"loss": float(loss.detach()), "lr": self._descent.rate(done), "grad_norm": norm}
        self.steps += 1
        self.edges_seen += len(batch.actions)
        with torch.no_grad():
            source = self.network.scores(self.environment, batch.states[:1]).log_flow
        return metrics | {
            "log_z": float(source),
            "log_reward": float(batch.log_reward.mean()),
            "edges": float(self.edges_seen),
        }

    def residuals(self, batch: Trajectories, allowed: Tensor) -> Tensor:
        """Return the residuals [K * draws] of the edges of trajectories, with outcomes drawn from the tempered Q.

        Args:
            batch: K edges.
            allowed: [K, Y] from `candidates`. An edge that leads to none has N = exp(floor).
        """
        settings, environment = self.settings, self.environment
        scores = self.network.scores(environment, batch.states)
        log_n = (scores.log_flow + scores.log_forward.gather(1, batch.actions.unsqueeze(1)).squeeze(1)).double()
        logits = self.posterior(environment.encode(batch.states), batch.actions)
        log_q = masked_log_softmax(logits, allowed).double()
        some = allowed.any(1)
        with torch.no_grad():
            law = explored(log_q[some], allowed[some], settings.outcome_epsilon, settings.outcome_temperature)
            rows = some.nonzero().squeeze(1).repeat_interleave(settings.draws)
            drawn = draw(law.repeat_interleave(settings.draws, 0), self.generator)
            flow = self._edges(batch.states[rows], batch.actions[rows], drawn)
            target = (self._log_reward[drawn] + flow).clamp(min=settings.floor)
        met = log_n[rows] + log_q[rows, drawn] - target
        return torch.cat([met, log_n[~some] - settings.floor])

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs: weights, optimiser, random state, counters."""
        return {
            "network": {name: value.clone() for name, value in self.network.state_dict().items()},
            "posterior": {name: value.clone() for name, value in self.posterior.state_dict().items()},
            "optimiser": copy.deepcopy(self._descent.optimiser.state_dict()),
            "generator": self.generator.get_state(),
            "steps": self.steps,
            "edges": self.edges_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, of a trainer with the same environment, outcomes and settings."""
        self.network.load_state_dict(state["network"])
        self.posterior.load_state_dict(state["posterior"])
        self._descent.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.steps, self.edges_seen = int(state["steps"]), int(state["edges"])
