import math
from dataclasses import dataclass

import pytest
import torch

from robustkit.errors import InputError
from robustkit.perturb.faults.exposure import Exposure
from robustkit.perturb.faults.hot_pixel import HotPixel
from robustkit.perturb.faults.naming import make_perturbation, perturbation_kind, read_name
from robustkit.perturb.faults.psf import PSFBlur
from robustkit.perturb.faults.registry import PERTURBATIONS, SUITES
from robustkit.perturb.perturbation import Composition, Perturbation, Stage, tensor
from robustkit.seeds import Streams
from robustkit.testing import check_perturbation, example_conditions, example_images


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_perturbation_keeps_to_the_contract(name):
    check_perturbation(PERTURBATIONS[name])
    assert PERTURBATIONS[name].name == name


def test_the_plain_suite_is_what_needs_no_units():
    assert set(SUITES["plain"]) == {name for name, kind in PERTURBATIONS.items() if not kind.physical}


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

    def moments(self, value, conditions, size):
        return value + self.level, 0 * value


class Louder(Bias):
    __doc__ = Bias.__doc__

    def apply(self, images, conditions, streams):
        return images + 1.01 * self.level


class Noisy(Bias):
    __doc__ = Bias.__doc__

    def apply(self, images, conditions, streams):
        return images + self.level * tensor(streams.normal(*images.shape[1:]), images)

    def moments(self, value, conditions, size):
        return value, 1.1 * self.level**2 + 0 * value


class InPlace(Bias):
    __doc__ = Bias.__doc__

    def apply(self, images, conditions, streams):
        return images.add_(self.level)


class Batchwise(Bias):
    __doc__ = Bias.__doc__

    def moments(self, value, conditions, size):
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
        (Noisy, "variance off"),
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
        ("exposre", r"did you mean 'exposure'\? Known are exposure, read-noise"),
        ("nowhere.at.all:Thing", "there is no module nowhere"),
        ("robustkit.perturb.perturbation:Stage", "is not a subclass"),
    ):
        with pytest.raises(InputError, match=words):
            perturbation_kind(name)
    with pytest.raises(InputError, match="unknown level 's6'"):
        make_perturbation("exposure", "s6")


def test_options_follow_the_name():
    smooth = make_perturbation("psf,restore_noise=false", 0.5)
    assert smooth == PSFBlur(0.5, restore_noise=False)
    assert (smooth.label, PSFBlur(0.5).label) == ("psf,restore_noise=false", "psf")
    hot = make_perturbation("hot-pixel,visits=all,band=r,missing=yes", "s2")
    assert hot == HotPixel(20.0, visits=None, band="r", missing=True)
    assert make_perturbation(hot.label, 20) == hot
    assert make_perturbation("cti,transfers=500", 1e-5).transfers == 500
    assert read_name("sky-offset,sign=-1").at(27).sign == -1
    for name, words in (
        ("psf,noise=false", "its options are restore_noise="),
        ("psf,restore_noise", "has no option 'restore_noise'"),
        ("exposure,visits=2", "none, only a level"),
        ("psf,restore_noise=maybe", "expected true or false for restore_noise of psf, got 'maybe'"),
        ("cti,transfers=many", "expected a number for transfers"),
        ("ghost,radius=0", "radius must be above 0"),
        ("band-drop,missing=true", "needs --levels 1, got"),
    ):
        with pytest.raises(InputError, match=words):
            make_perturbation(name, 0.5)


@pytest.mark.parametrize("name", [name for names in SUITES.values() for name in names])
def test_every_name_of_a_suite_is_its_label(name):
    assert make_perturbation(name, "s3").label == name


@pytest.mark.parametrize("name", ["hot-pixel", "dead-pixel", "bad-column", "bad-row", "cosmic-ray", "satellite"])
def test_gaps_are_where_the_fault_was(name):
    images, conditions = example_images(), example_conditions()
    fault, gap = (
        make_perturbation(label, "s3")(images, conditions=conditions, streams=Streams(0, "abcd"))
        for label in (name, f"{name},missing=true")
    )
    assert torch.equal(gap.isnan(), fault != images)
    assert torch.equal(gap[~gap.isnan()], images[~gap.isnan()])
    assert gap.isnan().any()


def test_a_lost_band_can_be_missing():
    images = example_images()
    zeros = make_perturbation("band-drop", 1)(images, streams=Streams(0, "abcd"))
    gaps = make_perturbation("band-drop,missing=true", 1)(images, streams=Streams(0, "abcd"))
    assert gaps.isnan().flatten(2).all(2).sum(1).tolist() == [1] * 4
    assert torch.equal(gaps.nan_to_num(0), zeros)


@pytest.mark.parametrize("name", [name for name in SUITES["lsst"] if name not in ("rice", "hcompress")])
def test_batches_do_not_change_a_bit(name):
    """At an odd size, where vectorised functions treat the ends of a batch otherwise than its middle."""
    perturbation, conditions = make_perturbation(name, "s3"), example_conditions()
    images = example_images(perturbation.stage == Stage.STRETCHED, n=9, size=37)[..., :35].contiguous()
    ids = list("abcdefghi")
    whole = perturbation(images, conditions=conditions, streams=Streams(0, ids))
    for size in (1, 2, 4):
        parts = [
            perturbation(images[i : i + size], conditions=conditions, streams=Streams(0, ids[i : i + size]))
            for i in range(0, 9, size)
        ]
        assert torch.equal(torch.cat(parts), whole)


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
    wrong = type("Wrong", (Bias,), {"apply": lambda *_: images[:, :, 1:]})
    with pytest.raises(InputError, match="must give back images of shape"):
        wrong(1.0)(images, streams=streams)
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
        ([], "got none"),
        ([exposure, exposure], "each once"),
        ([exposure, make_perturbation("gaussian", 0.1)], "gaussian happens after the stretch"),
    ):
        with pytest.raises(InputError, match=words):
            Composition(parts)
