"""What every evaluator must do, as functions that take one: run all of it with `check_evaluator`."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustkit.engine import Candidates, Evaluator, paint
from robustkit.models import AuditedClassifier

# Largest error against a plain forward in float64, relative to the largest logit.
TOLERANCE = 1e-4
# Largest difference between two groupings of the same candidates: float32 rounding, from both sides.
ROUNDING = 3e-5


def randomise(module: nn.Module, *, seed: int = 0) -> nn.Module:
    """Evaluation mode, batch norms as in a trained network: statistics, shifts, scales of which some are negative."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> Tensor:
        return torch.empty(tensor.shape).uniform_(low, high, generator=generator)

    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.copy_(uniform(layer.running_mean, -0.3, 0.3))
                layer.running_var.copy_(uniform(layer.running_var, 0.3, 2.0))
                if layer.affine:
                    layer.weight.copy_(uniform(layer.weight, 0.4, 1.5))
                    layer.weight[uniform(layer.weight, 0.0, 1.0) < 0.25] *= -1
                    layer.bias.copy_(uniform(layer.bias, -0.3, 0.3))
    return module.eval()


def random_images(classifier: AuditedClassifier, *, n: int = 3, seed: int = 0) -> Tensor:
    """Clean images in [0, 1], shape (N, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, *classifier.input_shape, generator=generator)


def random_candidates(images: Tensor, *, pixels: int = 1, extra: int = 12, seed: int = 0) -> Candidates:
    """Candidates at every corner, on every border and inside, far outside the range of the images.

    The rows name the images out of order and the last image twice. With two or more pixels, some coincide, some are
    neighbours, and some lie far apart.

    Args:
        images: Shape (N, C, H, W).
        pixels: L.
        extra: How many candidates there are beside the 4 corners and the 4 borders.
        seed: Of everything random.
    """
    generator = torch.Generator().manual_seed(seed)
    n, channels, height, width = images.shape
    image = torch.cat([torch.randperm(n, generator=generator), torch.tensor([n - 1])])
    m, p = len(image), 8 + extra
    row = torch.randint(height, (m, p, pixels), generator=generator)
    column = torch.randint(width, (m, p, pixels), generator=generator)
    row[:, :6, 0] = torch.tensor([0, 0, height - 1, height - 1, 0, height - 1])
    column[:, :4, 0] = torch.tensor([0, width - 1, 0, width - 1])
    column[:, 6:8, 0] = torch.tensor([0, width - 1])
    if pixels > 1:
        # Every third candidate repeats its first pixel, every third puts the second pixel beside the first.
        row[:, ::3, -1], column[:, ::3, -1] = row[:, ::3, 0], column[:, ::3, 0]
        row[:, 1::3, 1] = row[:, 1::3, 0]
        column[:, 1::3, 1] = (column[:, 1::3, 0] + 1).clamp_max(width - 1)
    value = torch.empty(m, p, pixels, channels).uniform_(-6.0, 6.0, generator=generator)
    return Candidates(image, row, column, value)


def reference(classifier: AuditedClassifier, images: Tensor, candidates: Candidates) -> Tensor:
    """Logits by painting every candidate and a plain forward in float64, shape (M, P, K)."""
    module = copy.deepcopy(classifier.module).double()
    m, p = candidates.row.shape[:2]
    painted = paint(
        images[candidates.image].repeat_interleave(p, 0).double(),
        candidates.row.flatten(0, 1),
        candidates.column.flatten(0, 1),
        candidates.value.flatten(0, 1).double(),
    )
    with torch.inference_mode():
        return classifier.output.logits(module(painted)).unflatten(0, (m, p))


def assert_agrees(evaluator: Evaluator, classifier: AuditedClassifier, candidates: Candidates) -> None:
    """The logits are those of a plain forward in float64, and the candidates moved them enough to tell."""
    expected = reference(classifier, evaluator.images, candidates)
    answer = evaluator(candidates)
    assert answer.shape == expected.shape
    assert answer.dtype == torch.float32
    scale = float(expected.abs().max())
    moved = float((expected - expected.mean(1, keepdim=True)).abs().max())
    assert moved > 30 * TOLERANCE * scale, f"the candidates move the logits by {moved:.1e} of {scale:.1e} only"
    error = (answer - expected).abs().amax(2)
    worst = int(error.argmax())
    assert float(error.max()) < TOLERANCE * scale, (
        f"error {float(error.max()) / scale:.1e} of the logit scale at row {candidates.row.flatten(0, 1)[worst]}, "
        f"column {candidates.column.flatten(0, 1)[worst]}"
    )


def assert_clean(evaluator: Evaluator, classifier: AuditedClassifier) -> None:
    """The clean logits, and those of candidates that write what is there, are those of the plain network."""
    with torch.inference_mode():
        expected = classifier(evaluator.images)
    scale = float(expected.abs().max())
    clean = evaluator.clean()
    assert clean.shape == expected.shape
    assert float((clean - expected).abs().max()) < ROUNDING * scale
    n = len(evaluator.images)
    middle = torch.full((n, 1, 1), min(evaluator.images.shape[2:]) // 2)
    value = evaluator.images[:, :, middle[0, 0, 0], middle[0, 0, 0]][:, None, None]
    same = evaluator(Candidates(torch.arange(n), middle, middle, value))
    assert float((same[:, 0] - expected).abs().max()) < ROUNDING * scale


def assert_grouping_is_free(evaluator: Evaluator, candidates: Candidates) -> None:
    """The same candidates give the same logits in one call, turned round, row by row, and one by one."""
    together = evaluator(candidates)
    scale = float(together.abs().max())
    m, p = candidates.row.shape[:2]

    def differ(other: Tensor) -> float:
        return float((other - together).abs().max()) / scale

    assert differ(evaluator(candidates.select(torch.arange(m).flip(0))).flip(0)) < ROUNDING
    assert differ(torch.cat([evaluator(candidates.select(torch.tensor([i]))) for i in range(m)])) < ROUNDING
    single = Candidates(
        candidates.image.repeat_interleave(p),
        candidates.row.flatten(0, 1)[:, None],
        candidates.column.flatten(0, 1)[:, None],
        candidates.value.flatten(0, 1)[:, None],
    )
    assert differ(evaluator(single).reshape_as(together)) < ROUNDING


def assert_empty_cases(evaluator: Evaluator, candidates: Candidates) -> None:
    """No rows, no candidates, or no pixels: the right shapes, and the clean logits where nothing is written."""
    m, p = candidates.row.shape[:2]
    clean = evaluator.clean()
    assert evaluator(candidates.select(torch.arange(0))).shape == (0, p, clean.shape[1])
    none = Candidates(candidates.image, candidates.row[:, :0], candidates.column[:, :0], candidates.value[:, :0])
    assert evaluator(none).shape == (m, 0, clean.shape[1])
    unpainted = Candidates(
        candidates.image, candidates.row[..., :0], candidates.column[..., :0], candidates.value[:, :, :0]
    )
    expected = clean[candidates.image][:, None].expand(m, p, -1)
    assert float((evaluator(unpainted) - expected).abs().max()) < ROUNDING * float(clean.abs().max())


def assert_nothing_is_spoiled(evaluator: Evaluator, classifier: AuditedClassifier, candidates: Candidates) -> None:
    """A call leaves images, candidates and network as they were, and a second call answers the same."""
    kept = [evaluator.images, candidates.image, candidates.row, candidates.column, candidates.value]
    before = [tensor.clone() for tensor in kept]
    state = {name: tensor.clone() for name, tensor in classifier.module.state_dict().items()}
    first, clean = evaluator(candidates), evaluator.clean()
    torch.testing.assert_close(evaluator(candidates), first, rtol=ROUNDING, atol=ROUNDING * float(first.abs().max()))
    torch.testing.assert_close(evaluator.clean(), clean, rtol=ROUNDING, atol=ROUNDING * float(clean.abs().max()))
    assert all(torch.equal(tensor, old) for tensor, old in zip(kept, before, strict=True))
    now = classifier.module.state_dict()
    assert now.keys() == state.keys()
    assert all(torch.equal(now[name], tensor) for name, tensor in state.items())
    assert not classifier.module.training


def check_evaluator(
    make: Callable[[AuditedClassifier, Tensor], Evaluator],
    classifier: AuditedClassifier,
    *,
    pixels: tuple[int, ...] = (1, 2, 3),
    n: int = 3,
    extra: int = 12,
    seed: int = 0,
) -> Evaluator:
    """The whole contract.

    Args:
        make: Makes the evaluator of a classifier and images, such as a class.
        classifier: The classifier.
        pixels: Every L to try.
        n: How many images.
        extra: Candidates of an image beside corners and borders.
        seed: Of everything random.

    Returns:
        The evaluator, for further questions.
    """
    images = random_images(classifier, n=n, seed=seed)
    state = {name: tensor.clone() for name, tensor in classifier.module.state_dict().items()}
    evaluator = make(classifier, images)
    now = classifier.module.state_dict()
    assert all(torch.equal(now[name], tensor) for name, tensor in state.items()), "making the evaluator moved a weight"
    assert torch.equal(evaluator.images, images)
    assert_clean(evaluator, classifier)
    for count in pixels:
        assert_agrees(evaluator, classifier, random_candidates(images, pixels=count, extra=extra, seed=seed + count))
    candidates = random_candidates(images, pixels=pixels[0], extra=extra, seed=seed)
    assert_grouping_is_free(evaluator, candidates)
    assert_empty_cases(evaluator, candidates)
    assert_nothing_is_spoiled(evaluator, classifier, candidates)
    assert_clean(evaluator, classifier)
    return evaluator
