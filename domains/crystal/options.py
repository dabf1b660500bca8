"""Options of the crystal domain: the `domain:` section of a recipe."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

CodecName = Literal["wytext", "explicit", "coords", "cif"]
PromptStyle = Literal["chat", "compact"]
Condition = Literal["sg", "n_elements", "n_sites", "formula", "elements", "template", "e_form", "e_hull"]
TaskKind = Literal["conditions", "unconditional", "sg", "composition", "elements", "e_form", "e_hull", "infill"]
RubricName = Literal["strict", "ladder", "multiplicative", "staircase", "diverse", "sun", "naive"]
EnergyName = Literal["none", "chgnet"]


class CrystalOptions(BaseModel):
    """What is asked of the policy, in which text form, and how answers are judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    codec: CodecName = "wytext"
    """Text form of a crystal: wytext (Wyckoff text), explicit (all parameters), or coords and cif, which state no
    symmetry: their answers count as group 1 and cannot be asked for a group, sites or a template."""

    formula_line: bool | None = None
    """Whether WyText starts with the formula line; by default yes for chat prompts, no for compact ones."""

    cell_last: bool = False
    """Whether the CELL line of WyText comes after the sites."""

    prompt_style: PromptStyle = "compact"
    """compact: a few grammar tokens, for models made from scratch; chat: an instruction in plain language."""

    think: bool = False
    """Whether a chat prompt allows a <think> block before the answer."""

    kinds: tuple[TaskKind, ...] = Field(default=("conditions",), min_length=1)
    """Task kinds, dealt to the rows in turn; `conditions` asks for the conditions listed below."""

    conditions: tuple[Condition, ...] = ("sg", "n_elements", "n_sites")
    """What a `conditions` task fixes, with values drawn from a row of the split."""

    e_form_tolerance: float = Field(default=0.1, gt=0)
    """Half-width in eV/atom of the window around a formation energy target."""

    e_hull_max: float = Field(default=0.1, ge=0)
    """Largest energy above the hull in eV/atom that an e_hull task accepts."""

    augment_origin: bool = False
    """Whether a demonstration is rewritten at a random equivalent origin (same crystal, other letters)."""

    rubric: RubricName = "strict"
    """Reward preset: strict, ladder, multiplicative, staircase, diverse, sun or naive."""

    weights: dict[str, float] = Field(default_factory=dict)
    """Stage weights that replace those of the preset, by stage name."""

    energy_model: EnergyName = "none"
    """Energy model behind formation energy and e_hull scores: none or chgnet."""

    hull: str = "dataset"
    """Reference phases: `dataset` (lowest formation energies of the rows, a partial hull) or a CSV/JSON file."""

    max_atoms: int = Field(default=200, ge=1, le=400)
    """Largest conventional cell, in atoms, that is accepted as an answer."""

    @field_validator("conditions", "kinds")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"each name may appear once; found {', '.join(value)}")
        return value

    @field_validator("weights")
    @classmethod
    def _not_negative(cls, value: dict[str, float]) -> dict[str, float]:
        for name, weight in value.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of {name!r} must be a finite number >= 0; found {weight}")
        return value

    @model_validator(mode="after")
    def _answerable(self) -> CrystalOptions:
        if self.codec in ("coords", "cif"):
            asked = {*self.kinds, *(self.conditions if "conditions" in self.kinds else ())}
            impossible = [name for name in ("sg", "n_sites", "template", "infill") if name in asked]
            if impossible:
                raise ValueError(
                    f"codec={self.codec} states no symmetry, so no answer can meet {', '.join(impossible)}: remove "
                    "them from conditions and kinds, or choose codec=wytext or explicit"
                )
        return self

    @property
    def writes_formula(self) -> bool:
        """Whether answers carry the formula line once the prompt style has decided."""
        return self.prompt_style == "chat" if self.formula_line is None else self.formula_line


CONDITIONS: tuple[str, ...] = get_args(Condition)
