"""CAD code: parts as CadQuery programs, run in a sandbox and judged by the geometry of what they build.

Importing this package pulls in neither CadQuery nor torch: the parts are imported when they are first used, and only
running a program needs CadQuery.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path

from domains.cad.options import CadOptions
from sciRL.domain import BuildReport, Demonstration, Figure, LanguageDomain, Record, Vocabulary
from sciRL.task import Task
from sciRL.verification.base import Rubric

_HERE = Path(__file__).parent


class CadDomain(LanguageDomain):
    """CAD code as a sciRL domain; `DOMAIN` is its instance."""

    name = "cad"
    title = "CAD code (CadQuery)"
    Options = CadOptions
    recipes = _HERE / "recipes"

    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        """Turn programs, STEP, BREP or STL files, or generated parts into a dataset folder (see `datasets.build`)."""
        from domains.cad import datasets

        return datasets.build(source, out, options)

    def check(self, folder: Path) -> list[str]:
        """Return the problems of a dataset folder, one line each (see `dataset_check.check`)."""
        from domains.cad import dataset_check

        return dataset_check.check(folder)

    def tasks(self, data: Path, split: str, options: CadOptions) -> Sequence[Task]:
        """Return one task per row of a split, in a fixed order."""
        from domains.cad.tasks import make_tasks

        return make_tasks(data, split, options)

    def demonstrations(self, data: Path, split: str, options: CadOptions, seed: int) -> Sequence[Demonstration]:
        """Return the tasks of a split with the programs of the dataset as answers."""
        from domains.cad.tasks import make_demonstrations

        return make_demonstrations(data, split, options, seed)

    def precise_spans(self, answer: str) -> list[tuple[int, int]]:
        """Return where an answer's numbers and geometry calls stand (see `tokens.precise_spans`)."""
        from domains.cad.tokens import precise_spans

        return precise_spans(answer)

    def rubric(self, data: Path | None, options: CadOptions, preset: str | None = None) -> Rubric:
        """Return the rubric of the options, or the named preset."""
        from domains.cad.rubrics import make_rubric

        chosen = preset or options.rubric
        # The options' weights belong to the options' preset: an evaluation by another preset keeps that preset's own.
        weights = options.weights if chosen == options.rubric else {}
        return make_rubric(data or self.default_data(), options, chosen, weights)

    def vocabulary(self, data: Path, options: CadOptions) -> Vocabulary | None:
        """Return the tokens of generated programs and compact prompts, and single characters for what users write.

        Chat prompts have none: they are for pre-trained models.
        """
        from domains.cad.parts.vocabulary import code_tokens, prompt_tokens

        if options.prompt_style != "compact":
            return None
        return Vocabulary(tuple(dict.fromkeys((*code_tokens(), *prompt_tokens(), *string.printable))))

    def default_data(self) -> Path:
        """Return the embedded dataset: generated parts of all families, split by parameter range."""
        return _HERE / "data" / "parts"

    def summarize(self, records: Sequence[Record], data: Path | None, options: CadOptions) -> dict[str, float]:
        """Return shares of failure codes, overlap and size errors of an evaluation (see `metrics.summarize`)."""
        from domains.cad.metrics import summarize

        return summarize(records)

    def figures(self, arms: Mapping[str, Sequence[Record]], data: Path | None, options: CadOptions) -> list[Figure]:
        """Return the report's figures: failure codes, overlap and size errors, and parts laid over their references."""
        from domains.cad.figures import make_figures

        return make_figures(arms, data or self.default_data(), options)

    def export_samples(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write one CadQuery script per readable sample and `samples.csv` with all of them."""
        from domains.cad.export import write_samples

        return write_samples(records, folder)


DOMAIN = CadDomain()
