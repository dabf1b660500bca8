"""Pictures for vision-language models: the model's own processor renders prompts and makes the pixel tensors.

A row keeps its ids, with the placeholder tokens that the processor has expanded, and the paths of its pictures. The
tensors that a forward pass needs besides are made from the paths where the pass is done. That works for every model
whose pixel tensors lie end to end along dimension 0 in the order of the rows (Qwen2-VL, Qwen2.5-VL, LLaVA, ...).

Example: a Qwen2-VL row with one picture of 56 x 56 pixels has 4 placeholder ids, and its forward pass gets
`pixel_values` [16, 1176], `image_grid_thw` [[1, 4, 4]] and `mm_token_type_ids` [1, T], which is 1 on the placeholders.

Shapes: B rows, T columns.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sciRL.errors import UserError
from sciRL.task import Message

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PreTrainedTokenizerBase

CACHED = 32
"""Rows whose pixel tensors are kept: about the pictures of one step."""


def reads_images(config: Any) -> bool:
    """Whether a model's configuration is that of a vision-language model."""
    if not hasattr(config, "vision_config"):
        return False
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    return type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


class VisionProcessor:
    """What a vision-language model needs to see: its processor, and the tensors of the pictures seen last.

    Args:
        processor: of transformers, with tokenizer and image processor.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.image_token_id = int(processor.image_token_id)
        self.typed = "mm_token_type_ids" in processor.model_input_names
        self._pixels: OrderedDict[tuple[Any, ...], dict[str, Tensor]] = OrderedDict()

    def render_with_images(self, messages: Sequence[Message], images: Sequence[str]) -> list[int]:
        """Return the ids of a chat, with the pictures before the text of its last user message.

        Raises:
            UserError: no chat template, a file that is no picture, or a text that holds the placeholder itself.
        """
        if not self.processor.chat_template:
            raise UserError("the model's processor has no chat template, which a prompt with pictures needs")
        placeholder = self.processor.image_token
        if any(placeholder in message["content"] for message in messages):
            raise UserError(f"a prompt's text holds {placeholder!r}, the model's placeholder for a picture; remove it")
        last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=0)
        parts: list[list[dict[str, Any]]] = [[{"type": "text", "text": message["content"]}] for message in messages]
        parts[last] = [{"type": "image", "image": open_image(path)} for path in images] + parts[last]
        chat = [{"role": m["role"], "content": content} for m, content in zip(messages, parts, strict=True)]
        encoded = self.processor.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        return [int(token) for token in encoded["input_ids"][0]]

    def model_inputs(self, images: Sequence[Sequence[str]], ids_BT: Tensor) -> dict[str, Tensor]:
        """Return what a forward pass over rows needs besides their ids, on the device of the ids; {} without pictures.

        Args:
            images: paths of the pictures of each row [B].
            ids_BT: the rows' ids, padded on either side.

        Raises:
            UserError: a row with placeholders but no pictures, or the other way round.
        """
        holds_B = (ids_BT == self.image_token_id).any(dim=1).tolist()
        for row, (paths, holds) in enumerate(zip(images, holds_B, strict=True)):
            if bool(paths) != holds:
                found = "holds a placeholder for a picture" if holds else "holds no placeholder"
                raise UserError(f"row {row} has {len(paths)} pictures, but its text {found} ({self._token()})")
        rows = [self._row(tuple(paths)) for paths in images if paths]
        if not rows:
            return {}
        inputs = {name: torch.cat([row[name] for row in rows]).to(ids_BT.device) for name in rows[0]}
        if self.typed:
            inputs["mm_token_type_ids"] = (ids_BT == self.image_token_id).long()
        return inputs

    def without_placeholders(self, ids: Sequence[int]) -> list[int]:
        """Return ids less placeholders, for texts that may hold anything, such as replies that echo a policy."""
        return [token for token in ids if token != self.image_token_id]

    def _token(self) -> str:
        return f"{self.processor.image_token!r}, id {self.image_token_id}"

    def _row(self, paths: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the pixel tensors of one row's pictures."""
        key = tuple((path, _version(path)) for path in paths)
        if key not in self._pixels:
            made = self.processor.image_processor(images=[open_image(path) for path in paths], return_tensors="pt")
            self._pixels[key] = {name: value for name, value in made.items() if isinstance(value, Tensor)}
        self._pixels.move_to_end(key)
        while len(self._pixels) > CACHED:
            self._pixels.popitem(last=False)
        return self._pixels[key]

    def save(self, folder: Path) -> None:
        """Write the processor, tokenizer and chat template beside the model's weights."""
        if getattr(self.processor, "video_processor", None) is not None or not _takes_video(type(self.processor)):
            self.processor.save_pretrained(folder)
            return
        # The layout of the older checkpoints on the hub: a processor of videos is made from the same file.
        self.processor.image_processor.save_pretrained(folder)
        self.processor.tokenizer.save_pretrained(folder)


def load_processor(path: str, tokenizer: PreTrainedTokenizerBase, *, local_files_only: bool) -> VisionProcessor:
    """Load the processor of a folder or hub id, and let it use `tokenizer`.

    Raises:
        OSError, ValueError, ImportError: there is none, it has no placeholder, or a library that it needs is missing.
    """
    from transformers import AutoImageProcessor, AutoProcessor
    from transformers.utils import is_torchvision_available

    if is_torchvision_available() or not _takes_video(processor_class := _processor_class(path, local_files_only)):
        processor = AutoProcessor.from_pretrained(path, local_files_only=local_files_only)
        processor.tokenizer = tokenizer
    else:
        image_processor = AutoImageProcessor.from_pretrained(path, local_files_only=local_files_only, backend="pil")
        processor = _without_video(processor_class, image_processor, tokenizer)
    if getattr(processor, "image_token_id", None) is None:
        raise ValueError(f"its processor ({type(processor).__name__}) names no placeholder for a picture")
    if tokenizer.chat_template is None:
        tokenizer.chat_template = processor.chat_template
    return VisionProcessor(processor)


def open_image(path: str) -> Image:
    """Return a picture in RGB.

    Raises:
        UserError: Pillow is missing, or the file is no picture.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise UserError("reading pictures needs Pillow: pip install pillow") from error
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise UserError(f"task image {path}: is no picture that can be read ({error})") from error


def _version(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise UserError(f"task image {path}: cannot be read ({error.strerror})") from error
    return status.st_mtime_ns, status.st_size


def _processor_class(path: str, local_files_only: bool) -> type:
    """Return the processor class that belongs to a model's configuration."""
    from transformers import PROCESSOR_MAPPING, AutoConfig

    config: Any = AutoConfig.from_pretrained(path, local_files_only=local_files_only)
    found: Any = PROCESSOR_MAPPING[type(config)]
    if not isinstance(found, type):
        raise ValueError(f"transformers has no processor for {type(config).__name__}")
    return found


def _takes_video(processor_class: type) -> bool:
    return "video_processor" in inspect.signature(processor_class).parameters


def _without_video(processor_class: type, image_processor: Any, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Return a processor that leaves videos out: the part for them needs torchvision, pictures need only Pillow."""

    def check(self: Any, name: str, argument: Any) -> Any:
        return None if argument is None else processor_class.check_argument_for_proper_class(self, name, argument)  # type: ignore[attr-defined]

    pictures_only = type(processor_class.__name__, (processor_class,), {"check_argument_for_proper_class": check})
    return pictures_only(
        image_processor=image_processor,
        tokenizer=tokenizer,
        video_processor=None,
        chat_template=tokenizer.chat_template,
    )
