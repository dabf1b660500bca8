"""Load, render for, and save the language model that is trained: a hub id, a folder, or a tiny one from scratch."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sciRL.errors import UserError
from sciRL.models.tiny import SPECIAL_TOKENS, Layout, tiny_model, tokenizer_from_tokens
from sciRL.task import Message

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from sciRL.models.vision import VisionProcessor

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


class LoraSettings(BaseModel):
    """Low-rank adapters (arXiv:2106.09685); the base weights stay frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1)
    """Rank of the update."""
    alpha: int = Field(32, gt=0)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    targets: str | tuple[str, ...] = "all-linear"
    """Module names that get an adapter; "all-linear" takes every linear layer but the head."""


class ModelConfig(BaseModel):
    """Which model is trained, and in which form; the fields from `layout` on describe `path: tiny` only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = "tiny"
    """"tiny" (random weights over the domain's vocabulary), a folder in Hugging Face layout, or a hub id."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Attention implementation of transformers."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    lora: LoraSettings | None = None
    """Train low-rank adapters instead of all weights."""
    layout: Layout = "llama"
    """Architecture of a tiny model."""
    hidden: int = Field(128, ge=2)
    """Width of a tiny model."""
    layers: int = Field(4, ge=1)
    """Blocks of a tiny model."""
    heads: int = Field(4, ge=1)
    """Query heads of a tiny model."""
    kv_heads: int = Field(2, ge=1)
    """Key/value heads of a tiny model."""
    mlp: int = Field(352, ge=1)
    """Feed-forward width of a tiny model."""
    max_length: int = Field(512, ge=2)
    """Longest context of a tiny model, in tokens."""
    seed: int = 0
    """Seed of a tiny model's weights and of fresh adapters."""


@dataclass
class LanguagePolicy:
    """A model with its tokenizer, whether prompts go through a chat template, and the ids that end an answer.

    `vision` is what a vision-language model needs to see pictures; None where the model reads text alone.
    """

    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    chat_template: bool
    eos_ids: tuple[int, ...]
    vision: VisionProcessor | None = None

    @property
    def max_context(self) -> int:
        """The longest context of the model, in tokens."""
        config: Any = self.model.config
        return int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 1 << 30)

    def render(self, messages: Sequence[Message], images: Sequence[str] = ()) -> list[int]:
        """Return the ids of a prompt (see `render_prompt`), with pictures before the text of its last user message.

        Raises:
            UserError: pictures for a model that reads text alone, or that cannot be read.
        """
        if images and self.vision is None:
            raise UserError(
                f"a task has {len(images)} pictures (the first: {images[0]}), but the model "
                f"({type(self.model).__name__}) reads text alone; use a vision-language model such as "
                "'Qwen/Qwen2.5-VL-3B-Instruct', or tasks without pictures"
            )
        if self.vision is not None and (images or self.chat_template):
            return self.vision.render_with_images(messages, images)
        return render_prompt(self.tokenizer, messages)

    def encode_answer(self, text: str) -> list[int]:
        """Return the ids of an answer that ends: its text and the first end-of-sequence token.

        Raises:
            UserError: the text holds the placeholder of a picture, behind which no picture stands.
        """
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        if self.vision is not None and self.vision.image_token_id in ids:
            raise UserError(f"an answer holds the model's placeholder for a picture; remove it: {text[:80]!r}")
        return [*ids, self.eos_ids[0]]

    def save(self, folder: Path) -> None:
        """Write the policy in Hugging Face layout."""
        from sciRL.models.weights import save_weights

        save_weights(self, folder)

    def load(self, folder: Path) -> None:
        """Put the weights that `save` wrote into this policy, exactly."""
        from sciRL.models.weights import load_weights

        load_weights(self, folder)


def load_policy(config: ModelConfig, vocabulary: Sequence[str] | None = None) -> LanguagePolicy:
    """Load the model and tokenizer that `config` names, with adapters and checkpointing as configured.

    Args:
        config: what to load.
        vocabulary: the domain's tokens; needed for `path: tiny`, and checked against the tokenizer of a
            folder that was saved from a tiny model.

    Raises:
        UserError: a missing folder or file, a hub id that cannot be reached, or a vocabulary that does not fit.
    """
    import torch

    vision: VisionProcessor | None = None
    if config.path == "tiny":
        model, tokenizer = _from_scratch(config, vocabulary)
    else:
        model, tokenizer, vision = _from_pretrained(config)
        _check_vocabulary(config.path, model, tokenizer, vocabulary)
    eos_ids = _eos_ids(model, tokenizer)
    if not eos_ids:
        raise UserError(
            f"model.path {config.path!r}: neither tokenizer nor generation config names an end-of-sequence token"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = eos_ids[0]
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if config.lora is not None:
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            model = _with_lora(model, config.lora)
    return LanguagePolicy(model, tokenizer, bool(tokenizer.chat_template), eos_ids, vision)


def _from_scratch(config: ModelConfig, vocabulary: Sequence[str] | None) -> tuple[Any, PreTrainedTokenizerBase]:
    import torch

    if vocabulary is None:
        raise UserError(
            "model.path is 'tiny', a model from scratch, which needs a vocabulary: the domain's options offer one with "
            "compact prompts only (domain.prompt_style=compact); or name a folder or a hub id"
        )
    tokenizer = tokenizer_from_tokens(vocabulary)
    tokenizer.model_max_length = config.max_length
    model = tiny_model(
        len(tokenizer),
        config.layout,
        hidden=config.hidden,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        mlp=config.mlp,
        max_length=config.max_length,
        seed=config.seed,
    )
    model.set_attn_implementation(config.attention)
    return model.to(getattr(torch, config.dtype)), tokenizer


def _from_pretrained(config: ModelConfig) -> tuple[Any, PreTrainedTokenizerBase, VisionProcessor | None]:
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
        PreTrainedTokenizerFast,
    )

    from sciRL.models.vision import load_processor, reads_images

    folder = Path(config.path)
    is_folder = folder.is_dir()
    if is_folder:
        _check_folder(folder)
    elif folder.is_file():
        raise UserError(f"model.path {config.path!r} is a file; name the folder that holds it")
    elif _looks_like_folder(config.path):
        raise UserError(
            f"model.path {config.path!r}: no such folder; "
            "allowed are 'tiny', an existing folder or a hub id such as 'Qwen/Qwen2.5-0.5B'"
        )
    try:
        # AutoTokenizer picks the class by architecture and would read a word-level Qwen2 folder as byte-pair encoding.
        tokenizer_class = PreTrainedTokenizerFast if is_folder and _is_word_level(folder) else AutoTokenizer
        tokenizer = tokenizer_class.from_pretrained(config.path, local_files_only=is_folder)
        sees = reads_images(AutoConfig.from_pretrained(config.path, local_files_only=is_folder))
        vision = load_processor(config.path, tokenizer, local_files_only=is_folder) if sees else None
        model_class: Any = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        # Without dtype=, transformers 5 takes the type the checkpoint was saved in.
        model = model_class.from_pretrained(
            config.path,
            dtype=getattr(torch, config.dtype),
            attn_implementation=config.attention,
            local_files_only=is_folder,
        )
    except (OSError, ValueError, ImportError, json.JSONDecodeError) as error:
        what = "could not be loaded" if is_folder else "is neither a folder nor a hub model that could be loaded"
        raise UserError(f"model.path {config.path!r} {what}: {_first_line(error)}") from error
    tokenizer.padding_side = "left"
    return model, tokenizer, vision


def _looks_like_folder(path: str) -> bool:
    return path.startswith((".", "/", "~")) or path.endswith("/") or path.count("/") > 1


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _check_folder(folder: Path) -> None:
    present = {item.name for item in folder.iterdir()}
    if "config.json" not in present:
        if "adapter_config.json" in present:
            raise UserError(
                f"model.path {str(folder)!r} holds a LoRA adapter only; "
                "merge it into its base model and name that folder"
            )
        raise UserError(
            f"model.path {str(folder)!r}: config.json is missing; "
            "a model folder needs config.json, weights and a tokenizer"
        )
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"model.path {str(folder)!r}: config.json is not valid JSON ({_first_line(error)})") from error
    if not present.intersection(WEIGHT_FILES):
        raise UserError(f"model.path {str(folder)!r}: no weights; expected one of {', '.join(WEIGHT_FILES)}")
    if not present.intersection(TOKENIZER_FILES):
        raise UserError(f"model.path {str(folder)!r}: no tokenizer; expected one of {', '.join(TOKENIZER_FILES)}")


def _is_word_level(folder: Path) -> bool:
    file = folder / "tokenizer.json"
    if not file.is_file():
        return False
    model = json.loads(file.read_text(encoding="utf-8")).get("model") or {}
    return bool(model.get("type") == "WordLevel")


def _check_vocabulary(
    path: str, model: Any, tokenizer: PreTrainedTokenizerBase, vocabulary: Sequence[str] | None
) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise UserError(
            f"model.path {path!r}: the tokenizer has {len(tokenizer)} tokens but the embedding only {rows} rows"
        )
    known = tokenizer.get_vocab()
    # Only a word-level tokenizer of ours can lack a word; hub tokenizers spell anything.
    if vocabulary is None or any(known.get(token) != index for index, token in enumerate(SPECIAL_TOKENS)):
        return
    missing = [token for token in vocabulary if token not in known]
    if missing:
        raise UserError(
            f"model.path {path!r}: its vocabulary lacks {len(missing)} of the domain's {len(vocabulary)} tokens "
            f"({', '.join(repr(token) for token in missing[:5])}); it was trained for another domain or version"
        )


def _eos_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    found: list[int] = []
    if tokenizer.eos_token_id is not None:
        found.append(int(tokenizer.eos_token_id))
    generation = getattr(model, "generation_config", None)
    listed = getattr(generation, "eos_token_id", None)
    for token in listed if isinstance(listed, list) else [listed]:
        if token is not None and int(token) not in found:
            found.append(int(token))
    return tuple(found)


def _with_lora(model: Any, settings: LoraSettings) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, lora)
    except ValueError as error:
        raise UserError(f"model.lora.targets is {settings.targets!r}: {_first_line(error)}") from error


def render_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Return the ids of a prompt: through the chat template if there is one, else <bos> and the plain text.

    Args:
        tokenizer: the policy's tokenizer.
        messages: chat messages with `role` and `content`; without a template the contents are joined by newlines.
    """
    if tokenizer.chat_template:
        encoded: Any = tokenizer.apply_chat_template(
            [dict(message) for message in messages], add_generation_prompt=True, tokenize=True, return_dict=True
        )
        return [int(token) for token in encoded["input_ids"]]
    text = "\n".join(message["content"] for message in messages)
    start = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    return start + tokenizer.encode(text, add_special_tokens=False)


def decode_completion(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> str:
    """Return the text of sampled ids without the special tokens at its end.

    Special tokens elsewhere stay visible, so that a verifier sees all that was sampled.
    """
    kept = [int(token) for token in ids]
    special = set(tokenizer.all_special_ids)
    while kept and kept[-1] in special:
        kept.pop()
    text = tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


def save_policy(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    vision: VisionProcessor | None = None,
) -> None:
    """Write a folder that `load_policy` and `from_pretrained` read; adapters are merged into a copy of the weights.

    The folder is written aside and then renamed; one that exists is replaced. With `vision` the processor is written
    too, and the weights under the names that the model has in memory, not those of older checkpoints of the hub.
    """
    target = Path(folder)
    aside = target.with_name(f".{target.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    plain: Any = model
    if hasattr(plain, "merge_and_unload"):
        # Merging in place and back again would change the base weights by rounding.
        plain = copy.deepcopy(plain).merge_and_unload()
    with _no_progress_bar():
        if vision is None:
            plain.save_pretrained(aside)
        else:
            plain.save_pretrained(aside, save_original_format=False)
    if vision is None:
        tokenizer.save_pretrained(aside)
    else:
        vision.save(aside)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(aside, target)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Checkpoints are frequent: a bar for each would drown the run's own display."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
