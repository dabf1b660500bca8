"""Turn-aware advantages: every turn of an episode earns a reward, and its tokens share what follows from it.

    r_u                reward of turn u; the last turn of an episode also earns `outcome_weight` x outcome
    z_u = (r_u - b)/s  b the mean over the group, s its sample standard deviation (ddof 1) or 1
    A_u = sum over v >= u of gamma^(v - u) z_v          for credit "return"; z_u alone for credit "own"

| method | credit | normalise | baseline | scale | paper |
| --- | --- | --- | --- | --- | --- |
| outcome | return | returns | sequence | std | GRPO over whole episodes, arXiv 2402.03300 |
| turns | return | returns | place | none | REINFORCE with a baseline of each time step, over a group |
| igpo | return | rewards | turn | std | IGPO, arXiv 2510.14967 |
| promed | own | rewards | token | none | ProMed, arXiv 2508.13514 |

The baseline counts every episode once ("sequence": the mean over episodes of an episode's mean), every turn once
("turn"), every token once ("token", so that long turns weigh more), or compares n-th turns with n-th turns ("place").
What has no spread has advantage exactly 0. Rows of one episode (rebuilt contexts) are one episode here:
`rows["trajectory"]` says which belong together.

Normalised rewards that are summed up teach how many turns to take: once a mean is taken off, every further question
below it costs something. Returns compared at one place do not: a question is worth what it and those after it find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from sciRL.advantage.base import AdvantageContext
from sciRL.trajectory import TrajectoryBatch

Baseline: TypeAlias = Literal["sequence", "turn", "token", "place"]
Credit: TypeAlias = Literal["return", "own"]
EPSILON = 1e-6


@dataclass(frozen=True)
class TurnTable:
    """The turns of a batch in order of episode and turn.

    Of each: row, turn, episode, group, own reward, its episode's outcome, whether it is its episode's last, tokens.
    """

    row: Tensor
    turn: Tensor
    episode: Tensor
    group: Tensor
    own: Tensor
    outcome: Tensor
    last: Tensor
    tokens: Tensor


class TurnAdvantage:
    """Advantages from turn rewards and the outcome (see the module's table).

    Args:
        credit: whether a turn's tokens get the sum of what follows or the turn's own reward.
        normalise_returns: normalise the discounted returns instead of the rewards they are made of.
        baseline: what counts once in the group's mean and deviation.
        divide_by_std: whether to divide by the group's sample standard deviation.
        gamma: discount per turn.
        turn_weight, outcome_weight: weights of a turn's own reward and of the outcome.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"outcome", "status", "role", "weight"})
    writes: ClassVar[frozenset[str]] = frozenset({"advantage"})
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        credit: Credit = "return",
        normalise_returns: bool = False,
        baseline: Baseline = "turn",
        divide_by_std: bool = True,
        gamma: float = 1.0,
        turn_weight: float = 1.0,
        outcome_weight: float = 1.0,
    ) -> None:
        self.credit, self.normalise_returns, self.baseline = credit, normalise_returns, baseline
        self.divide_by_std, self.gamma = divide_by_std, gamma
        self.turn_weight, self.outcome_weight = turn_weight, outcome_weight

    def apply(self, batch: TrajectoryBatch, context: AdvantageContext) -> dict[str, Tensor]:
        """Return the token column `advantage`; tokens that the policy did not write get 0."""
        table = turn_table(batch)
        values = self.turn_weight * table.own
        values = torch.where(table.last, values + self.outcome_weight * table.outcome, values)
        if self.credit == "return" and self.normalise_returns:
            values = self._normalised(table, discounted(values, table.episode, self.gamma))
        else:
            values = self._normalised(table, values)
            if self.credit == "return":
                values = discounted(values, table.episode, self.gamma)
        return {"advantage": over_tokens(batch, table, values)}

    def _normalised(self, table: TurnTable, values: Tensor) -> Tensor:
        out = torch.zeros_like(values)
        compared = self._compared(table)
        for number in compared.unique():
            inside = (compared == number).nonzero().flatten()
            if float(values[inside].max() - values[inside].min()) == 0.0:
                continue
            weight = self._weights(table, inside)
            mean = (weight * values[inside]).sum() / weight.sum()
            deviation = values[inside] - mean
            if self.divide_by_std:
                # Frequency weights with ddof 1: n counts turns, tokens or episodes, whichever the baseline counts.
                spread = ((weight * deviation.square()).sum() / (weight.sum() - 1).clamp(min=1)).sqrt()
                deviation = deviation / (spread + EPSILON)
            out[inside] = deviation
        return out

    def _compared(self, table: TurnTable) -> Tensor:
        """Return a number for each turn; turns of one number are compared: those of a group, or of a place in it."""
        if self.baseline != "place" or not len(table.group):
            return table.group
        place = _places(table.episode)
        return table.group * (place.max() + 1) + place

    def _weights(self, table: TurnTable, inside: Tensor) -> Tensor:
        """Return how much each turn counts: 1, its tokens, or its share of its episode."""
        if self.baseline in ("turn", "place"):
            return torch.ones(len(inside))
        if self.baseline == "token":
            return table.tokens[inside]
        episode = table.episode[inside]
        size = torch.zeros(int(episode.max()) + 1).index_add_(0, episode, torch.ones(len(inside)))
        return 1.0 / size[episode]


def over_tokens(batch: TrajectoryBatch, table: TurnTable, values: Tensor) -> Tensor:
    """Return a value of each turn as a column over tokens [S]; tokens that the policy did not write get 0."""
    advantage = torch.zeros(batch.n_tokens)
    by_turn = {
        (int(row), int(turn)): index for index, (row, turn) in enumerate(zip(table.row, table.turn, strict=True))
    }
    rows, turns = batch.row_of_token.tolist(), batch.turn.tolist()
    for position in batch.action.nonzero().flatten().tolist():
        index = by_turn.get((rows[position], turns[position]))
        if index is not None:
            advantage[position] = values[index]
    return advantage * (batch.weight > 0)


def turn_table(batch: TrajectoryBatch) -> TurnTable:
    """Return the turns of all scorable episodes with their rewards; the outcome is earned by an episode's last turn."""
    names = batch.rows.get("trajectory", list(range(len(batch))))
    numbers = {name: index for index, name in enumerate(dict.fromkeys(names))}
    episode_N = torch.tensor([numbers[name] for name in names], dtype=torch.int64)
    row, turn = batch.turns["row"], batch.turns["turn"]
    kept = batch.scorable[row]
    order = sorted(kept.nonzero().flatten().tolist(), key=lambda i: (int(episode_N[row[i]]), int(turn[i])))
    row, turn = row[order], turn[order]
    episode, own = episode_N[row], batch.turns["reward"][order].float()
    last = torch.ones(len(order), dtype=torch.bool)
    last[:-1] = episode[1:] != episode[:-1]
    stride = int(batch.turn.max()) + 1 if batch.n_tokens else 1
    counts = torch.zeros(len(batch) * stride).index_add_(
        0, batch.row_of_token * stride + batch.turn.long(), batch.action.float()
    )
    return TurnTable(row, turn, episode, batch.group[row], own, batch.outcome[row], last, counts[row * stride + turn])


def _places(episode: Tensor) -> Tensor:
    """Return the number of each turn within its episode; the turns of an episode stand together, in order."""
    index = torch.arange(len(episode))
    first = torch.ones(len(episode), dtype=torch.bool)
    first[1:] = episode[1:] != episode[:-1]
    return index - torch.where(first, index, 0).cummax(dim=0).values


def discounted(values: Tensor, episode: Tensor, gamma: float) -> Tensor:
    """Return the discounted sum of a turn's and all later values of its episode.

    Example: values [1, 2, 3] of one episode with gamma 0.5 give [2.75, 3.5, 3.0].
    """
    out = torch.zeros_like(values)
    running, current = 0.0, -1
    for index in reversed(range(len(values))):
        if int(episode[index]) != current:
            running, current = 0.0, int(episode[index])
        running = float(values[index]) + gamma * running
        out[index] = running
    return out
