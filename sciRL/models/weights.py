"""Weights in and out of a model that is already in memory: how checkpoints and stages hand a policy on."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from sciRL.models.loading import LanguagePolicy, save_policy

ADAPTER = "adapter"


def save_weights(policy: LanguagePolicy, folder: Path) -> None:
    """Write the policy in Hugging Face layout; a LoRA adapter is merged there and kept apart in `adapter/`.

    Of a sharded model the main process writes; it may call this alone while the others wait at a barrier.
    """
    sharding: Any = getattr(policy.model, "sharding", None)
    if sharding is not None:
        whole = sharding.processes.together("policy")
        if whole is not None:
            save_weights(replace(policy, model=whole), folder)
        return
    save_policy(policy.model, policy.tokenizer, folder, policy.vision)
    if hasattr(policy.model, "merge_and_unload"):
        model: Any = policy.model
        aside = folder / f".{ADAPTER}.partial"
        model.save_pretrained(aside)
        shutil.rmtree(folder / ADAPTER, ignore_errors=True)
        os.replace(aside, folder / ADAPTER)


def load_weights(policy: LanguagePolicy, folder: Path) -> None:
    """Put the weights written by `save_weights` into the policy's model, in place and exactly."""
    from safetensors.torch import load_file

    model: Any = policy.model
    sharding: Any = getattr(model, "sharding", None)
    if sharding is not None:
        whole = sharding.whole("cpu")
        load_weights(replace(policy, model=whole), folder)
        sharding.load(whole)
        return
    if hasattr(model, "merge_and_unload"):
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, load_file(folder / ADAPTER / "adapter_model.safetensors"))
        return
    state: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        state |= load_file(file)
    missing, unexpected = model.load_state_dict(state, strict=False)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    lost = [name for name in missing if name not in tied]
    if lost or unexpected:
        raise ValueError(f"{folder} does not fit the model: missing {lost[:3]}, unexpected {unexpected[:3]}")
