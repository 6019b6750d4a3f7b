"""The contracts of perturbations and of front ends; check your own with `check_perturbation` and `check_front`."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from robustkit.data.survey import LSST, Depth
from robustkit.models.fronts import FrontEnd
from robustkit.perturb.conditions import Conditions
from robustkit.perturb.perturbation import LEVEL_NAMES, Perturbation, Stage
from robustkit.seeds import Streams

# Standard errors that a moment may lie from its formula.
_ERRORS = 4.0
_FIELDS = 96


def example_conditions(years: float = 10) -> Conditions:
    """Conditions of LSST in g, r and i after some years, in electrons of ten years."""
    depth, bands = Depth(LSST, years, 10), LSST.bands
    return Conditions(
        bands=tuple(band.name for band in bands),
        scale=np.full(len(bands), depth.scale),
        sky=np.array([depth.sky(band) for band in bands]),
        visits=np.array([depth.visits(band) for band in bands]),
        read_noise=np.full(len(bands), LSST.read_noise),
        exposure=np.array([depth.exposure(band) for band in bands]),
        zero_point=np.array([band.zero_point for band in bands]),
        seeing=np.array([LSST.seeing(band) for band in bands]),
        full_well=np.full(len(bands), LSST.full_well),
        pixel_scale=LSST.pixel_scale,
    )


def example_images(stretched: bool = False, *, n: int = 4, size: int = 32) -> Tensor:
    """Round blobs away from the edges without noise, shape (n, 3, size, size), float32; fixed."""
    place = torch.arange(size) - size / 2
    radius = torch.linspace(1.5, 2.5, n)[:, None, None, None]
    blob = torch.exp(-(place[:, None] ** 2 + place**2) / (2 * radius**2))
    return blob * torch.tensor([0.5, 0.8, 1.0])[:, None, None] * (0.9 if stretched else 5000.0)


def check_perturbation(
    kind: type[Perturbation], *, conditions: Conditions | None = None, device: torch.device | str = "cpu"
) -> None:
    """Checks the contract on small images, at all five named levels.

    Identity at the identity level, input untouched, shape, type and device kept, finite; one seed, one answer, whatever
    the batch and the order, to the last bit on a CPU; grows with severity; keeps the charge where it claims to; first
    two moments on a constant field as its own formula says, within 4 standard errors.

    Args:
        kind: The class; it must be made by its level alone.
        conditions: How the images were taken, three bands; by default LSST after ten years.
        device: Where to run.

    Raises:
        AssertionError: If something does not hold; the message says what.
    """
    conditions = conditions or example_conditions()
    images = example_images(kind.stage == Stage.STRETCHED).to(device)
    ids = [f"image-{i}" for i in range(len(images))]
    assert len(kind.levels) == len(LEVEL_NAMES), f"{kind.name}: expected five levels, got {kind.levels}"
    assert kind.__doc__, f"{kind.name}: the docstring must say formula and source"
    same = kind(kind.identity)(images, conditions=conditions, streams=Streams(0, ids))
    assert torch.equal(same, images), f"{kind.name}: the level {kind.identity} must be the identity, bit for bit"
    assert same.data_ptr() != images.data_ptr(), f"{kind.name}: the identity must be a copy"
    changes = []
    for level in kind.levels:
        perturbation = kind(level)
        _check_one(perturbation, images, ids, conditions)
        _check_moments(perturbation, conditions, device)
        made = perturbation(images, conditions=conditions, streams=Streams(0, ids))
        changes.append(float((made - images).cpu().double().square().mean().sqrt()))
        back = kind.level_of(perturbation.strength())
        assert math.isclose(back, level, rel_tol=1e-6), f"{perturbation}: level_of(strength) is {back}"
    strengths = [kind(level).strength() for level in kind.levels]
    assert strengths == sorted(strengths), f"{kind.name}: strength must rise with the levels, got {strengths}"
    assert changes[0] > 0, f"{kind.name}: nothing changed at {kind.levels[0]}"
    assert all(b >= a * (1 - 1e-6) for a, b in pairwise(changes)), (
        f"{kind.name}: the change must grow with the level, got {changes}"
    )


def _check_one(perturbation: Perturbation, images: Tensor, ids: list[str], conditions: Conditions) -> None:
    before = images.clone()
    made = perturbation(images, conditions=conditions, streams=Streams(0, ids))
    assert torch.equal(images, before), f"{perturbation} changed its input"
    assert (made.shape, made.dtype, made.device) == (images.shape, images.dtype, images.device), (
        f"{perturbation} must keep shape, type and device, got {made.shape}, {made.dtype}, {made.device}"
    )
    assert bool(made.isfinite().all()), f"{perturbation} made values that are not finite"
    again = perturbation(images.flip(0), conditions=conditions, streams=Streams(0, ids[::-1])).flip(0)
    alone = torch.cat(
        [
            perturbation(images[i : i + 1], conditions=conditions, streams=Streams(0, [image_id]))
            for i, image_id in enumerate(ids)
        ]
    )
    # Bit for bit on a CPU; on a GPU, Fourier transforms of other batch sizes round otherwise.
    close = 0.0 if made.device.type == "cpu" else 1e-5 * float(made.abs().max())
    for name, other in (("order", again), ("batch", alone)):
        assert torch.allclose(made, other, rtol=0, atol=close), f"{perturbation}: the {name} changed the answer"
    if perturbation.conserves_charge:
        _check_charge(perturbation, images, ids, conditions)


def _check_charge(perturbation: Perturbation, images: Tensor, ids: list[str], conditions: Conditions) -> None:
    quiet = images.double()
    if hasattr(perturbation, "restore_noise"):
        perturbation = type(perturbation)(perturbation.level, restore_noise=False)  # type: ignore[call-arg]
    made = perturbation(quiet, conditions=conditions, streams=Streams(0, ids))
    before, after = quiet.sum((2, 3)), made.sum((2, 3))
    assert torch.allclose(before, after, rtol=1e-5), f"{perturbation} must keep the charge, {before} became {after}"


def _check_moments(perturbation: Perturbation, conditions: Conditions, device: torch.device | str) -> None:
    value, size = np.array([0.3, 0.5, 0.7]), (16, 20)
    value = value if perturbation.stage == Stage.STRETCHED else 1000 * value
    expected = perturbation.moments(value, conditions, size)
    if expected is None:
        return
    field = torch.as_tensor(value, device=device)[:, None, None].expand(_FIELDS, 3, *size).clone()  # float64
    streams = Streams(1, [f"field-{i}" for i in range(len(field))])
    made = perturbation(field, conditions=conditions, streams=streams).cpu().double().numpy()
    # Pixels of an image may share what was drawn, images do not: the errors are those of means over images.
    residual = made - expected[0][:, None, None]
    for what, found, rounding in (
        ("mean", residual.mean((2, 3)), 1e-6 * np.abs(value)),
        ("variance", (residual**2).mean((2, 3)) - expected[1], 1e-5 * expected[1] + (1e-6 * np.abs(value)) ** 2),
    ):
        error, spread = np.abs(found.mean(0)), found.std(0, ddof=1) / math.sqrt(len(found))
        assert (error <= _ERRORS * spread + rounding).all(), f"{perturbation}: {what} off by {error}, of {expected}"


def check_front(front: FrontEnd, *, bands: int = 3, device: torch.device | str = "cpu") -> None:
    """Checks the contract of a front end on small random images.

    Shape, type and device kept, input untouched, finite; the same answer every time, whatever the batch, to the last
    bit; constant images left as they are, unless it changes values alone (radius 0); no pixel changes further away than
    `radius`, at the borders too; and a window around a pixel gives what the whole image gives there, to the last bit.

    Args:
        front: The front end.
        bands: How many bands it takes.
        device: Where to run.

    Raises:
        AssertionError: If one of these fails; the message says which.
    """
    size, radius = 4 * front.radius + 9, front.radius
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, bands, size, size + 2, generator=generator).to(device)
    given = images.clone()
    made = front(images)
    assert made.shape == images.shape, "the shape must be kept"
    assert made.dtype == images.dtype, "the type must be kept"
    assert made.device == images.device, "the device must be kept"
    assert torch.equal(images, given), "the images given must be left untouched"
    assert bool(made.isfinite().all()), "finite images must stay finite"
    assert torch.equal(front(images), made), "the same images must give the same answer"
    alone = torch.cat([front(image[None]) for image in images])
    assert torch.equal(alone, made), "an image must give the same alone and in a batch"
    if radius > 0:
        even = torch.full_like(images[:1], 0.25)
        assert torch.equal(front(even), even), "a constant image must be left as it is"
    window = 4 * radius + 1
    for row in (0, 1, size // 2, size - 1):
        for column in (0, size // 2, size, size + 1):
            changed = images[:1].clone()
            changed[0, :, row, column] = torch.rand(bands, generator=generator).to(device) * 20 - 10
            after = front(changed)
            far = torch.ones(size, size + 2, dtype=torch.bool, device=device)
            near = [slice(max(0, at - radius), at + radius + 1) for at in (row, column)]
            far[near[0], near[1]] = False
            same = (after == made[:1])[0].all(0)
            assert bool(same[far].all()), (
                f"pixel ({row}, {column}) changes others further away than its radius {radius}"
            )
            top, left = (min(max(0, at - 2 * radius), most - window) for at, most in ((row, size), (column, size + 2)))
            cut = front(changed[:, :, top : top + window, left : left + window].contiguous())
            there = cut[:, :, near[0].start - top : near[0].stop - top, near[1].start - left : near[1].stop - left]
            assert torch.equal(there, after[:, :, near[0], near[1]]), "a window must give what the whole image gives"
