"""The page of a reproduction, drawn from its records alone, as HTML and as Markdown for the docs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

from robustkit import __version__
from robustkit.files import jsonable, write_json
from robustkit.models.checkpoint import versions
from robustkit.report.markdown import write_markdown
from robustkit.report.page import Download, Page, write_page
from robustkit.report.section import Chapter, Check, Section, Status
from robustkit.reproduce import tables
from robustkit.reproduce.claims import AGREES, COST, DIFFERS, INCOMPARABLE, OPEN, RULE, Claim, spoken
from robustkit.reproduce.examples import ExampleImages
from robustkit.reproduce.figures import Methods, ScoreBars, latent_sections
from robustkit.reproduce.papers import TARGET
from robustkit.reproduce.plan import CONTROLS
from robustkit.reproduce.results import NetworkStudy, Study, paired
from robustkit.words import signed

JSON, MARKDOWN = "reproduction.json", "index.md"
_STATUS: dict[str, Status] = {AGREES: "pass", DIFFERS: "fail", OPEN: "warn", INCOMPARABLE: "not run"}


def write_reproduction(study: Study, claims: list[Claim], folder: Path, command: str) -> Path:
    """Writes the page, the same as Markdown, and the claims as JSON.

    Args:
        study: Results of the reproduction.
        claims: The claims with their verdicts.
        folder: Folder for the page.
        command: The command that reproduces it.

    Returns:
        The HTML page.
    """
    page = _page(study, claims, command)
    numbers = {
        "robustkit": __version__,
        "paper": study.plan.paper.name,
        "scale": study.plan.scale,
        "published_images": study.published,
        "command": command,
        "claims": [asdict(claim) for claim in claims],
    }
    write_json(folder / JSON, jsonable(numbers))
    path = write_page(page, folder)
    write_markdown(page, folder, MARKDOWN)
    return path


def _page(study: Study, claims: list[Claim], command: str) -> Page:
    plan = study.plan
    images = "the published images" if study.published else "simulated galaxies"
    chapters = [_claims(claims), _done(study)]
    chapters += [_network(study, one) for one in study.networks]
    chapters.append(_beyond(study))
    copies = {"done": [("Command", command), ("Cite the paper", plan.paper.bibtex)]}
    return Page(
        title=f"{plan.paper.name.upper()} redone",
        lead=(
            f"{plan.paper.title} ({plan.paper.reference}), redone on {images} by robustkit {__version__}, scale "
            f"{plan.scale}."
        ),
        checks=_checks(claims),
        verdict_text=[spoken(claims), RULE, *_controls(study)],
        chapters=chapters,
        copies=copies,
        downloads=[
            Download("claims.csv", tables.claims_table(claims, "").table().csv(), "every claim and its verdict")
        ],
    )


def _claims(claims: list[Claim]) -> Chapter:
    said = "Every claim, and what is compared."
    return Chapter("claims-of-the-paper", "The claims", (), (tables.claims_table(claims, said),))


def _done(study: Study) -> Chapter:
    plan, rows = study.plan, []
    for part in plan.parts:
        attacked = part.attacked
        trained = ", ".join(f"{method} x {count}" for method, count in part.seeds.items())
        done = "none, as in the paper"
        if attacked is not None:
            search = "the published search" if attacked.budget is None else f"{attacked.budget:,} queries of it"
            beside = "; every pixel with every corner value" if attacked.complete else ""
            done = (
                f"{attacked.n} images, {search}{beside}; {attacked.seeds} {'seed' if attacked.seeds == 1 else 'seeds'}"
            )
        images = "published" if study.published else f"{part.galaxies} galaxies"
        rows.append((part.network, images, f"{part.settings('source', 0).epochs}", trained, done))
    columns = ("network", "images", "epochs", "trainings", "attacks")
    said = (
        f"Seventy per cent of the images are for training, ten for choosing the epoch, twenty for testing. "
        f"Images are {plan.size} pixels wide."
    )
    facts = tables.Facts("done-table", "Images, trainings and attacks", said, columns, rows)
    made = f"Made on {date.today().isoformat()} by robustkit {__version__}; {_versions()}."
    sections: list[Section] = [facts]
    examples = study.networks[0].examples
    if examples is not None:
        heading = plan.paper.heading("examples", "all", "Images of both domains")
        sections.append(ExampleImages(examples, plan.paper.domains, heading))
    return Chapter("done", "What was done", (*plan.differences, made), tuple(sections))


def _versions() -> str:
    found = versions()
    return ", ".join(f"{name} {found[name]}" for name in ("python", "torch", "numpy"))


def _network(study: Study, one: NetworkStudy) -> Chapter:
    made = (
        tables.scores_table(study, one),
        tables.seeds_table(study, one),
        tables.flips_table(study, one),
        tables.distances_table(study, one),
    )
    sections: list[Section] = [section for section in made if section is not None]
    sections += latent_sections(study.plan.paper, one)
    return Chapter(f"network-{one.network}", f"Tables and figures: {one.network}", (), tuple(sections), one.missing)


def _beyond(study: Study) -> Chapter:
    paper = study.plan.paper
    sections: list[Section] = [
        ScoreBars(study.networks, paper.methods, title=paper.heading("figure", "all", "Scores and ROC curves"))
    ]
    for one in study.networks:
        if set(one.methods) - set(study.plan.paper.methods):
            sections += [tables.methods_table(study, one), Methods(one, study.plan.paper.domains)]
        free = tables.scale_free_table(study, one)
        sections += [free] if free is not None else []
    text = (
        "What the paper does not have: several trainings of each network, controls without alignment, a complete "
        "search, and distances that do not change when the latent space is rescaled."
    )
    return Chapter("beyond", "Beside and beyond the paper", (text,), tuple(sections))


def _checks(claims: Sequence[Claim]) -> list[Check]:
    """The claims in the form of a verdict."""
    return [
        Check(
            f"{claim.network}.{claim.name}",
            f"{claim.network}: {claim.text}",
            f"here {claim.found}",
            f"published {claim.published}",
            _STATUS[claim.verdict],
            f"network-{claim.network}",
            word=claim.verdict,
        )
        for claim in claims
    ]


def _controls(study: Study) -> list[str]:
    """Whether something simpler than alignment closes the gap."""
    said = []
    base, adapted = study.plan.paper.methods[:2]
    for one in study.networks:
        gains = {}
        for method in (adapted, *CONTROLS, "oracle"):
            first, second = paired(one.scores(base, TARGET), one.scores(method, TARGET))
            if len(first):
                gains[method] = float((second - first).mean())
        simple = {name: gain for name, gain in gains.items() if name in CONTROLS}
        if not simple or adapted not in gains:
            continue
        parts = ", ".join(f"{name} {signed(gain)}" for name, gain in simple.items())
        best = max(simple, key=lambda name: simple[name])
        closes = (
            f"{best} alone closes as much of the gap"
            if simple[best] >= gains[adapted] - COST
            else "none of these controls closes as much of the gap"
        )
        bound = f", and with target labels the gain would be {signed(gains['oracle'])}" if "oracle" in gains else ""
        said.append(
            f"{one.network}: {adapted.upper()} gains {signed(gains[adapted])} of accuracy on "
            f"{study.plan.paper.domains[1]}; without aligning anything {parts}: {closes}{bound}."
        )
    return said
