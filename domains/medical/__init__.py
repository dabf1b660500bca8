"""Medical questioning: a policy asks a simulated patient before it names a diagnosis, and is paid for what it learns.

Research software, not medical advice: the cases are synthetic or taken from examinations, the embedded frequencies
are coarse and not reviewed by clinicians, and nothing here may be used on patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domains.medical.options import MedicalOptions
from sciRL.domain import BuildReport, Demonstration, Figure, LanguageDomain, Record, Vocabulary
from sciRL.errors import UserError
from sciRL.task import Task
from sciRL.verification.base import Rubric

if TYPE_CHECKING:
    from domains.medical.clinic import Clinic
    from domains.medical.environment import ConsultationEnvironment

_HERE = Path(__file__).parent


class MedicalDomain(LanguageDomain):
    """Medical questioning as a sciRL domain; `DOMAIN` is its instance. Research software, not medical advice."""

    name = "medical"
    title = "Medical questioning"
    Options = MedicalOptions
    recipes = _HERE / "recipes"
    disclaimer = (
        "Research software, not medical advice and not a medical device: synthetic and examination cases only, "
        "coarse frequencies that no clinician has reviewed."
    )

    def build(self, source: str, out: Path, options: Mapping[str, str]) -> BuildReport:
        """Turn a knowledge base, MediQ, MedQA or DDXPlus files into a dataset folder (see `datasets.build`)."""
        from domains.medical import datasets

        return datasets.build(source, out, options)

    def check(self, folder: Path) -> list[str]:
        """Return the problems of a dataset folder, one line each (see `dataset_check.check`)."""
        from domains.medical import dataset_check

        return dataset_check.check(folder)

    def tasks(self, data: Path, split: str, options: MedicalOptions) -> Sequence[Task]:
        """Return one task per case of a split, in file order."""
        from domains.medical.rows import load_cases
        from domains.medical.tasks import make_task

        clinic = make_clinic(data, options)
        return [make_task(case, split, options.budget, clinic.opening(case)) for case in load_cases(data, split)]

    def demonstrations(self, data: Path, split: str, options: MedicalOptions, seed: int) -> Sequence[Demonstration]:
        """Return consultations to imitate: the dataset's dialogues, or questions chosen from its knowledge base."""
        from domains.medical.lessons import load_lessons
        from domains.medical.rows import load_cases
        from domains.medical.teaching import ask_by_table, demonstrate

        clinic = make_clinic(data, options)
        cases = {case.id: case for case in load_cases(data, split)}
        if options.teacher == "dialogues":
            lessons = [lesson for lesson in load_lessons(data) if lesson.case_id in cases]
        elif clinic.kb is not None:
            teacher, sure = options.teacher, options.confidence
            lessons = ask_by_table(clinic.kb, tuple(cases.values()), teacher, options.budget, sure, seed)
        else:
            raise UserError(f"teacher={options.teacher} chooses questions from a knowledge base; {data} has none")
        tasks = {task.metadata["row"]: task for task in self.tasks(data, split, options)}
        return [demonstrate(tasks[lesson.case_id], cases[lesson.case_id], lesson, clinic) for lesson in lessons]

    def conversation(self, data: Path, options: MedicalOptions) -> ConsultationEnvironment | None:
        """Return the consultation; a rubric of single turns asks for one text."""
        from domains.medical.environment import ConsultationEnvironment

        single = options.rubric in ("answer", "question")
        return None if single else ConsultationEnvironment(make_clinic(data, options))

    def rubric(self, data: Path | None, options: MedicalOptions, preset: str | None = None) -> Rubric:
        """Return the rubric of the options, or the named preset (see `rubrics`)."""
        from domains.medical.rubrics import make_rubric

        return make_rubric(make_clinic(data, options), preset or options.rubric)

    def vocabulary(self, data: Path, options: MedicalOptions) -> Vocabulary | None:
        """Return the tokens of compact consultations over the dataset's knowledge base; chat has none."""
        from domains.medical.vocabulary import consultation_tokens

        if options.prompt_style == "chat":
            return None
        kb = make_clinic(data, options).kb
        if kb is None:
            raise UserError(f"prompt_style=compact needs a dataset with a knowledge base; {data} has none")
        return Vocabulary(consultation_tokens(kb, options.budget))

    def default_data(self) -> Path:
        """Return the embedded dataset: patients drawn from the first 29 diseases of the embedded knowledge base."""
        return _HERE / "data" / "consultations"

    def summarize(self, records: Sequence[Record], data: Path | None, options: MedicalOptions) -> dict[str, float]:
        """Return accuracy, questions asked, their faults, information gained and red flags of an evaluation."""
        from domains.medical.metrics import summarize

        return summarize(records, make_clinic(data, options))

    def figures(self, arms: Mapping[str, Sequence[Record]], data: Path | None, options: MedicalOptions) -> list[Figure]:
        """Return the report's figures: consultations to read, accuracy against questions, what was covered."""
        from domains.medical.figures import make_figures

        return make_figures(arms, make_clinic(data or self.default_data(), options))

    def export_samples(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the consultations as transcripts and as chat messages (JSON lines)."""
        from domains.medical.export import write_samples

        return write_samples(records, folder)

    def page(self, data: Path, options: MedicalOptions, policy: Path | None) -> Any:
        """Return the page on which a person plays doctor or watches one."""
        from domains.medical.page.app import make_app

        return make_app(data, options, policy)


@lru_cache(maxsize=16)
def make_clinic(data: Path | None, options: MedicalOptions) -> Clinic:
    """Return the clinic of a dataset folder and options: one, so that what it computes is shared."""
    from domains.medical.clinic import Clinic

    return Clinic(data, options)


DOMAIN = MedicalDomain()
