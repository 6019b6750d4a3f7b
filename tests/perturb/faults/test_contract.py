import math
from dataclasses import dataclass

import pytest
import torch

from robustkit.errors import InputError
from robustkit.perturb.faults.exposure import Exposure
from robustkit.perturb.faults.registry import PERTURBATIONS, make_perturbation, perturbation_kind
from robustkit.perturb.perturbation import Composition, Perturbation, Stage
from robustkit.seeds import Streams
from robustkit.testing import check_perturbation, example_conditions, example_images


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_perturbation_keeps_to_the_contract(name):
    check_perturbation(PERTURBATIONS[name])


@dataclass(frozen=True)
class Bias(Perturbation):
    """Adds the level."""

    name = "bias"
    unit = "stored"
    stage = Stage.READOUT
    levels = (1.0, 2.0, 3.0, 4.0, 5.0)
    valid = (0.0, 10.0)
    physical = False

    def apply(self, images, conditions, streams):
        return images + self.level

    def moments(self, value, conditions):
        return value + self.level, 0 * value


class Louder(Bias):
    __doc__ = Bias.__doc__

    def apply(self, images, conditions, streams):
        return images + 1.01 * self.level


class InPlace(Bias):
    __doc__ = Bias.__doc__

    def apply(self, images, conditions, streams):
        return images.add_(self.level)


class Batchwise(Bias):
    __doc__ = Bias.__doc__

    def moments(self, value, conditions):
        return None

    def apply(self, images, conditions, streams):
        return images + self.level * torch.arange(len(images))[:, None, None, None]


class Backwards(Bias):
    __doc__ = Bias.__doc__

    levels = (5.0, 4.0, 3.0, 2.0, 1.0)


def test_the_contract_finds_what_breaks_it():
    check_perturbation(Bias)
    for kind, words in (
        (Louder, "mean off"),
        (InPlace, "changed its input"),
        (Batchwise, "the order changed"),
        (Backwards, "strength must rise"),
    ):
        with pytest.raises(AssertionError, match=words):
            check_perturbation(kind)


def test_names():
    assert make_perturbation("exposure", "s3") == Exposure(0.1)
    assert perturbation_kind(f"{__name__}:Bias") is Bias
    for name, words in (
        ("exposre", "known are exposure, read-noise"),
        ("nowhere.at.all:Thing", "cannot import"),
        ("robustkit.perturb.perturbation:Stage", "is no subclass"),
    ):
        with pytest.raises(InputError, match=words):
            perturbation_kind(name)
    with pytest.raises(InputError, match="unknown level 's6'"):
        make_perturbation("exposure", "s6")


@pytest.mark.parametrize(("name", "level"), [("exposure", 0.0), ("exposure", 1.5), ("flat", -0.1), ("psf", math.nan)])
def test_levels_outside_validity_are_refused(name, level):
    with pytest.raises(InputError, match=f"{name} takes"):
        make_perturbation(name, level)


def test_calls_that_cannot_be_right_are_refused():
    images = example_images()
    streams = Streams(0, "abcd")
    with pytest.raises(InputError, match="needs the conditions"):
        Exposure(0.5)(images, streams=streams)
    with pytest.raises(InputError, match="as many random streams"):
        Exposure(0.5)(images, conditions=example_conditions(), streams=Streams(0, "ab"))
    with pytest.raises(InputError, match="shape"):
        Exposure(0.5)(images[0], conditions=example_conditions(), streams=streams)
    with pytest.raises(InputError, match="3 bands"):
        Exposure(0.5)(images[:, :2], conditions=example_conditions(), streams=streams)


def test_a_composition_follows_the_life_of_an_image():
    exposure, noise = make_perturbation("exposure", 0.1), make_perturbation("read-noise", 9)
    both = Composition([noise, exposure])
    assert both.parts == (exposure, noise)
    images, conditions = example_images(), example_conditions()
    made = both(images, conditions=conditions, streams=Streams(0, "abcd"))
    streams = Streams(0, "abcd")
    step = exposure(images, conditions=conditions, streams=streams)
    assert torch.equal(made, noise(step, conditions=conditions.exposed(0.1), streams=streams))
    assert conditions.exposed(0.1).background == pytest.approx(example_conditions(1).background)
    assert conditions.exposed(0.1).scale == pytest.approx(example_conditions(1).scale)
    for parts, words in (
        ([], "came none"),
        ([exposure, exposure], "each once"),
        ([exposure, make_perturbation("gaussian", 0.1)], "gaussian happens after the stretch"),
    ):
        with pytest.raises(InputError, match=words):
            Composition(parts)
