"""The scirl command: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sciRL.cli import main as command
from sciRL.cli.main import VERBS, main


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail as bad input does: exit code 2, one line on stderr."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("scirl: error: ")
    return lines[0]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"  scirl {verb}" in capsys.readouterr().out


def test_no_verb_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "scirl train crystal" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "invalid choice: 'trian'"),
        (["train", "toy", "--lr", "3"], "unrecognized arguments: '--lr', '3'"),
        (["report", "a", "b=1"], "unrecognized arguments: 'b=1'"),
        (["evaluate", "toy", "run", "-n", "0"], "must be a whole number above 0; found '0'"),
        (["evaluate", "toy", "run", "--split", "val"], "invalid choice: 'val'"),
    ],
)
def test_mistyped_arguments_are_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_domains_lists_recipes_and_what_is_unusable(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["domains"]) == 0
    out = capsys.readouterr().out
    assert "Sums of two numbers" in out
    assert "recipes: tiny" in out
    assert "install it with pip install 'sciRL[broken]'" in out


def test_build_and_check(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (toy / "source.csv").write_text("x")
    assert main(["data", "build", "toy", "--source", "source.csv", "--out", "built"]) == 0
    out = capsys.readouterr().out
    assert "kept 3 of 5 rows" in out
    assert "2  too long" in out
    assert main(["data", "check", "built"]) == 0
    (toy / "built" / "rows.jsonl").unlink()
    assert main(["data", "check", "built"]) == 1
    assert "rows.jsonl is missing" in capsys.readouterr().out
    (toy / "built" / "manifest.json").unlink()
    assert "was not made by `scirl data build`" in error_of(capsys, "data", "check", "built")


def test_bad_input_is_one_line(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown domain 'cristal'" in error_of(capsys, "train", "cristal")
    assert "unknown recipe 'big' of domain 'toy'; presets: tiny" in error_of(capsys, "train", "toy", "--recipe", "big")
    assert "remove --model, seed=2" in error_of(capsys, "train", "toy", "--resume", "runs/x", "--model", "m", "seed=2")
    build = ("data", "build", "toy", "--source", "none.csv", "--out", "o")
    assert "source none.csv does not exist" in error_of(capsys, *build)
    assert "must look like key=value" in error_of(capsys, *build, "--option", "workers")
    assert "workers is given twice" in error_of(capsys, *build, "--option", "workers=1", "--option", "workers=2")
    assert "dataset folder none does not exist" in error_of(capsys, "data", "check", "none")
    assert "none.jsonl does not exist" in error_of(capsys, "verify", "toy", "none.jsonl", "--out", "s")
    for verb in ("evaluate", "sample"):
        (toy / "taken").write_text("")
        assert "taken is a file; a folder is needed" in error_of(capsys, verb, "toy", "none", "--out", "taken")
        assert "taken is a file" in error_of(capsys, verb, "toy", "none", "--out", "taken/below")
    assert "is not a run folder" in error_of(capsys, "report", "none")
    assert "is not a run folder" in error_of(capsys, "compare", "none")


def test_verify_scores_answers(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"prompt": "2+2?", "reference": 4, "answer": "4"},
        {"prompt": "2+3?", "reference": 5, "answer": "4"},
        {"answer": "no question"},
    ]
    (toy / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Settings may follow options; the row that has no question makes the exit code 1.
    assert main(["verify", "toy", "answers.jsonl", "--out", "scores.jsonl", "largest=2"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert (summary["n"], summary["pass_rate"], summary["bad_rows"]) == (2, 0.5, 1)
    scores = [json.loads(line)["value"] for line in (toy / "scores.jsonl").read_text().splitlines()]
    assert scores == [1.0, 0.0]
    message = error_of(capsys, "verify", "toy", "answers.jsonl", "--out", "s", "--preset", "x", "domain.largest=2")
    assert "unknown rubric 'x'" in message
    assert "unknown key 'larges'" in error_of(capsys, "verify", "toy", "answers.jsonl", "--out", "s", "larges=2")


def test_answers_that_cannot_be_judged_exit_with_1(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (toy / "answers.jsonl").write_text(json.dumps({"prompt": "2+2?", "reference": 4, "answer": "4"}) + "\n")
    assert main(["verify", "toy", "answers.jsonl", "--out", "scores.jsonl"]) == 0
    module = toy / "site" / "toy_domain" / "__init__.py"
    module.write_text(module.read_text() + "\nRight.verify_one = lambda self, task, answer: 1 / 0\n")
    del sys.modules["toy_domain"]
    assert main(["verify", "toy", "answers.jsonl", "--out", "scores.jsonl"]) == 1
    said = capsys.readouterr().out
    assert json.loads(said[said.rindex('{\n "n"') :])["error"] == 1


def test_every_command_begins_with_the_disclaimer(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = toy / "site" / "toy_domain" / "__init__.py"
    module.write_text(module.read_text() + '\nToy.disclaimer = "Not for use."\n')
    (toy / "source.csv").write_text("x")
    (toy / "answers.jsonl").write_text(json.dumps({"prompt": "2+2?", "reference": 4, "answer": "4"}) + "\n")
    for arguments in (
        ["data", "build", "toy", "--source", "source.csv", "--out", "built"],
        ["data", "check", "built"],
        ["train", "toy", "--recipe", "none.yaml"],
        ["evaluate", "toy", "none/none", "none=1"],
        ["sample", "toy", "none/none", "--out", "new", "none=1"],
        ["play", "toy"],
    ):
        main(arguments)
        assert capsys.readouterr().out.startswith("Not for use.\n"), arguments
    # What verify writes to stdout is JSON.
    assert main(["verify", "toy", "answers.jsonl", "--out", "scores.jsonl"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("Not for use.\n")
    assert json.loads(said.out)["n"] == 1


def test_an_interrupt_says_how_to_go_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from sciRL.cli import domains

    def interrupted(args: object) -> int:
        args.resume_hint = "scirl train toy --resume runs/x"  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(domains, "run", interrupted)
    assert command.main(["domains"]) == 130
    assert "interrupted; resume with: scirl train toy --resume runs/x" in capsys.readouterr().err


SLIM = """
import resource, sys
{code}
heavy = [name for name in ("torch", "transformers", "pymatgen") if name in sys.modules]
usage = resource.getrusage(resource.RUSAGE_SELF)
print(heavy, usage.ru_utime + usage.ru_stime)
"""


@pytest.mark.parametrize(
    "code", ["import sciRL; sciRL.Task, sciRL.load_domain", "from sciRL.cli.main import build_parser; build_parser()"]
)
def test_imports_are_light(code: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", SLIM.format(code=code)], capture_output=True, text=True, check=True, env=environment
    )
    heavy, seconds = done.stdout.split("] ")
    assert heavy == "["
    assert float(seconds) < 1.5


def test_a_closed_pipe_is_no_error(toy: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{Path(__file__).parents[3]}:{toy / 'site'}"}
    script = f"'{sys.executable}' -m sciRL.cli.main domains | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
