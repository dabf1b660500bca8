"""Fuzz of the sandbox: mutated and spliced scripts must never get out, never make the sandbox fail, always end in time.

    python benchmarks/sandbox_fuzz.py --minutes 10 [--scripts FOLDER]
    python benchmarks/sandbox_fuzz.py --minutes 20 --profile cad --scripts SHARED/cad

The corpus is the table of hostile scripts in `tests/sciRL/verification/sandbox` and the programs of a folder: its
Python files and the `code` of its JSON lines. With `--profile cad` the scripts run beside CadQuery and what they
build is measured by the kernel, without the screen that refuses most of them before: the locks alone must hold.
Mutations change bytes, swap, drop and repeat lines, replace tokens by tokens of other scripts, and splice two
scripts. After every batch the canary folder, the processes and the shared memory of the machine must be as before.
The first script (or batch) that breaks a rule ends the fuzz and is written to `--out`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

from sciRL.verification.sandbox.layers import NAMESPACES
from sciRL.verification.sandbox.outcome import Job, Outcome
from sciRL.verification.sandbox.pool import SandboxPool
from sciRL.verification.sandbox.profile import Limits, SandboxProfile

TESTS = Path(__file__).resolve().parents[1] / "tests"
LIMITS = Limits(cpu_s=1, wall_s=2, memory_mb=256, payload_mb=1, meter_wall_s=10, threads=32)
CAD_LIMITS = Limits(cpu_s=2, wall_s=4, memory_mb=2048, payload_mb=16, meter_wall_s=20, threads=32)
CAD_REQUEST = {"reference": None, "want": ["solid"], "seed": 0, "iou_budget_s": 1.0, "single": False}
TOKEN = "token-that-no-script-may-see"
BATCH = 40
BYTES = "\0\n\t ()[]{}'\"\\#:=,.0123456789eE-+*/%@\x7f\ud800é"
_TOKEN = re.compile(r"\w+|[^\w\s]")


def mutate(corpus: list[str], rng: random.Random) -> str:
    """Return a script after one to five random edits; most that are no longer Python are drawn again."""
    while True:
        text = rng.choice(corpus)
        for _ in range(rng.randint(1, 5)):
            text = rng.choice(MUTATIONS)(text, corpus, rng)
        if compiles(text) or rng.random() < 0.02:
            return text


def compiles(text: str) -> bool:
    """Whether a text is Python."""
    try:
        compile(text, "<fuzz>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def change_character(text: str, corpus: list[str], rng: random.Random) -> str:
    """Replace or insert one character."""
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(BYTES) + text[at + rng.randrange(2) :]


def change_lines(text: str, corpus: list[str], rng: random.Random) -> str:
    """Drop a line, repeat it, or move it."""
    lines = text.split("\n")
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.choice((0, 1, 1, 2, 20))):
        lines.insert(rng.randrange(len(lines) + 1), line)
    return "\n".join(lines)


def change_tokens(text: str, corpus: list[str], rng: random.Random) -> str:
    """Replace a token, everywhere or once, by one of another script."""
    mine, others = _TOKEN.findall(text), _TOKEN.findall(rng.choice(corpus))
    if not mine or not others:
        return text
    return text.replace(rng.choice(mine), rng.choice(others), rng.choice((1, -1)))


def splice(text: str, corpus: list[str], rng: random.Random) -> str:
    """Put a run of another script's lines somewhere into this one."""
    lines, others = text.split("\n"), rng.choice(corpus).split("\n")
    start = rng.randrange(len(others))
    at = rng.randrange(len(lines) + 1)
    return "\n".join(lines[:at] + others[start : start + rng.randint(1, 30)] + lines[at:])


MUTATIONS = (change_character, change_lines, change_tokens, change_tokens, splice)


def fault_of(outcome: Outcome, limits: Limits) -> str | None:
    """Return which rule an outcome breaks, None when it breaks none."""
    if outcome.fault == "sandbox":
        return f"the sandbox failed: {outcome.code}: {outcome.message}"
    if outcome.seconds > limits.wall_s + limits.meter_wall_s + 2.0 or (
        outcome.code == "timeout" and outcome.seconds > limits.wall_s + 1.0
    ):
        return f"took {outcome.seconds:.1f} s"
    if TOKEN in f"{outcome.message} {outcome.measurements}":
        return "read the secret"
    return None


def machine_state(canary: Path) -> tuple[object, ...]:
    """Return what no script may change: files and shared memory."""
    files = sorted((str(path), path.lstat().st_mode, path.lstat().st_mtime_ns) for path in canary.rglob("*"))
    shared = [name for name in os.listdir("/dev/shm") if "scirl" in name or "psm_" in name]
    return files, canary.stat().st_mtime_ns, shared


def nothing_runs(layers: tuple[str, ...]) -> bool:
    """Whether the zygotes have no child left; behind namespaces a zygote is the child of the process started here."""
    from processes import parents

    table, generation = parents(), {os.getpid()}
    for _ in range(3 if NAMESPACES in layers else 2):
        generation = {child for child, parent in table.items() if parent in generation}
    return not generation


def read_corpus(folder: Path | None, canary: Path) -> tuple[list[str], tuple[str, ...]]:
    """Return the scripts to mutate and the modules that they may import."""
    from hostile import MODULES, scripts

    corpus = list(scripts(canary, canary / "keep", 9).values())
    if folder is not None:
        corpus += [path.read_text(errors="replace") for path in sorted(folder.rglob("*.py"))]
        for path in sorted(folder.rglob("*.jsonl")):
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            corpus += [row["code"] for row in rows if isinstance(row.get("code"), str)]
    return corpus, tuple(MODULES)


def target(name: str, modules: tuple[str, ...]) -> tuple[SandboxProfile, dict[str, object], str]:
    """Return a profile that lets the hostile scripts import what they want, a request, and an honest script."""
    if name == "cad":
        from domains.cad.kernel.profile import CAD

        profile = replace(CAD, modules=tuple(dict.fromkeys((*CAD.modules, *modules))), limits=CAD_LIMITS)
        return profile, CAD_REQUEST, 'import cadquery as cq\nresult = cq.Workplane("XY").box(1, 2, 3)'
    import toy_sandbox

    return toy_sandbox.open_to_all(LIMITS, modules), {}, "result = 42"


def fuzz(
    minutes: float, seed: int, folder: Path | None, name_of_profile: str
) -> tuple[Counter[str], int, str | None, list[str]]:
    """Run until the time is over or a rule is broken: (counts by code, scripts, broken rule, offending scripts)."""
    from processes import soon

    rng, counts, total = random.Random(seed), Counter[str](), 0
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="scirl-canary-") as name:
        canary = Path(name)
        canary.chmod(0o777)
        (canary / "keep").write_text(TOKEN)
        corpus, modules = read_corpus(folder, canary)
        profile, request, honest = target(name_of_profile, modules)
        with SandboxPool(profile, workers=os.cpu_count() or 1) as pool:
            print("layers:", ", ".join(pool.layers))
            state = machine_state(canary)
            while time.monotonic() < end:
                batch = [mutate(corpus, rng) for _ in range(BATCH)]
                outcomes = pool.run([Job(source, request) for source in batch])
                total += len(batch)
                counts.update(outcome.code for outcome in outcomes)
                for source, outcome in zip(batch, outcomes, strict=True):
                    if (broken := fault_of(outcome, profile.limits)) is not None:
                        return counts, total, broken, [source]
                if machine_state(canary) != state:
                    return counts, total, "files or shared memory changed", batch
                if not soon(lambda: nothing_runs(pool.layers)):
                    return counts, total, "a process was left", batch
                if not pool.run([Job(honest, request)])[0].ok:
                    return counts, total, "an honest script failed", batch
    return counts, total, None, []


def main() -> None:
    """Read the arguments, fuzz, print the table; exit code 1 when a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scripts", type=Path, default=None, help="folder of further scripts to mutate")
    parser.add_argument("--profile", choices=("toy", "cad"), default="toy")
    parser.add_argument("--out", type=Path, default=Path("sandbox_fuzz_offender.json"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", SyntaxWarning)
    sys.path[:0] = [str(TESTS / "support"), str(TESTS / "sciRL" / "verification" / "sandbox")]
    counts, total, broken, offenders = fuzz(arguments.minutes, arguments.seed, arguments.scripts, arguments.profile)
    print(f"{total} scripts: " + ", ".join(f"{code} {count}" for code, count in counts.most_common()))
    if broken is not None:
        arguments.out.write_text(json.dumps({"broken": broken, "scripts": offenders}, indent=1))
        print(f"broken rule: {broken}; the script is in {arguments.out}")
        sys.exit(1)


if __name__ == "__main__":
    main()
