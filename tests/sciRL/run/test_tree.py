"""State trees: what is read is what was written, to the bit, type and dtype."""

from __future__ import annotations

import random
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sciRL.errors import UserError
from sciRL.run.randomness import rng_state, seed_everything, set_rng_state
from sciRL.run.tree import load_tree, save_tree

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.bool),
    *(torch.complex128, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint64),
]


def same(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, torch.Tensor):
        same_kind = first.dtype == second.dtype and first.shape == second.shape
        return same_kind and same_bytes(first) == same_bytes(second)
    if isinstance(first, np.ndarray | np.generic):
        return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return repr(first) == repr(second)


def same_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


tensors = st.builds(
    lambda dtype, shape, seed: (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 9).to(dtype),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 99),
)
arrays = hnp.arrays(
    st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes(), hnp.array_dtypes(max_size=2)),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
)
plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(codec="utf-8")), st.binary()
)
keys = st.one_of(st.text(st.characters(codec="utf-8")), st.integers(), st.tuples(st.integers(), st.booleans()))
trees = st.recursive(
    st.one_of(plain, tensors, arrays, arrays.filter(lambda array: array.size > 0).map(lambda array: array.flat[0])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=6,
)


@given(trees)
def test_a_tree_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "tree.safetensors"
    save_tree(path, tree)
    assert same(load_tree(path), tree)


def test_shared_and_strided_tensors(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    tree = {"tied": weight, "again": weight, "view": weight[1], "transposed": weight.T}
    save_tree(tmp_path / "tree", tree)
    assert same(load_tree(tmp_path / "tree"), tree)


def test_an_optimizer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()

    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    step(model, optimizer)
    save_tree(tmp_path / "tree", {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    step(model, optimizer)

    loaded = load_tree(tmp_path / "tree")
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(loaded["model"])
    other_optimizer = torch.optim.AdamW(other.parameters())
    other_optimizer.load_state_dict(loaded["optimizer"])
    step(other, other_optimizer)
    assert torch.equal(other.weight, model.weight)


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_generators_go_on_where_they_stopped(tmp_path: Path) -> None:
    seed_everything(5)
    first = draw()
    save_tree(tmp_path / "tree", rng_state())
    second = draw()
    set_rng_state(load_tree(tmp_path / "tree"))
    assert draw() == second != first
    seed_everything(5)
    assert draw() == first


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": [object()]}, r"tree\['a'\]\[0\]: a state tree cannot hold object"),
        ({"a": Colour.RED}, "cannot hold Colour"),
        ({1.5: {b"k": 1}}, "cannot have a key of type bytes"),
        (np.array([object()]), "cannot hold ndarray"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, tree: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        save_tree(tmp_path / "tree", tree)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04."])
def test_an_unreadable_file_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tree").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load_tree(tmp_path / "tree")
