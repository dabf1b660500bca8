"""Options of the CAD domain: the `domain:` section of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PromptStyle = Literal["chat", "compact"]
Ask = Literal["text", "design", "both", "image"]
Level = Literal["parameters", "abstract", "beginner", "intermediate", "expert"]
RubricName = Literal["cad_rl", "cadrille", "cad_coder", "strict", "measure", "executable"]


class JudgeOptions(BaseModel):
    """A language model that gives its opinion of an answer beside the measurements (see `sciRL.verification.judge`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    """OpenAI-compatible endpoint; questions go to BASE_URL/chat/completions."""

    model: str
    """Name of the model at the endpoint."""

    cache: str = "verdicts.sqlite"
    """File in which verdicts are kept, so that no question is asked twice."""

    api_key_env: str | None = None
    """Environment variable that holds the key; null sends none."""

    weight: float = Field(default=0.1, gt=0, lt=1)
    """Weight of the opinion beside the preset's stages, whose weights sum to about 1."""


class CadOptions(BaseModel):
    """What is asked of the policy, in which form it answers, and how the part it builds is judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt_style: PromptStyle = "compact"
    """compact: the bare question, answered by bare code, for models made from scratch; chat: an instruction in plain
    language, answered by thinking and a fenced code block."""

    ask: Ask = "design"
    """What states the part: text (words), design (the structured design language), both, or image (the picture, with
    one sentence that gives the size)."""

    image: bool = False
    """Whether the policy sees the part's picture before the words: needs a dataset built with images=true and a
    vision-language model."""

    level: Level = "expert"
    """Level of the words: abstract, beginner, intermediate, expert, or parameters (family and numbers by name)."""

    think: bool = False
    """Whether a demonstration carries the reasoning trace and a prompt allows a <think> block."""

    families: tuple[str, ...] = ()
    """Part families to use; empty takes all rows."""

    demonstrations: int = Field(default=0, ge=0)
    """How many training programs are imitated, drawn by the run's seed; the other rows are only asked. 0 takes all."""

    rubric: RubricName = "cad_rl"
    """Reward preset: cad_rl, cadrille, cad_coder, strict, measure or executable."""

    weights: dict[str, float] = Field(default_factory=dict)
    """Stage weights that replace those of the preset, by stage name."""

    judge: JudgeOptions | None = None
    """A language model whose opinion is paid beside the measurements; off by default."""

    single_solid: bool = True
    """Whether a part must be one solid; otherwise several that do not overlap are let through."""

    strict_iou: float = Field(default=0.99, gt=0, le=1)
    """Overlap (intersection over union) that the strict rule asks for."""

    iou_budget_s: float = Field(default=5.0, gt=0, le=60)
    """Seconds an exact overlap may take before it is estimated on seeded points."""

    sandbox_workers: int = Field(default=2, ge=1, le=256)
    """Scripts that run at the same time."""

    wall_limit_s: float = Field(default=20.0, gt=0, le=600)
    """Seconds of wall time a script may take."""

    unsafe_sandbox: bool = False
    """Whether scripts may run where the operating system offers no strong isolation: only for text you trust."""

    @model_validator(mode="after")
    def _picture_shown(self) -> CadOptions:
        if self.ask == "image" and not self.image:
            raise ValueError("ask is 'image', but image is false; set image=true")
        return self

    @field_validator("weights")
    @classmethod
    def _not_negative(cls, value: dict[str, float]) -> dict[str, float]:
        for name, weight in value.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of {name!r} must be a finite number >= 0; found {weight}")
        return value

    @field_validator("families")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"each family may appear once; found {', '.join(value)}")
        return value
