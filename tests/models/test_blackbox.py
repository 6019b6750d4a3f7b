import numpy as np
import pytest
import torch

from robustkit.errors import InputError
from robustkit.findings.attack.loop import AttackSettings
from robustkit.findings.attack.measure import AttackJob, attack
from robustkit.findings.preflight.measure import check_network
from robustkit.findings.sweep.job import sweep
from robustkit.findings.sweep.summary import summarize_sweep
from robustkit.models import AuditedClassifier, BlackBox, ConvNet
from robustkit.perturb.faults.naming import read_name
from robustkit.perturb.search.random import RandomSearch
from robustkit.perturb.values import Corners
from tests.models.foreign.networks import settled

SHAPE = (3, 24, 24)


@pytest.fixture
def network():
    return settled(ConvNet(size=SHAPE[1:]))


@pytest.fixture
def box(network):
    def predict(images):
        assert isinstance(images, np.ndarray)
        with torch.no_grad():
            return network(torch.from_numpy(images)).numpy()

    return BlackBox(predict, input_shape=SHAPE, class_names=("a", "b", "c"))


def test_it_answers_as_the_function_does(box, network):
    images = torch.rand(4, *SHAPE)
    torch.testing.assert_close(box(images), network(images))
    assert (box.classes, box.latent_name, box.device.type) == (3, None, "cpu")
    for refused in (box.embed, box.head):
        with pytest.raises(InputError, match="give the network itself"):
            refused(images)
    found = {finding.name: finding.verdict for finding in check_network(box).findings}
    assert (found["latent"], found["batch"]) == ("warning", "ok")


def test_it_is_attacked_and_swept_as_the_network_is_but_for_the_latent(box, network):
    clear = AuditedClassifier(network, input_shape=SHAPE, class_names=("a", "b", "c"))
    images = torch.rand(6, *SHAPE)
    labels = network(images).argmax(1)
    values = Corners(torch.zeros(3), torch.full((3,), 40.0))
    records = [
        attack(c, images, labels, search=RandomSearch(), values=values, seed=0, ids=list("abcdef"), budget=60)
        for c in (clear, box)
    ]
    np.testing.assert_array_equal(records[0].flipped, records[1].flipped)
    assert records[1].flipped.any()
    assert np.isnan(records[1].latent_distance).all()
    job = AttackJob(box, images, labels, list("abcdef"), AttackSettings((RandomSearch(),), values, 0, budget=60))
    assert all(attempt.flip is None or attempt.flip.latent_distance is None for attempt in job.attempts())
    steps = [read_name("gaussian").kind(level) for level in (0.1, 3.0)]
    swept = [
        sweep(c, images.numpy(), labels.numpy(), list("abcdef"), steps, stretch=None, seed=0) for c in (clear, box)
    ]
    np.testing.assert_array_equal(swept[0].new_class, swept[1].new_class)
    assert np.isnan(swept[1].distance).all()
    summarize_sweep(swept[1], None, kinds={"gaussian": read_name("gaussian").kind}).to_json()
