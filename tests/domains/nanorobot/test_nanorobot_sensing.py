"""Fields (analytic and solved on a lattice) and the counting sensor."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from domains.nanorobot import lattice, physics
from domains.nanorobot.field import AnalyticField, GridField, make_field, squared_distances
from domains.nanorobot.options import NanorobotOptions
from domains.nanorobot.sensor import Sensor, poisson

CPU = torch.device("cpu")
# Reach 20 um: the walls of this box hardly matter.
SHORT = {"box": 200.0, "decay": 0.25, "field": "grid", "start_min": 40.0, "start_max": 80.0, "background": 0.0}


def along_x(*distances: float) -> torch.Tensor:
    position = torch.zeros(3, len(distances))
    position[0] = torch.tensor(distances)
    return position


def test_analytic_field_is_the_formula() -> None:
    field = AnalyticField(NanorobotOptions(background=0.0))
    position = along_x(15.0, 50.0, 100.0, 3.0)
    squared = squared_distances(position, torch.zeros(1, 3, 4))
    # Within the tumour the field stays at its surface value.
    expected = [9.22637, 1.95051, 0.59152, 9.22637]
    assert field.concentration(position, squared).tolist() == pytest.approx(expected, rel=1e-5)


def test_several_tumours_add_up() -> None:
    centres = ((0.0, 0.0, 0.0), (80.0, 0.0, 0.0), (0.0, 90.0, 0.0))
    options = NanorobotOptions(tumour_positions=centres, background=0.6)
    tumours = torch.tensor(centres).unsqueeze(-1).expand(3, 3, 1)
    position = torch.tensor([[30.0], [40.0], [-20.0]])
    found = float(make_field(options, CPU).concentration(position, squared_distances(position, tumours)))
    parts = [physics.concentration(math.dist((30, 40, -20), c), options.amplitude, options.screening) for c in centres]
    assert found == pytest.approx(0.6 + sum(parts), rel=1e-5)


@pytest.mark.parametrize("source", ["sphere", "point"])
def test_gradient_is_that_of_the_field(source: str) -> None:
    options = NanorobotOptions(source=source, tumour_positions=((0, 0, 0), (70, 20, 0)))
    field = AnalyticField(options)
    tumours = torch.tensor(options.tumour_positions).unsqueeze(-1).expand(2, 3, 40).clone()
    generator = torch.Generator().manual_seed(0)
    position = (torch.randn(3, 40, generator=generator) * 20 + 60).requires_grad_()
    squared = ((position.unsqueeze(0) - tumours) ** 2).sum(1)
    keep = (squared > 16**2).all(0)
    distance = squared.sqrt()
    total = (options.amplitude * torch.exp(-distance / options.screening) / distance).sum()
    (expected,) = torch.autograd.grad(total, position)
    found = field.gradient(position.detach(), tumours)
    assert torch.allclose(found[:, keep], expected[:, keep], rtol=1e-4, atol=1e-6)


def test_lattice_keeps_the_balance_of_molecules() -> None:
    options = NanorobotOptions(**{**SHORT, "decay": 0.02, "grid_cells": 20, "obstacles": ((50.0, 0.0, 0.0, 15.0),)})
    solid, _ = lattice.solids(options)
    excess = lattice.solve(options)
    spacing = options.box / options.grid_cells
    # Walls and obstacles let nothing through, so all that is secreted decays inside.
    assert options.decay * excess[~solid].sum() * spacing**3 == pytest.approx(options.secretion, rel=1e-6)


def test_lattice_agrees_with_the_formula_far_from_walls() -> None:
    options = NanorobotOptions(**SHORT)
    field = make_field(options, CPU)
    assert isinstance(field, GridField)
    directions = torch.nn.functional.normalize(torch.randn(3, 200, generator=torch.Generator().manual_seed(0)), dim=0)
    for distance in (30.0, 45.0, 60.0):
        position = directions * distance
        found = float(field.concentration(position, position[:1]).mean())
        expected = physics.concentration(distance, options.amplitude, options.screening)
        assert found == pytest.approx(expected, rel=0.08)
    gradient = field.gradient(directions * 45, torch.zeros(1, 3, 200))
    along = -(gradient * directions).sum(0)
    slope = physics.concentration(45, options.amplitude, options.screening) * -physics.log_gradient(
        45, options.screening
    )
    assert float(along.mean()) == pytest.approx(slope, rel=0.1)


def test_walls_hold_the_biomarker_back() -> None:
    options = NanorobotOptions(**{**SHORT, "decay": 0.01, "grid_cells": 20})
    field = make_field(options, CPU)
    position = along_x(95.0)
    free = physics.concentration(95.0, options.amplitude, options.screening)
    assert float(field.concentration(position, position[:1])) > 1.5 * free


def test_vessel_flow_carries_the_biomarker_downstream() -> None:
    values = {**SHORT, "decay": 0.05, "grid_cells": 20, "vessel_radius": 25.0, "flow_peak": 60.0, "dt": 0.05}
    options = NanorobotOptions(**values, tumour_positions=((0.0, 60.0, 0.0),))
    excess = lattice.solve(options)
    solid, _ = lattice.solids(options)
    spacing = options.box / options.grid_cells
    centres = lattice.cell_centres(options)
    speed = options.flow_peak * np.maximum(0, 1 - (centres[..., 1:] ** 2).sum(-1) / options.vessel_radius**2)
    washed = (speed[-1] * excess[-1]).sum() * spacing**2
    decayed = options.decay * excess[~solid].sum() * spacing**3
    assert washed > 0.05 * options.secretion
    assert washed + decayed == pytest.approx(options.secretion, rel=1e-6)
    inside = speed > 0
    assert excess[10:][inside[10:]].mean() > 1.5 * excess[:10][inside[:10]].mean()


def test_interpolation_is_exact_for_linear_fields() -> None:
    axis = (torch.arange(10.0) + 0.5) * 2 - 10
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    field = GridField(3 * x - y + 0.5 * z + 50, 20.0, CPU)
    position = torch.rand(3, 100, generator=torch.Generator().manual_seed(1)) * 16 - 8
    expected = 3 * position[0] - position[1] + 0.5 * position[2] + 50
    assert torch.allclose(field.concentration(position, position[:1]), expected, atol=1e-3)
    gradient = field.gradient(position * 0.8, torch.zeros(1, 3, 100)).mean(1)
    assert gradient.tolist() == pytest.approx([3, -1, 0.5], abs=1e-2)


@pytest.mark.parametrize("mean", [0.3, 4.0, 11.9, 12.1, 40.0, 125.664])
def test_counts_are_poisson(mean: float) -> None:
    normals = torch.randn(400_000, generator=torch.Generator().manual_seed(5))
    counts = poisson(torch.full_like(normals, mean), normals, small=True)
    assert bool((counts == counts.floor()).all())
    assert float(counts.mean()) == pytest.approx(mean, rel=3e-3)
    assert float(counts.var()) == pytest.approx(mean, rel=0.015)
    k = np.arange(0, 260)
    found = np.bincount(counts.numpy().astype(int), minlength=260)[:260] / len(normals)
    # Total variation between the measured and the exact law.
    assert 0.5 * np.abs(found - stats.poisson.pmf(k, mean)).sum() < 0.012


@pytest.mark.parametrize(("kind", "error"), [("absorber", 0.08921), ("monitor", 0.13820), ("exact", 0.0)])
def test_relative_error_of_a_reading(kind: str, error: float) -> None:
    options = NanorobotOptions(sensor=kind)
    assert options.counts_per_concentration == pytest.approx(125.664, abs=1e-3)
    sensor = Sensor(options.counts_per_concentration, kind, least=0.6)
    normals = torch.randn(200_000, generator=torch.Generator().manual_seed(6))
    estimate = sensor.estimate(torch.ones_like(normals), normals)
    assert float(estimate.mean()) == pytest.approx(1, abs=2e-3)
    assert float(estimate.std()) == pytest.approx(error, rel=0.01)
    # One count more or less is 0.008 of the estimate.
    reading = sensor.log_reading(torch.ones(8), torch.zeros(8))
    assert float(reading[0]) == pytest.approx(math.log(1.05), abs=0.008)
    assert float(estimate.max()) <= sensor.largest(1.0)
