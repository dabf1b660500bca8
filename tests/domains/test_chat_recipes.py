"""The recipes for pre-trained chat models run from end to end, with a chat model of random weights."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from chat_model import save_chat_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from sciRL.domain import load_domain
from sciRL.run.pipeline import train
from sciRL.run.results import load_arms

SMALL = [
    "model.dtype=float32",
    "compute.device=cpu",
    "compute.sampler_dtype=float32",
    "compute.autocast=none",
    "compute.workers=0",
    "compute.max_tokens=8192",
    "evaluation.samples=2",
    "evaluation.sampling.max_new_tokens=8",
    "logging.trackers=[]",
    "controls=false",
    "compute.max_failure_share=1.0",
]
RL = ["prompts=2", "group_size=2", "sampling.max_new_tokens=8", "optimizer.warmup_steps=0"]


@pytest.mark.parametrize(
    ("name", "recipe", "rl", "extra"),
    [
        ("crystal", "grpo-0.5b", "grpo", []),
        ("cad", "cad_rl", "grpo", ["domain.sandbox_workers=1"]),
        ("medical", "promed", "sig", ["domain.budget=10"]),
    ],
)
def test_a_chat_recipe_runs(name: str, recipe: str, rl: str, extra: list[str], tmp_path: Path) -> None:
    if name == "cad" and find_spec("cadquery") is None:
        pytest.skip("running programs needs cadquery")
    domain = load_domain(name)
    texts = [*(f"answer: {letter}" for letter in "ABCDEFGH"), "import cadquery as cq", "space group 225, Na Cl"]
    model = str(save_chat_model(tmp_path / "model", texts))
    shortened = ["stages.sft.steps=2", "stages.sft.train.batch_size=2", f"stages.{rl}.steps=1"]
    shortened += [f"stages.{rl}.train.{setting}" for setting in RL]
    data = None
    if name == "medical":
        # The belief model tells options apart by their letters, of which there are 26.
        data = tmp_path / "patients"
        domain.build("toy", data, {"count": "30", "diseases": "8", "dialogues": "bon", "iterations": "3"})
        shortened.append(f"domain.belief_model={model}")
    recipe_file = domain.recipes / f"{recipe}.yaml"
    out = train(domain, recipe_file, data, model, [*SMALL, *shortened, *extra], tmp_path / "run")
    arms = load_arms(out / "results")
    assert {"untrained", "sft", rl} <= set(arms)
    assert arms[rl].n == 2
    again = AutoModelForCausalLM.from_pretrained(out / "policy", dtype=torch.float32)
    assert again.config.hidden_size == 32
    assert AutoTokenizer.from_pretrained(out / "policy").chat_template
