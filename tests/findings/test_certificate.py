import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from robustkit.engine import PlainEvaluator
from robustkit.errors import InputError
from robustkit.findings.certify.measure import certify
from robustkit.findings.certify.record import CertificateRecord
from robustkit.models import AuditedClassifier, ConvNet
from robustkit.perturb.values import Corners, SingleBand
from tests.oracles import MeanClassifier, PlantedPixel

SHAPE = (3, 12, 14)
VALUES = Corners(torch.zeros(3), torch.ones(3))
IDS = [f"i{n}" for n in range(5)]


@pytest.fixture
def images():
    return torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0)) * 0.5


def _certify(classifier, images, labels=None, **options):
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
    return certify(classifier, images, labels, **{"values": VALUES, "ids": IDS[: len(images)], **options})


def test_the_planted_pixel_is_counted_and_mapped(images):
    record = _certify(AuditedClassifier(PlantedPixel(SHAPE), input_shape=SHAPE), images)
    assert record.complete.all()
    assert not record.certified.any()
    assert record.flipping.tolist() == [4] * 5  # the corners with the planted band high
    expected = np.zeros((5, 12, 14))
    expected[:, 5, 9] = 4
    np.testing.assert_array_equal(record.flips_map, expected)
    assert (record.best_row == 5).all()
    assert (record.best_column == 9).all()
    np.testing.assert_allclose(record.best_margin, 10 * (1 - 0.9), rtol=1e-4)
    np.testing.assert_allclose(record.chance_low, 4 / (12 * 14 * 8))


def test_what_one_pixel_cannot_flip_is_certified_with_its_distance(images):
    record = _certify(AuditedClassifier(MeanClassifier(classes=2), input_shape=SHAPE), images)
    assert record.certified.all()
    # The best cell raises every band of the darkest pixel to 1.
    pixels = images.sum(1).flatten(1)
    best = (images.sum((1, 2, 3)) + 3 - pixels.amin(1)) / images[0].numel()
    np.testing.assert_allclose(record.best_margin, 10 * (best - 0.5), atol=1e-5)


def test_it_agrees_with_every_cell_painted_and_run(images):
    torch.manual_seed(3)
    classifier = AuditedClassifier(ConvNet(size=SHAPE[1:]).eval(), input_shape=SHAPE)
    labels = classifier(images).argmax(1)
    labels[0] = (labels[0] + 1) % 3
    record = _certify(classifier, images, labels)
    assert record.correct.tolist() == [False, True, True, True, True]
    assert record.queries[0] == 0
    for n in range(1, 5):
        flips = np.zeros((12, 14), dtype=int)
        for option in range(8):
            value = VALUES.option(images[n, :, 0, 0], torch.tensor(option))
            painted = images[n].repeat(12 * 14, 1, 1, 1)
            row, column = torch.arange(12 * 14) // 14, torch.arange(12 * 14) % 14
            painted[torch.arange(12 * 14), :, row, column] = value
            flips += (classifier(painted).argmax(1) != labels[n]).reshape(12, 14).numpy()
        np.testing.assert_array_equal(record.flips_map[n], flips)


def test_a_sample_bounds_the_chance_and_certifies_nothing(images):
    classifier = AuditedClassifier(MeanClassifier(), input_shape=SHAPE)
    record = _certify(classifier, images, budget=100)
    assert not record.certified.any()
    assert (record.queries == 100).all()
    assert (record.chance_low == 0).all()
    # Shorter than the interval of as many draws from an endless population, and than that of the sample alone.
    assert (record.chance_high < binomtest(0, 25).proportion_ci(0.95, "exact").high).all()
    assert (record.at_most <= record.chance_high * record.cells).all()
    again = _certify(classifier, images[2:], budget=100, ids=IDS[2:])
    np.testing.assert_array_equal(again.margin_map, record.margin_map[2:])


def test_cells_near_the_boundary_are_decided_by_the_plain_network(images):
    class Rough(PlainEvaluator):
        """Off by up to 0.05, and says so."""

        tolerance = 0.05

        def __call__(self, candidates):
            logits = super().__call__(candidates)
            return logits + 0.05 * torch.sin(1e4 * logits.sum(-1, keepdim=True)) * torch.tensor([1.0, -1.0, 0.0])

    # Thresholds on the boundary: margins of the planted cells are 0.01, well within what Rough gets wrong.
    module = PlantedPixel(SHAPE, threshold=0.999)
    classifier = AuditedClassifier(module, input_shape=SHAPE)
    record = _certify(classifier, images, evaluator=Rough)
    assert record.flipping.tolist() == [4] * 5
    assert (record.rechecked >= 4).all()


def test_other_value_sets_have_their_own_cells(images):
    values = SingleBand(torch.zeros(3), torch.ones(3))
    record = _certify(AuditedClassifier(PlantedPixel(SHAPE), input_shape=SHAPE), images, values=values)
    assert record.cells == 12 * 14 * 6
    assert record.flipping.tolist() == [1] * 5


def test_a_record_goes_round_and_parts_join(images, tmp_path):
    classifier = AuditedClassifier(PlantedPixel(SHAPE), input_shape=SHAPE)
    whole = _certify(classifier, images)
    parts = [_certify(classifier, images[:2]), _certify(classifier, images[2:], ids=IDS[2:])]
    joined = CertificateRecord.join(
        [CertificateRecord.load(p.save(tmp_path / f"{i}.npz")) for i, p in enumerate(parts)]
    )
    np.testing.assert_array_equal(joined.flips_map, whole.flips_map)
    assert list(joined.ids) == IDS
    other = _certify(classifier, images[:2], seed=9)
    with pytest.raises(InputError, match="different values, budgets or seeds"):
        CertificateRecord.join([whole, other])


def test_refusals(images):
    classifier = AuditedClassifier(PlantedPixel(SHAPE), input_shape=SHAPE)
    with pytest.raises(InputError, match="need a label and an id each"):
        _certify(classifier, images, ids=IDS[:3])
    with pytest.raises(InputError, match="must be at least 1"):
        _certify(classifier, images, budget=0)


class Breaking(nn.Module):
    """Class 0, but where one known pixel passes a limit its logits are no numbers."""

    latent = "flatten"

    def __init__(self):
        super().__init__()
        self.flatten, self.limit = nn.Flatten(), 9.0
        self.eval()

    def forward(self, images):
        pixel = self.flatten(images)[:, 75]
        return torch.stack([torch.zeros_like(pixel), torch.where(pixel > self.limit, torch.nan, pixel - 2)], 1)


def test_logits_that_are_not_finite_are_no_flips_and_certify_nothing(images):
    classifier = AuditedClassifier(Breaking(), input_shape=SHAPE)  # it refuses a network that is broken already
    classifier.module.limit = 0.9
    record = _certify(classifier, images)
    assert record.correct.all()
    assert record.complete.all()
    assert record.flipping.tolist() == [0] * 5
    assert record.not_finite.tolist() == [4] * 5  # the corners with that band high
    assert not record.certified.any()
    assert np.isfinite(record.error_bound).all()
    np.testing.assert_allclose(record.chance_low, 0)
    np.testing.assert_allclose(record.chance_high, 4 / record.cells)
    classifier.module.limit = -1.0
    broken = _certify(classifier, images)
    assert not broken.correct.any()
    assert broken.queries.sum() == 0
    assert not broken.certified.any()
