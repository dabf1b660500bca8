"""Options of the GFlowNet domain: the `domain:` section of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

EnvironmentName = Literal["hypergrid", "bits", "molecules", "crystals"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GridOptions(_Section):
    """A hypergrid (Bengio et al. 2021)."""

    dimensions: int = Field(2, ge=1, le=10)
    """Axes D."""
    side: int = Field(8, ge=2, le=256)
    """Cells along each axis H."""
    reward: Literal["original", "cosine", "sparse", "deceptive"] = "original"
    """Shape of the reward."""
    r0: float | None = Field(None, gt=0)
    """Background; null takes the shape's own."""
    r1: float | None = Field(None, ge=0)
    """Plateau; null takes the shape's own."""
    r2: float | None = Field(None, ge=0)
    """Modes; null takes the shape's own."""


class BitOptions(_Section):
    """Sequences of bits near a set of modes."""

    n: int = Field(120, ge=8, le=512)
    """Bits, a multiple of 8."""
    word: int = Field(8, ge=1, le=16)
    """Bits an action writes; divides n."""
    beta: float = Field(3.0, gt=0)
    """Sharpness of exp(-beta distance / n)."""
    order: Literal["append", "fill"] = "append"
    """append: from left to right; fill: any open place."""
    seed: int = Field(0, ge=0)
    """Of the modes."""


class MoleculeOptions(_Section):
    """Molecules as trees of fragments, R = QED^a window(logP) ((10 - SA) / 9)^b."""

    max_nodes: int = Field(6, ge=1, le=16)
    """Most fragments."""
    qed_power: float = Field(1.0, ge=0)
    """Exponent a of the drug-likeness."""
    sa_power: float = Field(1.0, ge=0)
    """Exponent b of the synthetic accessibility."""
    logp_low: float = 0.0
    """Lower edge of the window of logP."""
    logp_high: float = 5.0
    """Upper edge of the window of logP."""
    rubric: Literal["druglike", "novel", "strict"] = "strict"
    """Preset that judges samples."""

    @model_validator(mode="after")
    def _window(self) -> MoleculeOptions:
        if self.logp_low >= self.logp_high:
            raise ValueError(f"logp_low {self.logp_low} must be below logp_high {self.logp_high}")
        return self


class CrystalsOptions(_Section):
    """Crystals as a stack of choices, rewarded by the crystal domain's own rubric."""

    rubric: Literal["strict", "ladder", "multiplicative", "staircase", "naive"] = "strict"
    """Preset of the crystal domain that judges samples and, as log(floor + score), rewards them."""
    floor: float = Field(1e-4, gt=0, lt=1)
    """Added to the score: what a crystal of score 0 is worth."""


class GFlowNetOptions(_Section):
    """Which objects are drawn; only the section of the chosen environment is used."""

    environment: EnvironmentName = "hypergrid"
    """hypergrid, bits, molecules or crystals."""
    grid: GridOptions = GridOptions()
    """Of environment hypergrid."""
    bits: BitOptions = BitOptions()
    """Of environment bits."""
    molecules: MoleculeOptions = MoleculeOptions()
    """Of environment molecules."""
    crystals: CrystalsOptions = CrystalsOptions()
    """Of environment crystals."""

    @model_validator(mode="after")
    def _only_the_chosen_section(self) -> GFlowNetOptions:
        own = {"hypergrid": "grid", "bits": "bits", "molecules": "molecules", "crystals": "crystals"}
        for name in self.model_fields_set & set(own.values()) - {own[self.environment]}:
            if getattr(self, name) != type(getattr(self, name))():
                raise ValueError(f"{name} is set, but environment={self.environment} does not read it: remove it")
        return self
