"""Words of ours that a reader may not know, explained where they stand."""

from __future__ import annotations

import re
from itertools import count

from markupsafe import Markup, escape

# In plain English, each in a sentence; the patterns are matched in this order, the longer before the shorter.
TERMS = {
    "church window": "A slice through the latent space at one image: x is the move by one pixel, y the move by noise, "
    "and the colour is the class that the head gives there.",
    "expected calibration error": "ECE: the mean difference between confidence and accuracy over bins of confidence.",
    "ECE": "Expected calibration error: the mean difference between confidence and accuracy over bins of confidence.",
    "random baseline": "Cells drawn at random: what a search must beat.",
    "differential evolution": "The search of the published one-pixel attack: a population of pixels that is mixed and "
    "selected over generations.",
    "decision axis": "A direction of the latent on which the class depends.",
    "latent space": "The network's last layer before its head: images that are alike to the network lie close "
    "together.",
    "latents": "What the network makes of images before its head decides: a point in many dimensions for each.",
    "latent": "What the network makes of an image before its head decides: a point in many dimensions.",
    "affine head": "A last layer that weighs the latent and adds a constant, so that boundaries between classes are "
    "flat.",
    "certified": "Every allowed value of every pixel was tried, and none changes the class.",
    "cells": "A cell is one pixel set to one of the allowed values.",
    "queries": "A query is one image given to the network.",
    "corners": "The values that a pixel may take: each band at its lowest or highest value in the training data.",
    "part": "One of the fixed shares into which the images are split: train, valid or test.",
    "JS distance": "Jensen-Shannon distance (base 2): 0 for equal distributions, 1 for those that do not overlap.",
    "trustworthiness": "How many neighbours in the map are neighbours in the latent space too; 1 is all of them.",
    "continuity": "How many neighbours in the latent space are neighbours in the map too; 1 is all of them.",
    "residual variance": "The share of the distances along the data that a map does not show; 0 is none of it.",
    "Procrustes disparity": "How far two maps differ after the best shift, turn and scaling: 0 is identical, 1 "
    "unrelated.",
    "whitened": "Measured in standard deviations of the model's own latents.",
    "d_E": "The plain (Euclidean) distance between two latents, in units of one model.",
    "t*": "How far along a perturbation the class changes: 1 is the perturbation itself.",
    "Holm": "A correction for asking several questions: any false answer among them at most one time in twenty.",
    "Benjamini-Hochberg": "A correction for many questions: of those called different at most one in twenty is not.",
    "McNemar": "A test on the same images: does one model get right what the other gets wrong more often than the "
    "reverse?",
    "Wilson": "An interval for a rate that stays honest for few images and near 0 or 1.",
    "Isomap": "A map that keeps distances along the data, measured from neighbour to neighbour.",
    "Kaplan-Meier": "A curve of how many are left, in which those that never changed count to the end.",
    "mean accuracy over perturbations": "The mean over all perturbations, each the mean over its levels.",
    "s3": "The third of five levels: poor but still released by a survey. s1 is within requirement, s2 typical, s4 "
    "flagged, s5 stress.",
}
_ANY = re.compile("|".join(rf"(?<![\w-]){re.escape(term)}(?![\w*-])" for term in sorted(TERMS, key=len, reverse=True)))


class Explainer:
    """Marks the first occurrence of each term since it was last told to begin afresh; every mark has its own id."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._numbers = count(1)

    def afresh(self) -> str:
        """Forgets what was explained: a chapter begins."""
        self._seen.clear()
        return ""

    def __call__(self, text: object) -> Markup:
        """Text as HTML, its terms with what they mean under the pointer and the keyboard's focus."""
        text = str(text).replace(" %", "\u00a0%").replace("n = ", "n\u00a0=\u00a0")
        made, last = Markup(), 0
        for found in _ANY.finditer(text):
            term = found[0]
            if term in self._seen:
                continue
            self._seen.add(term)
            name = f"term-{next(self._numbers)}"
            made += escape(text[last : found.start()]) + Markup(
                '<dfn class="term" tabindex="0" aria-describedby="{0}">{1}<span class="tip" role="tooltip" id="{0}">{2}'
                "</span></dfn>"
            ).format(name, term, TERMS[term])
            last = found.end()
        return made + escape(text[last:])
