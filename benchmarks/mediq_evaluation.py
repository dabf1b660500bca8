"""A whole evaluation on MediQ's examination cases by a chat model of random weights: the real path, end to end.

    python benchmarks/mediq_evaluation.py --data SHARED/medical/mediq/imedqa_dev.jsonl

Builds the dataset (three items have no facts and are reported), makes a Qwen2-layout model and a byte-level tokenizer
with a ChatML template on the spot, saves both, loads them through `from_pretrained`, and lets the model consult every
case with a budget of five questions. A model of random weights writes nonsense, so every turn should be invalid and no
case answered but by chance: what is measured is that the path holds, and how long it takes. Prints one table and writes
benchmarks/results/mediq_evaluation.json. Research software, not medical advice.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from domains.medical import DOMAIN
from sciRL.run.inference import evaluate

TESTS = Path(__file__).resolve().parents[1] / "tests"
BUDGET = 5


def main() -> None:
    """Print one table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="MediQ's imedqa_dev.jsonl")
    parser.add_argument("--limit", type=int, default=0, help="read only the first items; 0 reads all")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mediq_evaluation.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    sys.path.insert(0, str(TESTS / "support"))
    from chat_model import save_chat_model

    with tempfile.TemporaryDirectory() as scratch:
        dataset, model = Path(scratch) / "mediq", Path(scratch) / "model"
        built = DOMAIN.build(str(args.data), dataset, {"limit": str(args.limit)})
        print(f"read {built.read}, kept {built.kept}, dropped {built.dropped}, splits {built.splits}", flush=True)
        save_chat_model(model, args.data.read_text(encoding="utf-8").splitlines()[:300], vocabulary=2000, hidden=128)
        parameters = sum(weight.numel() for weight in AutoModelForCausalLM.from_pretrained(model).parameters())
        given = [f"domain.budget={BUDGET}", "evaluation.sampling.max_new_tokens=24", "compute.threads=1"]
        began, summaries, statuses = time.perf_counter(), {}, Counter[str]()
        for split, count in built.splits.items():
            arm = evaluate(str(model), DOMAIN, dataset, split, count, None, given)
            summaries[split] = arm.summary()
            statuses.update(arm.statuses)
            print(f"{split}: {arm.passed} of {arm.n} right; {dict(arm.statuses)}", flush=True)
        seconds = time.perf_counter() - began
    print(f"{built.kept} cases in {seconds:.0f} s with a model of {parameters / 1e6:.1f} M parameters")
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "read": built.read,
        "kept": built.kept,
        "dropped": built.dropped,
        "budget": BUDGET,
        "parameters": parameters,
        "seconds": seconds,
        "statuses": statuses,
        "summaries": summaries,
    }
    args.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
