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
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from domains.medical import DOMAIN
from sciRL.run.inference import evaluate

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BUDGET = 5


def save_chat_model(folder: Path, texts: list[str]) -> int:
    """Save a chat model of random weights with a tokenizer trained on the texts; return its number of parameters."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 8,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    """Print one table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="MediQ's imedqa_dev.jsonl")
    parser.add_argument("--limit", type=int, default=0, help="read only the first items; 0 reads all")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mediq_evaluation.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        dataset, model = Path(scratch) / "mediq", Path(scratch) / "model"
        built = DOMAIN.build(str(args.data), dataset, {"limit": str(args.limit)})
        print(f"read {built.read}, kept {built.kept}, dropped {built.dropped}, splits {built.splits}", flush=True)
        parameters = save_chat_model(model, args.data.read_text(encoding="utf-8").splitlines()[:300])
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
