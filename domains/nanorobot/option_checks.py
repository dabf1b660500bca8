"""Which combinations of option values make no sound simulation; the first problem is told in one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING

from domains.nanorobot import physics
from domains.nanorobot.presets import PRESETS

if TYPE_CHECKING:
    from domains.nanorobot.options import NanorobotOptions

MAX_PECLET = 0.3
MAX_STEPS = 1_000_000
MAX_DECAY_LENGTHS = 50.0
KAVOUSINEJAD_KEYS = {"preset", "test_tasks"}


def problem(options: NanorobotOptions) -> str | None:
    """Return what is wrong with the options as one sentence, or None."""
    if options.preset == "kavousinejad2024":
        fixed = PRESETS["kavousinejad2024"]
        given = options.model_fields_set - KAVOUSINEJAD_KEYS
        extra = sorted(key for key in given if key not in fixed or getattr(options, key) != fixed[key])
        allowed = ", ".join(sorted(KAVOUSINEJAD_KEYS))
        return f"{extra[0]}: preset=kavousinejad2024 has fixed values; allowed beside it: {allowed}" if extra else None
    checks: tuple[Callable[[NanorobotOptions], str | None], ...] = (
        _time,
        _motion,
        _geometry,
        _obstacles,
        _flow,
        _field,
    )
    return next((found for check in checks if (found := check(options))), None)


def _time(o: NanorobotOptions) -> str | None:
    largest = 0.2 / (2 * o.d_r)
    if o.dt > largest * (1 + 1e-9):
        return (
            f"dt: {o.dt:g} s is too long for a body of {o.robot_radius:g} um, which forgets its heading in "
            f"{1 / (2 * o.d_r):.3g} s; at most 0.2 / (2 D_r) = {largest:.3g} s"
        )
    if o.reading_time > o.dt * (1 + 1e-9):
        return f"sense_time: {o.sense_time:g} s is longer than the step dt={o.dt:g} s: readings would overlap"
    if o.duration < o.dt:
        return f"duration: {o.duration:g} s is shorter than one step dt={o.dt:g} s"
    if o.duration / o.dt > MAX_STEPS:
        return f"duration: {o.duration:g} s of dt={o.dt:g} s are more than {MAX_STEPS} steps"
    if o.tau_fast >= o.tau_slow:
        return f"tau_fast: {o.tau_fast:g} s must be shorter than tau_slow={o.tau_slow:g} s"
    if o.tau_fast < o.dt:
        return f"tau_fast: {o.tau_fast:g} s must be at least the step dt={o.dt:g} s"
    return None


def _motion(o: NanorobotOptions) -> str | None:
    moved = (o.speed + math.hypot(*o.drift) + o.flow_peak) * o.dt
    if moved >= o.tumour_radius / 2:
        return (
            f"dt: a step of {o.dt:g} s moves {moved:.3g} um by swimming and flow, which could jump over a tumour; "
            f"it must be below tumour_radius / 2 = {o.tumour_radius / 2:g} um"
        )
    jitter = math.sqrt(6 * o.d_t * o.dt)
    if jitter >= o.tumour_radius / 2:
        return f"dt: a step of {o.dt:g} s diffuses {jitter:.3g} um; it must be below tumour_radius / 2"
    return None


def _geometry(o: NanorobotOptions) -> str | None:
    half = o.box / 2
    if o.start_min >= o.start_max:
        return f"start_min: {o.start_min:g} um must be below start_max={o.start_max:g} um"
    if o.start_min <= o.hit_distance:
        return f"start_min: {o.start_min:g} um is within touch of the tumour ({o.hit_distance:g} um)"
    if o.tumour_radius + 2 * o.robot_radius >= half:
        return f"tumour_radius: {o.tumour_radius:g} um does not fit in a box of {o.box:g} um"
    if o.placement == "random":
        return None
    for position in o.tumour_positions:
        if max(map(abs, position)) + o.tumour_radius > half:
            return f"tumour_positions: {position} with radius {o.tumour_radius:g} um leaves the box of {o.box:g} um"
    for first, second in combinations(o.tumour_positions, 2):
        if math.dist(first, second) < 2 * o.tumour_radius:
            return f"tumour_positions: the tumours at {first} and {second} overlap"
    return None


def _obstacles(o: NanorobotOptions) -> str | None:
    for x, y, z, radius in o.obstacles:
        if not 0 < radius < o.box / 2 or max(abs(x), abs(y), abs(z)) > o.box / 2:
            return (
                f"obstacles: {(x, y, z, radius)} needs a centre in the box of {o.box:g} um and a radius below its half"
            )
        for tumour in o.tumour_positions if o.placement == "fixed" else ():
            if math.dist((x, y, z), tumour) < radius + o.tumour_radius + 2 * o.robot_radius:
                return f"obstacles: {(x, y, z, radius)} leaves no room for the robot around the tumour at {tumour}"
    return None


def _flow(o: NanorobotOptions) -> str | None:
    drift = math.hypot(*o.drift)
    number = physics.peclet(drift, o.diffusion, o.decay)
    if number >= MAX_PECLET:
        return (
            f"drift: {drift:g} um/s has a Peclet number of {number:.3g} and would deform the field; "
            f"it must be below {MAX_PECLET}"
        )
    if o.flow_peak == 0:
        return None
    if o.field != "grid":
        return "flow_peak: with Poiseuille flow the field is no longer radial; it needs field=grid"
    if o.vessel_radius + o.robot_radius >= o.box / 2:
        return f"vessel_radius: {o.vessel_radius:g} um does not fit in a box of {o.box:g} um"
    spheres = [(*position, o.tumour_radius) for position in o.tumour_positions] + list(o.obstacles)
    for _, y, z, radius in spheres:
        if math.hypot(y, z) < o.vessel_radius + radius + o.box / o.grid_cells:
            return f"vessel_radius: a sphere of {radius:g} um at y={y:g}, z={z:g} stands in or beside the vessel"
    return None


def _field(o: NanorobotOptions) -> str | None:
    if o.source == "sphere" and o.tumour_radius / o.screening > MAX_DECAY_LENGTHS:
        return f"decay: the field's reach of {o.screening:.3g} um is below tumour_radius / {MAX_DECAY_LENGTHS:g}"
    if o.field != "grid":
        return None
    if o.placement != "fixed":
        return "placement: field=grid is solved once for fixed tumours; choose placement=fixed or field=analytic"
    if o.decay <= 0:
        return "decay: in a closed box the biomarker never settles without decay; field=grid needs decay above 0"
    if o.source == "point":
        return "source: field=grid lets the biomarker out through the tumour's surface; choose source=sphere"
    if o.box / o.grid_cells > o.tumour_radius:
        return f"grid_cells: cells of {o.box / o.grid_cells:.3g} um are larger than the tumour radius"
    return None
