"""The text games as language domains, for tests of everything that has several turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sciRL.domain import BuildReport, Demonstration, LanguageDomain, Vocabulary
from sciRL.environments.conversation import ConversationEnvironment
from sciRL.environments.games import key_door, lookup
from sciRL.task import Task
from sciRL.verification.base import Rubric

HELD_OUT = 1000


class GameOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    horizon: int = 24


class GameDomain(LanguageDomain):
    Options = GameOptions
    recipes = Path(__file__).parent

    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        raise NotImplementedError

    def check(self, folder: Path) -> list[str]:
        return []

    def default_data(self) -> Path:
        return Path(__file__).parent / "toy_data"

    def seeds(self, split: str) -> range:
        return range(200) if split == "train" else range(HELD_OUT, HELD_OUT + 50)


class KeyDoorDomain(GameDomain):
    name = "key-door"
    title = "Key and door"

    def tasks(self, data: Path, split: str, options: Any) -> Sequence[Task]:
        found = []
        for seed in self.seeds(split):
            layout = key_door.make_layout(seed)
            state = key_door.KeyDoor(**layout).state
            reference = {name: list(cell) for name, cell in layout.items()}
            found.append(Task(self.name, ({"role": "user", "content": state + "\n"},), reference=reference))
        return found

    def demonstrations(self, data: Path, split: str, options: Any, seed: int) -> Sequence[Demonstration]:
        shown = []
        for task, number in zip(self.tasks(data, split, options), self.seeds(split), strict=True):
            layout = key_door.make_layout(number)
            game, actions = key_door.KeyDoor(**layout), key_door.expert_actions(**layout)
            replies = [game.step(action).text for action in actions]
            earlier = tuple(zip(actions[:-1], replies[:-1], strict=True))
            shown.append(Demonstration(task, actions[-1], earlier))
        return shown

    def conversation(self, data: Path, options: Any) -> ConversationEnvironment:
        return key_door.KeyDoorEnvironment(options.horizon)

    def rubric(self, data: Path | None, options: Any, preset: str | None = None) -> Rubric:
        return key_door.rubric(options.horizon)

    def vocabulary(self, data: Path, options: Any) -> Vocabulary:
        words = ("you ", " key ", " door ", " hand ", "empty", "key", "(", ",", ")", "\n")
        return Vocabulary((*words, *key_door.ACTIONS, *"0123456789"))


class LookupDomain(GameDomain):
    name = "lookup"
    title = "Lookup"

    def tasks(self, data: Path, split: str, options: Any) -> Sequence[Task]:
        found = []
        for seed in self.seeds(split):
            table, start = lookup.make_table(seed)
            reference = {"table": table, "start": start}
            found.append(Task(self.name, ({"role": "user", "content": f"start {start}\n"},), reference=reference))
        return found

    def demonstrations(self, data: Path, split: str, options: Any, seed: int) -> Sequence[Demonstration]:
        raise NotImplementedError

    def conversation(self, data: Path, options: Any) -> ConversationEnvironment:
        return lookup.LookupEnvironment()

    def rubric(self, data: Path | None, options: Any, preset: str | None = None) -> Rubric:
        return lookup.rubric()

    def vocabulary(self, data: Path, options: Any) -> Vocabulary:
        return Vocabulary(("start ", "lookup ", "answer ", "go to ", "value ", "?", " ", "\n", *"0123456789"))


KEY_DOOR, LOOKUP = KeyDoorDomain(), LookupDomain()
