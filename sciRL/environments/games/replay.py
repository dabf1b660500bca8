"""The outcome of a game: its record is played again, so that the verdict needs nothing but task and record."""

from __future__ import annotations

import json
from typing import Protocol

from sciRL.environments.conversation import Reply
from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier


class Game(Protocol):
    """A finished or unfinished episode that can say how it went."""

    def step(self, text: str) -> Reply:
        """Take a turn."""
        ...

    def score(self) -> Score:
        """Return the outcome so far."""
        ...


class GameEnvironment(Protocol):
    """Makes episodes of a game."""

    def reset(self, task: Task, seed: int) -> Game:
        """Return a new episode."""
        ...


class Replay(PerItemVerifier):
    """Plays the record of an episode (a JSON list of turns) again and returns how it went."""

    name = "outcome"

    def __init__(self, environment: GameEnvironment) -> None:
        self.environment = environment

    def verify_one(self, task: Task, answer: str) -> Score:
        """Return the game's score; text that is no list of turns is malformed."""
        try:
            turns = json.loads(answer)
        except (ValueError, RecursionError):
            return Score.malformed("not a record of turns")
        if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
            return Score.malformed("not a list of turns")
        game = self.environment.reset(task, 0)
        for turn in turns:
            if game.step(turn).done:
                break
        return game.score()
