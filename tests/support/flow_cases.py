"""Small GFlowNet environments and networks for the tests."""

from __future__ import annotations

import torch

from domains.gflownet.bits import AppendBits, FillBits
from domains.gflownet.hypergrid import Hypergrid
from sciRL.flow.environment import FlowEnvironment
from sciRL.flow.network import FlowNetwork

TREE_MODES = torch.tensor([[1, 0, 1], [0, 0, 0]])


def environments() -> list[FlowEnvironment]:
    """One of each kind, all enumerable."""
    return [
        Hypergrid(2, 3),
        Hypergrid(3, 4, r0=1e-3),
        AppendBits(3, 1, modes=TREE_MODES),
        AppendBits(8, 2, beta=8.0),
        FillBits(8, 2, beta=8.0),
    ]


def network(environment: FlowEnvironment, seed: int = 0, backward: str = "learned", scale: float = 4.0) -> FlowNetwork:
    """A small network with heads far from zero, so that its laws are far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    made = FlowNetwork.of(environment, generator, 16, 2, backward, log_z=0.7)  # type: ignore[arg-type]
    with torch.no_grad():
        made.heads.weight *= scale
    return made


def generator(seed: int = 0) -> torch.Generator:
    """A seeded generator on the CPU."""
    return torch.Generator().manual_seed(seed)
