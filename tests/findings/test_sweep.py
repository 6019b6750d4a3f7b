import numpy as np
import pytest
import torch
from scipy.special import ndtr

from robustkit.data import IdentityStretch
from robustkit.errors import InputError
from robustkit.findings.sweep.job import sweep
from robustkit.findings.sweep.record import SweepRecord
from robustkit.findings.sweep.summary import summarize_sweep
from robustkit.findings.sweep.threshold import crossing
from robustkit.models import AuditedClassifier
from robustkit.perturb.faults.naming import make_perturbation
from robustkit.testing import example_conditions
from tests.oracles import MeanClassifier

SHAPE = (3, 8, 8)
DROPS = [make_perturbation("band-drop", level) for level in (0.1, 0.5, 1.0)]


def flat_images():
    """Twenty images of constant value: class 1 above a mean of 0.5; band-drop of a makes means (1 - a / 3) as large."""
    values = np.linspace(0.3, 0.8, 20)
    images = np.broadcast_to(values[:, None, None, None], (20, *SHAPE)).astype(np.float32)
    return images, values, (values > 0.5).astype(np.int64)


def swept(perturbations=DROPS, *, threshold=0.5, **options):
    images, _, labels = flat_images()
    ids = [f"image-{i}" for i in range(len(images))]
    classifier = AuditedClassifier(MeanClassifier(threshold=threshold), input_shape=SHAPE)
    options = {"stretch": IdentityStretch()} | options
    return sweep(classifier, images, labels, ids, perturbations, **options)


def test_a_sweep_finds_what_arithmetic_says():
    record = swept()
    _, values, labels = flat_images()
    for s, level in enumerate((0.1, 0.5, 1.0)):
        mean = values * (1 - level / 3)
        np.testing.assert_array_equal(record.new_class[s], mean > 0.5)
        right = np.where(labels == 1, 10 * (mean - 0.5), np.minimum(-10 * (mean - 0.5), 1))  # the third logit is -1
        np.testing.assert_allclose(record.margin[s], right, atol=1e-5)
        assert (record.distance[s] > 0).all()
    summary = summarize_sweep(record)
    lost = ((labels == 1) & (values * (1 - 0.5 / 3) <= 0.5)).sum()
    step = summary.steps[1]
    assert (step.right_to_wrong, step.wrong_to_right) == (lost, 0)
    assert step.accuracy.value == pytest.approx(1 - lost / 20)
    assert step.recall.value[0] == 1.0
    assert step.recall.value[1] == pytest.approx(1 - lost / labels.sum())
    assert summary.mpc == pytest.approx(np.mean([one.accuracy.value for one in summary.steps]))
    assert summary.rpc == summary.mpc
    (threshold,) = summary.thresholds
    assert 0 < threshold.mildest <= threshold.level <= 1
    assert threshold.reached > 0.9


def test_blocks_and_order_change_nothing(tmp_path):
    noise = [make_perturbation("gaussian", 0.3), *DROPS]
    whole, parts = swept(noise), swept(noise, block=3)
    for name in ("new_class", "outside", "level"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    np.testing.assert_allclose(whole.margin, parts.margin, atol=1e-5)
    turned = swept(noise[::-1])
    np.testing.assert_allclose(whole.margin, turned.margin[::-1], atol=1e-5)
    loaded = SweepRecord.load(whole.save(tmp_path / "sweep.npz"))
    np.testing.assert_array_equal(loaded.margin, whole.margin)
    assert summarize_sweep(loaded).text() == summarize_sweep(whole).text()


def test_values_outside_the_bounds_are_counted_and_not_clipped():
    record = swept([make_perturbation("sky-offset", 20)], conditions=example_conditions(), bounds=(0.0, 1.0))
    assert record.outside.tolist() == [20 * 3 * 8 * 8]
    inside = swept([make_perturbation("sky-offset", 40)], conditions=example_conditions(), bounds=(0.0, 1.0))
    assert inside.outside.tolist() == [0]
    noisy = swept([make_perturbation("gaussian", 10)], bounds=(0.0, 1.0))  # after the stretch: what it would be before
    assert 0.9 < noisy.outside[0] / (20 * 3 * 8 * 8) < 1


def test_a_model_compared_with_itself_has_mce_one():
    record = swept()
    summary = summarize_sweep(record, swept())
    assert summary.ce == {"band-drop": 1.0}
    assert summary.mce == 1.0
    better = summarize_sweep(swept(threshold=0.45), record)
    errors = [float((one.new_class != one.true).mean()) for one in (swept(threshold=0.45), record)]
    assert better.mce == pytest.approx(errors[0] / errors[1])
    with pytest.raises(InputError, match="other images or levels"):
        summarize_sweep(record, swept(DROPS[:2]))
    with pytest.raises(InputError, match="pass its class in `kinds`"):
        summarize_sweep(record, kinds={})


def test_answers_that_are_not_finite_are_wrong_and_counted():
    class Breaks(MeanClassifier):
        def forward(self, images):
            means = self.pool(images).flatten(1)
            return torch.where(means.amin(1, keepdim=True) < 0.01, torch.nan, means)

    images, _, labels = flat_images()
    classifier = AuditedClassifier(Breaks(), input_shape=SHAPE)
    every = [make_perturbation("zero-point", 5000)]
    record = sweep(classifier, images, labels, list("abcdefghijklmnopqrst"), every, stretch=IdentityStretch())
    step = summarize_sweep(record).steps[0]
    assert step.not_finite == 20
    assert step.accuracy.value == 0
    assert summarize_sweep(record).to_json()["steps"][0]["accuracy"]["value"] == 0


def test_risk_is_rate_times_flips():
    record = swept([make_perturbation("cosmic-ray", 40)], conditions=example_conditions())
    rate = 0.2 / (4072 * 4000) * 64 * (2400 + 5520 + 5520)
    assert record.settings["expected_per_image"]["cosmic-ray"] == pytest.approx(rate)
    step = summarize_sweep(record).steps[0]
    assert step.risk == pytest.approx(rate * step.right_to_wrong / 20)
    share = 100 * (1 - np.exp(-step.risk))  # events are more than one where they are many, images are not
    assert f"; by its rate {share:.2g} % go wrong" in summarize_sweep(record).text()


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [([0.9, 0.9, 0.8], 1.5), ([0.9, 0.85, 0.2], 1.0), ([0.9, 0.88, 0.9], np.inf), ([0.9, 0.8, 0.95], 0.5)],
)
def test_the_first_fall_of_five_points_is_interpolated(accuracy, expected):
    assert crossing(np.array([0.0, 1.0, 2.0]), np.array([accuracy]))[0] == pytest.approx(expected)


def test_a_threshold_that_is_not_reached_says_so():
    (threshold,) = summarize_sweep(swept([make_perturbation("band-drop", 0.001)])).thresholds
    assert (threshold.level, threshold.reached, str(threshold)) == (None, 0.0, "not reached")


def test_a_threshold_before_the_first_level_says_so():
    first, last = DROPS[1:]
    (threshold,) = summarize_sweep(swept([last])).thresholds
    assert threshold.before_first
    assert str(threshold).endswith("; milder than all levels)")
    (threshold,) = summarize_sweep(swept([make_perturbation("band-drop", 0.001), first])).thresholds
    assert not threshold.before_first


def test_images_that_are_not_finite_or_lack_bands_are_refused():
    images, _, labels = flat_images()
    images = np.array(images)
    images[7, 1, 2, 3] = np.nan
    classifier = AuditedClassifier(MeanClassifier(), input_shape=SHAPE)
    with pytest.raises(InputError, match="not finite"):
        sweep(classifier, images, labels, list("abcdefghijklmnopqrst"), DROPS, stretch=IdentityStretch())
    one = AuditedClassifier(MeanClassifier(), input_shape=(1, 8, 8))
    swap = [make_perturbation("band-swap", 1)]
    with pytest.raises(InputError, match="2 or more bands"):
        sweep(one, images[:, :1], labels, list("abcdefghijklmnopqrst"), swap, stretch=IdentityStretch())


def test_refusals():
    for perturbations, options, words in (
        ([], {}, "at least one perturbation"),
        ([DROPS[0], DROPS[0]], {}, "twice at the same level"),
        (DROPS, {"stretch": None}, "happens before the stretch"),
        ([make_perturbation("exposure", 0.1)], {}, "needs the conditions"),
    ):
        with pytest.raises(InputError, match=words):
            swept(perturbations, **options)


def test_noise_is_drawn_several_times_and_averaged():
    noise = [make_perturbation("gaussian", 0.3), make_perturbation("sky-offset", 22)]
    one, five, many = (swept(noise, conditions=example_conditions(), draws=draws) for draws in (1, 5, 400))
    assert [record.draws.tolist() for record in (one, five, many)] == [[1, 1], [5, 1], [400, 1]]
    np.testing.assert_array_equal(one.new_class, five.new_class)  # the first draw is the same
    assert set(np.unique(five.right[0] * 5).round(9)) <= set(range(6))
    np.testing.assert_array_equal(five.right[1], five.new_class[1] == five.true)
    # The share of draws is the chance: a mean of 192 pixels with noise of 0.3, against the threshold of 0.5.
    _, values, labels = flat_images()
    chance = ndtr((values - 0.5) * np.where(labels == 1, 1, -1) / (0.3 / np.sqrt(3 * 64)))
    error = np.sqrt(chance * (1 - chance) / 400)
    assert (np.abs(many.right[0] - chance) <= 4 * error + 1e-3).all()
    assert abs(five.right[0].mean() - chance.mean()) < abs(one.right[0].mean() - chance.mean()) + 0.02


def test_every_model_meets_the_same_draws():
    noise = [make_perturbation("gaussian", 0.3)]
    first, again = swept(noise), swept(noise, threshold=0.45)
    ones = first.true == 1  # there the margin is linear in the mean
    moved = [(record.margin - record.clean_margin)[0, ones] for record in (first, again)]
    np.testing.assert_allclose(*moved, atol=1e-5)
