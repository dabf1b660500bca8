"""Vision-language models from scratch with under 0.2 M weights, saved as the folders that the hub has."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

Layout = Literal["qwen2_vl", "qwen2_5_vl", "llava"]

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
PAD, START, END, VISION_START, VISION_END, IMAGE, VIDEO = range(7)
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] %}{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_vision(folder: Path, layout: Layout = "qwen2_vl", seed: int = 0) -> Path:
    """Write model, character tokenizer and image processor; a picture becomes four placeholder tokens."""
    from transformers import AutoModelForImageTextToText

    tokenizer = _tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(_config(layout, len(tokenizer)), dtype=torch.float32)
        # Pictures must matter to a model that nobody has trained.
        for name, weight in model.named_parameters():
            if "visual.merger" in name or "projector" in name:
                weight.data.mul_(4.0)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = END, PAD
    model.save_pretrained(folder)
    if layout == "llava":
        _llava_processor(tokenizer).save_pretrained(folder)
    else:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        tokenizer.save_pretrained(folder)
        Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 56 * 56}).save_pretrained(folder)
    return folder


def write_picture(path: Path, seed: int, size: tuple[int, int] = (56, 56)) -> str:
    """Write a PNG of coloured noise, `size` pixels (width, height), and return its path."""
    from PIL import Image

    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return str(path)


def plain_processor(folder: Path) -> Any:
    """Return what transformers itself loads from a folder; without torchvision, less the part for videos."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, Qwen2_5_VLProcessor, Qwen2VLProcessor
    from transformers.utils import is_torchvision_available

    text = (folder / "config.json").read_text()
    if is_torchvision_available() or '"llava"' in text:
        return AutoProcessor.from_pretrained(folder)
    base = Qwen2_5_VLProcessor if '"qwen2_5_vl"' in text else Qwen2VLProcessor

    class WithoutVideo(base):  # type: ignore[misc, valid-type]
        def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
            return None

    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = (folder / "chat_template.jinja").read_text()
    return WithoutVideo(AutoImageProcessor.from_pretrained(folder), tokenizer, None, chat_template=template)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE({token: i for i, token in enumerate((*SPECIAL, *string.printable))}, merges=[]))
    backend.add_special_tokens(list(SPECIAL))
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=SPECIAL[PAD],
        eos_token=SPECIAL[END],
        extra_special_tokens=list(SPECIAL[1:]),
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _config(layout: Layout, vocabulary: int) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, Qwen2_5_VLConfig, Qwen2VLConfig

    text: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": END,
        "pad_token_id": PAD,
    }
    if layout == "llava":
        vision = CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        )
        return LlavaConfig(
            vision_config=vision,
            text_config=LlamaConfig(**text),
            image_token_id=IMAGE,
            image_seq_length=4,
            vision_feature_layer=-1,
            tie_word_embeddings=True,
        )
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    shared: dict[str, Any] = {
        "text_config": text,
        "image_token_id": IMAGE,
        "video_token_id": VIDEO,
        "vision_start_token_id": VISION_START,
        "vision_end_token_id": VISION_END,
        "tie_word_embeddings": True,
    }
    if layout == "qwen2_vl":
        vision_config = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
        return Qwen2VLConfig(vision_config=vision_config, **shared)
    vision_config = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    return Qwen2_5_VLConfig(vision_config={**vision_config, "fullatt_block_indexes": [1], "window_size": 56}, **shared)


def _llava_processor(tokenizer: Any) -> Any:
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    return LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        image_token=SPECIAL[IMAGE],
        num_additional_image_tokens=1,
    )
