"""Fuzz of run configurations: whatever `scirl train` is told, it composes a valid one or names what is wrong.

    python benchmarks/config_fuzz.py --configurations 10000 --seed 0

Each configuration is a recipe of some domain with one to three random overrides: wrong types, numbers out of range,
NaN, unknown, misspelt and empty keys, unicode, huge and deeply nested values, whole sections replaced, YAML tags,
anchors and aliases. The command `scirl train` runs as it is, up to the point where the configuration is composed and
checked and verifier workers would start. A valid configuration must hold no NaN and be the same when read back from its
`config.yaml`. A refused one must end with exit code 2 and lines of at most 2000 characters, each of which names a key
or value that was given. Any other exception, and more than 5 seconds, are failures, which are listed. Prints one table
and writes benchmarks/results/config_fuzz.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pydantic import BaseModel

from sciRL.cli import main as command
from sciRL.cli.arguments import recipe_names
from sciRL.config import dump_config, load_config
from sciRL.domain import Domain, load_domain
from sciRL.run import pipeline
from sciRL.run.settings import RunConfig, fill_likes, for_domain

DOMAINS = ("crystal", "nanorobot", "gflownet")
LIMIT_S = 5.0
LONGEST_LINE = 2000
VALUES = (
    *("true", "No", "null", "~", "''", "text", "3", "0", "-1", "3.7", "1e-5", "0x10", "1_000", "'3'", "2001-01-01"),
    *(".nan", ".inf", "-.inf", "1e400", "1e-320", "99999999999999999999999999", "-9223372036854775809"),
    *(
        "[]",
        "[1, 2]",
        "[[], [[], {}]]",
        "[.nan]",
        "{}",
        "{a: 1}",
        "{1: 2, null: 3, 2.5: 4}",
        "{a: {b: {c: [1, {d: e}]}}}",
    ),
    *("\u03bc", "\u4e2d\u6587", "\U0001f9ea", "\u202eabc", "a\u0000b", "\udcff", "caf\u00e9: cr\u00e8me", "\u0663"),
    *(
        "!!binary aGk=",
        "!!set {a, b}",
        "!!timestamp 2001-01-01",
        "!!omap [a: 1]",
        "!!python/name:os.system",
        "!x y",
        "!!int x",
        "!!bool maybe",
        "!!float x",
        "!!map x",
    ),
    *("&a [*a]", "&a {b: *a}", "*a", "<<", "{<<: {a: 1}}", "{<<: 1}", "{a: 1, a: 2}", "{[1]: 2}", "{{}: 1}"),
    *(
        "{",
        "]",
        "'",
        '"\\q"',
        "a: b: c",
        "- 1\n- 2",
        "a: 1\nb: 2",
        "%",
        "@",
        "`",
        "|",
        ">",
        "# comment",
        "--- 1\n--- 2",
    ),
    *("../../etc/passwd", "tiny", "cpu", "cuda", "grpo", "sft", "tb", "untrained", "q_learning", "policy_optimization"),
)
"""Values that stand for a kind each."""
ALPHABET = "abcxyzABC019._-= \t\u00e9\u4e2d\u03bb\u200b:{}[]'\"#&*!|>%@`,\\/\n"


@dataclass(frozen=True)
class Recipe:
    """A preset of a domain, and what can be overridden in it."""

    domain: str
    name: str
    leaves: dict[str, Any]
    """Dotted keys of all settings, defaults included, with their values."""
    sections: list[str]


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of every section and setting."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        yield key, value
        if isinstance(value, dict):
            yield from flatten(value, f"{key}.")


def read_recipes() -> list[Recipe]:
    """Return all presets of all domains."""
    recipes = []
    for name in DOMAINS:
        domain = load_domain(name)
        for recipe in recipe_names(domain):
            file = domain.recipes / f"{recipe}.yaml"
            config = load_config(for_domain(RunConfig, domain), file, prepare=fill_likes)
            items = dict(flatten(config.model_dump(mode="json")))
            leaves = {key: value for key, value in items.items() if not isinstance(value, dict)}
            recipes.append(Recipe(name, recipe, leaves, [key for key in items if key not in leaves]))
    return recipes


def random_text(rng: random.Random, longest: int = 12) -> str:
    """Return a random text of an alphabet that holds what YAML and keys treat specially."""
    return "".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, longest)))


def misspelt(key: str, rng: random.Random) -> str:
    """Return a key with one character dropped, doubled, replaced or swapped, or with another case."""
    at = rng.randrange(len(key))
    before, letter, after = key[:at], key[at], key[at + 1 :]
    return rng.choice(
        [
            before + after,
            before + letter * 2 + after,
            before + rng.choice(ALPHABET) + after,
            before + letter.swapcase() + after,
        ]
    )


def out_of_range(value: Any, rng: random.Random) -> str:
    """Return a number near to or far from a setting's value, or none at all."""
    if rng.random() < 0.1:
        return rng.choice([".nan", ".inf", "-.inf", "[.nan, 1]"])
    base = float(value) if isinstance(value, (int, float)) else 1.0
    number = base * rng.choice([-1, 0, 1e-9, 0.5, 2, 1e3, 1e9, 1e300, -1e300])
    return str(int(number) if rng.random() < 0.5 and abs(number) < 1e30 else number)


def huge(rng: random.Random) -> str:
    """Return a long, wide or deeply nested value."""
    size = rng.choice([10, 200, 3000])
    return rng.choice(
        [
            "x" * (size * 30),
            "9" * size,
            f"[{'1, ' * size}]",
            f"{{{', '.join(f'k{index}: {index}' for index in range(size))}}}",
            "[" * size + "]" * size,
            "{a: " * size + "1" + "}" * size,
        ]
    )


def random_value(recipe: Recipe, key: str, rng: random.Random) -> str:
    """Return a value for a key: one of `VALUES`, a number, that of another setting, its own, or a huge one."""
    kind = rng.randrange(20)
    if kind < 7:
        return rng.choice(VALUES)
    if kind < 11:
        return out_of_range(recipe.leaves.get(key), rng)
    if kind < 13:
        return json.dumps(rng.choice(list(recipe.leaves.values())))
    if kind < 17:
        return json.dumps(recipe.leaves.get(key))
    return huge(rng) if kind == 17 else random_text(rng)


def random_stage(recipe: Recipe, rng: random.Random) -> str:
    """Return an override that adds a stage or changes how stages hang together."""
    stages = [
        key.removeprefix("stages.") for key in recipe.sections if key.count(".") == 1 and key.startswith("stages.")
    ]
    name, other = (
        rng.choice([*stages, "new", "a b", "\u4e2d"]),
        rng.choice([*stages, "none", "[]", "{a: 1}", "3", "null"]),
    )
    key = rng.choice(["like", "start", "compute_of"])
    return rng.choice(
        [
            f"stages.{name}.{key}={other}",
            f"stages.{name}={{{key}: {other}, steps: {rng.choice(VALUES)}}}",
            f"stages.{name}={rng.choice(VALUES)}",
            f"final={other}",
            f"stages={{{name}: {{like: {other}}}}}",
        ]
    )


def random_override(recipe: Recipe, rng: random.Random) -> str:
    """Return one override."""
    key = rng.choice(list(recipe.leaves))
    kind = rng.randrange(12)
    if kind < 6:
        return f"{key}={random_value(recipe, key, rng)}"
    if kind == 6:
        return f"{misspelt(key, rng)}={random_value(recipe, key, rng)}"
    if kind == 7:
        place = rng.choice([*recipe.sections, key])
        return f"{place}.{random_text(rng) or 'unknown'}={rng.choice(VALUES)}"
    if kind == 8:
        return f"{rng.choice(recipe.sections)}={random_value(recipe, key, rng)}"
    if kind == 9:
        return random_stage(recipe, rng)
    if kind == 10:
        return rng.choice(
            ["", "=", "=1", ".=1", f"{key}", f"{key}.=1", f".{key}=1", f"{key}..a=1", f"{key}=", f" {key} = 1"]
        )
    return rng.choice([random_text(rng, 40), ".".join("k" * rng.choice([2, 50, 3000])) + "=1"])


class _Composed(BaseException):
    """Ends the command where the configuration is complete."""


class _TooSlow(BaseException):
    """Ends a command that hangs; no `except Exception` of it may stop this."""


@dataclass
class Composer:
    """Runs `scirl train` up to the configuration, which `train` hands to the loader of the policy."""

    config: BaseModel | None = None

    def install(self) -> None:
        """Stop every later command where the pool of verifiers would start, and keep what was composed."""
        configure = pipeline._configure

        def keep(*arguments: Any) -> Any:
            self.config, folder = configure(*arguments)
            return self.config, folder

        def stop(*arguments: Any) -> NoReturn:
            raise _Composed

        def interrupt(number: int, frame: FrameType | None) -> NoReturn:
            raise _TooSlow

        pipeline._configure = keep  # type: ignore[assignment]
        pipeline.WorkerPool = stop  # type: ignore[assignment, misc]
        signal.signal(signal.SIGPROF, interrupt)

    def run(self, arguments: list[str]) -> tuple[int, str]:
        """Run a command; return (exit code, message), with code 0 where a configuration was composed."""
        self.config = None
        message = io.StringIO()
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(message):
                return command.main(arguments), message.getvalue()
        except _Composed:
            return 0, ""
        except SystemExit as exit_:
            return int(exit_.code or 0), message.getvalue()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def problem_of_config(domain: Domain, config: BaseModel) -> str | None:
    """Return what is wrong with a configuration that was taken for valid."""
    holds_nan = [key for key, value in flatten(config.model_dump()) if value != value or _nan_inside(value)]
    if holds_nan:
        return f"NaN in {', '.join(holds_nan)}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(dump_config(config), encoding="utf-8")
        again = load_config(for_domain(RunConfig, domain), file)
    return (
        None if again == config or again.model_dump() == config.model_dump() else "config.yaml reads back differently"
    )


def _nan_inside(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(
        (isinstance(item, float) and math.isnan(item)) or _nan_inside(item) for item in value
    )


def unclear_lines(message: str, overrides: Sequence[str]) -> list[str]:
    """Return the lines of an error message that name neither a key nor a value of any override, or are too long."""
    named: set[str] = set()
    for override in overrides:
        key, _, value = override.partition("=")
        named |= {override, repr(override), repr(override)[1:-1], key.strip(), value.strip(), repr(value)[1:-1]}
        named |= {part.strip() for part in key.split(".")}
    named = {name for name in named if name}
    lines = [line for line in message.splitlines() if line.startswith("scirl")]
    unclear = [line[:200] for line in lines if len(line) > LONGEST_LINE or not any(name in line for name in named)]
    return unclear if lines else ["no message"]


def failure_of(composer: Composer, recipe: Recipe, overrides: list[str], outcomes: Counter[str]) -> str | None:
    """Run one configuration, count its outcome and return what broke the contract, if anything."""
    arguments = ["train", recipe.domain, "--recipe", recipe.name, "--out", "no/such/run", *overrides]
    try:
        code, message = composer.run(arguments)
        if code == 0 and composer.config is not None:
            problem = problem_of_config(load_domain(recipe.domain), composer.config)
            outcomes["valid" if problem is None else "broken"] += 1
            return problem
    except _TooSlow:
        outcomes["broken"] += 1
        return f"more than {LIMIT_S:g} s"
    except Exception as error:  # any other exception is what this looks for
        outcomes["broken"] += 1
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({Path(place.filename).name} line {place.lineno})"
    unclear = unclear_lines(message, overrides)
    if code != command.EXIT_USER_ERROR or unclear:
        outcomes["broken"] += 1
        return f"exit code {code}, or unclear: {unclear[:3]}"
    outcomes["refused"] += 1
    return None


def main() -> None:
    """Run the fuzz, print its table and write its JSON; exits with 1 when any configuration broke the contract."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configurations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "config_fuzz.json")
    options = parser.parse_args()
    recipes = read_recipes()
    composer = Composer()
    composer.install()
    outcomes: Counter[str] = Counter()
    cases: list[dict[str, Any]] = []
    slowest = 0.0
    started = time.process_time()
    for index in range(options.configurations):
        rng = random.Random(f"{options.seed} {index}")
        recipe = rng.choice(recipes)
        overrides = [random_override(recipe, rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        began = time.process_time()
        why = failure_of(composer, recipe, overrides, outcomes)
        slowest = max(slowest, time.process_time() - began)
        if why is not None:
            shown = [override[:300] for override in overrides]
            cases.append({"index": index, "recipe": f"{recipe.domain} {recipe.name}", "overrides": shown, "why": why})
    result = {
        "configurations": options.configurations,
        "seed": options.seed,
        "recipes": len(recipes),
        "broken": len(cases),
        "slowest_s": round(slowest, 3),
        "configurations_per_cpu_second": round(options.configurations / (time.process_time() - started), 1),
        "outcomes": dict(outcomes.most_common()),
    }
    for key, value in result.items():
        print(f"{key:32} {value}")
    for why, number in Counter(case["why"][:120] for case in cases).most_common(20):
        print(f"{number:6} {why}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    partial = options.out.with_suffix(".partial")
    partial.write_text(json.dumps({**result, "cases": cases[:100]}, indent=1) + "\n")
    os.replace(partial, options.out)
    sys.exit(bool(cases))


if __name__ == "__main__":
    main()
