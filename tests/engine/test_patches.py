import numpy as np
import pytest
import torch
from torch import nn

import robustkit as rk
from robustkit.errors import InputError

SHAPE = (2, 20, 22)


def chain():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(4 * 8 * 9, 3),
    ).eval()  # fmt: skip


def black_box(images):
    return np.stack([images.mean((1, 2, 3)), images[:, 0].max((1, 2)), images[:, 1, 3].min(1)], 1)


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))


def painted(images, image, row, column, patch):
    made = images[image].clone()
    height, width = patch.shape[-2:]
    made[:, row : row + height, column : column + width] = patch[:, : SHAPE[1] - row, : SHAPE[2] - column]
    return made


@pytest.mark.parametrize("network", [chain, lambda: black_box], ids=["windows", "black box"])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 5), (7, 4), (18, 19)])
def test_a_patch_is_scored_as_if_it_were_painted(network, size, images):
    net = network()
    score = rk.evaluator(net, images)
    random = np.random.default_rng(0)
    image, row, column = (random.integers(high, size=12) for high in (3, *SHAPE[1:]))
    patch = torch.rand(12, 2, *size, generator=torch.Generator().manual_seed(2)) * 1.5
    made = torch.stack([painted(images, *where) for where in zip(image, row, column, patch, strict=True)])
    own = torch.as_tensor(net(made.numpy())) if network() is black_box else net(made)
    torch.testing.assert_close(score(image, row, column, patch), own.float(), atol=2e-5, rtol=1e-5)


def test_an_occlusion_map_is_a_patch_at_every_place(images):
    net = chain()
    logits = rk.evaluator(net, images).occlusion((4, 3), stride=5, value=[0.2, 0.7])
    assert logits.shape == (3, 4, 4, 3)
    grey = torch.tensor([0.2, 0.7])[:, None, None].expand(2, 4, 3)
    for n, i, j in ((0, 0, 0), (1, 2, 3), (2, 3, 1)):
        own = net(painted(images, n, 5 * i, 5 * j, grey)[None])[0]
        torch.testing.assert_close(logits[n, i, j], own, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda score: score(0, 20, 0, np.zeros((2, 3, 3))), "outside the 3 images of 20 x 22"),
        (lambda score: score(3, 0, 0, np.zeros((2, 3, 3))), "outside the 3 images"),
        (lambda score: score(0, 0, 0, np.zeros((3, 3, 3))), r"a patch of shape \(2, h, w\)"),
        (lambda score: score(0, [0, 1], 0, np.zeros((3, 2, 3, 3))), "a patch for each of 2 places, got 3"),
        (lambda score: score.occlusion(23), "a patch of 1 to 20 x 22 pixels"),
        (lambda score: score.occlusion(3, stride=0), "a stride of at least 1"),
    ],
)
def test_what_does_not_fit_is_said(call, words, images):
    with pytest.raises(InputError, match=words):
        call(rk.evaluator(chain(), images))


def test_no_places_have_no_logits(images):
    assert rk.evaluator(chain(), images)([], [], [], np.zeros((2, 1, 1))).shape == (0, 3)
