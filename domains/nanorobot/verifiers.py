"""Verifiers of an episode record: what it claims is recomputed from its path and the task's scenario.

The answer is the JSON object that `NanorobotEnvironment.episodes` writes, and nothing around it. An unreadable text is
`malformed` for every verifier, so each can also be used alone. A record proves that a search was possible, not that a
simulator made it: scores of texts from anything but the environment say nothing about searching.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sciRL.score import Score
from sciRL.task import Task
from sciRL.verification.base import PerItemVerifier

MAX_CHARACTERS = 8_000_000
MAX_POINTS = 200_000
ROUNDING = 2e-3
"""Slack in um for positions that were rounded to four digits and computed in single precision."""
SIGMAS = 8.0
"""Diffusion margin in standard deviations per axis: never exceeded by the normals of the simulator."""
KEYS = {
    "preset": str,
    "hit": bool,
    "hit_time": (float, type(None)),
    "tumour": (int, type(None)),
    "path": list,
    "path_length": float,
    "tumbles": int,
    "seed": int,
}


@dataclass(frozen=True)
class Episode:
    """A record that could be read.

    Attributes:
        hit: what the record claims.
        hit_time: in s, or None.
        tumour: number of the tumour it claims to have reached, or None.
        path: (t, x, y, z) in s and um.
        path_length: in um.
        preset: name of the setting.
    """

    hit: bool
    hit_time: float | None
    tumour: int | None
    path: tuple[tuple[float, float, float, float], ...]
    path_length: float
    preset: str


class EpisodeError(ValueError):
    """Why a text is no episode record."""


def read_episode(text: str) -> Episode:
    """Return the episode of a text.

    Raises:
        EpisodeError: anything but one JSON object with exactly the keys of a record, of their types and finite.
    """
    if len(text) > MAX_CHARACTERS:
        raise EpisodeError(f"{len(text)} characters; at most {MAX_CHARACTERS} are read")
    try:
        data = json.loads(text, object_pairs_hook=_distinct, parse_constant=_not_finite, parse_int=_integer)
    except EpisodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise EpisodeError(f"no JSON: {str(error)[:100]}") from None
    if not isinstance(data, dict) or set(data) != set(KEYS):
        found = sorted(data)[:12] if isinstance(data, dict) else type(data).__name__
        raise EpisodeError(f"an object with the keys {', '.join(KEYS)} is needed; found {str(found)[:200]}")
    for key, kind in KEYS.items():
        if not _is(data[key], kind):
            raise EpisodeError(f"{key}: found {str(data[key])[:40]!r}")
    return Episode(
        data["hit"],
        None if data["hit_time"] is None else float(data["hit_time"]),
        data["tumour"],
        _read_path(data["path"]),
        float(data["path_length"]),
        data["preset"],
    )


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EpisodeError("a key stands twice")
    return found


def _not_finite(name: str) -> Any:
    raise EpisodeError(f"{name} is no finite number")


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise EpisodeError("an integer of more than 20 digits")
    return int(digits)


def _is(value: Any, kind: Any) -> bool:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, bool):
        return bool in kinds
    if float in kinds and isinstance(value, int | float):
        return math.isfinite(value)
    return isinstance(value, kinds)


def _read_path(points: list[Any]) -> tuple[tuple[float, float, float, float], ...]:
    if not 1 <= len(points) <= MAX_POINTS:
        raise EpisodeError(f"path: {len(points)} points; 1 to {MAX_POINTS} are allowed")
    for index, point in enumerate(points):
        if not isinstance(point, list) or len(point) != 4 or not all(_is(value, float) for value in point):
            raise EpisodeError(f"path[{index}]: [t, x, y, z] is needed; found {str(point)[:60]}")
    return tuple((float(t), float(x), float(y), float(z)) for t, x, y, z in points)


class EpisodeVerifier(PerItemVerifier):
    """Base of the verifiers that judge one episode record."""

    def verify_one(self, task: Task, answer: str) -> Score:
        """Read the record and judge it; an unreadable text is malformed."""
        if not isinstance(task.reference, dict) or "tumours" not in task.reference:
            raise ValueError(f"task {task.id} has no scenario to judge an episode by")
        try:
            episode = read_episode(answer)
        except EpisodeError as problem:
            return Score.malformed(str(problem))
        return self.judge(task.reference, episode)

    @abstractmethod
    def judge(self, scenario: dict[str, Any], episode: Episode) -> Score:
        """Return the score of a record that could be read."""


class Validity(EpisodeVerifier):
    """1 when the record is physically possible in the task's scenario and claims what its path shows.

    The path begins at the task's start, has a point at least every `record_every` seconds, stays in the box and out of
    obstacles, and never moves faster than `speed` beyond a diffusion margin of 8 standard deviations; an unfinished
    search lasts as long as the episode; `hit`, `hit_time`, `tumour` and `path_length` agree with the path.

    Example: a record whose last point lies 60 um from the tumour and that claims `"hit":true` scores 0.
    """

    name = "validity"

    def judge(self, scenario: dict[str, Any], episode: Episode) -> Score:
        """Check the path, then the claims."""
        problem = path_problem(scenario, episode) or claim_problem(scenario, episode)
        return Score.ok(0.0, problem) if problem else Score.ok(1.0)


class Success(EpisodeVerifier):
    """1 when the last position of the path touches a tumour of the task, whatever the record claims.

    Example: hit_distance 16, a tumour at the origin and a path that ends at (9, 9, 9), 15.6 um away, score 1.
    """

    name = "success"

    def judge(self, scenario: dict[str, Any], episode: Episode) -> Score:
        """Measure the distance to the nearest tumour."""
        distance, _ = nearest(scenario, episode)
        reached = is_hit(scenario, episode)
        measured = {
            "hit": reached,
            "distance": round(distance, 3),
            "hit_time": episode.path[-1][0] if reached else None,
        }
        return Score.ok(float(reached), "" if reached else f"{distance:.1f} um from the nearest tumour", **measured)


class Time(EpisodeVerifier):
    """1 - t / T for a tumour reached at time t of an episode of T seconds, 0 when none was reached.

    Example: reached after 30 of 120 s scores 0.75.
    """

    name = "time"

    def judge(self, scenario: dict[str, Any], episode: Episode) -> Score:
        """Take the time of the last point."""
        if not is_hit(scenario, episode):
            return Score.ok(0.0, "no tumour reached")
        share = episode.path[-1][0] / scenario["duration"]
        return Score.ok(min(1.0, max(0.0, 1.0 - share)))


def nearest(scenario: dict[str, Any], episode: Episode) -> tuple[float, int]:
    """Return the distance in um from the last position to the nearest tumour's centre, and that tumour's number."""
    distances = [math.dist(episode.path[-1][1:], tumour) for tumour in scenario["tumours"]]
    return min((distance, number) for number, distance in enumerate(distances))


def is_hit(scenario: dict[str, Any], episode: Episode) -> bool:
    """Whether the last position touches a tumour.

    A scenario with `hit_slack` above 0 has targets that move by that much about their place: there the claim counts,
    if the position is near enough to be true.
    """
    slack = scenario["hit_slack"]
    distance, _ = nearest(scenario, episode)
    if slack > 0:
        return episode.hit and distance < scenario["hit_distance"] + slack
    return distance < scenario["hit_distance"] + ROUNDING


def path_problem(scenario: dict[str, Any], episode: Episode) -> str:
    """Return the first impossibility of the path, or ""."""
    start, path = scenario["start"], episode.path
    if path[0][0] != 0 or math.dist(path[0][1:], start) > ROUNDING:
        return f"the path begins at {list(path[0])}; the task at t = 0 and {start}"
    wall = scenario["wall"] + ROUNDING
    for t, *position in path:
        if max(map(abs, position)) > wall:
            return f"outside the box at t = {t:g} s"
        for x, y, z, radius in scenario["obstacles"]:
            if math.dist(position, (x, y, z)) < radius - ROUNDING:
                return f"inside an obstacle at t = {t:g} s"
    longest = scenario["record_every"] + 1e-6
    for before, after in pairwise(path):
        elapsed = after[0] - before[0]
        if not 0 < elapsed <= longest:
            return f"{elapsed:g} s between two points at t = {before[0]:g} s; allowed: above 0, at most {longest:g} s"
        if math.dist(before[1:], after[1:]) > reach(scenario, elapsed):
            return f"faster than {scenario['speed']:g} um/s at t = {before[0]:g} s"
    if path[-1][0] > scenario["duration"] + 1e-6:
        return f"lasts {path[-1][0]:g} s; the episode has {scenario['duration']:g} s"
    return ""


def reach(scenario: dict[str, Any], elapsed: float) -> float:
    """Return how far in um a robot can come in a time: directed motion, a diffusion margin, and mirroring.

    A mirror image at an obstacle can lie beyond the step that led into it by up to twice one step's length.
    """
    margin = SIGMAS * math.sqrt(2 * scenario["diffusion"] * elapsed * 3)
    mirrored = 0.0
    if scenario["obstacles"]:
        step = scenario["speed"] * scenario["dt"] + SIGMAS * math.sqrt(6 * scenario["diffusion"] * scenario["dt"])
        mirrored = 2 * step
    return scenario["speed"] * elapsed + margin + mirrored + 2 * ROUNDING


def claim_problem(scenario: dict[str, Any], episode: Episode) -> str:
    """Return the first claim that the path does not bear out, or ""."""
    hit, (distance, number) = is_hit(scenario, episode), nearest(scenario, episode)
    end = episode.path[-1][0]
    if episode.preset != scenario["preset"]:
        return f"claims preset {episode.preset[:40]!r}; the task is {scenario['preset']!r}"
    if scenario["hit_slack"] == 0 and abs(distance - scenario["hit_distance"]) <= ROUNDING:
        # The record's four digits do not decide a grazing touch.
        hit = episode.hit
    if episode.hit != hit:
        return f"claims hit={str(episode.hit).lower()}, but ends {distance:.2f} um from the nearest tumour"
    if hit and (episode.hit_time is None or abs(episode.hit_time - end) > 1e-6 or episode.tumour != number):
        return f"claims tumour {episode.tumour} at {episode.hit_time} s; the path reaches {number} at {end:g} s"
    if not hit and (episode.hit_time is not None or episode.tumour is not None):
        return "claims a time or a tumour without a hit"
    if not hit and end < scenario["duration"] - 1e-6:
        return f"stops at {end:g} s without a hit; the episode has {scenario['duration']:g} s"
    straight = sum(math.dist(a[1:], b[1:]) for a, b in pairwise(episode.path))
    if episode.path_length < straight - ROUNDING * len(episode.path):
        return f"claims a path of {episode.path_length:g} um; its points are {straight:.1f} um apart"
    return ""
