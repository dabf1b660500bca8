"""Progress display: readable lines in a log, a live panel in a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from sciRL.run.display import Display, duration, shown_values

METRICS = {"loss": 0.12345, "reward/mean": 0.5, "reward/part/parse": 1.0, "time/tokens_per_s": 812.3, "other": 3.0}


def test_a_log_file_gets_few_lines_that_say_where_things_go() -> None:
    stream = io.StringIO()
    display = Display(Path("runs/x"), stream, interval_s=1000)
    display.begin("rl", total=50)
    for step in range(1, 51):
        display.update(step, METRICS)
    display.end()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "rl: steps 0 to 50; writing to runs/x"
    assert [line.split()[1] for line in lines[1:]] == ["1/50", "50/50"]
    assert "reward 0.5  tok/s 812  parse 1" in lines[1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_panel() -> None:
    stream = Terminal()
    display = Display(Path("runs/x"), stream)
    display.begin("rl", total=4, done=2)
    display.update(3, METRICS)
    display.message("evaluated")
    display.end()
    assert "step 3 of 4" in stream.getvalue()
    assert "evaluated" in stream.getvalue()


def test_only_known_metrics_and_parts_are_shown() -> None:
    assert shown_values(METRICS) == {"loss": "0.123", "reward": "0.5", "tok/s": "812", "parse": "1"}
    assert shown_values({"kl": float("nan")}) == {"KL": "nan"}


@pytest.mark.parametrize(("seconds", "text"), [(4.4, "4 s"), (61, "1 min 1 s"), (3725, "1 h 2 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
