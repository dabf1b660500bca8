"""Constants and formulas against numbers worked out by hand, and the differential equation they solve."""

from __future__ import annotations

import math

import pytest

from domains.nanorobot import physics
from domains.nanorobot.options import NanorobotOptions

Q, D, K, R = 2e5, 100.0, 0.01, 15.0
LENGTH = physics.screening_length(D, K)
POINT, SPHERE = physics.point_amplitude(Q, D), physics.sphere_amplitude(Q, D, K, R)


@pytest.mark.parametrize(
    ("viscosity", "radius", "d_t", "d_r"),
    [(1.2e-3, 1.0, 0.18931, 0.14198), (1.2e-3, 0.5, 0.37862, 1.13586), (0.69e-3, 1.0, 0.3292, 0.2469)],
)
def test_diffusion_of_a_sphere(viscosity: float, radius: float, d_t: float, d_r: float) -> None:
    assert physics.translational_diffusion(310.15, viscosity, radius) == pytest.approx(d_t, rel=2e-4)
    assert physics.rotational_diffusion(310.15, viscosity, radius) == pytest.approx(d_r, rel=2e-4)


def test_nano_sized_bodies_tumble_at_once() -> None:
    d_r = physics.rotational_diffusion(310.15, 1.2e-3, 0.1)
    assert d_r == pytest.approx(142, rel=1e-3)
    assert 1 / (2 * d_r) == pytest.approx(3.5e-3, rel=1e-2)


@pytest.mark.parametrize(("distance", "value"), [(50, 1.9306), (100, 0.5855), (200, 0.1077)])
def test_point_source(distance: float, value: float) -> None:
    assert physics.concentration(distance, POINT, LENGTH) == pytest.approx(value, abs=5e-5)


@pytest.mark.parametrize(("distance", "value"), [(15, 9.22637), (50, 1.95051), (100, 0.59152)])
def test_sphere_source(distance: float, value: float) -> None:
    assert physics.concentration(distance, SPHERE, LENGTH) == pytest.approx(value, abs=5e-6)


def test_surface_value_in_nanomolar() -> None:
    assert physics.concentration(R, SPHERE, LENGTH) / physics.NANOMOLAR == pytest.approx(15.3, abs=0.05)


def test_flux_through_the_surface_is_the_secretion() -> None:
    h = 1e-3
    ahead, behind = (physics.concentration(R + sign * h, SPHERE, LENGTH) for sign in (1, -1))
    assert -D * (ahead - behind) / (2 * h) * 4 * math.pi * R**2 == pytest.approx(Q, rel=1e-8)


@pytest.mark.parametrize("distance", [20.0, 60.0, 150.0])
def test_screened_poisson_equation(distance: float) -> None:
    # lap c = (r c)'' / r, by a sixth-order difference.
    h, weights = 2.0, (1 / 90, -3 / 20, 3 / 2, -49 / 18, 3 / 2, -3 / 20, 1 / 90)
    places = [distance + (i - 3) * h for i in range(7)]
    second = sum(w * r * physics.concentration(r, SPHERE, LENGTH) for w, r in zip(weights, places, strict=True)) / h**2
    here = physics.concentration(distance, SPHERE, LENGTH)
    assert D * second / distance - K * here == pytest.approx(0, abs=1e-9)


def test_relative_gradient() -> None:
    assert pytest.approx(100) == LENGTH
    assert physics.log_gradient(100, LENGTH) == pytest.approx(-0.020)
    change = math.log(physics.concentration(100 - 12.5, SPHERE, LENGTH) / physics.concentration(112.5, SPHERE, LENGTH))
    assert change == pytest.approx(0.5, abs=5e-3)


def test_counting_limits() -> None:
    count = physics.expected_count(1.0, D, 1.0, 0.1)
    assert count == pytest.approx(125.664, abs=1e-3)
    assert physics.absorber_error(count) == pytest.approx(0.08921, abs=1e-5)
    assert physics.monitor_error(count) == pytest.approx(0.13820, abs=1e-5)
    assert physics.monitor_error(count) == pytest.approx(math.sqrt(3 / (5 * math.pi * D * 1.0 * 1.0 * 0.1)))


def test_receptors_catch_a_share() -> None:
    assert physics.receptor_share(0, 0.001, 1.0) == 1.0
    assert physics.receptor_share(3142, 0.001, 1.0) == pytest.approx(0.5, abs=1e-3)
    few, many = (physics.receptor_share(n, 0.001, 1.0) for n in (10, 100_000))
    assert few == pytest.approx(0.01 / (0.01 + math.pi))
    assert few < many < 1


def test_poiseuille_flow() -> None:
    assert physics.poiseuille(5, 10, 1000) == pytest.approx(750)
    assert physics.poiseuille(12, 10, 1000) == 0.0
    cells = 10_000
    rings = [(i + 0.5) * 10 / cells for i in range(cells)]
    mean = sum(physics.poiseuille(rho, 10, 1000) * 2 * rho for rho in rings) * 10 / cells / 100
    assert mean == pytest.approx(500, rel=1e-6)


def test_effective_diffusion() -> None:
    options = NanorobotOptions()
    assert physics.effective_diffusion(25, 0.0, options.d_r, 1.0) == pytest.approx(162.3, abs=0.05)
    assert physics.effective_diffusion(25, options.d_t, options.d_r, 1.0) == pytest.approx(162.45, abs=0.05)
    assert physics.effective_diffusion(0, options.d_t, options.d_r) == pytest.approx(options.d_t)


def test_peclet_number() -> None:
    assert physics.peclet(0.3, D, K) == pytest.approx(0.3)
    assert physics.peclet(0.0, D, 0.0) == 0.0


@pytest.mark.parametrize("angle", [1e-6, 1e-3, 0.03, 0.2, 2.0, 8.0])
def test_heading_noise_has_the_exact_mean_cosine(angle: float) -> None:
    s = physics.heading_noise(angle / 2, 1.0)
    assert physics.mean_cosine(s) == pytest.approx(math.exp(-angle), rel=1e-6)
    if angle <= 1e-3:
        assert s == pytest.approx(math.sqrt(angle), rel=1e-3)


def test_mean_cosine_does_not_jump_where_the_series_takes_over() -> None:
    assert physics.mean_cosine(1 / 0.0999999) == pytest.approx(physics.mean_cosine(1 / 0.1000001), rel=1e-5)
