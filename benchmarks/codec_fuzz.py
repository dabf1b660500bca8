"""Fuzz of the WyText reader: mutated and random texts must give a crystal or a CodecError, quickly.

Usage: python benchmarks/codec_fuzz.py --texts 100000 --seed 0

Mutations of the 393 prototype texts: characters replaced, inserted, dropped (digits of other scripts and NUL among
them), lines doubled, dropped or taken from another text, numbers changed; plus random strings and texts of a megabyte.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from domains.crystal.codec import CodecError, WyText
from domains.crystal.tables import read_table

ALPHABET = "0123456789. \n\r\t\0SGCELNaClOHFeabcxyzA-+eE<>/\u0660\u0665\uff15\u00b2\u2028\u00a0\u0430"


def mutate(text: str, others: list[str], rng: random.Random) -> str:
    """Return `text` after one to four random edits."""
    for _ in range(rng.randint(1, 4)):
        kind = rng.randrange(7)
        at = rng.randrange(len(text) + 1)
        lines = text.split("\n")
        row = rng.randrange(len(lines))
        if kind == 0:
            text = text[:at] + rng.choice(ALPHABET) + text[at + 1 :]
        elif kind == 1:
            text = text[:at] + rng.choice(ALPHABET) + text[at:]
        elif kind == 2:
            text = text[:at] + text[at + rng.randint(1, 5) :]
        elif kind == 3:
            lines.insert(rng.randrange(len(lines) + 1), lines[row])
            text = "\n".join(lines)
        elif kind == 4:
            del lines[row]
            text = "\n".join(lines)
        elif kind == 5:
            lines[row] = rng.choice(rng.choice(others).split("\n"))
            text = "\n".join(lines)
        else:
            text = text.replace(rng.choice("0123456789"), str(rng.randrange(1000)), rng.randint(1, 2))
    return text


def make_text(index: int, prototypes: list[str], rng: random.Random) -> str:
    """Return the text number `index`: mostly mutations, some random strings, a few of a megabyte."""
    if index % 5000 == 0:
        return rng.choice(prototypes) + "\n" + rng.choice(ALPHABET) * 1_000_000
    if index % 10 == 0:
        return "".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, 200)))
    return mutate(rng.choice(prototypes), prototypes, rng)


def main() -> None:
    """Run the fuzz, print its table and write its JSON; exits with 1 when any text broke the contract."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "codec_fuzz.json")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    prototypes = [json.loads(line)["text"] for line in read_table("prototypes.jsonl").splitlines()]
    codec = WyText()
    outcomes: Counter[str] = Counter()
    broken: list[dict[str, Any]] = []
    slowest = 0.0
    started = time.process_time()
    for index in range(args.texts):
        text = make_text(index, prototypes, rng)
        began = time.process_time()
        try:
            crystal = codec.decode(text)
            outcomes["crystal"] += 1
            canonical = codec.canonical(crystal)
            if codec.canonical(codec.decode(canonical)) != canonical or codec.fraction_accepted(text) != 1.0:
                broken.append({"text": text[:500], "why": "canonical text is no fixed point"})
        except CodecError as error:
            outcomes[error.code] += 1
            if codec.fraction_accepted(text) >= 1.0:
                broken.append({"text": text[:500], "why": "rejected text with all lines accepted"})
        except Exception as error:  # any other exception is what this looks for
            broken.append({"text": text[:500], "why": f"{type(error).__name__}: {error}"})
        slowest = max(slowest, time.process_time() - began)
    seconds = time.process_time() - started
    result = {
        "texts": args.texts,
        "seed": args.seed,
        "broken": len(broken),
        "slowest_ms": 1e3 * slowest,
        "texts_per_cpu_second": args.texts / seconds,
        "outcomes": dict(outcomes.most_common()),
    }
    for key, value in result.items():
        print(f"{key:24} {value:.5g}" if isinstance(value, float) else f"{key:24} {value}")
    for case in broken[:20]:
        print(case)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_suffix(".partial")
    partial.write_text(json.dumps({**result, "cases": broken[:100]}, indent=1) + "\n")
    os.replace(partial, args.out)
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
