"""How the answers depend on choices, what they do not say, and how to write about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustkit import __version__
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.finding import ModelRecords
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.facts import Facts
from robustkit.report.sections.forest import Forest
from robustkit.stats import Estimate, reliability, wilson

BIBTEX = """@software{robustkit,
  title   = {robustkit: audits of trained image classifiers},
  author  = {{The robustkit developers}},
  version = {%s}
}

@article{ciprijanovic2022,
  title   = {DeepAdversaries: examining the robustness of deep learning models for galaxy morphology classification},
  author  = {{\\'C}iprijanovi{\\'c}, Aleksandra and others},
  journal = {Machine Learning: Science and Technology},
  volume  = {3},
  pages   = {035007},
  year    = {2022},
  doi     = {10.1088/2632-2153/ac7f1a}
}

@article{su2019,
  title   = {One Pixel Attack for Fooling Deep Neural Networks},
  author  = {Su, Jiawei and Vargas, Danilo Vasconcellos and Sakurai, Kouichi},
  journal = {IEEE Transactions on Evolutionary Computation},
  volume  = {23},
  number  = {5},
  pages   = {828--841},
  year    = {2019},
  doi     = {10.1109/TEVC.2019.2890858}
}
"""


def sensitivity(models: Sequence[ModelRecords]) -> Chapter:
    """How the answers would have differed with other choices."""
    title = "Sensitivity to choices"
    sections: list[Section] = []
    have = [(one, one.attack) for one in models if one.attack is not None]
    if have:
        sections.append(_budgets(have))
        sections.append(_fewer_images(have))
    bins = [
        (one.label, domain, count, f"{error.ece:.4f}", f"{error.null_mean:.4f}", f"{error.p:.3g}")
        for one in models
        for domain, record in one.clean.items()
        if record.confident
        for count in (5, 10, 15, 30)
        for error in [reliability(record.scores, record.labels, bins=count, rng=np.random.default_rng(0))]
    ]
    if bins:
        said = "The calibration error with other numbers of bins, beside what a calibrated classifier would have."
        columns = ("model", "domain", "bins", "ECE", "calibrated: mean", "p")
        sections.append(Facts("bins", "Calibration against bins", said, columns, bins))
    missing = () if sections else ("There is no attack and no prediction to vary; run the audit.",)
    return Chapter("sensitivity", title, (), tuple(sections), missing, tuple(one.name for one in sections))


def _budgets(have: Sequence[tuple[ModelRecords, AttackRecord]]) -> Section:
    """The flip rate that smaller budgets would have found; a table where none would have found less."""
    rows: list[tuple[str, str, Estimate]] = []
    n = {one.label: int(record.correct.sum()) for one, record in have}
    for budget in (100, 400, 1600, 6400, 25600, 102400):
        for one, record in have:
            fewest = np.min([record.queries_to_flip(name) for name in record.searches], axis=0)
            if budget <= record.queries.max(initial=0):
                rows.append((f"{budget:,} queries", one.label, wilson(int((fewest <= budget).sum()), n[one.label])))
    for one, record in have:
        rows.append(("the whole budget", one.label, wilson(int(record.flipped_images().sum()), n[one.label])))
    title = "Flip rate against the budget"
    said = (
        "What any of the searches had found within smaller budgets of queries per image, each search with its own; a "
        "rate is only as good as the search behind it."
    )
    found = {label: {float(rate.value) for _, of, rate in rows if of == label} for _, label, _ in rows}
    if all(len(rates) == 1 for rates in found.values()):
        lines = [(what, label, *(f"{float(x):.4g}" for x in (one.value, one.low, one.high)), one.n)
                 for what, label, one in rows]  # fmt: skip
        columns = ("budget", "model", "rate", "low", "high", "n")
        return Facts(
            "budgets", title, f"None of these budgets finds fewer flips than the whole. {said}", columns, lines
        )
    return Forest("budgets", title, "rate of images flipped", rows, said=said)


def _fewer_images(have: Sequence[tuple[ModelRecords, AttackRecord]]) -> Forest:
    """The flip rate on the first images drawn."""
    rows: list[tuple[str, str, Estimate]] = []
    for share in (0.25, 0.5, 1.0):
        for one, record in have:
            first = np.arange(len(record.ids)) < round(share * len(record.ids))
            known = record.correct & first
            flips = int((record.flipped_images() & known).sum())
            rows.append((f"the first {int(first.sum())} drawn", one.label, wilson(flips, int(known.sum()))))
    return Forest(
        "fewer-images", "Flip rate against the number of images", "rate of images flipped", rows,
        said="The same rate on the first images drawn: how far off a rate from fewer images would be.",
    )  # fmt: skip


def limits(models: Sequence[ModelRecords]) -> Chapter:
    """What the numbers do not say."""
    first = models[0]
    text = [
        "A flip shows that one change exists that changes the answer. It does not say that the change is likely. No "
        "accident sets a pixel to the end of its range in every band: what may happen by accident, and how often, is a "
        "chapter by itself.",
        "A certificate speaks of one changed pixel and of the declared values only, for one image and this network. It "
        "is exact within them. It says nothing about two pixels, other values, or other images.",
        "A search that finds nothing proves nothing. Its rate is a lower bound that grows with the budget; the random "
        "baseline beside it says how much the search is worth.",
        "Rates are of images that were classified correctly before, so two models are compared on the images that both "
        "classify correctly, and the question about all images stands beside it.",
        f"The images are {first.about['data']}. A verdict about them is one about images like them: drawn from the "
        "same survey, reduced in the same way.",
        "Perturbations of a sweep are models of what happens at a telescope, in the units of the images where they "
        "are declared. Their levels are named, not their frequencies, except where a rate is given.",
        "Intervals outside the verdict are 95% and hold for each number by itself: on average one in twenty does not "
        "contain the true value. The lines of the verdict are decided together.",
    ]
    if len(models) > 1:
        text.append("With one trained seed for each method, a difference is one between two checkpoints.")
    return Chapter("limits", "Limits, in plain words", tuple(text))


def methods(models: Sequence[ModelRecords]) -> tuple[Chapter, list[tuple[str, str]]]:
    """A paragraph for a paper, and the references."""
    paragraph = methods_text(models)
    chapter = Chapter(
        "methods", "Methods, to paste", ("Made from the records of this audit; check it before you use it.",)
    )
    return chapter, [("Methods paragraph", paragraph), ("References (BibTeX)", BIBTEX % __version__)]


def methods_text(models: Sequence[ModelRecords]) -> str:
    """What was done, as one paragraph."""
    first = models[0]
    about = first.about
    shape = " x ".join(map(str, about["input_shape"]))
    named = " and ".join(f"{one.label} ({one.about['network']})" for one in models)
    parts = [
        f"We audited {named} with robustkit {__version__} on "
        f"{len(about['ids'])} images ({shape}; bands {', '.join(about['bands'])}) of the part '{about['part']}', drawn "
        f"by image id with seed {about['seed']}, one per object."
    ]
    if first.attack is not None:
        record = first.attack
        budget = int(record.queries.max(initial=0))
        parts.append(
            f"Images classified correctly ({int(record.correct.sum())} of {len(record.ids)} for {first.label}) were "
            f"attacked by single pixels (Su et al. 2019) with the searches {', '.join(record.searches)}, at most "
            f"{budget:,} queries per image and search, over the value set "
            f"'{record.settings['values'].get('name', 'declared')}'. A flip was counted only after the changed image "
            "was classified again by itself in float32."
        )
    if first.certificate is not None and first.certificate.complete.any():
        parts.append(
            f"For {int(first.certificate.complete.sum())} images all {first.certificate.cells:,} combinations of pixel "
            "and value were evaluated, so that an image without a flip is certified against this set."
        )
    if first.sweep is not None:
        names = list(dict.fromkeys(first.sweep.name.tolist()))
        parts.append(f"We swept {len(names)} perturbations ({', '.join(names)}) before the stretch where physical.")
    parts.append(
        "Rates have 95% Wilson intervals, paired differences Newcombe's intervals and exact McNemar tests (Holm over "
        "the planned questions, Benjamini-Hochberg over the others); images that never flipped are censored. "
        "The claims of the verdict were decided together by empirical-likelihood tests against their margins, with the "
        "chance of any false pass, and of any false fail, held at 5% (Holm)."
    )
    return " ".join(parts)
