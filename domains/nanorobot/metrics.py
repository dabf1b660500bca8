"""What an evaluation of searches comes to: how many robots arrived, when, and by what way."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from domains.nanorobot.verifiers import EpisodeError, read_episode
from sciRL.domain import Record


@dataclass(frozen=True)
class Search:
    """One readable episode record with its verdict.

    Attributes:
        task: id of its task.
        found: whether the verifiers credit it with a tumour (a valid record whose path ends at one).
        valid: whether the record is physically possible in its task.
        path: (t, x, y, z) in s and um.
        path_length: in um.
        tumbles: number of tumbles.
    """

    task: str
    found: bool
    valid: bool
    path: tuple[tuple[float, float, float, float], ...]
    path_length: float
    tumbles: int

    @property
    def seconds(self) -> float:
        """How long the search lasted."""
        return self.path[-1][0]


def read_search(record: Record) -> Search | None:
    """Return the search of a record, or None when its answer is no episode record."""
    try:
        episode = read_episode(record.answer)
    except EpisodeError:
        return None
    parts = record.score.components
    return Search(
        record.task.id,
        parts.get("success", 0.0) >= 1.0,
        parts.get("validity", 1.0) >= 1.0,
        episode.path,
        episode.path_length,
        int(json.loads(record.answer)["tumbles"]),
    )


def summarize(records: Sequence[Record]) -> dict[str, float]:
    """Return the metrics of an evaluation; one that no record defines is left out.

    ========================  =========================================================================================
    success_share             searches that reached a tumour, over all attempts
    median_hit_time           time in s by which half of *all* attempts had arrived; absent below a success share of 0.5
    mean_hit_time_of_success  mean time in s of those that arrived: flatters a policy whose slow searches fail
    mean_path_length          um, over all readable records
    tumbles_per_minute        over all readable records, weighted by their length
    invalid_share             answers that are no record, or one that the scenario makes impossible, over all attempts
    ========================  =========================================================================================

    Example: three searches that arrive after 10, 20 and 30 s and one that does not give a median of 25 s.
    """
    if not records:
        return {}
    read = [read_search(record) for record in records]
    searches = [search for search in read if search is not None]
    times = sorted(search.seconds for search in searches if search.found)
    unreadable = sum(search is None for search in read)
    out = {"success_share": len(times) / len(records)}
    median = _median_of_all(times, len(records))
    if median is not None:
        out["median_hit_time"] = median
    if times:
        out["mean_hit_time_of_success"] = statistics.fmean(times)
    if searches:
        out["mean_path_length"] = statistics.fmean(search.path_length for search in searches)
    minutes = sum(search.seconds for search in searches) / 60
    if minutes > 0:
        out["tumbles_per_minute"] = sum(search.tumbles for search in searches) / minutes
    out["invalid_share"] = (sum(not search.valid for search in searches) + unreadable) / len(records)
    return out


def _median_of_all(times: Sequence[float], attempts: int) -> float | None:
    """Median over all attempts, those that never arrive being later than all others."""
    low, high = (attempts - 1) // 2, attempts // 2
    return (times[low] + times[high]) / 2 if high < len(times) else None
