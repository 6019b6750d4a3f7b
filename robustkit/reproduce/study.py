"""Reproduces a paper, from images to a page: the `robustkit reproduce` command, also for Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustkit import __version__
from robustkit.auditing.steps import Steps
from robustkit.cores import cores
from robustkit.devices import choose_device
from robustkit.errors import InputError, RunInterrupted
from robustkit.files import new_folder, own_folder, read_object, real_path, sha256_file, write_json
from robustkit.reproduce.attacks import Attack, attack_all
from robustkit.reproduce.claims import Claim, claims_of, spoken
from robustkit.reproduce.examples import take_examples
from robustkit.reproduce.latents import measure_latents
from robustkit.reproduce.material import check_published, make_images
from robustkit.reproduce.models import jobs_of, model_path, train_all
from robustkit.reproduce.page import write_reproduction
from robustkit.reproduce.plan import NetworkPlan, PaperPlan, plan_paper
from robustkit.reproduce.results import EXAMPLES, Study, read_study
from robustkit.runs import interruptible, only_writer, trouble_in_words
from robustkit.training.evaluate import evaluate
from robustkit.training.table import save_evaluation
from robustkit.words import brief

STUDY = "study.json"
Models = dict[tuple[str, int], Path]  # by method and seed


@dataclass(frozen=True, eq=False)
class Reproduction:
    """A finished reproduction.

    Attributes:
        page: The HTML page.
        study: Results of the reproduction.
        claims: The paper's claims with their verdicts.
    """

    page: Path
    study: Study
    claims: list[Claim]


def run_reproduction(
    paper: str,
    *,
    scale: str = "small",
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
    workers: int | None = None,
    plan: PaperPlan | None = None,
    say: Callable[[str], None] = print,
) -> Reproduction:
    """Reproduces a paper: images, models, evaluation, attacks, latent space, and a page that compares the numbers.

    Finished work is kept with the hashes of its inputs, so the same command resumes a run that was stopped, and a
    second run only draws.

    Args:
        paper: `ad22` or `da20`.
        scale: `tiny`, `small` or `paper`; see `robustkit.reproduce.plan.plan_paper`.
        data: A folder with the files that the paper published; by default galaxies are simulated.
        out: The folder; by default `reproduce-<paper>-<scale>`.
        device: Device to run on; by default a GPU if there is one.
        workers: Processes that train on a CPU; by default one for each processor core.
        plan: PaperPlan; by default that of the paper at this scale.
        say: Receives progress messages.

    Raises:
        InputError: If an argument cannot be used, or the folder holds another reproduction.
        RunInterrupted: If a signal stopped it; what was finished is kept.
    """
    if workers is not None and workers < 1:
        raise InputError(f"--workers must be at least 1, got {workers}")
    plan = plan or plan_paper(paper, scale, published=data is not None)
    folder = Path(out) if out is not None else Path(f"reproduce-{paper}-{scale}")
    if data is not None:
        check_published(plan, Path(data))
    _claim(folder, {"paper": paper, "scale": scale, "data": None if data is None else str(real_path(data))})
    where, count = str(choose_device(device)), workers or cores()
    again = "run the same command again to continue; finished work is kept"
    with trouble_in_words(folder, again), only_writer(folder / "lock"), interruptible():
        try:
            pictures = {
                part.network: make_images(plan, part, folder, None if data is None else Path(data), say)
                for part in plan.parts
            }
            jobs = [
                job
                for part in plan.parts
                for job in jobs_of(part, pictures[part.network], folder / part.network / "models")
            ]
            refused = train_all(jobs, device=where, workers=count, say=say)
            models = {part.network: _trained(part, folder / part.network, refused) for part in plan.parts}
            attacks = [one for part in plan.parts for one in _attacks(plan, part, folder, models[part.network])]
            attack_all(attacks, device=where, workers=count, say=say)
            for part in plan.parts:
                steps = Steps(folder / part.network, say)
                _show(steps, pictures[part.network], next(iter(models[part.network].values())))
                _examine(plan, part, steps, models[part.network], where)
        except RunInterrupted as error:
            raise RunInterrupted("stopped; finished work is kept, run the same command again to continue") from error
        study = read_study(plan, folder, published=data is not None)
        claims = claims_of(study)
        page = write_reproduction(study, claims, folder, _command(paper, scale, data))
    for claim in claims:
        say(f"{claim.verdict:<18}  {claim.network}: {claim.text} Published: {claim.published}. Here: {claim.found}.")
    say(spoken(claims))
    say(f"the page is {page}")
    return Reproduction(page, study, claims)


def _trained(part: NetworkPlan, folder: Path, refused: Container[Path]) -> Models:
    """The models that could be trained; a file refused by training belongs to other settings or images."""
    found = {
        (method, seed): path
        for method, count in part.seeds.items()
        for seed in range(count)
        if (path := model_path(folder / "models", part.network, method, seed)) not in refused
    }
    if not found:
        raise InputError(f"none of the models of {part.network} could be trained; the lines above say why")
    return found


def _attacks(plan: PaperPlan, part: NetworkPlan, folder: Path, models: Models) -> list[Attack]:
    attacked, pair = part.attacked, plan.paper.methods[:2]
    if attacked is None:
        return []
    return [
        Attack(folder / part.network, path, attacked, method in pair, _inputs([path]))
        for (method, seed), path in models.items()
        if seed < attacked.seeds
    ]


def _show(steps: Steps, pictures: tuple[Path, Path], model: Path) -> None:
    """Saves a few of the images for display."""

    def keep(folder: Path, resume: bool) -> None:
        own_folder(folder)
        take_examples(*pictures, model).save(folder / EXAMPLES)

    steps.run(Path(EXAMPLES).stem, _inputs([model]), keep)


def _examine(plan: PaperPlan, part: NetworkPlan, steps: Steps, models: Models, device: str) -> None:
    """Evaluates the models of a network, and measures the latent space of those that were attacked."""
    paths = list(models.values())

    def score(out: Path, resume: bool) -> None:
        save_evaluation(evaluate(paths, device=device, draws=plan.draws), out)

    steps.run("evaluation", _inputs(paths, draws=plan.draws), score)
    base, adapted = plan.paper.methods[:2]
    for seed in range(part.attacked.seeds if part.attacked is not None else 0):
        pair = models.get((base, seed)), models.get((adapted, seed))
        if pair[0] is not None and pair[1] is not None:
            measure_latents(steps, pair[0], pair[1], device=device, draws=plan.draws, drawn=seed == 0)


def _inputs(models: Sequence[Path], **more: Any) -> dict[str, Any]:
    """The inputs of a step."""
    return {"robustkit": __version__, "models": {path.stem: sha256_file(path) for path in models}, **more}


def _claim(folder: Path, about: dict[str, Any]) -> None:
    """A new folder, or the folder of the same reproduction."""
    if (folder / STUDY).is_file():
        found = read_object(folder / STUDY, "what a reproduction is of")
        other = [name for name, value in about.items() if found.get(name) != value]
        if other:
            name = other[0]
            raise InputError(
                f"{folder} holds another reproduction: its {name} is {brief(found.get(name))} and not {about[name]}; "
                "name another folder with --out"
            )
        return
    new_folder(folder)
    write_json(folder / STUDY, about)


def _command(paper: str, scale: str, data: str | os.PathLike[str] | None) -> str:
    """The command that reproduces the same."""
    return f"robustkit reproduce {paper} --scale {scale}" + ("" if data is None else f" --data {data}")
