"""Products by oneDNN equal those of torch, with and without the library."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sciRL.models import onednn
from sciRL.models.onednn import Matrix, available, linear
from sciRL.models.tiny import tiny_model
from sciRL.rollout.base import GenerationRequest, SamplingParameters
from sciRL.rollout.lean import LeanSampler


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["oneDNN", "without"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "without":
        monkeypatch.setattr(onednn, "available", lambda tensor: False)
    elif not available(torch.zeros(1)):
        pytest.skip("this torch has no oneDNN")
    return str(request.param)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 130])
def test_linear_and_its_gradients(library: str, rows: int, biased: bool) -> None:
    x, weight, bias = random(rows, 12), random(20, 12, seed=1), random(20, seed=2) if biased else None
    upstream = random(rows, 20, seed=3)

    def gradients(function: Callable[..., Tensor]) -> list[Tensor]:
        inputs = [tensor.clone().requires_grad_() for tensor in (x, weight, bias) if tensor is not None]
        result = function(*inputs)
        result.backward(upstream)
        return [result.detach(), *(tensor.grad for tensor in inputs)]

    for found, expected in zip(gradients(linear), gradients(F.linear), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


def test_a_frozen_weight_gets_no_gradient() -> None:
    x, weight = random(5, 12).requires_grad_(), random(20, 12, seed=1)
    linear(x, weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand(5, -1))
    assert weight.grad is None


@pytest.mark.parametrize("rows", [1, 64, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_matrix_multiplies_adds_and_is_overwritten(library: str, dtype: torch.dtype, rows: int) -> None:
    x, first, second = (t.to(dtype) for t in (random(rows, 16), random(24, 16, seed=1), random(24, 16, seed=2)))
    bias, total = random(24, seed=3).to(dtype), random(rows, 24, seed=4)
    atol, rtol = (1e-5, 1e-5) if dtype == torch.float32 else (0.1, 0.02)
    biased, plain = Matrix(first.clone(), bias.clone()), Matrix(first.clone())
    for weight in (first, second):
        expected = x.float() @ weight.float().t()
        torch.testing.assert_close(biased(x).float(), expected + bias.float(), atol=atol, rtol=rtol)
        torch.testing.assert_close(plain.added(total.clone(), x), total + expected, atol=atol, rtol=rtol)
        biased.copy_(Matrix(second.clone(), bias.clone()))
        plain.copy_(Matrix(second.clone()))


def test_samples_are_the_same_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(40, "qwen2", hidden=48, layers=2, mlp=64, max_length=64)
    requests = [GenerationRequest((5, 6, 7 + seed % 2), seed) for seed in range(10)]
    drawn = LeanSampler(model, [2]).generate(requests, SamplingParameters(16))
    monkeypatch.setattr(onednn, "available", lambda tensor: False)
    plain = LeanSampler(model, [2]).generate(requests, SamplingParameters(16))
    assert [c.ids.tolist() for c in drawn] == [c.ids.tolist() for c in plain]
