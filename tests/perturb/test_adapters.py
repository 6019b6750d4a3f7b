import numpy as np
import pytest
import torch

from robustkit.errors import InputError
from robustkit.findings.attack.measure import attack
from robustkit.findings.sweep.job import sweep
from robustkit.models import AuditedClassifier, ConvNet
from robustkit.models.adapters import from_art, from_maite, to_art, to_maite
from robustkit.perturb.adapters import art_perturbation, maite_perturbation
from robustkit.perturb.search.random import RandomSearch
from robustkit.perturb.values import Corners
from robustkit.seeds import Streams
from robustkit.testing import check_perturbation
from tests.models.foreign.networks import settled

SHAPE = (3, 24, 24)
LEVELS = (0.05, 0.1, 0.2, 0.5, 1.0)


@pytest.fixture(scope="module")
def classifier():
    return AuditedClassifier(settled(ConvNet(size=SHAPE[1:])), input_shape=SHAPE, class_names=("a", "b", "c"))


class Estimator:
    """The part of ART's classifiers that is used."""

    def __init__(self, classifier, probabilities):
        self.classifier, self.probabilities = classifier, probabilities
        self.input_shape, self.nb_classes, self.channels_first = SHAPE, 3, True

    def predict(self, x):
        logits = self.classifier(torch.from_numpy(x)).detach()
        return (logits.softmax(1) if self.probabilities else logits).numpy()


class Noise:
    """An attack with ART's interface that draws from NumPy's global state, as theirs do."""

    def __init__(self, eps):
        self.eps = eps

    def generate(self, x):
        return x + self.eps * np.random.uniform(-1, 1, x.shape)  # noqa: NPY002


class Augmentation:
    """An augmentation of MAITE's protocol."""

    def __init__(self, level):
        self.level, self.metadata = level, {"id": "shift"}

    def __call__(self, batch):
        images, targets, metadata = batch
        return [image + self.level for image in images], targets, metadata


@pytest.mark.parametrize("probabilities", [True, False])
def test_our_attack_runs_on_their_estimator(classifier, probabilities):
    box = from_art(Estimator(classifier, probabilities), class_names=("a", "b", "c"))
    images = torch.rand(4, *SHAPE)
    labels = classifier(images).argmax(1)
    values = Corners(torch.zeros(3), torch.full((3,), 40.0))
    how = {"search": RandomSearch(), "values": values, "seed": 0, "ids": list("abcd"), "budget": 60}
    ours, theirs = (attack(c, images, labels, **how) for c in (classifier, box))
    np.testing.assert_array_equal(ours.flipped, theirs.flipped)
    assert theirs.flipped.any()


def test_a_maite_model_goes_both_ways(classifier):
    model = to_maite(classifier, model_id="net")
    images = torch.rand(3, *SHAPE)
    scores = model([image.numpy() for image in images])
    assert model.metadata == {"id": "net", "index2label": {0: "a", 1: "b", 2: "c"}}
    np.testing.assert_allclose(np.stack(scores), classifier(images).detach().softmax(1), rtol=1e-5)
    back = from_maite(model, input_shape=SHAPE)
    assert back.class_names == ("a", "b", "c")
    torch.testing.assert_close(back(images).softmax(1), classifier(images).detach().softmax(1), rtol=1e-4, atol=1e-6)


def test_their_attack_and_augmentation_run_in_our_sweep(classifier):
    kinds = [
        art_perturbation("noise", Noise, levels=LEVELS),
        maite_perturbation("shift", Augmentation, levels=LEVELS),
    ]
    for kind in kinds:
        check_perturbation(kind)
    images = torch.rand(5, *SHAPE).numpy()
    labels, ids = classifier(torch.from_numpy(images)).argmax(1).numpy(), list("abcde")
    steps = [kind(level) for kind in kinds for level in (0.1, 1.0)]
    record = sweep(classifier, images, labels, ids, steps, stretch=None, seed=0)
    assert record.name.tolist() == ["noise", "noise", "shift", "shift"]
    assert (record.distance > 0).all()
    # Not what the batch is, nor what was drawn before, but the seed and the id decide.
    np.random.seed(3)  # noqa: NPY002
    backwards = images[::-1].copy(), labels[::-1].copy(), ids[::-1]
    again = sweep(classifier, *backwards, steps, stretch=None, seed=0, block=2)
    np.testing.assert_allclose(again.margin, record.margin[:, ::-1], rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="object has no predict, input_shape, nb_classes"):
        from_art(object())
    estimator = Estimator(None, True)
    estimator.channels_first = False
    with pytest.raises(InputError, match="channels_first"):
        from_art(estimator)
    cut = maite_perturbation(
        "cut", lambda level: lambda batch: ([x[:, 1:] for x in batch[0]], *batch[1:]), levels=LEVELS
    )
    with pytest.raises(InputError, match="cut changes the shape of images"):
        cut(0.1)(torch.rand(1, *SHAPE), streams=Streams(0, ["a"], "x"))


def test_with_art_itself(classifier):
    art = pytest.importorskip("art.attacks.evasion")
    estimator = to_art(classifier)
    images = torch.rand(4, *SHAPE)
    np.testing.assert_allclose(estimator.predict(images.numpy()), classifier(images).detach(), rtol=1e-4, atol=1e-4)
    labels, ids = classifier(images).argmax(1).numpy(), list("abcd")
    kind = art_perturbation("fgm", lambda eps: art.FastGradientMethod(estimator, eps=eps), levels=LEVELS)
    record = sweep(classifier, images.numpy(), labels, ids, [kind(0.05)], stretch=None, seed=0)
    assert (record.margin[0] < record.clean_margin).all()
    box = from_art(estimator)
    torch.testing.assert_close(box(images), classifier(images).detach(), rtol=1e-4, atol=1e-4)
