"""StateGraph: all states and edges of an enumerable environment, computed once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment

NO_STATE = -1


@dataclass(frozen=True)
class StateGraph:
    """N states and their edges, M in all (stop edges apart), ordered by the level of the parent.

    A level is the length of the longest path from the source, so that every edge leads to a higher one.

    Attributes:
        states: [N, S] in the order of `environment.enumerate()`.
        forward_mask: [N, n_actions]; backward_mask: [N, n_back].
        backward_mask: [N, n_back].
        child: [N, n_actions] row of the child, `NO_STATE` where there is none.
        parent_of: [N, n_back] row of the parent, `NO_STATE` where there is none.
        undo: [N, n_actions] backward action that undoes each edge (0 where there is none).
        forth: [N, n_back] forward action that leads back from each parent (0 where there is none).
        parents: [M] row of each edge's parent.
        actions: [M] its forward action.
        children: [M] row of its child.
        edge_counts: edges of each level of parents.
    """

    states: Tensor
    forward_mask: Tensor
    backward_mask: Tensor
    child: Tensor
    parent_of: Tensor
    undo: Tensor
    forth: Tensor
    parents: Tensor
    actions: Tensor
    children: Tensor
    edge_counts: list[int]

    @property
    def may_stop(self) -> Tensor:
        """[N] bool, the states that are objects."""
        return self.forward_mask[:, -1]

    @classmethod
    def of(cls, environment: FlowEnvironment) -> StateGraph:
        """Return the graph of an environment.

        Raises:
            UserError: the environment does not enumerate its states.
        """
        states = environment.enumerate()
        if states is None:
            raise UserError(f"{environment.name} has too many states to enumerate: use sampling")
        forward_mask, backward_mask = environment.forward_mask(states), environment.backward_mask(states)
        going = forward_mask.clone()
        going[:, environment.stop] = False
        parents, actions = going.nonzero(as_tuple=True)
        children = environment.index(environment.step(states[parents], actions))
        child = torch.full_like(forward_mask, NO_STATE, dtype=torch.int64)
        child[parents, actions] = children
        undo = torch.zeros_like(child)
        undo[parents, actions] = environment.back_of(states[parents], actions)

        rows, back_actions = backward_mask.nonzero(as_tuple=True)
        parent_of = torch.full_like(backward_mask, NO_STATE, dtype=torch.int64)
        parent_of[rows, back_actions] = environment.index(environment.back(states[rows], back_actions))
        forth = torch.zeros_like(parent_of)
        forth[rows, back_actions] = environment.forth_of(states[rows], back_actions)

        level = _levels(len(states), parents, children)[parents]
        order = torch.argsort(level, stable=True)
        counts = torch.bincount(level).tolist()
        edges = (parents[order], actions[order], children[order])
        return cls(states, forward_mask, backward_mask, child, parent_of, undo, forth, *edges, counts)


def _levels(n: int, parents: Tensor, children: Tensor) -> Tensor:
    """Return the length [N] of the longest path from the source to each state."""
    level = torch.zeros(n, dtype=torch.int64, device=parents.device)
    while True:
        longer = level.scatter_reduce(0, children, level[parents] + 1, "amax")
        if torch.equal(longer, level):
            return level
        level = longer
