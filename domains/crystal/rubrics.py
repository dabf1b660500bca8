"""Rubric presets of the crystal domain: which verifiers, in which order, with which weights and gates.

==============  =================================================================================================
preset          what it pays
==============  =================================================================================================
strict          the acceptance rule: parse (gate), condition, distance, volume, neutral, sg_match, novel, unique,
                equal weights; a crystal passes only when every stage is 1
ladder          parse 1, condition 1, distance 1 (gate), volume 1 (gate), neutral 2 (gate), sg_match 1, e_form 1,
                e_hull 3; novel and unique together weigh as much as all others, so a known crystal gets half
multiplicative  the product of the strict rule's stages: every stage is a gate and only the last one pays, so a
                policy cannot trade a hard stage (the asked conditions) for easy ones
staircase       the strict rule's stages as gates, each paying the same: dense where `multiplicative` is silent (a
                prompt none of whose answers passes), and still no step can be had without those before it
diverse         the gates of `multiplicative`, then three equal parts: the strict rule, few answers to the same prompt
                that share a template, and, with an energy model and a hull, e_hull
sun             multiplicative with e_hull <= 0 as the stability rule (an energy model and a hull are required)
naive           parse, distance and volume only: the warning example, which a policy satisfies by collapsing
==============  =================================================================================================

With an energy model, tasks that ask for a formation energy are judged on it (`e_form`); with a hull too, the energy
above it is a stage (`e_hull`). `strict` measures that energy of every crystal but judges only tasks that name a limit:
its pass rate means the same with and without an energy model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from domains.crystal.codec import get_codec
from domains.crystal.codec.base import Codec
from domains.crystal.energy import EnergyModel
from domains.crystal.energy_verifiers import EForm, EHull, EnergyTable
from domains.crystal.hull import Hull
from domains.crystal.novelty import TrainingSet
from domains.crystal.reading import Reader
from domains.crystal.verifiers import (
    Condition,
    MinDistance,
    Neutral,
    Novel,
    Parse,
    SgMatch,
    TemplateSpread,
    Unique,
    Volume,
)
from sciRL.errors import UserError
from sciRL.verification.base import Rubric, Stage

STRICT_RADII_SHARE = 0.6
"""Shortest contact of the strict rule, as a share of the sum of covalent radii."""


@dataclass(frozen=True)
class Parts:
    """What the verifiers of a rubric need besides the answer text."""

    reader: Reader
    training: TrainingSet | None
    energy: EnergyModel | None
    hull: Hull | None
    max_atoms: int


def make_rubric(
    preset: str,
    *,
    training: TrainingSet | None = None,
    codec: Codec | str = "wytext",
    require_tags: bool = False,
    energy: EnergyModel | None = None,
    hull: Hull | None = None,
    max_atoms: int = 200,
    weights: Mapping[str, float] | None = None,
) -> Rubric:
    """Return a rubric preset.

    Args:
        preset: one of `PRESETS` (see the module's table).
        training: known crystals for the novelty stage; every preset but `naive` needs it.
        codec: a codec, or its name.
        require_tags: whether answers must stand between <answer> and </answer>.
        energy: adds the stages `e_form` (tasks that ask for one) and, with `hull`, `e_hull`.
        hull: reference phases.
        max_atoms: largest conventional cell.
        weights: stage weights that replace the preset's, by stage name.

    Raises:
        UserError: unknown preset or stage name, or a missing training set, energy model or hull.

    Example: `make_rubric("naive").component_names` is ("parse", "distance", "volume").
    """
    if preset not in PRESETS:
        raise UserError(f"unknown rubric {preset!r}; allowed: {', '.join(PRESETS)}")
    if training is None and preset != "naive":
        raise UserError(f"rubric {preset!r} needs a training set to judge novelty; only 'naive' works without")
    if hull is not None and energy is None:
        raise UserError(f"rubric {preset!r}: a hull ({hull.name}) needs an energy model to compare with")
    reader = Reader(get_codec(codec) if isinstance(codec, str) else codec, require_tags)
    stages = PRESETS[preset](Parts(reader, training, energy, hull, max_atoms))
    return Rubric(preset, _reweighted(preset, stages, weights or {}))


def _reweighted(preset: str, stages: list[Stage], weights: Mapping[str, float]) -> list[Stage]:
    names = [stage.verifier.name for stage in stages]
    unknown = sorted(set(weights) - set(names))
    if unknown:
        raise UserError(f"rubric {preset!r} has no stage {unknown[0]!r}; allowed: {', '.join(names)}")
    out = [replace(stage, weight=weights.get(stage.verifier.name, stage.weight)) for stage in stages]
    if not sum(stage.weight for stage in out) > 0:
        raise UserError(f"rubric {preset!r}: at least one of the weights of {', '.join(names)} must be above 0")
    return out


def _naive(parts: Parts) -> list[Stage]:
    return [
        Stage(Parse(parts.reader, parts.max_atoms), 1.0, gate=True),
        Stage(MinDistance(parts.reader), 1.0),
        Stage(Volume(parts.reader), 1.0),
    ]


def _cheap(parts: Parts, radii_share: float | None, gate: bool) -> dict[str, Stage]:
    """The stages that need neither a training set nor an energy model, in order of cost; parse is always a gate."""
    reader = parts.reader
    verifiers = [
        Parse(reader, parts.max_atoms),
        Condition(reader),
        MinDistance(reader, radii_share=radii_share),
        Volume(reader),
        Neutral(reader),
        SgMatch(reader),
    ]
    return {v.name: Stage(v, 1.0, gate=gate or v.name == "parse") for v in verifiers}


def _known(parts: Parts, gate: bool) -> dict[str, Stage]:
    assert parts.training is not None  # make_rubric has checked
    return {
        "novel": Stage(Novel(parts.reader, parts.training), 1.0, gate=gate),
        "unique": Stage(Unique(parts.reader), 1.0, gate=gate),
    }


def _energetic(parts: Parts, gate: bool, threshold: float | None = 0.1) -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    if parts.energy is not None:
        table = EnergyTable(parts.energy)
        stages["e_form"] = Stage(EForm(parts.reader, table), 1.0, gate=gate)
        if parts.hull is not None:
            stages["e_hull"] = Stage(EHull(parts.reader, table, parts.hull, threshold), 1.0, gate=gate)
    return stages


def _strict(parts: Parts) -> list[Stage]:
    stages = {
        **_cheap(parts, STRICT_RADII_SHARE, gate=False),
        **_known(parts, gate=False),
        **_energetic(parts, gate=False, threshold=None),
    }
    return list(stages.values())


def _ladder(parts: Parts) -> list[Stage]:
    stages = {**_cheap(parts, None, gate=True), **_energetic(parts, gate=False), **_known(parts, gate=False)}
    # Condition and symmetry pay without ending the evaluation; overlapping or impossible crystals go no further.
    for name in ("condition", "sg_match"):
        stages[name] = replace(stages[name], gate=False)
    weights = {"neutral": 2.0, "e_hull": 3.0}
    rungs = {name: weights.get(name, 1.0) for name in stages if name not in ("novel", "unique")}
    rungs["novel"] = rungs["unique"] = sum(rungs.values()) / 2
    return [replace(stage, weight=rungs[name]) for name, stage in stages.items()]


def _product(stages: dict[str, Stage]) -> list[Stage]:
    """All stages as gates; the last one alone pays, so the total is the product of pass/fail stages times its value."""
    gates = [replace(stage, weight=0.0, gate=True) for stage in stages.values()]
    return [*gates[:-1], replace(gates[-1], weight=1.0)]


def _gates(parts: Parts) -> dict[str, Stage]:
    """The strict rule and stability, every stage a gate."""
    cheap = _cheap(parts, STRICT_RADII_SHARE, gate=True)
    return {**cheap, **_known(parts, gate=True), **_energetic(parts, gate=True)}


def _multiplicative(parts: Parts) -> list[Stage]:
    return _product(_gates(parts))


def _diverse(parts: Parts) -> list[Stage]:
    gates = _gates(parts)
    energetic = [gates.pop(name) for name in ("e_form", "e_hull") if name in gates]
    # An answer meets the rule however many share its template: the share pays, and never fails.
    stages = [*gates.values(), Stage(TemplateSpread(parts.reader), 1.0, threshold=0.0), *energetic]
    paid = ("unique", "spread", "e_hull")
    return [stage if stage.verifier.name in paid else replace(stage, weight=0.0) for stage in stages]


def _staircase(parts: Parts) -> list[Stage]:
    return list(_gates(parts).values())


def _sun(parts: Parts) -> list[Stage]:
    if parts.energy is None or parts.hull is None:
        raise UserError("rubric 'sun' needs an energy model and a hull; choose another preset without them")
    cheap = _cheap(parts, None, gate=True)
    judged = {name: cheap[name] for name in ("parse", "condition", "distance", "volume")}
    stability = {"e_hull": _energetic(parts, gate=True, threshold=0.0)["e_hull"]}
    return _product({**judged, **_known(parts, gate=True), **stability})


PRESETS: Mapping[str, Callable[[Parts], list[Stage]]] = {
    "strict": _strict,
    "ladder": _ladder,
    "multiplicative": _multiplicative,
    "staircase": _staircase,
    "diverse": _diverse,
    "sun": _sun,
    "naive": _naive,
}
