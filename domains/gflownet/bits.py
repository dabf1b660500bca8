"""Bit sequences: n bits written as words of k bits, rewarded by the nearest of a set of mode sequences.

R(x) = exp(-beta min_m hamming(x, m) / n) (Malkin et al. 2022, arXiv 2201.13259; n = 120, k = 8, 60 modes, beta = 3).
`AppendBits` writes words from the left: a tree, so P_B = 1. `FillBits` writes any empty place: every order of the words
leads to the same sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sciRL.errors import UserError
from sciRL.flow.environment import FlowEnvironment

BLOCKS = ("00000000", "11111111", "11110000", "00001111", "00111100")
"""Blocks that the modes are made of."""
ENUMERABLE = 200_000
"""Most states that `enumerate` lists."""
EMPTY = -1


def mode_sequences(n: int, count: int, seed: int) -> Tensor:
    """Return `count` mode sequences [count, n] of 0 and 1: blocks of `BLOCKS` drawn at random.

    Raises:
        UserError: n is no multiple of 8.
    """
    if n < 8 or n % 8:
        raise UserError(f"bit sequences: modes are made of blocks of 8 bits, and n = {n} is no multiple of 8")
    blocks = torch.tensor([[int(bit) for bit in block] for block in BLOCKS])
    drawn = torch.randint(len(BLOCKS), (count, n // 8), generator=torch.Generator().manual_seed(seed))
    return blocks[drawn].flatten(1)


class BitSequences(FlowEnvironment):
    """What both ways of writing share. A state is the word of each place [n / k], `EMPTY` where none is written.

    Args:
        n: bits.
        word: bits a word, k; divides n.
        beta: reward exponent.
        modes: [M, n] of 0 and 1; by default `mode_sequences(n, 60, seed)`.
        seed: of the default modes.
        device: where the tensors live.

    Raises:
        UserError: sizes that do not fit.
    """

    def __init__(
        self,
        n: int = 120,
        word: int = 8,
        beta: float = 3.0,
        modes: Tensor | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 1 <= word <= 16 or n < 1 or n % word:
            raise UserError(f"bit sequences: words of {word} bits (1..16) do not divide n = {n}")
        chosen = mode_sequences(n, 60, seed) if modes is None else modes
        if chosen.dim() != 2 or chosen.shape[1] != n or not len(chosen):
            raise UserError(f"bit sequences: modes of shape {tuple(chosen.shape)}, not [M >= 1, {n}]")
        self.name = f"bits-{n}-{word}"
        self.n, self.word, self.beta = n, word, beta
        self.places, self.words = n // word, 2**word
        self.state_size, self.max_length = self.places, self.places + 1
        self.device = torch.device(device)
        self._mode_signs = (2 * chosen.float() - 1).to(self.device)
        shifts = torch.arange(word - 1, -1, -1, device=self.device)
        signs = 2.0 * (torch.arange(self.words, device=self.device).unsqueeze(1) >> shifts & 1) - 1.0
        # The last row is read by EMPTY = -1: no bit, no sign.
        self._signs = torch.cat([signs, torch.zeros(1, word, device=self.device)])

    def source(self, n: int) -> Tensor:
        """Return n empty sequences [n, places]."""
        return torch.full((n, self.places), EMPTY, dtype=torch.int64, device=self.device)

    def signs(self, states: Tensor) -> Tensor:
        """Return the bits [B, n] as -1 and 1, with 0 where none is written."""
        return self._signs[states].flatten(1)

    def mode_distances(self, states: Tensor) -> Tensor:
        """Return the Hamming distance [B, M] to each mode, over the bits that are written."""
        written = (states != EMPTY).sum(-1, keepdim=True) * self.word
        return (written - self.signs(states) @ self._mode_signs.T) / 2

    def modes_found(self, states: Tensor, distance: float = 30.0) -> Tensor:
        """Return [M] bool: some complete sequence of the batch is nearer to the mode than `distance`."""
        complete = states[(states != EMPTY).all(-1)]
        return (self.mode_distances(complete) < distance).any(0)

    def log_reward(self, states: Tensor) -> Tensor:
        """Return -beta min_m hamming / n [B], float64; on partial sequences, over the bits that are written."""
        return -self.beta * self.mode_distances(states).min(-1).values.double() / self.n

    def reaches(self, states: Tensor, outcomes: Tensor) -> Tensor:
        """Return [B]: every word that is written is the outcome's."""
        return ((states == EMPTY) | (states == outcomes)).all(-1)

    def texts(self, states: Tensor) -> list[str]:
        """Return the sequences as texts of 0 and 1, with `-` for bits that are not written."""
        signs = self.signs(states).long()
        symbols = torch.where(signs == 0, 0, torch.where(signs < 0, 1, 2))
        return ["".join("-01"[symbol] for symbol in row) for row in symbols.tolist()]

    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the states [B, places] of complete sequences.

        Raises:
            UserError: a text is not n characters 0 or 1.
        """
        for text in texts:
            if len(text) != self.n or set(text) - {"0", "1"}:
                raise UserError(f"{self.name}: {text[:80]!r} is not {self.n} characters 0 or 1")
        width = self.word
        words = [[int(text[at : at + width], 2) for at in range(0, self.n, width)] for text in texts]
        return torch.tensor(words, dtype=torch.int64, device=self.device).view(len(texts), self.places)


class AppendBits(BitSequences):
    """Words are written from the left: action w appends word w, and a complete sequence stops."""

    def __init__(
        self,
        n: int = 120,
        word: int = 8,
        beta: float = 3.0,
        modes: Tensor | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(n, word, beta, modes, seed, device)
        self.n_actions, self.n_back = self.words + 1, 1
        self.feature_size = self.n + self.places + 1
        self._length_one_hot = torch.eye(self.places + 1, device=self.device)
        self._enumerable = sum(self.words**length for length in range(self.places + 1)) <= ENUMERABLE

    def _length(self, states: Tensor) -> Tensor:
        return (states != EMPTY).sum(-1)

    def forward_mask(self, states: Tensor) -> Tensor:
        """Return [B, 2^k + 1]: any word while there is room, then only stop."""
        full = (self._length(states) == self.places).unsqueeze(1)
        return torch.cat([(~full).expand(-1, self.words), full], 1)

    def backward_mask(self, states: Tensor) -> Tensor:
        """Return [B, 1]: there is a last word."""
        return (self._length(states) > 0).unsqueeze(1)

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Append the words `actions`."""
        return states.scatter(1, self._length(states).unsqueeze(1), actions.unsqueeze(1))

    def back(self, states: Tensor, actions: Tensor) -> Tensor:
        """Remove the last words."""
        return states.scatter(1, self._length(states).unsqueeze(1) - 1, EMPTY)

    def back_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return 0: the only backward action."""
        return torch.zeros_like(actions)

    def forth_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the last words."""
        return states.gather(1, self._length(states).unsqueeze(1) - 1).squeeze(1)

    def encode(self, states: Tensor) -> Tensor:
        """Return the signs of the bits and the number of words, one-hot [B, n + places + 1]."""
        return torch.cat([self.signs(states), self._length_one_hot[self._length(states)]], 1)

    def enumerate(self) -> Tensor | None:
        """Return all states, shorter first; None above `ENUMERABLE`."""
        if not self._enumerable:
            return None
        parts = []
        for length in range(self.places + 1):
            numbers = torch.arange(self.words**length, device=self.device).unsqueeze(1)
            powers = self.words ** torch.arange(length - 1, -1, -1, device=self.device)
            part = self.source(len(numbers))
            part[:, :length] = numbers // powers % self.words
            parts.append(part)
        return torch.cat(parts)

    def index(self, states: Tensor) -> Tensor:
        """Return the row [B] of each state in `enumerate()`."""
        if not self._enumerable:
            raise UserError(f"{self.name} has too many states to enumerate")
        length = self._length(states)
        place = torch.arange(self.places, device=self.device)
        powers = self.words ** (length.unsqueeze(1) - 1 - place).clamp(min=0)
        number = torch.where(states != EMPTY, states * powers, 0).sum(-1)
        # (w^length - 1) / (w - 1) states are shorter; a word has at least one bit, so w >= 2.
        return (self.words**length - 1) // (self.words - 1) + number


class FillBits(BitSequences):
    """Words are written in any empty place: action p * 2^k + w writes word w at place p; back action p erases it."""

    def __init__(
        self,
        n: int = 120,
        word: int = 8,
        beta: float = 3.0,
        modes: Tensor | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(n, word, beta, modes, seed, device)
        self.n_actions, self.n_back = self.places * self.words + 1, self.places
        self.feature_size = self.n
        self._order: Tensor | None = None

    def forward_mask(self, states: Tensor) -> Tensor:
        """Return [B, places * 2^k + 1]: any word at an empty place; stop once all are written."""
        empty = states == EMPTY
        return torch.cat([empty.repeat_interleave(self.words, 1), ~empty.any(-1, keepdim=True)], 1)

    def backward_mask(self, states: Tensor) -> Tensor:
        """Return [B, places]: the places that are written."""
        return states != EMPTY

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Write the words at the places that `actions` name."""
        return states.scatter(1, (actions // self.words).unsqueeze(1), (actions % self.words).unsqueeze(1))

    def back(self, states: Tensor, actions: Tensor) -> Tensor:
        """Erase the places `actions`."""
        return states.scatter(1, actions.unsqueeze(1), EMPTY)

    def back_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the places of the writing actions."""
        return actions // self.words

    def forth_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return the actions that wrote the places `actions`."""
        return actions * self.words + states.gather(1, actions.unsqueeze(1)).squeeze(1)

    def encode(self, states: Tensor) -> Tensor:
        """Return the signs of the bits [B, n], 0 where none is written."""
        return self.signs(states)

    def _codes(self, states: Tensor) -> Tensor:
        powers = (self.words + 1) ** torch.arange(self.places - 1, -1, -1, device=self.device)
        return ((states + 1) * powers).sum(-1)

    def enumerate(self) -> Tensor | None:
        """Return all states, those with fewer words first; None above `ENUMERABLE`."""
        n = (self.words + 1) ** self.places
        if n > ENUMERABLE:
            return None
        powers = (self.words + 1) ** torch.arange(self.places - 1, -1, -1, device=self.device)
        states = torch.arange(n, device=self.device).unsqueeze(1) // powers % (self.words + 1) - 1
        return states[torch.argsort((states != EMPTY).sum(-1), stable=True)]

    def index(self, states: Tensor) -> Tensor:
        """Return the row [B] of each state in `enumerate()`."""
        if self._order is None:
            every = self.enumerate()
            if every is None:
                raise UserError(f"{self.name} has too many states to enumerate")
            self._order = torch.argsort(self._codes(every))
        return self._order[self._codes(states)]
