"""The page of an audit, drawn from its records alone: no network, no data, no classifier."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from robustkit import __version__
from robustkit.auditing.answer import answer_of
from robustkit.auditing.baseline import against_baseline
from robustkit.auditing.comparison import compare_findings, comparison
from robustkit.auditing.fixed import fixed_of, said_of
from robustkit.auditing.machine import (
    GateResult,
    as_json,
    audit_json,
    check_gates,
    check_names,
    csv_text,
    estimate_json,
    image_table,
    junit_xml,
    model_index,
    write_object_table,
)
from robustkit.auditing.model_card import CARD, model_card
from robustkit.auditing.provenance import provenance
from robustkit.auditing.reading import limits, methods, sensitivity
from robustkit.auditing.recorded import ABOUT, check_pair, read_model
from robustkit.auditing.reforms import REFORMS, reforms
from robustkit.auditing.request import CODE, FILE, AuditRequest, command_of, read_gate, read_request
from robustkit.auditing.sentences import RULE, headline
from robustkit.auditing.verdict import checks_of, with_evidence
from robustkit.code_gate import word_of_file
from robustkit.errors import InputError, first_line
from robustkit.files import clear_unfinished, read_object, reading, real_path, whole_folder
from robustkit.findings.clean.record import domain_names
from robustkit.findings.finding import Finding, ModelRecords
from robustkit.findings.fragile.show import fragile_files
from robustkit.findings.pictures.show import sprite_of
from robustkit.findings.registry import findings
from robustkit.findings.sweep.show import thresholds_of
from robustkit.report.handout import write_summary
from robustkit.report.journal import save_for_journal
from robustkit.report.page import LITE, Download, Page, write_page
from robustkit.report.palette import Looks, make_palette
from robustkit.report.section import Chapter, Check
from robustkit.runs.folder import LOCK
from robustkit.runs.local import local_workers
from robustkit.runs.lock import only_writer
from robustkit.runs.trouble import trouble_in_words
from robustkit.stats import Estimate
from robustkit.words import brief

MODEL, BASE = "model", "base"
# The file by which an audit knows a folder as its own.
NOTE = "robustkit.json"
JSON, JUNIT, INDEX = "audit.json", "junit.xml", "model-index.md"
AGAIN = "give the same command again"
# More worker processes than this take longer to start than they save.
_MOST_WORKERS = 4


@dataclass(frozen=True, eq=False)
class Report:
    """A finished report.

    Attributes:
        page: The HTML file.
        checks: The verdict.
        gates: The results of the gates.
        numbers: The numbers of the audited model.
    """

    page: Path
    checks: Sequence[Check]
    gates: Sequence[GateResult]
    numbers: dict[str, Estimate]

    @property
    def passed(self) -> bool:
        """Whether every gate holds; true without gates."""
        return all(gate.passed for gate in self.gates)

    def text(self) -> str:
        """What to print."""
        words = [check.word or check.status for check in self.checks]
        width = max(map(len, words))
        found = [one.advice if one.status == "not run" and one.advice else one.measured for one in self.checks]
        said = zip(words, self.checks, found, strict=True)
        lines = [f"{word:<{width}}  {check.claim}: {what}" for word, check, what in said]
        return "\n".join([*lines, headline(self.checks), *map(str, self.gates), f"the page is {self.page}"])


def write_report(
    folder: str | os.PathLike[str],
    *,
    fail_under: Sequence[str] = (),
    baseline: str = "",
    own: Sequence[str] = (),
    journal: str = "",
    lite: bool = False,
    pdf: bool = False,
    workers: int = 1,
    say: Callable[[str], None] = print,
) -> Report:
    """Draws the page of an audit again, and writes the files beside it.

    Args:
        folder: The folder of an audit.
        fail_under: Gates instead of those of the audit.
        baseline: The audit.json of an earlier audit instead of that of the audit's own settings.
        own: Findings of your own that the audit made; those that are not named here are not drawn.
        journal: `mnras`, `apj` or `aa` for every figure at its two widths; empty for none.
        lite: Whether to write a page of less than 1 MB too.
        pdf: Whether to write a summary of two pages too.
        workers: How many processes draw; with 1 it is this one.
        say: Receives progress messages.

    Raises:
        InputError: If the folder is no audit, another process writes to it, or its records are of another version or do
            not belong together.
    """
    folder = Path(folder)
    _request(folder)  # nothing is written where no audit is, not even a lock
    with word_of_file(folder / FILE, own), trouble_in_words(folder, AGAIN), only_writer(folder / LOCK):
        asked: dict[str, Any] = {"fail_under": fail_under, "baseline": baseline}
        return draw_report(folder, own, workers, say, **asked, journal=journal, lite=lite, pdf=pdf)


def draw_report(
    folder: Path,
    own: Sequence[str],
    workers: int,
    say: Callable[[str], None],
    *,
    fail_under: Sequence[str] = (),
    baseline: str = "",
    **sorts: Any,
) -> Report:
    """Does the same as `write_report` in a folder whose lock this process holds.

    Args:
        folder: The folder of an audit.
        own: As for `write_report`, like all others.
        workers: How many processes draw.
        say: Receives progress messages.
        fail_under: Gates.
        baseline: An earlier audit.
        **sorts: `journal`, `lite` and `pdf`.
    """
    request, kinds = _request(folder), findings(own)
    named = [name for name in (MODEL, BASE) if (folder / name / ABOUT).is_file()]
    if MODEL not in named:
        raise InputError(f"{folder} holds no records of an audit; run robustkit audit --out {folder}")
    models = _read([folder / name for name in named], kinds)
    gates, kept = tuple(fail_under) or request.fail_under, baseline or request.baseline
    request = replace(request, fail_under=gates, baseline=kept)
    report = _write(folder, models, kinds, request, workers, say, **sorts)
    say(report.text())
    return report


def compare_audits(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] = "comparison",
    workers: int = 1,
    say: Callable[[str], None] = print,
) -> Report:
    """Pairs two audits of the same images and writes one page about both.

    Args:
        first: The folder of the one audit.
        second: The folder of the other, to compare with.
        out: A new folder.
        workers: How many processes draw; with 1 it is this one.
        say: Receives progress messages.

    Raises:
        InputError: If a folder is no audit, or the two cannot be paired image by image.
    """
    folders = [Path(first), Path(second)]
    for folder in folders:
        _request(folder)
    kinds = findings()
    models = _read([folder / MODEL for folder in folders], kinds)
    with reading(f"what is recorded in {folders[0]} and {folders[1]}", "the records of audits"):
        check_pair(*models)
    request = replace(_request(folders[0]), fail_under=(), baseline="")
    command = shlex.join(["robustkit", "compare", str(first), str(second), "--out", str(out)])
    with whole_folder(out) as building:
        report = _write(building, models, kinds, request, workers, say, audit=folders[0], command=command)
    report = replace(report, page=Path(out) / report.page.name)
    say(report.text())
    return report


def _write(
    folder: Path,
    models: Sequence[ModelRecords],
    kinds: Sequence[Finding],
    request: AuditRequest,
    workers: int,
    say: Callable[[str], None],
    *,
    audit: Path | None = None,
    journal: str = "",
    lite: bool = False,
    pdf: bool = False,
    command: str = "",
) -> Report:
    gates, fixed = [read_gate(text) for text in request.fail_under], fixed_of(audit or folder, request.thresholds)
    check_names(gates, kinds)
    with reading(f"what is recorded in {folder}", "the records of an audit"):
        numbers = [{name: number for kind in kinds for name, number in kind.metrics(one).items()} for one in models]
        results = check_gates(gates, numbers[0])
        if request.baseline:
            results += against_baseline(Path(request.baseline), models[0], kinds)
        checks = checks_of(models, request.thresholds)
        rows: list[dict[str, Any]] = []
        if len(models) == 2:
            rows = [{**asdict(row), "difference": estimate_json(row.difference)} for row in compare_findings(*models)]
        columns, lines = image_table(models, kinds)
        fragile, places = fragile_files(models)
        method, copies = methods(models)
        chapters, lead = [*_chapters(models, kinds, request), method], _lead(models[0], audit or folder)
        checks = with_evidence(checks, chapters)
        faults = () if models[0].sweep is None else thresholds_of(models[0].sweep)
        labels, names = [one.label for one in models], domain_names(models[0].clean)
        answer = answer_of(labels, checks, numbers[0], rows, faults, names)
        everything = audit_json(models, kinds, numbers, checks, results, rows, fixed)
        junit, index = junit_xml(checks, results), model_index(models[0], numbers[0])
        sprite = sprite_of(models[0].pictures)
    try:
        write_object_table(folder, "images", columns, lines, say)
        for name, headings, rows_of in fragile:
            write_object_table(folder, name, headings, rows_of, say)
    except OSError as error:
        raise InputError(f"cannot write the table of images to {folder}: {error.strerror or error}") from error
    made_by = command or command_of(request, real_path(folder).parent)
    downloads = [
        Download("images.csv", csv_text(columns, lines), "a line for each image and model"),
        Download(JSON, as_json(everything), "every number of this page"),
        Download(JUNIT, junit, "the verdict for CI"),
        Download(INDEX, index, "a model-index block for the card of the model"),
        *(Download(name, text, "the most fragile objects, for DS9 and Aladin") for name, text in places.items()),
        Download(
            REFORMS,
            reforms(models[0].about, answer, checks, numbers[0], models[0].preflight, made_by),
            "a REFORMS checklist",
        ),
        Download(CARD, model_card(index, models[0].about, answer, checks, numbers[0]), "a card for Hugging Face"),
    ]
    page = Page(
        title=f"Audit of {models[0].label}" + (f" against {models[1].label}" if len(models) == 2 else ""),
        lead=lead,
        checks=checks,
        verdict_text=(RULE, *filter(None, [said_of(fixed)])),
        answer=answer,
        gates=tuple(map(str, results)),
        chapters=chapters,
        copies={method.name: copies},
        downloads=downloads,
        sprite=sprite,
        command=made_by,
        looks=Looks(make_palette(models[0].class_names), tuple(one.label for one in models)),
    )
    if journal:
        say(f"figures at the widths of {journal} are in {save_for_journal(page, folder, journal)}")
    clear_unfinished(folder)  # of a page that was killed
    with _drawing(workers) as pool:
        written = write_page(page, folder, workers=pool, lite=lite)
    if lite:
        say(f"the small page is {folder / LITE}")
    if pdf:
        say(f"the summary is {write_summary(page, folder)}")
    return Report(written, checks, results, numbers[0])


def _drawing(workers: int) -> AbstractContextManager[Executor | None]:
    """Processes that draw, or nobody but this one."""
    return local_workers([None] * min(workers, _MOST_WORKERS)) if workers > 1 else nullcontext()


def _chapters(models: Sequence[ModelRecords], kinds: Sequence[Finding], request: AuditRequest) -> list[Chapter]:
    """The chapters in the order in which one reads them."""
    makers: dict[str, Callable[[], Chapter | None]] = {}
    for kind in kinds:
        makers[kind.name] = partial(kind.chapter, models)
    # What was looked at first is read last: it says that the rest can be trusted.
    before = makers.pop("preflight")
    left = sorted({text.partition(":")[2] for text in request.findings} - {type(kind).__name__ for kind in kinds})
    if left:
        missing = tuple(f"{name} is code, which a file never chooses; name it with --finding" for name in left)
        makers["own"] = partial(Chapter, "own", "Findings of your own", missing=missing)
    if len(models) == 2:
        makers["comparison"] = partial(comparison, *models)
    makers |= {"sensitivity": partial(sensitivity, models), "limits": partial(limits, models), "preflight": before,
               "provenance": partial(provenance, models)}  # fmt: skip
    found: dict[str, Chapter] = {}
    for name, make in makers.items():
        chapter = _chapter(name, make, models)
        if chapter is not None:
            found[chapter.name] = found[chapter.name].joined(chapter) if chapter.name in found else chapter
    return list(found.values())


def _chapter(name: str, make: Callable[[], Chapter | None], models: Sequence[ModelRecords]) -> Chapter | None:
    """A chapter, or why it could not be drawn: one record must not cost the whole page."""
    try:
        return make()
    except Exception as error:  # of numbers that no chapter was written for
        where = " and ".join(str(one.folder) for one in models)
        cause = f"{type(error).__name__}: {first_line(error)}"
        why = f"This chapter could not be drawn ({cause}); its records are in {where}."
        return Chapter(name, name.replace("-", " ").capitalize(), missing=(why,))


def date_of(folder: Path) -> str:
    """The day on which an audit was begun, as its note says; empty where that is not known."""
    if not (folder / NOTE).is_file():
        return ""
    return brief(str(read_object(folder / NOTE, "the note of an audit").get("begun", "")), 10)


def _lead(one: ModelRecords, folder: Path) -> str:
    about = one.about
    begun = date_of(folder)
    return (
        f"{len(about['ids'])} images of {about['data']} (part {about['part']}, seed {about['seed']})"
        f"{f' · audited on {begun}' if begun else ''} · robustkit {__version__}"
    )


def _read(folders: Sequence[Path], kinds: Sequence[Finding]) -> list[ModelRecords]:
    """What was found about each model, under the names of the report."""
    found = []
    for folder, label in zip(folders, _labels(folders), strict=True):
        with reading(f"what is recorded in {folder}", "the records of an audit"):
            found.append(read_model(folder, label, kinds))
    return found


def _labels(folders: Sequence[Path]) -> list[str]:
    """Names for the report: those of the checkpoint files, told apart where they are the same."""
    about = [read_object(folder / ABOUT, "what an audit was of", model=str) for folder in folders]
    names = [Path(one["model"]).stem for one in about]
    return names if len(set(names)) == len(names) else [names[0], f"{names[1]} (base)"]


def _request(folder: Path) -> AuditRequest:
    if not (folder / FILE).is_file():
        raise InputError(f"expected the folder of an audit, but there is no {FILE} in {folder}")
    return read_request(folder / FILE, named=CODE)  # nothing of it is opened or imported
