"""TrajectoryBatch: what a policy did, in flat ragged columns with no padding at rest.

Shapes: S tokens in all, N rows (one row = one context that only grows), U turns, K score components.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor


class Role(IntEnum):
    """Who wrote a token; only ACTION tokens ever carry weight in a loss."""

    PROMPT = 0
    ACTION = 1
    OBSERVATION = 2
    GUIDANCE = 3


class Source(IntEnum):
    """Where a row comes from."""

    ON_POLICY = 0
    REPLAY = 1
    EXPERT = 2
    GUIDED = 3


class RowStatus(IntEnum):
    """The verifier's status of a row, as a number that tensors can hold."""

    OK = 0
    MALFORMED = 1
    TIMEOUT = 2
    ERROR = 3


Segment: TypeAlias = Literal["row", "turn", "group"]
Piece: TypeAlias = tuple[Role, Sequence[int], int, Sequence[float] | None]
"""Part of a row: who wrote it, its ids, its turn, and the sampler's log-probabilities (None where it did not draw)."""


class Turn(NamedTuple):
    """One entry of the turn table: a row's turn, its own reward, whether it ended the episode, and two keys."""

    row: int
    turn: int
    reward: float
    done: bool
    state_key: int = 0
    action_key: int = 0


TOKEN_COLUMNS = (
    "ids",
    "role",
    "turn",
    "logp_sampler",
    "logp_old",
    "logp_ref",
    "entropy",
    "value",
    "advantage",
    "value_target",
    "weight",
)
ROW_COLUMNS = ("group", "source", "version", "outcome", "truncated", "components", "status")


@dataclass
class TrajectoryBatch:
    """N rows of tokens laid end to end; `offsets[i]:offsets[i + 1]` are the tokens of row i.

    Columns that no pass has filled yet are None. `outcome` is NaN where the verifier failed; such rows
    have weight 0. `weight` is 1 on trained tokens and 0 elsewhere (fractions reweight a token's loss).

    Example: two rows of 3 and 2 tokens have `offsets == [0, 3, 5]` and `row_of_token == [0, 0, 0, 1, 1]`.
    """

    ids: Tensor
    role: Tensor
    offsets: Tensor
    group: Tensor
    turn: Tensor
    weight: Tensor
    source: Tensor
    version: Tensor
    outcome: Tensor
    truncated: Tensor
    status: Tensor
    components: Tensor
    component_names: tuple[str, ...] = ()
    logp_sampler: Tensor | None = None
    logp_old: Tensor | None = None
    logp_ref: Tensor | None = None
    entropy: Tensor | None = None
    value: Tensor | None = None
    advantage: Tensor | None = None
    value_target: Tensor | None = None
    turns: dict[str, Tensor] = field(default_factory=dict)
    rows: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def from_rows(
        cls,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        groups: Sequence[int],
        *,
        logp_sampler: Sequence[Sequence[float]] | None = None,
        truncated: Sequence[bool] | None = None,
        source: Source = Source.ON_POLICY,
        version: int = 0,
        rows: dict[str, list[Any]] | None = None,
    ) -> TrajectoryBatch:
        """Lay single-turn rows (prompt ids, completion ids) end to end."""
        n = len(prompts)
        if not n == len(completions) == len(groups):
            raise ValueError(
                f"{n} prompts, {len(completions)} completions and {len(groups)} groups must be equally many"
            )
        ids: list[int] = []
        role: list[int] = []
        offsets = [0]
        logp: list[float] = []
        for index, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            ids.extend(int(token) for token in prompt)
            ids.extend(int(token) for token in completion)
            role.extend([Role.PROMPT] * len(prompt) + [Role.ACTION] * len(completion))
            offsets.append(len(ids))
            if logp_sampler is not None:
                if len(logp_sampler[index]) != len(completion):
                    raise ValueError(f"row {index}: {len(logp_sampler[index])} log-probs for {len(completion)} tokens")
                logp.extend([float("nan")] * len(prompt))
                logp.extend(float(value) for value in logp_sampler[index])
        role_S = torch.tensor(role, dtype=torch.int8)
        return cls(
            ids=torch.tensor(ids, dtype=torch.int64),
            role=role_S,
            offsets=torch.tensor(offsets, dtype=torch.int64),
            group=torch.tensor(list(groups), dtype=torch.int64),
            turn=torch.zeros(len(ids), dtype=torch.int32),
            weight=(role_S == Role.ACTION).float(),
            source=torch.full((n,), int(source), dtype=torch.int8),
            version=torch.full((n,), version, dtype=torch.int64),
            outcome=torch.full((n,), float("nan")),
            truncated=torch.tensor(list(truncated) if truncated is not None else [False] * n, dtype=torch.bool),
            status=torch.zeros(n, dtype=torch.int8),
            components=torch.zeros(n, 0),
            logp_sampler=torch.tensor(logp) if logp_sampler is not None else None,
            rows=dict(rows or {}),
        )

    @classmethod
    def from_segments(
        cls,
        rows: Sequence[Sequence[Piece]],
        groups: Sequence[int],
        turns: Sequence[Turn],
        *,
        truncated: Sequence[bool],
        source: Source = Source.ON_POLICY,
        version: int = 0,
        columns: dict[str, list[Any]] | None = None,
    ) -> TrajectoryBatch:
        """Lay rows of several turns end to end, and make the turn table.

        Args:
            rows: the pieces of every row, in order.
            groups: group of every row [N].
            turns: one entry for each turn that the policy wrote, in any order.
            truncated: whether a row was cut at a length limit [N].
            source: where the rows come from.
            version: of the policy that wrote the rows.
            columns: further values of every row, by name.
        """
        pieces = [piece for row in rows for piece in row]
        sizes = torch.tensor([len(ids) for _, ids, _, _ in pieces], dtype=torch.int64)
        role_S = torch.tensor([int(role) for role, *_ in pieces], dtype=torch.int8).repeat_interleave(sizes)
        lengths = [sum(len(ids) for _, ids, _, _ in row) for row in rows]
        n = len(rows)
        return cls(
            ids=torch.tensor([int(token) for _, ids, _, _ in pieces for token in ids], dtype=torch.int64),
            role=role_S,
            offsets=torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0),
            group=torch.tensor(list(groups), dtype=torch.int64),
            turn=torch.tensor([turn for _, _, turn, _ in pieces], dtype=torch.int32).repeat_interleave(sizes),
            weight=(role_S == Role.ACTION).float(),
            source=torch.full((n,), int(source), dtype=torch.int8),
            version=torch.full((n,), version, dtype=torch.int64),
            outcome=torch.full((n,), float("nan")),
            truncated=torch.tensor(list(truncated), dtype=torch.bool),
            status=torch.zeros(n, dtype=torch.int8),
            components=torch.zeros(n, 0),
            logp_sampler=_sampled(pieces),
            turns={}
            if not turns
            else {
                "row": torch.tensor([entry.row for entry in turns], dtype=torch.int64),
                "turn": torch.tensor([entry.turn for entry in turns], dtype=torch.int64),
                "reward": torch.tensor([entry.reward for entry in turns], dtype=torch.float32),
                "done": torch.tensor([entry.done for entry in turns], dtype=torch.bool),
                "state_key": torch.tensor([entry.state_key for entry in turns], dtype=torch.int64),
                "action_key": torch.tensor([entry.action_key for entry in turns], dtype=torch.int64),
            },
            rows=dict(columns or {}),
        )

    # -- sizes and index maps ------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.group)

    @property
    def n_tokens(self) -> int:
        """S, the number of tokens of all rows."""
        return len(self.ids)

    @property
    def lengths(self) -> Tensor:
        """Tokens per row [N]."""
        return self.offsets.diff()

    @property
    def row_of_token(self) -> Tensor:
        """Row index of every token [S]."""
        return torch.repeat_interleave(torch.arange(len(self)), self.lengths)

    @property
    def turn_of_token(self) -> Tensor:
        """Index of every token's (row, turn) among all turns of the batch [S]."""
        _, inverse = torch.unique(self._turn_key(), return_inverse=True)
        return inverse

    @property
    def group_index(self) -> Tensor:
        """Group of every row, numbered 0..G-1 in order of the group's value [N]."""
        _, inverse = torch.unique(self.group, return_inverse=True)
        return inverse

    @property
    def action(self) -> Tensor:
        """Whether a token was written by the policy [S]."""
        return self.role == Role.ACTION

    @property
    def scorable(self) -> Tensor:
        """Whether the verifier gave a row a value [N]."""
        return (self.status == RowStatus.OK) | (self.status == RowStatus.MALFORMED)

    def _turn_key(self) -> Tensor:
        stride = int(self.turn.max()) + 1 if self.n_tokens else 1
        return self.row_of_token * stride + self.turn.long()

    # -- segments ------------------------------------------------------------------------------

    def segment_index(self, by: Segment, length: int) -> Tensor:
        """Segment number of every token (`length` S) or row (`length` N)."""
        if length == self.n_tokens and by == "row":
            return self.row_of_token
        if length == self.n_tokens and by == "turn":
            return self.turn_of_token
        if by == "group":
            rows = self.group_index
            if length == len(self):
                return rows
            if length == self.n_tokens:
                return rows[self.row_of_token]
        raise ValueError(f"cannot take segments by {by!r} of a column of length {length}")

    def segment_sum(self, x: Tensor, by: Segment, mask: Tensor | None = None) -> Tensor:
        """Sum of `x` [S or N] over each row, turn or group; masked-out entries count as absent."""
        index = self.segment_index(by, len(x))
        values = x if mask is None else torch.where(mask.bool(), x, torch.zeros_like(x))
        size = int(index.max()) + 1 if len(index) else 0
        if by == "row":
            size = len(self)
        return torch.zeros(size, dtype=x.dtype).index_add_(0, index, values)

    def segment_count(self, by: Segment, length: int, mask: Tensor | None = None) -> Tensor:
        """Number of (unmasked) entries in each segment."""
        ones = torch.ones(length)
        return self.segment_sum(ones, by, mask)

    def segment_mean(self, x: Tensor, by: Segment, mask: Tensor | None = None) -> Tensor:
        """Mean over each segment; 0 where a segment has no entry."""
        count = self.segment_count(by, len(x), mask).to(x.dtype)
        return self.segment_sum(x, by, mask) / count.clamp(min=1)

    def segment_std(self, x: Tensor, by: Segment, mask: Tensor | None = None) -> Tensor:
        """Sample standard deviation (ddof=1) over each segment; 0 where it has fewer than two entries."""
        count = self.segment_count(by, len(x), mask).to(x.dtype)
        mean = self.segment_mean(x, by, mask)
        deviation = x - self.spread(mean, by, len(x))
        variance = self.segment_sum(deviation.square(), by, mask) / (count - 1).clamp(min=1)
        return torch.where(count > 1, variance.sqrt(), torch.zeros_like(variance))

    def spread(self, x: Tensor, by: Segment, length: int | None = None) -> Tensor:
        """Give every token (or, with `length` N, every row) the value of its segment."""
        return x[self.segment_index(by, self.n_tokens if length is None else length)]

    # -- selections and views ------------------------------------------------------------------

    def select(self, rows: Tensor | Sequence[int]) -> TrajectoryBatch:
        """Return the given rows in the given order (a row may appear more than once)."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        tokens = self.token_index(index)
        lengths = self.lengths[index]
        changed: dict[str, Any] = {"offsets": torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])}
        for name in TOKEN_COLUMNS:
            column = getattr(self, name)
            changed[name] = None if column is None else column[tokens]
        for name in ROW_COLUMNS:
            changed[name] = getattr(self, name)[index]
        changed["rows"] = {name: [values[i] for i in index.tolist()] for name, values in self.rows.items()}
        changed["turns"] = self._select_turns(index)
        return replace(self, **changed)

    def _select_turns(self, index: Tensor) -> dict[str, Tensor]:
        if not self.turns:
            return {}
        parts, rows = [], []
        for new, old in enumerate(index.tolist()):
            found = (self.turns["row"] == old).nonzero().flatten()
            parts.append(found)
            rows.append(torch.full_like(found, new))
        chosen = torch.cat(parts)
        return {name: column[chosen] for name, column in self.turns.items()} | {"row": torch.cat(rows)}

    def with_columns(self, columns: Mapping[str, Tensor]) -> TrajectoryBatch:
        """Return the batch with token or row columns, or the turns' rewards (`turn_reward`), filled or replaced.

        Raises:
            ValueError: an unknown name.
        """
        unknown = set(columns) - set(TOKEN_COLUMNS) - set(ROW_COLUMNS) - {"turn_reward"}
        if unknown:
            raise ValueError(f"no such columns: {sorted(unknown)}")
        values: dict[str, Any] = dict(columns)
        if "turn_reward" in values:
            values["turns"] = {**self.turns, "reward": values.pop("turn_reward")}
        return replace(self, **values)

    def token_index(self, rows: Tensor) -> Tensor:
        """Flat positions of the tokens of the given rows, in order."""
        lengths = self.lengths[rows]
        starts = torch.repeat_interleave(self.offsets[rows], lengths)
        total = int(lengths.sum())
        before = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
        return starts + torch.arange(total) - before

    def padded(self, column: str | Tensor, fill: float = 0) -> Tensor:
        """Return a token column as [N, T], padded on the right with `fill`."""
        x = getattr(self, column) if isinstance(column, str) else column
        lengths = self.lengths
        width = int(lengths.max()) if len(self) else 0
        out = torch.full((len(self), width), fill, dtype=x.dtype)
        inside = torch.arange(width)[None, :] < lengths[:, None]
        out[inside] = x
        return out

    def micro_batches(self, max_tokens: int, *, sort: bool = True, unit: int = 1) -> Iterator[Tensor]:
        """Yield row indices whose padded size stays within `max_tokens` (at least one unit each).

        `unit` rows in sequence stay together (2 for preference pairs). With `sort`, rows of like length
        share a micro-batch, so that trimming to the longest row wastes little.
        """
        if len(self) % unit:
            raise ValueError(f"{len(self)} rows cannot be cut into units of {unit}")
        lengths = self.lengths.reshape(-1, unit).max(dim=1).values.tolist()
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i]) if sort else list(range(len(lengths)))
        chunk: list[int] = []
        longest = 0
        for index in order:
            widest = max(longest, lengths[index])
            if chunk and widest * (len(chunk) + 1) * unit > max_tokens:
                yield _unit_rows(chunk, unit)
                chunk, widest = [], lengths[index]
            chunk.append(index)
            longest = widest
        if chunk:
            yield _unit_rows(chunk, unit)

    @staticmethod
    def concatenate(batches: Sequence[TrajectoryBatch]) -> TrajectoryBatch:
        """Lay batches end to end; a column present in some but not all of them is dropped."""
        if not batches:
            raise ValueError("concatenate needs at least one batch")
        first = batches[0]
        if any(batch.component_names != first.component_names for batch in batches):
            raise ValueError("batches with different score components cannot be concatenated")
        changed: dict[str, Any] = {}
        for name in TOKEN_COLUMNS + ROW_COLUMNS:
            columns = [getattr(batch, name) for batch in batches]
            changed[name] = None if any(c is None for c in columns) else torch.cat(columns)
        changed["offsets"] = torch.cat(
            [torch.zeros(1, dtype=torch.int64), torch.cat([b.lengths for b in batches]).cumsum(0)]
        )
        shared = set.intersection(*(set(batch.rows) for batch in batches))
        changed["rows"] = {
            name: [value for batch in batches for value in batch.rows[name]] for name in first.rows if name in shared
        }
        starts = torch.tensor([0, *(len(batch) for batch in batches)]).cumsum(0).tolist()
        names = set.intersection(*(set(batch.turns) for batch in batches))
        changed["turns"] = {
            name: torch.cat(
                [b.turns[name] + (start if name == "row" else 0) for b, start in zip(batches, starts[:-1], strict=True)]
            )
            for name in first.turns
            if name in names
        }
        return replace(first, **changed)

    def columns(self) -> dict[str, Any]:
        """Return every filled column by name (for saving and for tests)."""
        return {item.name: getattr(self, item.name) for item in fields(self) if getattr(self, item.name) is not None}


def _sampled(pieces: Sequence[Piece]) -> Tensor | None:
    """Return the sampler's log-probabilities of all tokens, NaN where it did not draw; None when it drew nothing."""
    if all(logp is None for *_, logp in pieces):
        return None
    values = [value for _, ids, _, logp in pieces for value in ([float("nan")] * len(ids) if logp is None else logp)]
    return torch.tensor(values, dtype=torch.float32)


def _unit_rows(units: Sequence[int], unit: int) -> Tensor:
    return (torch.tensor(units)[:, None] * unit + torch.arange(unit)[None, :]).flatten()
