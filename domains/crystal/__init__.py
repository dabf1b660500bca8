"""Crystal generation: inorganic crystals as Wyckoff text, judged by exact geometry, chemistry and novelty checks.

Importing this package pulls in neither pymatgen nor torch: the parts are imported when they are first used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from domains.crystal.options import CrystalOptions
from sciRL.domain import BuildReport, Demonstration, Figure, LanguageDomain, Record, Vocabulary
from sciRL.task import Task
from sciRL.verification.base import Rubric

_HERE = Path(__file__).parent


class CrystalDomain(LanguageDomain):
    """Crystal generation as a sciRL domain; `DOMAIN` is its instance."""

    name = "crystal"
    title = "Crystal generation (Wyckoff text)"
    Options = CrystalOptions
    recipes = _HERE / "recipes"

    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        """Turn structure files into a dataset folder (see `datasets.build`)."""
        from domains.crystal import datasets

        return datasets.build(source, out, options)

    def check(self, folder: Path) -> list[str]:
        """Return the problems of a dataset folder, one line each (see `dataset_check.check`)."""
        from domains.crystal import dataset_check

        return dataset_check.check(folder)

    def tasks(self, data: Path, split: str, options: CrystalOptions) -> Sequence[Task]:
        """Return one task per row of a split, in a fixed order."""
        from domains.crystal.tasks import make_tasks

        return make_tasks(data, split, options)

    def demonstrations(self, data: Path, split: str, options: CrystalOptions, seed: int) -> Sequence[Demonstration]:
        """Return the tasks of a split with the rows as answers."""
        from domains.crystal.tasks import make_demonstrations

        return make_demonstrations(data, split, options, seed)

    def rubric(self, data: Path | None, options: CrystalOptions, preset: str | None = None) -> Rubric:
        """Return the rubric of the options, or the named preset."""
        from domains.crystal.reward import build_rubric

        return build_rubric(data or self.default_data(), options, preset or options.rubric)

    def vocabulary(self, data: Path, options: CrystalOptions) -> Vocabulary | None:
        """Return the tokens of Wyckoff text and compact prompts; other codecs and chat are for pre-trained models."""
        from domains.crystal.tasks import compact_tokens
        from domains.crystal.vocabulary import wytext_tokens

        if options.codec != "wytext" or options.prompt_style != "compact":
            return None
        return Vocabulary(tuple(dict.fromkeys((*wytext_tokens(), *compact_tokens()))))

    def default_data(self) -> Path:
        """Return the embedded dataset: textbook prototypes and element substitutions into them."""
        return _HERE / "data" / "prototypes"

    def summarize(self, records: Sequence[Record], data: Path | None, options: CrystalOptions) -> dict[str, float]:
        """Return diversity and distribution metrics of an evaluation (see `metrics.diversity`)."""
        from domains.crystal.reward import summarize

        return summarize(records, data or self.default_data())

    def preference_pairs(
        self, builder: str, records: Sequence[Record], data: Path, options: CrystalOptions, seed: int
    ) -> list[tuple[int, int]]:
        """Return preference pairs by PLaID++'s `basic`, `tiered` or `space_group` builder (see `pairs`)."""
        from domains.crystal.reward import pair_indices

        return pair_indices(builder, records, seed)

    def figures(self, arms: Mapping[str, Sequence[Record]], data: Path | None, options: CrystalOptions) -> list[Figure]:
        """Return the report's figures: space groups, elements, templates, cell sizes, unit cells, e_hull."""
        from domains.crystal.figures import make_figures

        return make_figures(arms, data or self.default_data(), options)

    def export_samples(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write one CIF per readable sample and `samples.csv` with all of them."""
        from domains.crystal.export import write_samples

        return write_samples(records, folder)


DOMAIN = CrystalDomain()
