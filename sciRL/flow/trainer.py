"""FlowTrainer: one optimiser step of a GFlowNet at a time, resumable bit for bit.

trainer = FlowTrainer(Hypergrid(2, 8), FlowSettings(), torch.Generator().manual_seed(0))
for _ in range(600):
    metrics = trainer.step()
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from sciRL.errors import UserError
from sciRL.flow import losses
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exponent import RewardExponent
from sciRL.flow.network import FlowNetwork, FlowPolicy
from sciRL.flow.replay import ReplayBuffer
from sciRL.flow.rollout import Trajectories, join, sample, walk_back
from sciRL.flow.tables import FlowTable, TableEnvironment, tables_pay


class FlowLossSettings(BaseModel):
    """What is minimised."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["tb", "db", "subtb", "fl-db", "fl-subtb", "zvar", "mdb", "fm"] = "tb"
    """The residual; see `sciRL.flow.losses`."""
    subtb_lambda: float = Field(0.9, gt=0)
    """Weight lambda^length of a sub-trajectory (subtb and fl-subtb)."""
    regression: Literal["square", "cosh", "linex", "huber"] = "square"
    """The function g of the residual."""
    linex_a: float = Field(1.0, ge=-10, le=10)
    """Slant a of linex, not 0."""
    huber_delta: float = Field(1.0, gt=0)
    """Where huber turns from square to straight."""


class FlowNetworkSettings(BaseModel):
    """The policy's network."""

    model_config = ConfigDict(extra="forbid")

    hidden: int = Field(256, ge=1)
    """Width of the hidden layers."""
    layers: int = Field(2, ge=1)
    """Number of hidden layers."""
    backward: Literal["learned", "uniform"] = "learned"
    """Backward policy: a head of the trunk, or uniform over the parents."""
    log_z: float = 0.0
    """Initial log Z; near log of (mean reward x number of objects) is best."""


class FlowOptimiserSettings(BaseModel):
    """Adam."""

    model_config = ConfigDict(extra="forbid")

    lr: float = Field(1e-3, gt=0)
    """Learning rate of the network."""
    lr_log_z: float = Field(1e-1, gt=0)
    """Learning rate of log Z: about 100 times larger (Malkin et al. 2022)."""
    decay_steps: int = Field(0, ge=0)
    """Both rates fall along a cosine to `decay_to` of themselves in so many steps; 0 keeps them constant."""
    decay_to: float = Field(0.0, ge=0, le=1)
    """Share of the rates that is left after `decay_steps`."""
    grad_norm: float = Field(10.0, ge=0)
    """Largest norm of the network's gradient; 0 does not clip. log Z is never clipped."""


class FlowExplorationSettings(BaseModel):
    """How training trajectories are drawn; evaluation uses the policy itself."""

    model_config = ConfigDict(extra="forbid")

    epsilon: float = Field(0.0, ge=0, le=1)
    """Share of uniform actions at the start."""
    epsilon_end: float | None = Field(None, ge=0, le=1)
    """Share after `epsilon_steps`; none keeps it constant."""
    epsilon_steps: int = Field(1000, ge=1)
    """Steps of the straight line between the two."""
    temperature: float = Field(1.0, gt=0)
    """P_F^(1/temperature) is sampled."""


class FlowReplaySettings(BaseModel):
    """Objects met before, walked back from."""

    model_config = ConfigDict(extra="forbid")

    share: float = Field(0.0, ge=0, lt=1)
    """Share of each batch that comes from the buffer, once it holds anything; 0 keeps no buffer."""
    capacity: int = Field(10_000, ge=1)
    """Distinct objects kept."""
    priority: Literal["uniform", "reward"] = "reward"
    """Uniform draws, or half of them from the best tenth."""


class FlowSettings(BaseModel):
    """Settings of a `FlowTrainer`."""

    model_config = ConfigDict(extra="forbid")

    batch: int = Field(64, ge=1)
    """Trajectories a step, replayed ones included."""
    beta: float = Field(1.0, gt=0)
    """Reward exponent: the law learnt is R^beta / Z."""
    lowest_log_reward: float = Field(-75.0, lt=0)
    """log R^beta is clipped here from below."""
    tables: Literal["auto", "always", "never"] = "auto"
    """Pass all states of a small environment through the network once a step, instead of the visited ones."""
    loss: FlowLossSettings = Field(default_factory=FlowLossSettings)
    """What is minimised."""
    network: FlowNetworkSettings = Field(default_factory=FlowNetworkSettings)
    """The policy's network."""
    optimiser: FlowOptimiserSettings = Field(default_factory=FlowOptimiserSettings)
    """How it is minimised."""
    exploration: FlowExplorationSettings = Field(default_factory=FlowExplorationSettings)
    """How trajectories are drawn."""
    replay: FlowReplaySettings = Field(default_factory=FlowReplaySettings)
    """What is trained on again."""


def build_loss(settings: FlowLossSettings) -> losses.Loss:
    """Return the function from scored edges to residuals."""
    subtb = partial(losses.sub_trajectory_balance, decay=settings.subtb_lambda)
    built: dict[str, losses.Loss] = {
        "tb": losses.trajectory_balance,
        "db": losses.detailed_balance,
        "subtb": subtb,
        "fl-db": lambda edges: losses.detailed_balance(losses.forward_looking(edges)),
        "fl-subtb": lambda edges: subtb(losses.forward_looking(edges)),
        "zvar": losses.log_partition_variance,
        "mdb": losses.modified_detailed_balance,
        "fm": losses.flow_matching,
    }
    return built[settings.name]


def build_regression(settings: FlowLossSettings) -> losses.Regression:
    """Return the function g of residuals.

    Raises:
        UserError: linex with a = 0.
    """
    if settings.regression == "linex" and settings.linex_a == 0:
        raise UserError("loss.linex_a: 0 is not allowed; a positive or negative number is")
    built: dict[str, Callable[[Tensor], Tensor]] = {
        "square": losses.square,
        "cosh": losses.shifted_cosh,
        "linex": partial(losses.linex, a=settings.linex_a),
        "huber": partial(losses.huber, delta=settings.huber_delta),
    }
    return built[settings.regression]


class FlowTrainer:
    """Trains a policy to draw objects x with probability R(x)^beta / Z.

    Args:
        environment: the states and log R.
        settings: everything else.
        generator: on the environment's device; all randomness of training comes from it.
        network: the policy; by default one of `settings.network`, its weights drawn from a seed that `generator` gives.
    """

    def __init__(
        self,
        environment: FlowEnvironment,
        settings: FlowSettings,
        generator: torch.Generator,
        network: FlowNetwork | None = None,
    ) -> None:
        self.environment: FlowEnvironment = RewardExponent(environment, settings.beta, settings.lowest_log_reward)
        self.settings, self.generator = settings, generator
        if network is None:
            seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
            weights = torch.Generator().manual_seed(int(seed))
            network = FlowNetwork.of(environment, weights, **settings.network.model_dump())
        self.network = network
        self._loss, self._regression = build_loss(settings.loss), build_regression(settings.loss)
        use = settings.tables == "always" or (settings.tables == "auto" and tables_pay(environment, settings.batch))
        self._table = TableEnvironment(self.environment) if use else None
        self._weights = [p for name, p in network.named_parameters() if name != "log_z"]
        rates = settings.optimiser
        groups = [{"params": self._weights, "lr": rates.lr}, {"params": [network.log_z], "lr": rates.lr_log_z}]
        self._optimiser = torch.optim.Adam(groups, fused=True)
        self._replay: ReplayBuffer | None = None
        if settings.replay.share > 0:
            kept = settings.replay
            self._replay = ReplayBuffer(kept.capacity, environment.state_size, environment.device, kept.priority)
        self.steps = 0
        """Optimiser steps done."""

    def epsilon(self) -> float:
        """Return the share of uniform actions of the next step."""
        set_to = self.settings.exploration
        if set_to.epsilon_end is None:
            return set_to.epsilon
        done = min(1.0, self.steps / set_to.epsilon_steps)
        return set_to.epsilon + (set_to.epsilon_end - set_to.epsilon) * done

    def step(self) -> dict[str, float]:
        """Draw a batch, take one optimiser step and return its metrics.

        Keys: `loss`, `log_z` (the policy's estimate), `log_reward` (mean log R^beta of the sampled objects),
        `log_reward_max`, `length` (mean actions), `distinct` (share of distinct sampled objects), `replayed` (share of
        the batch), `epsilon`, `lr`, `grad_norm`.
        """
        environment, policy = self._working()
        sampled, replayed = self._batch(environment, policy)
        trajectories = join(environment, [part for part in (sampled, replayed) if part is not None])
        edges = losses.score_edges(environment, policy, trajectories)
        residuals = self._loss(edges)
        loss = residuals.loss(self._regression)
        # A table keeps the graph of the network's pass in the edges, so one backward call is all.
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        share, norm = self._update()
        if self._replay is not None:
            self._replay.add(self._base_states(sampled.objects), sampled.log_reward)
        metrics = {
            "loss": float(loss.detach()),
            "log_z": self._log_z(edges, trajectories),
            "log_reward": float(sampled.log_reward.mean()),
            "log_reward_max": float(sampled.log_reward.max()),
            "length": float(sampled.lengths.double().mean()),
            "distinct": len(torch.unique(sampled.objects, dim=0)) / len(sampled),
            "replayed": 1.0 - len(sampled) / len(trajectories),
            "epsilon": self.epsilon(),
            "lr": self.settings.optimiser.lr * share,
            "grad_norm": norm,
        }
        self.steps += 1
        return metrics

    def sample(self, n: int, generator: torch.Generator | None = None) -> Trajectories:
        """Return n trajectories of the policy itself (no exploration), with the environment's states."""
        return sample(self.environment, self.network, n, self.generator if generator is None else generator)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs: weights, optimiser, random state, replay buffer, step count."""
        return {
            "network": {name: value.clone() for name, value in self.network.state_dict().items()},
            "optimiser": copy.deepcopy(self._optimiser.state_dict()),
            "generator": self.generator.get_state(),
            "replay": None if self._replay is None else self._replay.state_dict(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, of a trainer with the same environment and settings."""
        if (state["replay"] is None) != (self._replay is None):
            raise UserError("replay.share: the saved state and these settings disagree on whether there is a buffer")
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        if self._replay is not None:
            self._replay.load_state_dict(state["replay"])
        self.steps = int(state["steps"])

    def _working(self) -> tuple[FlowEnvironment, FlowPolicy]:
        """Return the environment and policy of this step: tables of both, where they are used."""
        if self._table is None:
            return self.environment, self.network
        return self._table, FlowTable.of(self._table, self.network)

    def _base_states(self, states: Tensor) -> Tensor:
        return states if self._table is None else self._table.states(states)

    def _batch(self, environment: FlowEnvironment, policy: FlowPolicy) -> tuple[Trajectories, Trajectories | None]:
        """Sample the step's trajectories, and walk back from replayed objects."""
        explore, generator = self.settings.exploration, self.generator
        from_replay = 0
        if self._replay is not None and len(self._replay):
            # At least one is sampled: the metrics are of sampled objects.
            from_replay = min(round(self.settings.replay.share * self.settings.batch), self.settings.batch - 1)
        n = self.settings.batch - from_replay
        sampled = sample(environment, policy, n, generator, self.epsilon(), explore.temperature)
        if not from_replay or self._replay is None:
            return sampled, None
        states, log_reward = self._replay.draw(from_replay, generator)
        objects = states if self._table is None else self._table.rows(states)
        return sampled, walk_back(environment, policy, objects, generator, log_reward)

    def _update(self) -> tuple[float, float]:
        """Take the optimiser's step and return the share of the rates in use and the gradient's norm."""
        rates = self.settings.optimiser
        share = 1.0
        if rates.decay_steps:
            done = min(1.0, self.steps / rates.decay_steps)
            share = rates.decay_to + (1.0 - rates.decay_to) * 0.5 * (1.0 + math.cos(math.pi * done))
        for group, rate in zip(self._optimiser.param_groups, (rates.lr, rates.lr_log_z), strict=True):
            group["lr"] = rate * share
        limit = rates.grad_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self._weights, limit)
        self._optimiser.step()
        return share, float(norm)

    @torch.no_grad()
    def _log_z(self, edges: losses.Edges, trajectories: Trajectories) -> float:
        """Return log Z as the loss in use knows it, before the step's update."""
        name = self.settings.loss.name
        if name == "tb":
            return float(edges.log_z)
        if name == "zvar":
            balance = edges.row_sum(edges.log_backward - edges.log_forward)
            return float((balance + trajectories.log_reward).mean())
        if name == "mdb":
            source = edges.environment.log_reward(trajectories.states[:1]).double()
            return float(source - edges.log_stop[0])
        if name.startswith("fl-"):
            edges = losses.forward_looking(edges)
        return float(edges.log_flow[0])
