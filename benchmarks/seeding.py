"""How often a sampled token flips when the same requests are drawn in other batches, or by more processes.

    python benchmarks/seeding.py --answers 512

A request's random numbers come from its seed alone, but matrix products round differently for other numbers of rows,
and a draw whose point falls on a boundary then takes the neighbouring token. The reference draws all requests of a
workload together; the variants draw them in batches of 1, 7 and 64 and as two processes would (every second request).
After its first flip an answer continues from another prefix, so tokens are counted up to there. Prints one table and
writes benchmarks/results/seeding.json.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from sciRL.models.tiny import EOS_ID, tiny_model
from sciRL.rollout.base import Completion, GenerationRequest, SamplingParameters
from sciRL.rollout.lean import LeanSampler

PARAMETERS = SamplingParameters(max_new_tokens=64)


def first_difference(a: Completion, b: Completion) -> tuple[int, bool]:
    """Return the tokens compared, the first differing one included, and whether there is one."""
    n = min(len(a.ids), len(b.ids))
    differs = (a.ids[:n] != b.ids[:n]).nonzero()[0]
    if len(differs):
        return int(differs[0]) + 1, True
    return n, len(a.ids) != len(b.ids)


def drawn(sampler: LeanSampler, requests: Sequence[GenerationRequest], parts: list[list[int]]) -> list[Completion]:
    """Draw the requests part by part and return them in order."""
    result: dict[int, Completion] = {}
    for part in parts:
        result |= zip(part, sampler.generate([requests[i] for i in part], PARAMETERS), strict=True)
    return [result[i] for i in range(len(requests))]


def main() -> None:
    """Print one table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=512)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "seeding.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = tiny_model(512, "qwen2", hidden=192, layers=6, heads=6, kv_heads=2, mlp=512, max_length=256)
    rng = np.random.default_rng(0)
    prompts = [tuple(int(t) for t in rng.integers(4, 512, int(n))) for n in rng.integers(8, 25, options.answers // 8)]
    requests = [GenerationRequest(prompts[i // 8], seed=i) for i in range(len(prompts) * 8)]
    n = len(requests)
    variants = {f"batches of {b}": [list(range(i, min(n, i + b))) for i in range(0, n, b)] for b in (64, 7, 1)}
    variants["two processes"] = [list(range(0, n, 2)), list(range(1, n, 2))]
    rows = []
    print(f"{'dtype':9} {'drawn in':14} {'flips':>6} {'tokens':>8} {'a flip every':>13}")
    for dtype in (torch.float32, torch.bfloat16):
        sampler = LeanSampler(model, [EOS_ID], dtype=dtype)
        reference = drawn(sampler, requests, [list(range(n))])
        for name, parts in variants.items():
            # One row at a time is slow; an eighth of the requests is enough.
            kept = parts[: len(parts) // 8] if name == "batches of 1" else parts
            chosen = [i for part in kept for i in part]
            again = dict(
                zip(chosen, drawn(sampler, [requests[i] for i in chosen], _renumbered(kept, chosen)), strict=True)
            )
            found = [first_difference(reference[i], again[i]) for i in chosen]
            flips, tokens = sum(flip for _, flip in found), sum(count for count, _ in found)
            kind = str(dtype).removeprefix("torch.")
            rows.append({"dtype": kind, "drawn_in": name, "flips": flips, "tokens": tokens})
            print(f"{kind:9} {name:14} {flips:6} {tokens:8} {tokens // flips if flips else '-':>13}", flush=True)
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "answers": n,
        "reference": "all answers in one call (256 rows together)",
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    partial = options.out.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, options.out)


def _renumbered(parts: list[list[int]], chosen: list[int]) -> list[list[int]]:
    place = {index: position for position, index in enumerate(chosen)}
    return [[place[index] for index in part] for part in parts]


if __name__ == "__main__":
    main()
