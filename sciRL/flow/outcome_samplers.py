"""Samplers that outcome-conditioned pre-training and its conversions end with, as a run saves and loads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.exact import reach, terminal_law
from sciRL.flow.graph import StateGraph
from sciRL.flow.network import FlowNetwork, FlowScores
from sciRL.flow.outcome import object_rows
from sciRL.flow.outcome_network import OutcomePairs, Reachability, pair_scores
from sciRL.flow.outcome_trainer import OutcomeSettings, draw_outcomes
from sciRL.flow.rollout import sample
from sciRL.flow.samplers import NetworkSampler
from sciRL.flow.tables import FlowTable

LAW_PAIRS = 2**20
"""Most pairs of state and outcome whose exact law is computed."""
ORIGIN = "origin."
"""Before the names of the frozen network's tensors, in samplers made from one."""


class OutcomeSampler:
    """Draws outcomes as pre-training does, and one trajectory to each.

    Args:
        network: the outcome-conditioned network.
        shape: the arguments that it is made from again, but for its weights.
        reachability: what limits its actions, and the flows of its conversions.
    """

    kind: ClassVar[str] = "outcome"

    def __init__(self, network: FlowNetwork, shape: Mapping[str, Any], reachability: Reachability) -> None:
        self.network, self.shape, self.reachability = network, dict(shape), reachability

    @classmethod
    def of(cls, environment: FlowEnvironment, network: FlowNetwork, settings: OutcomeSettings) -> OutcomeSampler:
        """Return the sampler of a network that was made for an environment from settings."""
        pairs = OutcomePairs(environment, environment.source(0))
        sizes = {name: getattr(pairs, name) for name in ("feature_size", "n_actions", "n_back")}
        shape = sizes | settings.network.model_dump() | {"backward": "uniform"}
        return cls(network, shape, settings.reachability)

    def draw(self, environment: FlowEnvironment, n: int, generator: torch.Generator) -> Tensor:
        """Return n objects [n, S]."""
        outcomes = draw_outcomes(environment, n, generator)
        pairs = OutcomePairs(environment, outcomes, reachability=self.reachability)
        return pairs.split(sample(pairs, self.network, n, generator).objects)[0]

    def law(self, environment: FlowEnvironment) -> Tensor | None:
        """Return the exact law [N], outcomes being drawn evenly; None where there are too many pairs."""
        if environment.enumerate() is None:
            return None
        graph = StateGraph.of(environment)
        outcomes = graph.states[object_rows(graph)]
        if len(graph.states) * len(outcomes) > LAW_PAIRS:
            return None
        law = torch.zeros(len(graph.states), dtype=torch.float64, device=environment.device)
        for outcome in outcomes.split(1):
            log_forward = pair_scores(environment, self.network, graph.states, outcome, self.reachability)[1][:, 0]
            law += reach(graph, log_forward) * log_forward[:, environment.stop].double().exp()
        return law / len(outcomes)

    def describe(self) -> dict[str, Any]:
        """Return the network's sizes and what is masked."""
        return {**self.shape, "reachability": self.reachability}

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's weights."""
        return dict(self.network.state_dict())

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> OutcomeSampler:
        """Return the sampler with the weights given, on their device."""
        shape = {name: value for name, value in described.items() if name != "reachability"}
        device = next(iter(tensors.values())).device
        network = FlowNetwork(generator=torch.Generator(), **shape).to(device)
        network.load_state_dict(dict(tensors))
        return cls(network, shape, described["reachability"])


class TableSampler:
    """Draws by a table of all states: a conversion that needed no training.

    Args:
        table: log P_F of all states.
        origin: the frozen sampler that was converted; it can be converted again.
    """

    kind: ClassVar[str] = "table"

    def __init__(self, table: FlowTable, origin: OutcomeSampler) -> None:
        self.table, self.origin = table, origin

    def draw(self, environment: FlowEnvironment, n: int, generator: torch.Generator) -> Tensor:
        """Return n objects [n, S]."""
        return sample(environment, self.table, n, generator).objects

    def law(self, environment: FlowEnvironment) -> Tensor:
        """Return the exact law [N]."""
        return terminal_law(environment, self.table)

    def describe(self) -> dict[str, Any]:
        """Return what the origin is made from again."""
        return {"origin": self.origin.describe()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the tables and the origin's weights."""
        scores = self.table.all
        tables = {name: getattr(scores, name) for name in ("log_forward", "log_backward", "log_flow")}
        return tables | {"log_z": self.table.log_z} | origin_tensors(self.origin)

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TableSampler:
        """Return the sampler that was written."""
        scores = FlowScores(*(tensors[name] for name in ("log_forward", "log_backward", "log_flow")))
        return cls(FlowTable(scores, tensors["log_z"]), restored_origin(described["origin"], tensors))


class AmortisedSampler(NetworkSampler):
    """Draws by the network N of amortised conversion; a GFlowNet stage may go on with it.

    Args:
        network: N.
        shape: the arguments that it is made from again, but for its weights.
        origin: the frozen sampler that was converted; it can be converted again.
    """

    kind: ClassVar[str] = "amortised"

    def __init__(self, network: FlowNetwork, shape: Mapping[str, Any], origin: OutcomeSampler) -> None:
        super().__init__(network, shape)
        self.origin = origin

    def describe(self) -> dict[str, Any]:
        """Return the network's sizes, and what the origin is made from again."""
        return {"network": self.shape, "origin": self.origin.describe()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights of the network and of the origin."""
        return super().tensors() | origin_tensors(self.origin)

    @classmethod
    def restore(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> AmortisedSampler:
        """Return the sampler that was written."""
        own = {name: value for name, value in tensors.items() if not name.startswith(ORIGIN)}
        made = NetworkSampler.restore(described["network"], own)
        return cls(made.network, made.shape, restored_origin(described["origin"], tensors))


def origin_tensors(origin: OutcomeSampler) -> dict[str, Tensor]:
    """Return the frozen network's tensors under prefixed names."""
    return {ORIGIN + name: value for name, value in origin.tensors().items()}


def restored_origin(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> OutcomeSampler:
    """Return the frozen sampler whose tensors `origin_tensors` named."""
    return OutcomeSampler.restore(
        described, {name.removeprefix(ORIGIN): value for name, value in tensors.items() if name.startswith(ORIGIN)}
    )
