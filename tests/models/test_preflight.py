# pyright: reportIndexIssue=false, reportOperatorIssue=false
import pytest
import torch
from torch import nn

from robustkit.errors import InputError
from robustkit.models import AuditedClassifier, ConvNet, Output
from robustkit.models.preflight import check_network
from tests.models.foreign.networks import settled

SHAPE = (3, 24, 24)


class Net(nn.Module):
    """ConvNet whose images go through one function and whose logits go through another."""

    latent = "net.bottleneck"

    def __init__(self, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = settled(ConvNet(size=SHAPE[1:])), before, after
        self.eval()

    def forward(self, images):
        return self.after(self.net(self.before(images)))


def _verdicts(classifier, **options):
    found = check_network(classifier, **options)
    return {finding.name: finding for finding in found.findings}, found


def test_a_sound_network_has_nothing_but_ok():
    found = check_network(AuditedClassifier(Net(), input_shape=SHAPE))
    assert {finding.verdict for finding in found.findings} == {"ok"}
    names = ["size", "weights", "output", "determinism", "batch", "mode", "input", "latent", "training"]
    assert [finding.name for finding in found.findings] == names
    found.require()
    assert found.text().count("\n") == len(names) - 1
    assert found.to_json()[0]["verdict"] == "ok"


class Grown(nn.Module):
    """Depends on its batch only when that is large, which two images do not show."""

    latent = "flat"

    def __init__(self):
        super().__init__()
        self.flat, self.fc = nn.Flatten(), nn.Linear(27, 2)

    def forward(self, images):
        flat = self.flat(images)
        return self.fc(flat - flat.mean(0) if len(flat) > 5 else flat)


class Branching(nn.Module):
    """Takes another way for the whole batch where something in it passes a limit."""

    latent = "flat"

    def __init__(self, look):
        super().__init__()
        self.flat, self.fc, self.look = nn.Flatten(), settled(nn.Linear(27, 2)), look
        self.eval()

    def forward(self, images):
        flat = self.flat(images)
        return self.fc(flat) * (1.5 if bool(self.look(images)) else 1.0)


@pytest.mark.parametrize(
    ("look", "beside"),
    [
        (lambda x: x.max() > 2, "the brightest one"),
        (lambda x: x.max() > 5, "a very bright pixel"),
        (lambda x: x.min() < -1, "a very dark pixel"),
        (lambda x: x.mean() > 1.0, "bright all over"),
    ],
)
def test_a_branch_over_the_whole_batch_is_found_where_ordinary_images_take_one_way(look, beside):
    images = torch.rand(20, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    images[13, 0, 1, 1] = 2.5  # one bright image among quiet ones, beyond the first batch of 7
    classifier = AuditedClassifier(Branching(lambda x: False), input_shape=(3, 3, 3))
    findings, found = _verdicts(classifier, images=images)
    assert findings["batch"].verdict == "ok"
    classifier.module.look = look
    findings, found = _verdicts(classifier, images=images)
    assert findings["batch"].verdict == "refusal"
    assert beside in findings["batch"].text or "disagree" in findings["batch"].text
    with pytest.raises(InputError, match="batch"):
        found.require()


def test_a_network_that_refuses_strange_values_is_not_refused_for_it():
    def strict(x):
        if x.max() > 3 or x.min() < 0:
            raise ValueError("pixels must lie in [0, 3]")
        return False

    classifier = AuditedClassifier(Branching(strict), input_shape=(3, 3, 3))
    assert _verdicts(classifier)[0]["batch"].verdict == "ok"


class Counting(Grown):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, images):
        self.calls += 1
        return self.fc(self.flat(images))


class Writing(Grown):
    def forward(self, images):
        return self.fc(self.flat(images.sub_(images.mean((1, 2, 3), keepdim=True))))


class Noisy(Grown):
    """Draws random numbers, though not before it has been asked a few times."""

    calls = 0

    def forward(self, images):
        self.calls += 1
        flat = self.flat(images)
        return self.fc(flat + (torch.rand_like(flat) if self.calls > 8 else 0))


class Constant(Grown):
    def forward(self, images):
        return self.fc(self.flat(images) * 0)


class Squeezed(Grown):
    def forward(self, images):
        return self.fc(self.flat(images)).squeeze()


class Broken(Grown):
    def forward(self, images):
        assert len(images) < 60
        return self.fc(self.flat(images))


def _spoiled():
    network = Grown()
    with torch.no_grad():
        network.fc.bias[0] = torch.nan
    return network


@pytest.mark.parametrize(
    ("make", "name", "verdict", "words"),
    [
        (Grown, "batch", "refusal", "depends on the others in its batch"),
        (Counting, "mode", "refusal", "calls changes while the network is only used"),
        (Writing, "input", "refusal", "writes into its input"),
        (Noisy, "determinism", "refusal", "gives different output"),
        (Constant, "training", "refusal", "64 images get the same answer"),
        (Squeezed, "batch", "warning", "one image alone fails or changes shape"),
        (Broken, "running", "refusal", "fails on a batch of 64"),
    ],
)
def test_what_is_wrong_is_found_and_said(make, name, verdict, words):
    classifier = AuditedClassifier(make().eval(), input_shape=(3, 3, 3), latent="flat")
    findings, found = _verdicts(classifier)
    assert (findings[name].verdict, words in findings[name].text) == (verdict, True), findings[name]
    assert findings[name].advice
    if verdict == "refusal":
        with pytest.raises(InputError, match=words):
            found.require()


class ClippingInPlace(Grown):
    def forward(self, images):
        return self.fc(self.flat(images.clamp_(0, 1)))


def test_writing_that_shows_only_far_from_the_images_is_a_warning():
    torch.manual_seed(0)
    findings, found = _verdicts(AuditedClassifier(ClippingInPlace().eval(), input_shape=(3, 3, 3), latent="flat"))
    assert findings["input"].verdict == "warning"
    assert "far from those of the images" in findings["input"].text
    found.require()


def test_small_logits_that_tell_images_apart_are_no_constant_answer():
    torch.manual_seed(0)
    network = Grown().eval()
    with torch.no_grad():
        network.fc.weight *= 1e-5
        network.fc.bias.copy_(-network.fc(network.flat(torch.full((1, 3, 3, 3), 0.5)))[0] + network.fc.bias)
    findings, _ = _verdicts(AuditedClassifier(network, input_shape=(3, 3, 3)))
    assert "answers" not in findings


def test_weights_that_are_not_finite_are_found():
    classifier = AuditedClassifier(Grown().eval(), input_shape=(3, 3, 3))
    classifier.module.load_state_dict(_spoiled().state_dict())
    findings, _ = _verdicts(classifier)
    assert "fc.bias holds values that are not finite" in findings["weights"].text


def test_an_untrained_network_and_one_part_in_training_mode():
    findings, _ = _verdicts(AuditedClassifier(ConvNet(size=SHAPE[1:]).eval(), input_shape=SHAPE))
    assert "3 batch norms have mean 0 and variance 1" in findings["training"].text
    network = Net()
    classifier = AuditedClassifier(network, input_shape=SHAPE)
    network.net.features[2].train()
    findings, _ = _verdicts(classifier)
    assert findings["mode"].text == "net.features.2 is in training mode"


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.fc = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.Linear(16, 3)

    def forward(self, images):
        return self.fc(torch.relu(self.two(torch.relu(self.one(images)))).mean((2, 3)))


@pytest.mark.parametrize("scheme", ["default", "kaiming", "xavier", "trained"])
def test_weights_as_they_are_drawn_before_training_are_called_that(scheme):
    torch.manual_seed(0)
    network = Convolutions().eval()
    draw = {"kaiming": nn.init.kaiming_normal_, "xavier": nn.init.xavier_uniform_}.get(scheme)
    with torch.no_grad():
        for layer in network.children():
            if draw is not None:
                draw(layer.weight)
                layer.bias.zero_()
            if scheme == "trained":
                layer.weight *= 1.7
    findings, _ = _verdicts(AuditedClassifier(network, input_shape=(3, 16, 16)))
    assert ("before any training" in findings["training"].text) == (scheme != "trained")


@pytest.mark.parametrize(("factor", "bias", "verdict"), [(1e-4, 0.0, True), (1.0, 5e3, True), (20.0, 1.0, False)])
def test_answers_that_hardly_move_are_called_that(factor, bias, verdict):
    torch.manual_seed(0)
    network = Convolutions().eval()
    with torch.no_grad():
        network.fc.weight *= factor
        network.fc.bias[0] = bias
    findings, _ = _verdicts(AuditedClassifier(network, input_shape=(3, 16, 16)))
    assert ("answers" in findings) == verdict
    if verdict:
        assert "its output hardly depends on the image" in findings["answers"].text
        assert "--stretch" in findings["answers"].advice


def test_a_softmax_taken_twice_and_a_sigmoid_taken_for_a_logit():
    twice = Net(after=lambda z: z.softmax(1).softmax(1))
    findings, _ = _verdicts(AuditedClassifier(twice, input_shape=SHAPE, output=Output(kind="probabilities")))
    assert "as after a softmax taken twice" in findings["output"].text
    once = Net(after=lambda z: z.softmax(1))
    findings, _ = _verdicts(AuditedClassifier(once, input_shape=SHAPE, output=Output(kind="probabilities")))
    assert findings["output"].verdict == "ok"
    findings, _ = _verdicts(AuditedClassifier(Net(after=lambda z: z[:, :1].sigmoid()), input_shape=SHAPE))
    assert findings["output"].advice == "say --output-kind sigmoid"
