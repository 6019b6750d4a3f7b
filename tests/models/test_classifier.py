# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false
import warnings

import pytest
import torch
from torch import Tensor, nn

from robustkit.errors import InputError
from robustkit.models import AuditedClassifier, ConvNet, DeepMerge, Output, ResNet18
from robustkit.models.decision import Cut
from robustkit.perturb.decision import settled

SHAPE = (3, 24, 24)


def _convnet():
    torch.manual_seed(0)
    return ConvNet(size=SHAPE[1:]).eval()


class Wrapped(nn.Module):
    """ConvNet whose return value goes through a function."""

    latent = "net.bottleneck"

    def __init__(self, after):
        super().__init__()
        self.net, self.after = _convnet(), after

    def forward(self, images):
        return self.after(self.net(images))


@pytest.mark.parametrize("network", [ConvNet, DeepMerge, ResNet18])
def test_head_of_embed_is_the_network(network):
    module = network(classes=3, size=SHAPE[1:]).eval()
    classifier = AuditedClassifier(module, input_shape=SHAPE)
    images = torch.rand(5, *SHAPE)
    torch.testing.assert_close(classifier.head(classifier.embed(images)), module(images))
    assert not module._forward_hooks
    assert not any(layer._forward_hooks for layer in module.modules())


def test_an_in_place_layer_after_the_latent_does_not_spoil_it():
    module = nn.Sequential(nn.Flatten(), nn.Linear(27, 8), nn.ReLU(inplace=True), nn.Linear(8, 2)).eval()
    classifier = AuditedClassifier(module, latent="1", input_shape=(3, 3, 3))
    images = torch.randn(4, 3, 3, 3)
    latents = classifier.embed(images)
    assert (latents < 0).any()
    torch.testing.assert_close(latents, module[1](module[0](images)))
    torch.testing.assert_close(classifier.head(latents), module(images))


def test_head_shares_weights_and_gradients():
    classifier = AuditedClassifier(_convnet(), input_shape=SHAPE)
    latents = torch.randn(3, 256, requires_grad=True)
    classifier.head(latents)[:, 0].sum().backward()
    torch.testing.assert_close(latents.grad, classifier.module.fc.weight[0].expand(3, -1))


def test_float64_weights_are_evaluated_in_float32():
    classifier = AuditedClassifier(_convnet().double(), input_shape=SHAPE)
    assert classifier(torch.rand(1, *SHAPE)).dtype == torch.float32


@pytest.mark.parametrize(
    ("part", "after"),
    [(1, lambda z: (z * 0 + 5, z)), ("scores", lambda z: {"features": z.sum(1), "scores": z}), (None, lambda z: z)],
    ids=["tuple", "dict", "tensor"],
)
def test_named_outputs(part, after):
    classifier = AuditedClassifier(Wrapped(after).eval(), input_shape=SHAPE, output=Output(part))
    images = torch.rand(3, *SHAPE)
    torch.testing.assert_close(classifier(images), _convnet()(images))


@pytest.mark.parametrize(
    ("kind", "after"),
    [("probabilities", lambda z: z.softmax(1)), ("log-probabilities", lambda z: z.log_softmax(1))],
)
def test_probabilities_become_logits_with_the_same_margins(kind, after):
    classifier = AuditedClassifier(Wrapped(after).eval(), input_shape=SHAPE, output=Output(kind=kind))
    images = torch.rand(3, *SHAPE)
    torch.testing.assert_close(classifier(images).softmax(1), _convnet()(images).softmax(1))


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("logits", lambda z: z[:, :1]),
        ("sigmoid", lambda z: z[:, :1].sigmoid()),
        ("sigmoid", lambda z: z[:, 0].sigmoid()),
    ],
    ids=["logit", "column", "row"],
)
def test_one_column_becomes_two_classes(kind, after):
    classifier = AuditedClassifier(Wrapped(after).eval(), input_shape=SHAPE, output=Output(kind=kind))
    images = torch.rand(3, *SHAPE)
    torch.testing.assert_close(classifier(images).softmax(1)[:, 1], _convnet()(images)[:, 0].sigmoid())


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat, self.dense, self.fc = nn.Flatten(), nn.Linear(27, 27), nn.Linear(27, 2)

    def forward(self, images):
        return self.fc(self.dense(self.dense(self.flat(images))))


class Bypass(Twice):
    def forward(self, images):
        flat = self.flat(images)
        return self.fc(self.dense(flat) + flat)


class Random(Twice):
    def forward(self, images):
        return self.fc(nn.functional.dropout(self.dense(self.flat(images)), 0.5, training=True))


class OverImages(Twice):
    def forward(self, images):
        return self.fc(self.flat(images)).softmax(0)


class OfTheBatch(Twice):
    def forward(self, images):
        return self.fc(self.flat(images - images.mean(0)))


class Squeezed(Twice):
    """Changes shape at a batch of one."""

    def forward(self, images):
        return self.fc(self.flat(images)).squeeze()


class NotAlone(Twice):
    """Fails at a batch of one, as batch norm without running statistics does."""

    def forward(self, images):
        assert len(images) > 1
        return self.fc(self.flat(images))


SMALL = (3, 3, 3)


@pytest.mark.parametrize("kind", [Squeezed, NotAlone])
def test_a_network_that_cannot_take_one_image_is_given_it_twice(kind):
    classifier = AuditedClassifier(kind().eval(), input_shape=SMALL)
    images = torch.rand(3, *SMALL)
    assert classifier(images[:1]).shape == (1, 2)
    torch.testing.assert_close(torch.cat([classifier(image[None]) for image in images]), classifier(images))
    torch.testing.assert_close(classifier.head(classifier.embed(images[:1])), classifier(images[:1]))
    assert any("goes through it twice" in note for note in classifier.notes)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("kind", ["traced", "script", "exported"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_recorded_network_of_one_batch_size_is_opened_without_data(kind, batch):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3, stride=4), nn.Linear(4 * 16 * 16, 3)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).reshape(batch, -1))

    example = torch.rand(batch, 3, 64, 64)
    if kind == "script":
        module = torch.jit.trace(nn.Sequential(Fixed().eval()), example)
    elif kind == "traced":
        module = nn.Sequential(torch.jit.trace(Fixed().eval(), example))  # inside a network of the user's
    else:
        module = torch.export.export(Fixed().eval(), (example,)).module()
    network = module if kind == "exported" else module.eval()
    classifier = AuditedClassifier(network)
    assert classifier.input_shape == (3, 64, 64)
    images = torch.rand(batch + 1, 3, 64, 64)
    torch.testing.assert_close(classifier(images)[:batch], module(images[:batch]))


def test_a_network_that_is_run_as_code_is_not_tried_with_batches_of_many_images():
    largest = 0

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3)

        def forward(self, x):
            nonlocal largest
            largest = max(largest, len(x))
            raise RuntimeError("not this size")

    with pytest.raises(InputError, match="no usual image size"):
        AuditedClassifier(Counting().eval())
    assert largest == 3


def test_a_latent_is_proposed_and_said():
    for module, name in (
        (nn.Sequential(nn.Flatten(), nn.Linear(27, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2)), "3"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), "2"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "1"),
        (Twice(), "input of fc"),
    ):
        classifier = AuditedClassifier(module.eval(), input_shape=SMALL)
        assert classifier.latent_name == name
        assert classifier.notes == [f"latent: {name}, the last layer before the final one; name another with --latent"]
        images = torch.rand(4, *SMALL)
        torch.testing.assert_close(classifier.head(classifier.embed(images)), module(images))


def test_the_input_shape_is_found_when_nobody_says_it():
    classifier = AuditedClassifier(ConvNet(bands=5, size=(96, 96)).eval())
    assert classifier.input_shape == (5, 100, 100)  # the network pools 96 to 103 alike, and 100 is the most usual
    assert classifier.at((5, 96, 96)).input_shape == (5, 96, 96)
    with pytest.raises(InputError, match="refuses images of shape"):
        classifier.at((5, 64, 64))
    fixed = AuditedClassifier(_convnet(), input_shape=SHAPE)
    assert fixed.at((3, 25, 25)) is fixed


@pytest.mark.parametrize(
    "after",
    [lambda z: (z.sum(1), torch.cat([z, z], 1), z), lambda z: (z, z.softmax(1)), lambda z: {"p": z.softmax(1), "a": z}],
    ids=["features", "softmax", "dict"],
)
def test_the_scores_are_chosen_by_shape(after):
    classifier = AuditedClassifier(Wrapped(after).eval(), input_shape=SHAPE, class_names=("a", "b", "c"))
    images = torch.rand(3, *SHAPE)
    torch.testing.assert_close(classifier(images), _convnet()(images))
    assert any("by its shape" in note for note in classifier.notes)


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        (lambda: Twice().train(), {"latent": "dense"}, r"training mode.*module\.eval"),
        (lambda: Twice().eval(), {"latent": "nothing"}, "no layer is called 'nothing'; there are flat, dense, fc"),
        (lambda: Twice().eval(), {"latent": "dense"}, "runs 2 times"),
        (lambda: Bypass().eval(), {"latent": "dense"}, "a path leads around it"),
        (lambda: Random().eval(), {"latent": "flat"}, "gives different output"),
        (lambda: Twice().eval(), {"latent": "flat", "input_shape": (1, 9, 9)}, "refuses images of shape"),
        (
            lambda: Twice().eval(),
            {"latent": "flat", "class_names": ("a", "b", "c")},
            "has 2 outputs and 3 classes are named: a, b, c; name all 2",
        ),
        (lambda: Wrapped(lambda z: (z, z)).eval(), {"input_shape": SHAPE}, "say which part holds the scores"),
        (lambda: Wrapped(lambda z: {"a": z}).eval(), {"input_shape": SHAPE, "output": Output("b")}, "no part 'b'"),
        (lambda: Wrapped(lambda z: (z,)).eval(), {"input_shape": SHAPE, "output": Output(3)}, "no part 3"),
        (lambda: Wrapped(lambda z: z).eval(), {"input_shape": SHAPE, "output": Output(0)}, "returns one tensor"),
        (lambda: Wrapped(lambda z: z.softmax(1)).eval(), {"input_shape": SHAPE}, "are probabilities"),
        (
            lambda: Wrapped(lambda z: z[..., None] * torch.ones(2)).eval(),
            {"input_shape": SHAPE},
            r"expected scores of shape \(N, K\)",
        ),
        (lambda: Wrapped(lambda z: z.repeat(2, 1)).eval(), {"input_shape": SHAPE}, "2 images gave 4 rows"),
        (
            lambda: Wrapped(lambda z: z).eval(),
            {"input_shape": SHAPE, "output": Output(kind="sigmoid")},
            "a sigmoid output has one column",
        ),
        (lambda: OverImages().eval(), {}, "softmax is taken over the images"),
        (lambda: OfTheBatch().eval(), {}, "depends on the other images"),
        (lambda: Twice().eval(), {"latent": "flat", "output": Output(kind="probabilities")}, "do not sum to 1"),
        (
            lambda: Wrapped(lambda z: z[:, :1] + 5).eval(),
            {"input_shape": SHAPE, "output": Output(kind="sigmoid")},
            "not between 0 and 1",
        ),
    ],
)
def test_refusals_say_what_is_wrong_and_what_to_do(module, options, words):
    with pytest.raises(InputError, match=words):
        AuditedClassifier(module(), **{"input_shape": SMALL, **options})


def test_a_hook_is_removed_when_the_network_fails():
    classifier = AuditedClassifier(_convnet(), input_shape=SHAPE)
    with pytest.raises(RuntimeError):
        classifier.embed(torch.rand(1, 2, 24, 24))
    assert not any(layer._forward_hooks for layer in classifier.module.modules())


class Functional(nn.Module):
    """Pools by a function before the classifier, as torchvision's DenseNet, ShuffleNet and MNASNet do."""

    def __init__(self, how) -> None:
        super().__init__()
        self.conv, self.classifier, self.how = nn.Conv2d(3, 6, 2), nn.Linear(6, 4), how

    def forward(self, x):
        return self.classifier(self.how(self.conv(x)))


@pytest.mark.parametrize(
    "how",
    [
        lambda maps: maps.mean((2, 3)),
        lambda maps: torch.relu(maps).amax((2, 3)),
        lambda maps: torch.flatten(nn.functional.adaptive_avg_pool2d(maps.relu(), 1), 1),
        lambda maps: nn.functional.max_pool2d(maps, 2).view(len(maps), -1),
    ],
    ids=["mean", "max", "pool", "view"],
)
def test_the_latent_is_what_the_last_affine_layer_takes(how):
    network = Functional(how).eval()
    classifier = AuditedClassifier(network, input_shape=SMALL)
    assert classifier.latent_name == "input of classifier"
    images = torch.rand(4, *SMALL)
    latents = classifier.embed(images)
    assert latents.shape == (4, 6)
    torch.testing.assert_close(latents, how(network.conv(images)))
    torch.testing.assert_close(classifier.head(latents), network(images))
    again = AuditedClassifier(network, input_shape=SMALL, latent="input of classifier")
    torch.testing.assert_close(again.embed(images), latents)
    with pytest.raises(InputError, match="no layer is called 'input of fc'"):
        AuditedClassifier(network, input_shape=SMALL, latent="input of fc")


def test_a_linear_classifier_has_its_image_as_latent():
    network = nn.Sequential(nn.Flatten(), nn.Linear(27, 3)).eval()
    classifier = AuditedClassifier(network, input_shape=SMALL)
    assert classifier.latent_name == "0"
    assert AuditedClassifier(Functional(lambda maps: maps.mean((2, 3))).eval(), input_shape=SMALL).classes == 4


class Averaged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList([nn.Sequential(nn.Flatten(), nn.Linear(27, 3)) for _ in range(2)])

    def forward(self, x):
        return sum(member(x) for member in self.members) / 2


def test_a_network_without_one_layer_to_split_at_has_no_latent():
    classifier = AuditedClassifier(Averaged().eval(), input_shape=SMALL)
    assert classifier.latent_name is None
    assert "no layer was found that the answer follows from alone" in classifier.why_no_latent
    for ask in (classifier.embed, classifier.head):
        with pytest.raises(InputError, match="there is no latent: no layer was found"):
            ask(torch.rand(2, *SMALL))


@pytest.mark.parametrize("after", [lambda z: z[:, 0], lambda z: z[:, :1].squeeze(1), lambda z: z[:, :1]])
def test_one_logit_is_two_classes_in_any_shape(after):
    classifier = AuditedClassifier(Wrapped(after).eval(), input_shape=SHAPE)
    images = torch.rand(3, *SHAPE)
    logits = classifier(images)
    assert classifier.classes == 2
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], _convnet()(images)[:, 0])


class Around(nn.Module):
    """A path leads around the last affine layer, and says so little that it is lost in what that layer says."""

    def __init__(self, share):
        super().__init__()
        self.share, self.fc = share, nn.Linear(27, 3)

    def forward(self, x):
        return 1000 * self.fc(x.flatten(1)) + self.share * x.mean((2, 3))


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_path_around_the_latent_is_found_however_little_it_says(share):
    torch.manual_seed(0)
    classifier = AuditedClassifier(Around(share).eval(), input_shape=SMALL)
    assert classifier.latent_name is None
    assert AuditedClassifier(Around(0.0).eval(), input_shape=SMALL).latent_name == "input of fc"


def test_rounding_is_relative_to_the_scores_and_not_to_a_close_decision():
    cut = Cut(("no", "yes"), 1, (0, 1), 2, 0.5)

    class Close(nn.Module):
        def forward(self, x):
            z = 1000 + x.mean((1, 2, 3))
            return torch.stack([z, z + 1e-3 * x[:, 0, 0, 0]], 1)

    classifier = AuditedClassifier(Close().eval(), input_shape=SMALL, output=Output(decision=cut))
    assert classifier.magnitude > 999
    images = torch.rand(4, *SMALL)
    batch = classifier(images) + torch.tensor([0.0, -0.002])  # as another batch may round
    assert torch.equal(settled(classifier, images, batch), torch.cat([classifier(one[None]) for one in images]))


class _Flat(nn.Module):
    """A network whose trace holds the size of the batch, and which returns its features beside the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4 * 64, 3)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = torch.relu(self.first(images)).view(int(images.shape[0]), 256)
        return {"logits": self.last(maps), "features": maps}


@pytest.mark.parametrize("how", ["traced", "exported"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_network_of_one_size_of_batch_gets_all_images_in_such(how, batch):
    network, images = _Flat().eval(), torch.rand(batch, 2, 8, 8)
    if how == "traced":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fixed = torch.jit.trace(network, images, strict=False)
    else:
        fixed = torch.export.export(network, (images,)).module()
        fixed.training = False
    classifier = AuditedClassifier(fixed, input_shape=(2, 8, 8), output=Output(part="logits"))
    assert f"the network takes batches of {batch} alone, and gets all images in such" in classifier.notes
    for n in (1, 3, 4, 9):
        given = torch.rand(n, 2, 8, 8)
        torch.testing.assert_close(classifier(given), network(given)["logits"])
