"""Robot-steps a second: the batched simulator against the same physics in `gymnasium.vector.SyncVectorEnv`.

    python benchmarks/nanorobot_steps.py --rounds 5

Both run random actions on one thread; times are CPU times of this process, interleaved, and the table gives medians.
The batched environment is timed at 64 rows beside 64 single environments, and at 4,096 rows. With a GPU it is also run
there at 1,000,000 rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import gymnasium
import torch

from domains.nanorobot import GYMNASIUM_ID, NanorobotOptions, make_environment

BATCHED_STEPS = {64: 2000, 4096: 300, 1_000_000: 50}
SINGLE_STEPS = 20


def batched(n: int, device: str) -> Callable[[], float]:
    """Return a function that gives the robot-steps a second of `n` rows."""
    environment = make_environment(NanorobotOptions(), n, torch.device(device))
    environment.reset(seed=0)
    action = torch.zeros(n, dtype=torch.int64, device=device)
    action[::10] = 1
    clock = time.process_time if device == "cpu" else time.perf_counter

    def run() -> float:
        began = clock()
        for _ in range(BATCHED_STEPS[n]):
            environment.step(action)
        if device != "cpu":
            torch.cuda.synchronize()
        return BATCHED_STEPS[n] * n / (clock() - began)

    return run


def single(n: int) -> Callable[[], float]:
    """Return a function that gives the robot-steps a second of `n` single environments in a SyncVectorEnv."""
    environments = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(GYMNASIUM_ID) for _ in range(n)])
    environments.reset(seed=0)
    actions = environments.action_space.sample()

    def run() -> float:
        began = time.process_time()
        for _ in range(SINGLE_STEPS):
            environments.step(actions)
        return SINGLE_STEPS * n / (time.process_time() - began)

    return run


def main() -> None:
    """Time all in turn, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "nanorobot_steps.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs = {
        "SyncVectorEnv, 64": single(64),
        "batched, 64": batched(64, "cpu"),
        "batched, 4096": batched(4096, "cpu"),
    }
    if torch.cuda.is_available():
        runs["batched, 1000000, GPU"] = batched(1_000_000, "cuda")
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(args.rounds):
        for name, run in runs.items():
            rates[name].append(run())
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = statistics.median(a / b for a, b in zip(rates["batched, 64"], rates["SyncVectorEnv, 64"], strict=True))
    print("| environment | robot-steps/s |\n| --- | ---: |")
    for name, value in medians.items():
        print(f"| {name} | {value:,.0f} |")
    print(f"batched over SyncVectorEnv at 64: {ratio:.1f}x")
    payload = {
        "date": date.today().isoformat(),
        "clock": "process CPU time, 1 thread",
        "medians": medians,
        "ratio_64": ratio,
    }
    args.json.write_text(json.dumps(payload, indent=1) + "\n")


if __name__ == "__main__":
    main()
