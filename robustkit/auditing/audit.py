"""An audit from a checkpoint on disk to one page that answers: what `robustkit audit` does, for use from Python too."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from robustkit.auditing.fixed import fix_claims
from robustkit.auditing.forecast import budget_in_time, forecast, paces_of, said_after, said_before
from robustkit.auditing.machine import check_names
from robustkit.auditing.recorded import ABOUT, SCHEMA
from robustkit.auditing.report import BASE, MODEL, NOTE, Report, date_of, draw_report
from robustkit.auditing.request import FILE, QUICK_BUDGETS, AuditRequest, of_effort, read_gate, save_request
from robustkit.auditing.subject import Subject, about_subject, check_same_images, open_subject, options_for, subject_of
from robustkit.devices import choose_device
from robustkit.errors import InputError, RunInterrupted
from robustkit.files import is_unfinished, new_folder, own_folder, read_object, read_toml, refuse_shared, write_json
from robustkit.findings.finding import Finding
from robustkit.findings.registry import findings
from robustkit.models import ModelOptions
from robustkit.models.fronts.registry import FRONTS, provided
from robustkit.perturb.search.registry import make_search
from robustkit.runs import interruptible, only_writer, trouble_in_words
from robustkit.runs.opening import ImageSets
from robustkit.runs.sample import Sample
from robustkit.words import no_such

KIND, LOCK = "robustkit-audit", "lock"


def run_audit(
    request: AuditRequest,
    *,
    options: ModelOptions | None = None,
    out: str | os.PathLike[str] = "audit",
    device: str | None = None,
    workers: int = 1,
    samples: Mapping[str, Sample] | None = None,
    say: Callable[[str], None] = print,
) -> Report:
    """Audits a checkpoint, and a base checkpoint on the same images, and writes one page with the files beside it.

    Every step is kept with the hashes of what it was made from. What has not changed is not made again, so a second
    run only draws the page, and a run that was stopped goes on.

    Args:
        request: What to do.
        options: What to say about a model that robustkit did not train; also said of such a base.
        out: The folder of the audit: a new one, or that of an earlier audit.
        device: Where to run; by default a GPU if there is one.
        workers: How many processes draw the page; with 1 it is this one.
        samples: The model and the base, if they are open already, by `MODEL` and `BASE`.
        say: Receives progress messages.

    Raises:
        InputError: If anything given cannot be used.
        RobustkitError: If the disk is full, or a file cannot be written.
        RunInterrupted: If a signal stopped the audit; what was finished is kept.
    """
    free, request, folder = request.effort == "quick" and not request.attack.budget, of_effort(request), Path(out)
    kinds = findings(request.findings)
    check_names([read_gate(gate) for gate in request.fail_under], kinds)
    for name in request.attack.searches:
        make_search(name)  # a misspelt one is refused now, and not after the sweeps
    for name in request.remedy.fronts:
        if not provided(name):
            raise InputError(no_such("front end", name, FRONTS, where=" in [remedy] fronts"))
    models = {MODEL: request.model} | ({BASE: request.base} if request.base else {})
    used, sets = str(choose_device(device)), ImageSets()
    if samples is None:
        subjects = {
            name: open_subject(Path(path), options_for(path, options), request, used, folder / name, say, sets)
            for name, path in models.items()
        }
    else:
        subjects = {name: subject_of(sample, request, folder / name, say, sets) for name, sample in samples.items()}
    check_same_images(subjects)
    _check_out(folder)
    again = "continue with the same command, finished steps are kept"
    with trouble_in_words(folder, again), only_writer(folder / LOCK), interruptible():
        paces = paces_of(subjects)
        if free and paces:
            request = _in_time(request, folder, budget_in_time(subjects, request, paces), say)
            subjects = {name: replace(subject, request=request) for name, subject in subjects.items()}
        expected = None if paces is None else forecast(subjects, request, paces)
        if expected is not None:
            say(said_before(expected))
        started = time.monotonic()
        try:
            begun = date_of(folder) or datetime.now(UTC).date().isoformat()
            write_json(folder / NOTE, {"kind": KIND, "schema": SCHEMA, "begun": begun})
            save_request(request, folder / FILE)
            fix_claims(folder, request.thresholds)
            for name, subject in subjects.items():
                _run_steps(subject, kinds, folder / name, say)
        except RunInterrupted as error:
            raise RunInterrupted(
                "the audit was stopped; finished work is kept, continue with the same command"
            ) from error
        report = draw_report(folder, request.findings, workers, say)
        say(said_after(time.monotonic() - started, expected))
    return report


def _in_time(request: AuditRequest, folder: Path, budget: int, say: Callable[[str], None]) -> AuditRequest:
    """The request of a quick audit with the budget of the attack that the time allows, or that it began with."""
    if (folder / FILE).is_file():
        begun = read_toml(folder / FILE, "an audit file in TOML")
        part = begun.get("attack")
        kept = part.get("budget") if begun.get("effort") == "quick" and isinstance(part, dict) else None
        budget = kept if kept in QUICK_BUDGETS else budget
    if budget < request.attack.budget:
        say(
            f"--quick: at most {budget:,} queries per image and search, in place of {request.attack.budget:,}, so that "
            "the attack takes about five minutes; [attack] budget in an audit.toml sets another number"
        )
    return replace(request, attack=replace(request.attack, budget=budget))


def _run_steps(subject: Subject, kinds: Sequence[Finding], folder: Path, say: Callable[[str], None]) -> None:
    own_folder(folder)
    say(f"{folder.name}: {subject.path}, {len(subject.sample.images)} images of {subject.sample.path}")
    write_json(folder / ABOUT, about_subject(subject))
    for kind in kinds:
        subject.make(kind, kinds)


def _check_out(folder: Path) -> None:
    """A new folder, or that of an earlier audit: what only an audit writes is in it, or nothing but its lock."""
    refuse_shared(folder)
    old = folder / MODEL / ABOUT
    if (folder / NOTE).is_file():
        read_object(folder / NOTE, "the note of an audit", kind=str, schema=int)
    elif old.is_file():
        read_object(old, "what an audit was of", schema=int, model_sha256=str)
    elif not (folder.is_dir() and all(path.name == LOCK or is_unfinished(path) for path in folder.iterdir())):
        new_folder(folder)
    if not os.access(folder, os.W_OK):
        raise InputError(f"cannot write to {folder}; name another folder with --out")
