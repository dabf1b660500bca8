"""State trees on disk: nested containers of tensors, arrays and plain values, exact and without pickle.

One file in safetensors format. Tensors are stored as they are; the shape of the tree and all plain
values are JSON text in the tensor named `tree`. Reading such a file never runs code.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sciRL.errors import UserError

Tree: TypeAlias = Any
TREE_KEY = "tree"


def save_tree(path: Path, tree: Tree) -> None:
    """Write a tree of dict, list, tuple, Tensor, ndarray, NumPy scalar, str, bytes, int, float, bool and None.

    Dictionary keys may be str, int, float, bool, None or tuples of them. Every dtype comes back exactly;
    tensors come back on the CPU.

    Raises:
        TypeError: another type, with the place where it stands.

    Example:
        >>> save_tree(path, {"optimizer": {0: {"step": torch.tensor(3.0)}}, "rng": rng_state()})
        >>> load_tree(path)["optimizer"][0]["step"]
        tensor(3.)
    """
    writer = _Writer()
    described = writer.describe(tree, "tree")
    text = json.dumps(described, separators=(",", ":")).encode()
    save_file({TREE_KEY: torch.frombuffer(bytearray(text), dtype=torch.uint8), **writer.tensors}, str(path))


def load_tree(path: Path) -> Tree:
    """Return the tree that `save_tree` wrote; an unreadable file raises `UserError`."""
    try:
        tensors = load_file(str(path))
        described = json.loads(tensors[TREE_KEY].numpy().tobytes())
        return _restore(described, tensors)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"state file {path} cannot be read: {error}") from None


class _Writer:
    """Turns a tree into JSON values and collects its tensors."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._storages: set[int] = set()

    def describe(self, value: Tree, place: str) -> Any:
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, dict):
            pairs = [
                [self.describe(_checked_key(key, place), place), self.describe(item, f"{place}[{key!r}]")]
                for key, item in value.items()
            ]
            return {"dict": pairs}
        if type(value) in (list, tuple):
            items = [self.describe(item, f"{place}[{index}]") for index, item in enumerate(value)]
            return {"list" if type(value) is list else "tuple": items}
        if isinstance(value, bytes):
            return {"bytes": base64.b64encode(value).decode()}
        if isinstance(value, Tensor):
            return self._describe_tensor(value)
        if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
            return self._describe_array(value)
        raise TypeError(f"{place}: a state tree cannot hold {type(value).__name__}")

    def _describe_tensor(self, tensor: Tensor) -> Any:
        stored = tensor.detach().cpu().contiguous()
        if stored.is_complex():
            return {"complex": self._store(torch.view_as_real(stored.resolve_conj()))}
        return {"tensor": self._store(stored)}

    def _describe_array(self, array: np.ndarray | np.generic) -> Any:
        # Raw bytes: NumPy has dtypes (byte order, structured, longdouble) that a tensor cannot carry.
        raw = torch.frombuffer(bytearray(array.tobytes() or b"\0"), dtype=torch.uint8)
        dtype = np.lib.format.dtype_to_descr(array.dtype)
        scalar = isinstance(array, np.generic)
        return {"array": [self._store(raw), self.describe(dtype, "dtype"), list(array.shape), scalar]}

    def _store(self, tensor: Tensor) -> str:
        # Tensors that share memory (tied weights, views) are stored once each: safetensors refuses sharing.
        address = tensor.untyped_storage().data_ptr()
        if address in self._storages:
            tensor = tensor.clone()
        self._storages.add(tensor.untyped_storage().data_ptr())
        name = f"tensor-{len(self.tensors)}"
        self.tensors[name] = tensor
        return name


def _checked_key(key: Any, place: str) -> Any:
    plain = key is None or type(key) in (bool, int, float, str)
    if not plain and not (type(key) is tuple and all(_checked_key(part, place) == part for part in key)):
        raise TypeError(f"{place}: a state tree cannot have a key of type {type(key).__name__}")
    return key


def _restore(described: Any, tensors: dict[str, Tensor]) -> Tree:
    if not isinstance(described, dict):
        return described
    ((kind, content),) = described.items()
    if kind == "dict":
        return {_restore(key, tensors): _restore(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_restore(item, tensors) for item in content]
        return items if kind == "list" else tuple(items)
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "tensor":
        return tensors[content]
    if kind == "complex":
        return torch.view_as_complex(tensors[content])
    name, dtype, shape, scalar = content
    return _restore_array(tensors[name], _restore(dtype, tensors), shape, scalar)


def _restore_array(raw: Tensor, descr: Any, shape: list[int], scalar: bool) -> Any:
    dtype = np.lib.format.descr_to_dtype(descr)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    # `frombuffer` refuses items of no bytes (an empty text); the constructor takes them.
    array = np.ndarray(shape, dtype, raw.numpy().tobytes()[: max(size, 1)]).copy()
    return array[()] if scalar else array
