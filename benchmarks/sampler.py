"""Lean sampler against `generate` of transformers: tokens a second on the same model, prompts and lengths.

All variants take turns in one process, and the ratio of a variant is the median over rounds of (time of
`generate` / time of the variant) within a round, so that a busy machine slows both. Times are process CPU
seconds at one thread unless --threads is above 1 (then wall-clock).

    python benchmarks/sampler.py                 # all workloads
    python benchmarks/sampler.py --only fixed-3M --rounds 9
    python benchmarks/sampler.py --profile       # where the time of each lean variant goes
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sciRL.models.tiny import EOS_ID, PAD_ID, tiny_model
from sciRL.rollout.base import GenerationRequest, SamplingParameters
from sciRL.rollout.lean import LeanSampler


@dataclass(frozen=True)
class Workload:
    """8 prompts of 16 tokens, `per_prompt` completions each; `ragged` lets the end token stop a row."""

    name: str
    vocabulary: int
    hidden: int
    mlp: int
    new_tokens: int
    ragged: bool = False
    per_prompt: int = 8


WORKLOADS = (
    Workload("fixed-3M", 512, 192, 512, 64),
    Workload("fixed-10M", 512, 384, 1024, 64),
    Workload("ragged-3M", 64, 192, 512, 128, ragged=True),
    Workload("fixed-3M-256rows", 512, 192, 512, 64, per_prompt=32),
)


def variants(work: Workload) -> dict[str, Callable[[], int]]:
    """Return what is timed, by name; each call returns the number of tokens drawn."""
    model = tiny_model(
        work.vocabulary, "qwen2", hidden=work.hidden, layers=6, heads=6, kv_heads=2, mlp=work.mlp, max_length=256
    ).eval()
    eos = [EOS_ID] if work.ragged else []
    model.generation_config.eos_token_id = eos or None
    rng = np.random.default_rng(0)
    prompts = [tuple(int(t) for t in rng.integers(4, work.vocabulary, 16)) for _ in range(8)]
    repeated = [prompt for prompt in prompts for _ in range(work.per_prompt)]
    ids = torch.tensor(repeated)
    seeds = iter(range(1 << 40))
    parameters = SamplingParameters(max_new_tokens=work.new_tokens)

    def generate() -> int:
        with torch.inference_mode():
            output = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_k=0,
                max_new_tokens=work.new_tokens,
                pad_token_id=PAD_ID,
            )[:, 16:]
        ended = (output == EOS_ID).cumsum(1) - (output == EOS_ID).long() if work.ragged else torch.zeros_like(output)
        return int((ended == 0).sum())

    def lean(dtype: torch.dtype) -> Callable[[], int]:
        sampler = LeanSampler(model, eos, dtype=dtype)

        def run() -> int:
            requests = [GenerationRequest(prompt, next(seeds)) for prompt in repeated]
            return sum(len(completion.ids) for completion in sampler.generate(requests, parameters))

        return run

    return {"generate": generate, "lean fp32": lean(torch.float32), "lean bf16": lean(torch.bfloat16)}


def measure(work: Workload, rounds: int, clock: Callable[[], float]) -> list[dict[str, float | str]]:
    """Time every variant `rounds` times, taking turns, after one warm-up round."""
    named = variants(work)
    seconds: dict[str, list[float]] = {name: [] for name in named}
    rates: dict[str, list[float]] = {name: [] for name in named}
    for turn in range(rounds + 1):
        for name, function in named.items():
            start = clock()
            tokens = function()
            if turn:
                seconds[name].append((clock() - start) / tokens)
                rates[name].append(tokens / (clock() - start))
    base = seconds["generate"]
    return [
        {
            "workload": work.name,
            "variant": name,
            "tokens_per_second": round(statistics.median(rates[name])),
            "best_tokens_per_second": round(max(rates[name])),
            "ratio": round(statistics.median(b / s for b, s in zip(base, seconds[name], strict=True)), 2),
        }
        for name in named
    ]


PARTS = {
    "linear layers": ("mkldnn::", "aten::mm", "aten::addmm"),
    "attention products": ("aten::bmm", "aten::_scaled_dot_product"),
    "softmax of attention and draw": ("aten::_softmax",),
}
"""Operators whose own time is counted together, by how their names begin."""


def profile(work: Workload) -> list[dict[str, float | str]]:
    """Return which share of each lean variant's time is spent in `PARTS`; the rest is element by element, or Python."""
    rows: list[dict[str, float | str]] = []
    for name, function in variants(work).items():
        if name == "generate":
            continue
        function()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            function()
        own = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
        shares = {
            part: round(sum(time for key, time in own.items() if key.startswith(begins)) / sum(own.values()), 3)
            for part, begins in PARTS.items()
        }
        rows.append({"workload": work.name, "variant": name, **shares, "rest": round(1 - sum(shares.values()), 3)})
    return rows


def main() -> None:
    """Print one table and write benchmarks/results/sampler.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=[work.name for work in WORKLOADS])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sampler.json")
    parser.add_argument("--profile", action="store_true", help="shares of time instead of rates")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.profile:
        shares = [row for work in WORKLOADS if options.only in (None, work.name) for row in profile(work)]
        print("\n".join(str(row) for row in shares))
        options.out.with_name("sampler_profile.json").write_text(json.dumps(shares, indent=1) + "\n", encoding="utf-8")
        return
    clock = time.process_time if options.threads == 1 else time.perf_counter
    rows: list[dict[str, float | str]] = []
    print(f"{'workload':18} {'variant':10} {'tok/s':>8} {'best':>8} {'x generate':>11}")
    for work in WORKLOADS:
        if options.only in (None, work.name):
            for row in measure(work, options.rounds, clock):
                rows.append(row)
                print(
                    f"{row['workload']:18} {row['variant']:10} {row['tokens_per_second']:8} "
                    f"{row['best_tokens_per_second']:8} {row['ratio']:11}"
                )
    result = {
        "threads": options.threads,
        "clock": "process CPU" if options.threads == 1 else "wall",
        "load_average": os.getloadavg()[0],
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    partial = options.out.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, options.out)


if __name__ == "__main__":
    main()
