"""One definition of a flip: attack, sweep and certificate say what the network says of an image alone."""

import numpy as np
import pytest
import torch
from torch import nn

from robustkit.engine import PlainEvaluator
from robustkit.findings.attack.measure import attack
from robustkit.findings.certify.measure import certify
from robustkit.findings.sweep.job import sweep
from robustkit.models import AuditedClassifier
from robustkit.perturb.decision import UNTARGETED, answers, decide, flips, margin, settled
from robustkit.perturb.faults.plain_noise import GaussianNoise
from robustkit.perturb.search.complete import Complete
from robustkit.perturb.values import Corners
from robustkit.records import NOT_FINITE

SHAPE = (1, 4, 5)
VALUES = Corners(torch.zeros(1), torch.ones(1))
IDS = ["a", "b", "c"]


class Needle(nn.Module):
    """Logits (0, x - need): only a pixel in a corner counts, and at x = 1 the two may be equal.

    `beside` is added where other images are in the batch, as rounding may.
    """

    latent = "flatten"

    def __init__(self, *, need=1.0, label=0, beside=0.0):
        super().__init__()
        self.flatten, self.need, self.label, self.beside = nn.Flatten(), need, label, beside
        self.eval()

    def forward(self, images):
        pixel = self.flatten(images)[:, 19]
        other = pixel - self.need + (self.beside if len(images) > 1 else 0.0)
        pair = [torch.zeros_like(pixel), other]
        return torch.stack(pair if self.label == 0 else pair[::-1], 1)


def _images():
    return 0.5 * torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("label", "flip"), [(0, False), (1, True)])
def test_a_tie_is_decided_as_argmax_decides_it(label, flip):
    classifier = AuditedClassifier(Needle(label=label), input_shape=SHAPE)
    images, labels = _images(), torch.full((3,), label)
    record = certify(classifier, images, labels, values=VALUES, ids=IDS)
    assert record.flipping.tolist() == [int(flip)] * 3
    assert not record.certified.any()  # at a tie there is no room for rounding
    assert record.too_near.tolist() == [not flip] * 3
    found = attack(classifier, images, labels, search=Complete(), values=VALUES, seed=0, ids=IDS)
    assert found.flipped.tolist() == [flip] * 3
    assert found.new_class.tolist() == [1 - label if flip else -1] * 3


@pytest.mark.parametrize("beside", [3e-7, -3e-7])
def test_the_answer_is_that_of_the_image_alone_whatever_a_batch_makes_of_it(beside):
    need = 0.25
    classifier = AuditedClassifier(Needle(need=need, beside=beside), input_shape=SHAPE)
    images = _images()
    images[:, 0, 3, 4] = torch.tensor([need, need - 1e-7, need + 1e-7])
    expected = [0, 0, 1]
    labels = torch.zeros(3, dtype=torch.int64)
    record = certify(classifier, images, labels, values=VALUES, ids=IDS)
    found = attack(classifier, images, labels, search=Complete(), values=VALUES, seed=0, ids=IDS)
    swept = sweep(classifier, images.numpy(), labels.numpy(), IDS, [GaussianNoise(level=0.0)], stretch=None)
    assert decide(answers(classifier, images)).tolist() == expected
    assert record.correct.tolist() == [True, True, False]
    assert found.clean_class.tolist() == expected
    assert swept.clean_class.tolist() == expected
    assert swept.new_class[0].tolist() == expected


def test_complete_search_and_certificate_find_the_same_cells_where_an_evaluator_errs():
    class Rough(PlainEvaluator):
        """A little short of the flip, and says so."""

        tolerance = 1e-4

        def __call__(self, candidates):
            return super().__call__(candidates) - torch.tensor([0.0, 5e-5])

    classifier = AuditedClassifier(Needle(need=1 - 2e-5), input_shape=SHAPE)
    images, labels = _images(), torch.zeros(3, dtype=torch.int64)
    record = certify(classifier, images, labels, values=VALUES, ids=IDS, evaluator=Rough)
    assert record.flipping.tolist() == [1] * 3
    np.testing.assert_allclose(record.best_margin, 2e-5, atol=1e-7)
    found = attack(classifier, images, labels, search=Complete(), values=VALUES, seed=0, ids=IDS, evaluator=Rough)
    assert found.flipped.all()
    assert found.unproved.sum() == 0


def test_margins_and_flips_agree_but_at_ties_and_where_nothing_is_finite():
    logits = torch.tensor([[[0.0, 1.0, 0.5], [1.0, 1.0, 0.0], [0.0, 0.0, torch.nan], [1.0, 0.0, 1.0]]])
    label, any_class = torch.tensor([1]), torch.tensor([UNTARGETED])
    assert decide(logits).tolist() == [[1, 0, NOT_FINITE, 0]]
    assert flips(logits, label, any_class).tolist() == [[False, True, False, True]]
    assert margin(logits, label, any_class).tolist() == [[-0.5, 0.0, -torch.inf, 1.0]]
    target = torch.tensor([2])
    assert flips(logits, label, target).tolist() == [[False, False, False, False]]
    assert margin(logits, label, target).tolist() == [[-0.5, -1.0, -torch.inf, 0.0]]


def test_only_what_rounding_could_decide_is_asked_alone():
    class Counting(Needle):
        alone = 0

        def forward(self, images):
            self.alone += len(images) == 1
            return super().forward(images)

    module = Counting(need=0.25)
    classifier = AuditedClassifier(module, input_shape=SHAPE)
    images = _images()
    images[:, 0, 3, 4] = torch.tensor([0.1, 0.25, 0.4])
    logits = classifier(images)
    module.alone = 0
    torch.testing.assert_close(settled(classifier, images, logits), logits)
    assert module.alone == 1
