"""The page: every study's head and sections, in one file that needs nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from byzsgd.experiment.page.gather import Gathered
from byzsgd.experiment.page.head import Fact, Remark, facts, remarks
from byzsgd.experiment.page.section import Section
from byzsgd.experiment.page.section_accuracy import accuracy
from byzsgd.experiment.page.section_against import against
from byzsgd.experiment.page.section_assumptions import assumptions
from byzsgd.experiment.page.section_compared import simulated_beside_real
from byzsgd.experiment.page.section_judged import judged
from byzsgd.experiment.page.section_liars import liars, suspects
from byzsgd.experiment.page.section_links import links
from byzsgd.experiment.page.section_overview import overview
from byzsgd.experiment.page.section_paper import paper
from byzsgd.experiment.page.section_parts import parts
from byzsgd.experiment.page.section_throughput import throughput
from byzsgd.experiment.page.study import Study


@dataclass(frozen=True)
class Chapter:
    """A study as it is shown. `mark` names it in links."""

    mark: str
    title: str
    facts: list[Fact]
    remarks: list[Remark]
    sections: list[Section]


def render(gathered: Gathered) -> str:
    """The whole HTML text."""
    chapters = [_chapter(study, place, gathered) for place, study in enumerate(gathered.studies)]
    text = files("byzsgd.experiment.page").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    title = ", ".join(dict.fromkeys(study.name for study in gathered.studies)) or "no run"
    return environment.from_string(text).render(
        title=title, chapters=chapters, broken=gathered.broken, runs=gathered.runs
    )


def _chapter(study: Study, place: int, gathered: Gathered) -> Chapter:
    mark = f"s{place}"
    virtual = study.simulated and (study.swept or len(study.cells) > 1)
    title = f"{study.name}, simulated" if virtual else study.name
    sections = [section for section in _sections(study, mark, gathered) if section]
    return Chapter(mark, title, facts(study), remarks(study), sections)


def _sections(study: Study, mark: str, gathered: Gathered) -> Iterator[Section | None]:
    yield overview(study)
    yield throughput(study, f"{mark}-throughput")
    yield against(study, f"{mark}-against")
    yield accuracy(study, f"{mark}-accuracy")
    yield parts(study, f"{mark}-parts")
    yield links(study, f"{mark}-links")
    yield judged(study, f"{mark}-judged")
    yield assumptions(study, f"{mark}-assumptions")
    yield liars(study)
    yield suspects(study)
    for twin in [] if study.simulated else gathered.studies:
        if twin.simulated and study.swept and twin.swept and study.name == twin.name:
            yield simulated_beside_real(study, twin, f"{mark}-compared")
    yield paper(study)
