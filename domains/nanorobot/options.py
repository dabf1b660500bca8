"""Options of the nanorobot domain: the `domain:` section of a recipe, with the unit and source of every value."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domains.nanorobot import physics
from domains.nanorobot.option_checks import problem
from domains.nanorobot.presets import PRESETS, PresetName

Point = tuple[float, float, float]
Sphere = tuple[float, float, float, float]
ActionSet = Literal["run_tumble", "turn6", "steer", "scripted"]
ObservationSet = Literal["temporal", "spatial", "oracle"]
SensorName = Literal["absorber", "monitor", "exact"]


class NanorobotOptions(BaseModel):
    """A search by one robot for secreting tumours in a closed box, and what the robot senses and can do.

    Values that a preset sets (see `presets`) apply only where the user gave none.

    Example: `NanorobotOptions(preset="strong").secretion` is 500000.0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    preset: PresetName = "standard"
    """Named setting: standard, strong, hard, or kavousinejad2024 (a scripted oracle that shows no learning)."""

    actions: ActionSet = "run_tumble"
    """run_tumble (0 run, 1 tumble), turn6 (heading +x, -x, +y, -y, +z, -z), steer (0 straight on, 1-6 turn towards
    an axis at most by turn_rate), or scripted (0 hold, 1 head along the true gradient: an upper bound only)."""

    observation: ObservationSet = "temporal"
    """temporal (fast, slow, fast - slow, time since tumble), spatial (six receptors and the heading), or oracle
    (true gradient and heading: an upper bound only)."""

    temperature: float = Field(default=310.15, ge=250, le=400)
    """Absolute temperature in K (37 degrees Celsius)."""

    viscosity: float = Field(default=1.2e-3, ge=1e-4, le=1.0)
    """Dynamic viscosity in Pa s: plasma 1.2e-3, water at 37 degrees Celsius 0.69e-3, tissue 1e-3 to 1e-2."""

    robot_radius: float = Field(default=1.0, ge=0.05, le=10)
    """Body radius in um; 0.1 um and below turns over in milliseconds and keeps no heading (Stokes-Einstein-Debye)."""

    speed: float = Field(default=25.0, ge=0, le=500)
    """Swimming speed in um/s: E. coli 20-30 (Berg and Brown 1972), catalytic and magnetic swimmers 5-50."""

    diffusion: float = Field(default=100.0, ge=1, le=2000)
    """Diffusion of the biomarker in um^2/s: small protein in water 100, in tissue 10-60, small molecule 300."""

    decay: float = Field(default=0.01, ge=0, le=10)
    """Clearance rate of the biomarker in 1/s; the field reaches sqrt(diffusion / decay) = 100 um by default."""

    secretion: float = Field(default=2e5, ge=0, le=1e9)
    """Molecules/s that one tumour secretes; 2e5 is an optimistic 15 um spheroid (10 to 1e4 per cell and second)."""

    tumour_radius: float = Field(default=15.0, ge=1, le=200)
    """Radius of every tumour in um; a robot has found one when its centre is closer than tumour and body radius."""

    tumour_positions: tuple[Point, ...] = Field(default=((0.0, 0.0, 0.0),), min_length=1, max_length=3)
    """Centres of the tumours in um, the box being centred at the origin."""

    placement: Literal["fixed", "random"] = "fixed"
    """fixed: tumours stand at tumour_positions; random: as many are placed anew in every episode."""

    source: Literal["sphere", "point"] = "sphere"
    """Whether the biomarker leaves the tumour through its surface, or from a point at its centre."""

    field: Literal["analytic", "grid"] = "analytic"
    """analytic: superposed solutions in unbounded space, blind to walls and obstacles; grid: solved on a lattice."""

    grid_cells: int = Field(default=40, ge=8, le=80)
    """Lattice cells along each edge of the box when field=grid."""

    obstacles: tuple[Sphere, ...] = Field(default=(), max_length=32)
    """Impenetrable spheres as (x, y, z, radius) in um."""

    box: float = Field(default=400.0, ge=20, le=5000)
    """Edge of the cube in um; its walls reflect."""

    start_min: float = Field(default=100.0, gt=0, le=5000)
    """Smallest distance in um from the first tumour's centre at the start (every other tumour is farther, too)."""

    start_max: float = Field(default=180.0, gt=0, le=5000)
    """Largest distance in um from the first tumour's centre at the start."""

    background: float = Field(default=0.6, ge=0, le=1e4)
    """Concentration far from all tumours in molecules/um^3; 0.6 is 1 nM."""

    sensor: SensorName = "absorber"
    """absorber and monitor: the two counting limits of Berg and Purcell (1977); exact: no noise."""

    sensor_radius: float | None = Field(default=None, ge=0.01, le=10)
    """Radius of the absorbing body in um; by default robot_radius."""

    receptors: int = Field(default=0, ge=0, le=1_000_000)
    """Number of receptors, which catch N s / (N s + pi a) of the current; 0 for a perfect absorber."""

    receptor_radius: float = Field(default=0.001, gt=0, le=0.1)
    """Radius s of a receptor in um (Berg and Purcell 1977 take 1 nm)."""

    sense_time: float | None = Field(default=None, gt=0, le=10)
    """Counting time of one reading in s, at most dt; by default dt."""

    dt: float = Field(default=0.1, ge=1e-5, le=1)
    """Time step in s: at most 0.2 / (2 D_r), and no more than half a tumour radius of motion."""

    duration: float = Field(default=120.0, gt=0, le=3600)
    """Length of an episode in s."""

    tau_run: float = Field(default=1.0, gt=0, le=100)
    """Mean run in s of the scripted policies (E. coli: 1 s, Berg and Brown 1972)."""

    tumble_time: float = Field(default=0.0, ge=0, le=5)
    """Seconds without drive after a tumble (E. coli: 0.1 s, Berg and Brown 1972); 0 for an instant turn."""

    tau_fast: float = Field(default=0.3, gt=0, le=60)
    """Time constant in s of the fast average of the log reading."""

    tau_slow: float = Field(default=3.0, gt=0, le=600)
    """Time constant in s of the slow average (E. coli: 3-4 s, Segall, Block and Berg 1986)."""

    turn_rate: float = Field(default=math.pi, gt=0, le=100)
    """Fastest turn in rad/s when actions=steer."""

    drift: Point = (0.0, 0.0, 0.0)
    """Uniform flow of the tissue fluid in um/s, so slow that the field stays as it is: Peclet number below 0.3."""

    flow_peak: float = Field(default=0.0, ge=0, le=5000)
    """Largest speed in um/s of Poiseuille flow along x in a vessel through the origin; needs field=grid."""

    vessel_radius: float = Field(default=10.0, gt=0, le=1000)
    """Radius of that vessel in um; the fluid outside it rests."""

    hit_reward: float = Field(default=10.0, ge=0, le=1e4)
    """Reward for reaching a tumour."""

    time_cost: float = Field(default=0.1, ge=0, le=100)
    """Reward lost per second."""

    contact_cost: float = Field(default=0.05, ge=0, le=100)
    """Reward lost in a step that touches a wall or an obstacle."""

    shaping: float = Field(default=0.0, ge=0, le=100)
    """Weight of the potential ln c (policy-invariant shaping, Ng, Harada and Russell 1999); 0 for none."""

    shaping_discount: float = Field(default=0.99, gt=0, le=1)
    """Discount of the shaping term; equal to that of the learner."""

    record_every: float = Field(default=1.0, gt=0, le=60)
    """Seconds between two recorded positions of an evaluated episode."""

    test_tasks: int = Field(default=512, ge=1, le=100_000)
    """Number of held-out start conditions in the test and validation splits."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        # A recipe gives lists; read by way of this validator they would no longer pass for tuples.
        values = {name: _as_tuple(value) for name, value in values.items()}
        preset = values.get("preset", "standard")
        return {**PRESETS[preset], **values} if isinstance(preset, str) and preset in PRESETS else values

    @model_validator(mode="after")
    def _consistent(self) -> NanorobotOptions:
        found = problem(self)
        if found:
            raise ValueError(found)
        return self

    @property
    def d_t(self) -> float:
        """Translational diffusion of the body in um^2/s."""
        return physics.translational_diffusion(self.temperature, self.viscosity, self.robot_radius)

    @property
    def d_r(self) -> float:
        """Rotational diffusion of the body in 1/s."""
        return physics.rotational_diffusion(self.temperature, self.viscosity, self.robot_radius)

    @property
    def screening(self) -> float:
        """Reach lambda of the field in um."""
        return physics.screening_length(self.diffusion, self.decay)

    @property
    def amplitude(self) -> float:
        """A of one tumour's c(r) = A exp(-r / lambda) / r, in molecules/um^2."""
        if self.source == "point":
            return physics.point_amplitude(self.secretion, self.diffusion)
        return physics.sphere_amplitude(self.secretion, self.diffusion, self.decay, self.tumour_radius)

    @property
    def reading_time(self) -> float:
        """Counting time of one reading in s."""
        return self.dt if self.sense_time is None else self.sense_time

    @property
    def counts_per_concentration(self) -> float:
        """Mean count of one reading at 1 molecule/um^3."""
        radius = self.robot_radius if self.sensor_radius is None else self.sensor_radius
        share = physics.receptor_share(self.receptors, self.receptor_radius, radius)
        return physics.expected_count(1.0, self.diffusion, radius, self.reading_time, share)

    @property
    def steps(self) -> int:
        """Steps of an episode that runs out of time."""
        return max(1, round(self.duration / self.dt))

    @property
    def record_stride(self) -> int:
        """Steps between two recorded positions."""
        return max(1, round(self.record_every / self.dt))

    @property
    def hit_distance(self) -> float:
        """Distance in um between the centres at which a robot has found a tumour."""
        return self.tumour_radius + self.robot_radius

    @property
    def wall(self) -> float:
        """Largest coordinate in um that the robot's centre can have."""
        return self.box / 2 - self.robot_radius


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value
