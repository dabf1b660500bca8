"""Rubric presets of the CAD domain: which verifiers, in which order, with which weights and gates.

==========  ==========================================================================================================
preset      what it pays
==========  ==========================================================================================================
cad_rl      0.7 overlap + 0.3 spec check, nothing without a sound solid (CAD-RL, arXiv 2508.10118, equations 3 to 6; its
            weights are not published: these are ours, and the spec check stands where the paper asks GPT-4o)
cadrille    (1 + overlap) / 2 for a sound solid, else 0: the published 10 * IoU or -10, mapped to [0, 1]
cad_coder   0.9 piecewise chamfer + 0.1 format, nothing without a sound solid (CAD-Coder, NeurIPS 2025)
strict      the acceptance rule: sound solid, overlap of at least `strict_iou`, every assertion of the spec; equal parts
measure     everything that is measured, equal parts: for tables of existing programs, not for training
executable  whether the program runs: the warning example, which a policy satisfies with any part at all
==========  ==========================================================================================================

With `judge`, a language model's opinion is a further stage; no preset consists of it alone. Overlap needs a reference
shape and the spec check a spec: a task that lacks what a stage judges is an error of its dataset, shown as such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from domains.cad.options import CadOptions, JudgeOptions
from domains.cad.verifiers import Chamfer, Executable, Overlap, PartVerifier, Sizes, Solid, SpecCheck
from domains.cad.workshop import Workshop
from sciRL.errors import UserError
from sciRL.verification.base import Rubric, Stage
from sciRL.verification.judge import Judge


def make_rubric(data: Path | None, options: CadOptions, preset: str, weights: Mapping[str, float]) -> Rubric:
    """Return a rubric preset over the references of a dataset folder.

    Args:
        data: the dataset folder that reference files are relative to; None where no task names a file.
        options: answer form, sandbox and thresholds.
        preset: one of `PRESETS` (see the module's table).
        weights: stage weights that replace the preset's, by stage name.

    Raises:
        UserError: unknown preset or stage name.
    """
    if preset not in PRESETS:
        raise UserError(f"unknown rubric {preset!r}; allowed: {', '.join(PRESETS)}")
    want, make = PRESETS[preset]
    workshop = make_workshop(data, options, ("solid", *want))
    stages = make(workshop, options)
    if options.judge is not None:
        stages.append(_judge(options.judge))
    names = [stage.verifier.name for stage in stages]
    unknown = sorted(set(weights) - set(names))
    if unknown:
        raise UserError(f"rubric {preset!r} has no stage {unknown[0]!r}; allowed: {', '.join(names)}")
    return Rubric(preset, [replace(s, weight=weights.get(s.verifier.name, s.weight)) for s in stages])


def _judge(options: JudgeOptions) -> Stage:
    """Return the stage of a language model's opinion: it comes last, so that only sound parts are shown to it."""
    judge = Judge(options.base_url, options.model, options.api_key_env, Path(options.cache))
    return Stage(judge, options.weight, threshold=0.0)


def make_workshop(data: Path | None, options: CadOptions, want: tuple[str, ...]) -> Workshop:
    """Return a workshop with the sandbox and reading rule of the options."""
    return Workshop(
        data,
        want,
        bare=options.prompt_style == "compact",
        single=options.single_solid,
        iou_budget_s=options.iou_budget_s,
        workers=options.sandbox_workers,
        wall_limit_s=options.wall_limit_s,
        unsafe=options.unsafe_sandbox,
    )


def _gates(workshop: Workshop) -> list[Stage]:
    return [Stage(Executable(workshop), 0.0, gate=True), Stage(Solid(workshop), 0.0, gate=True)]


def _cad_rl(workshop: Workshop, options: CadOptions) -> list[Stage]:
    return [
        *_gates(workshop),
        Stage(Overlap(workshop), 0.7, threshold=options.strict_iou),
        Stage(SpecCheck(workshop), 0.3),
        _diagnostic(Sizes(workshop)),
    ]


def _cadrille(workshop: Workshop, options: CadOptions) -> list[Stage]:
    executable, solid = _gates(workshop)
    return [
        executable,
        replace(solid, weight=0.5),
        Stage(Overlap(workshop), 0.5, threshold=options.strict_iou),
        _diagnostic(Sizes(workshop)),
    ]


def _cad_coder(workshop: Workshop, options: CadOptions) -> list[Stage]:
    executable, solid = _gates(workshop)
    # Its format reward is paid for the readable, sound answer that the gates have let through.
    return [executable, replace(solid, weight=0.1), Stage(Chamfer(workshop), 0.9), _diagnostic(Sizes(workshop))]


def _strict(workshop: Workshop, options: CadOptions) -> list[Stage]:
    executable, solid = _gates(workshop)
    return [
        replace(executable, weight=1.0),
        replace(solid, weight=1.0),
        Stage(Overlap(workshop), 1.0, threshold=options.strict_iou),
        Stage(SpecCheck(workshop), 1.0),
        _diagnostic(Sizes(workshop)),
    ]


def _measure(workshop: Workshop, options: CadOptions) -> list[Stage]:
    verifiers = (Executable, Solid, Overlap, Chamfer, Sizes, SpecCheck)
    return [Stage(verifier(workshop), 1.0) for verifier in verifiers]


def _executable(workshop: Workshop, options: CadOptions) -> list[Stage]:
    return [Stage(Executable(workshop), 1.0)]


def _diagnostic(verifier: PartVerifier) -> Stage:
    """A stage that is measured and shown but neither paid nor a gate."""
    return Stage(verifier, 0.0, threshold=0.0)


Maker = Callable[[Workshop, CadOptions], list[Stage]]
PRESETS: Mapping[str, tuple[tuple[str, ...], Maker]] = {
    "cad_rl": (("iou", "frame", "holes", "lengths"), _cad_rl),
    "cadrille": (("iou",), _cadrille),
    "cad_coder": (("chamfer",), _cad_coder),
    "strict": (("iou", "frame", "holes", "lengths"), _strict),
    "measure": (("iou", "chamfer", "frame", "holes", "lengths"), _measure),
    "executable": ((), _executable),
}
"""By name: the measures a preset takes besides the solid's, and its stages."""
