"""The fast path against a plain forward pass in float64, on chains of every kind that it takes."""

import copy
import sys

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from robustkit.engine import Candidates, IncrementalEvaluator, PlainEvaluator, incremental, make_evaluator, paint
from robustkit.engine.chain import UnsupportedChain
from robustkit.engine.kernel import KernelFollower
from robustkit.engine.kernel_code import this_processor
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier, ConvNet, DeepMerge, Output, ResNet18

pytest.importorskip("llvmlite")


def trained(module: nn.Module) -> nn.Module:
    """Batch norms as after a training: statistics, scales of both signs, shifts."""
    generator = torch.Generator().manual_seed(3)
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor, low, high in (
                (layer.running_mean, -0.3, 0.3),
                (layer.running_var, 0.1, 1.0),
                (layer.weight.data, -0.5, 1.5),
                (layer.bias.data, -0.3, 0.3),
            ):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return module.eval()


def classifier_for(module: nn.Module, *, bands: int = 3, size: tuple[int, int] = (24, 27)) -> AuditedClassifier:
    latent = getattr(module, "latent", None) or [name for name, _ in module.named_modules()][-1]
    return AuditedClassifier(trained(module), latent=latent, input_shape=(bands, *size))


def images_for(classifier: AuditedClassifier, n: int = 3) -> Tensor:
    return torch.rand(n, *classifier.input_shape, generator=torch.Generator().manual_seed(1))


def candidates_for(images: Tensor, each: int = 40, *, spread: float = 1.0) -> Candidates:
    """Corners and borders first, then anywhere; values reach past those of the images."""
    generator = torch.Generator().manual_seed(2)
    n, bands, height, width = images.shape
    row = torch.randint(height, (n, each, 1), generator=generator)
    column = torch.randint(width, (n, each, 1), generator=generator)
    row[:, :4, 0], column[:, :4, 0] = torch.tensor([0, 0, height - 1, height - 1]), torch.tensor([0, width - 1] * 2)
    row[:, 4:7], row[:, 7:10], column[:, 10:13], column[:, 13:16] = 0, height - 1, 0, width - 1
    value = (torch.rand(n, each, 1, bands, generator=generator) * 2 - 0.5) * spread
    return Candidates(torch.arange(n).flip(0), row, column, value)


def exact(classifier: AuditedClassifier, images: Tensor, candidates: Candidates) -> Tensor:
    """Logits by painting every candidate and running the whole network in float64."""
    m, p = candidates.row.shape[:2]
    module = copy.deepcopy(classifier.module).double()
    painted = paint(
        images[candidates.image].repeat_interleave(p, 0).double(),
        candidates.row.flatten(0, 1),
        candidates.column.flatten(0, 1),
        candidates.value.flatten(0, 1).double(),
    )
    with torch.inference_mode():
        return classifier.output.logits(module(painted)).unflatten(0, (m, p))


def assert_exact(evaluator: IncrementalEvaluator, candidates: Candidates) -> None:
    truth = exact(evaluator.classifier, evaluator.images, candidates)
    logits = evaluator(candidates)
    scale = float(truth.abs().max())
    assert float(truth.std(1).max()) > 1e-4 * scale, "the candidates change nothing, so nothing is tested"
    assert float((logits - truth).abs().max()) < 1e-5 * scale
    assert float((logits - evaluator.plain(candidates)).abs().max()) <= evaluator.tolerance


class Functional(nn.Module):
    """A chain written as functions, with `view`, and scores beside other things."""

    latent = "dense"

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5, padding=1)
        self.dense, self.fc = nn.Linear(16 * 4 * 4, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.relu(F.max_pool2d(self.one(x), 2))
        x = F.avg_pool2d(torch.relu(self.two(x)), kernel_size=2)
        x = F.dropout(x, 0.5, self.training).view(x.size(0), -1)
        latent = self.dense(x)
        return {"latent": latent, "scores": F.log_softmax(self.fc(F.leaky_relu(latent, 0.2)), dim=1)}


def _stage(bands: int, channels: int, *between: nn.Module, kernel=3, padding=1) -> list[nn.Module]:
    return [nn.Conv2d(bands, channels, kernel, padding=padding), *between]


# Name: layers, bands, image size, and whether the compiled kernel takes it.
EXAMPLES = {
    "relu before batch norm": (
        lambda: [
            *_stage(3, 8, nn.ReLU(), nn.BatchNorm2d(8), nn.MaxPool2d(2), kernel=5, padding=2),
            *_stage(8, 16, nn.ReLU(inplace=True), nn.BatchNorm2d(16), nn.MaxPool2d(2)),
            nn.Flatten(),
            nn.Linear(16 * 6 * 6, 3),
        ],
        3,
        (24, 27),
        True,
    ),
    "no pool, no padding, wide kernels": (
        lambda: [
            *_stage(1, 5, nn.ReLU6(), kernel=7, padding=0),
            *_stage(5, 3, nn.LeakyReLU(0.1), kernel=(1, 4), padding=0),
            nn.Flatten(),
            nn.Linear(3 * 24 * 21, 7),
            nn.BatchNorm1d(7),
            nn.Linear(7, 2),
        ],
        1,
        (30, 30),
        True,
    ),
    "uneven pools with remainders, full padding, five bands": (
        lambda: [
            *_stage(5, 20, nn.BatchNorm2d(20), nn.MaxPool2d((3, 2)), nn.ReLU(), kernel=(4, 3), padding=(3, 2)),
            *_stage(20, 33, nn.ReLU(), nn.AvgPool2d((2, 3)), kernel=(2, 6), padding=(1, 5)),
            nn.Dropout(),
            nn.Flatten(),
            nn.ReLU(),
            nn.Linear(33 * 5 * 6, 9),
            nn.Tanh(),
            nn.Linear(9, 10),
        ],
        5,
        (28, 25),
        True,
    ),
    "mean over the map": (
        lambda: [
            *_stage(3, 8, nn.Hardtanh(-0.4, 0.6), nn.MaxPool2d(2)),
            *_stage(8, 4),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.ReLU(),
            nn.Linear(4, 3),
        ],
        3,
        (24, 27),
        True,
    ),
    "a dense layer too large for the kernel": (
        lambda: [
            *_stage(3, 64, nn.ReLU(), kernel=7, padding=3),
            nn.Flatten(),
            nn.Linear(64 * 20 * 20, 48),
            nn.ReLU(),
            nn.Linear(48, 3),
        ],
        3,
        (20, 20),
        True,
    ),
    "activations that are not piecewise linear": (
        lambda: [
            *_stage(3, 8, nn.GELU(), nn.MaxPool2d(2)),
            *_stage(8, 12, nn.BatchNorm2d(12), nn.SiLU(), nn.AvgPool2d(2)),
            *_stage(12, 8, nn.Sigmoid()),
            nn.Flatten(),
            nn.Linear(8 * 6 * 6, 3),
        ],
        3,
        (24, 27),
        False,
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("compiled", [True, False])
def test_examples_agree_with_float64(example, compiled):
    torch.manual_seed(0)
    layers, bands, size, known_to_kernel = EXAMPLES[example]
    classifier = classifier_for(nn.Sequential(*layers()), bands=bands, size=size)
    evaluator = IncrementalEvaluator(classifier, images_for(classifier), compiled=compiled)
    assert evaluator.name == ("chain" if compiled and known_to_kernel else "incremental"), evaluator.not_compiled
    assert evaluator.refusal == ""
    assert_exact(evaluator, candidates_for(evaluator.images))


@pytest.mark.parametrize(("network", "size", "classes"), [(ConvNet, 100, 3), (DeepMerge, 75, 2)])
@pytest.mark.parametrize("compiled", [True, False])
def test_networks_of_the_papers(network, size, classes, compiled):
    torch.manual_seed(0)
    classifier = classifier_for(network().double(), size=(size, size))
    evaluator = IncrementalEvaluator(classifier, images_for(classifier, 2), compiled=compiled)
    assert evaluator.name == ("chain" if compiled else "incremental"), evaluator.not_compiled
    assert evaluator.refusal == ""
    assert_exact(evaluator, candidates_for(evaluator.images, 24))


@pytest.mark.parametrize("compiled", [True, False])
def test_functions_views_and_one_part_of_the_output(compiled):
    torch.manual_seed(0)
    output = Output(part="scores", kind="log-probabilities")
    classifier = AuditedClassifier(Functional().eval(), latent="dense", input_shape=(3, 24, 27), output=output)
    evaluator = IncrementalEvaluator(classifier, images_for(classifier), compiled=compiled)
    assert evaluator.name == ("chain" if compiled else "incremental"), evaluator.not_compiled
    assert evaluator.refusal == ""
    assert_exact(evaluator, candidates_for(evaluator.images))


@st.composite
def chains(draw) -> tuple[nn.Module, int, tuple[int, int]]:
    whole = st.integers
    bands, height, width = draw(whole(1, 4)), draw(whole(10, 26)), draw(whole(10, 26))
    size, channels, layers = (height, width), bands, []
    for _ in range(draw(whole(1, 3))):
        kernel = draw(st.tuples(whole(1, 7), whole(1, 7)))
        padding = tuple(draw(whole(0, k - 1)) for k in kernel)
        pool = draw(st.tuples(whole(1, 3), whole(1, 3)))
        following = tuple((n + 2 * p - k + 1) // m for n, p, k, m in zip(size, padding, kernel, pool, strict=True))
        assume(min(following) > 0)
        out = draw(st.sampled_from([1, 3, 8, 17]))
        activation = draw(st.sampled_from([nn.ReLU, nn.Identity, nn.ReLU6, nn.Tanh]))()
        between = draw(
            st.permutations(
                [nn.BatchNorm2d(out), activation, draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))(pool)]
            )
        )
        layers += [nn.Conv2d(channels, out, kernel, padding=padding, bias=draw(st.booleans())), *between]
        size, channels = following, out
    layers += [nn.Flatten(), nn.Linear(channels * size[0] * size[1], 3)]
    return nn.Sequential(*layers), bands, (height, width)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(chains())
def test_any_chain_agrees_with_float64(drawn):
    module, bands, size = drawn
    classifier = classifier_for(module, bands=bands, size=size)
    images = images_for(classifier)
    candidates = candidates_for(images, 30)
    truth = exact(classifier, images, candidates)
    evaluator = IncrementalEvaluator(classifier, images)
    assume(evaluator.name == "chain" or "piecewise" in evaluator.not_compiled)
    for fast in (evaluator, IncrementalEvaluator(classifier, images, compiled=False, worth=50.0)):
        assert float((fast(candidates) - truth).abs().max()) < 2e-5 * float(truth.abs().max())


REFUSED = {
    "operation add": lambda: ResNet18(size=(32, 32)),
    "stride": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Flatten(), nn.LazyLinear(2)),
    "groups": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.Flatten(), nn.LazyLinear(2)),
    "dilation": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, dilation=2), nn.Flatten(), nn.LazyLinear(2)),
    "padding_mode": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"), nn.Flatten(), nn.LazyLinear(2)
    ),
    "padding \\(1, 1\\)": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.LazyLinear(2)
    ),
    "ceil_mode": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 2), nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.LazyLinear(2)
    ),
    "two pools": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.LazyLinear(2)
    ),
    "before the first": lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2)),
    "no linear layer": lambda: nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten(), nn.Softmax(1), nn.Linear(4, 2)),
    "Flatten comes before": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(2)),
    "of the work is saved": lambda: nn.Sequential(
        *[nn.Conv2d(bands, 4, 9, padding=4) for bands in (3, *[4] * 9)], nn.Flatten(), nn.LazyLinear(2)
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_no_chain_is_refused_in_words(words):
    module = REFUSED[words]().eval()
    with torch.inference_mode():
        module(torch.rand(2, 3, 32, 32))
    classifier = classifier_for(module, size=(32, 32))
    with pytest.raises(UnsupportedChain, match=words):
        make_evaluator(classifier, torch.rand(1, 3, 32, 32), engine="chain")


def why_no_chain(classifier: AuditedClassifier) -> str:
    with pytest.raises(UnsupportedChain) as raised:
        make_evaluator(classifier, images_for(classifier), engine="chain")
    return str(raised.value)


def test_what_mixes_images_is_no_classifier():
    layers = [nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 4), nn.Softmax(0), nn.Linear(4, 2)]
    with pytest.raises(InputError):
        classifier_for(nn.Sequential(*layers), size=(32, 32))


class Branching(nn.Module):
    latent = "fc"

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 24 * 27, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if bool((x > 100).any()):
            x = -x
        return self.fc(x.flatten(1))


def test_a_path_that_depends_on_the_data_is_refused():
    assert "does not trace" in why_no_chain(classifier_for(Branching()))


def test_a_hook_is_refused():
    classifier = classifier_for(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 22 * 25, 2)))
    handle = classifier.module[0].register_forward_hook(lambda module, inputs, output: output * 2)
    assert "hook" in why_no_chain(classifier)
    handle.remove()
    assert make_evaluator(classifier, images_for(classifier), engine="chain").name == "chain"


def test_a_layer_in_training_mode_is_refused():
    classifier = small()
    classifier.module[1].train()
    assert "training mode" in why_no_chain(classifier)


def small() -> AuditedClassifier:
    torch.manual_seed(0)
    return classifier_for(
        nn.Sequential(
            *_stage(3, 8, nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
            *_stage(8, 8, nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Flatten(),
            nn.Linear(8 * 6 * 6, 3),
        )
    )


@pytest.fixture(scope="module")
def classifier():
    return small()


@pytest.mark.parametrize("compiled", [True, False])
def test_memory_for_few_images_gives_the_same(classifier, compiled):
    images = images_for(classifier, 7)
    candidates = candidates_for(images).select(torch.tensor([3, 0, 5, 5, 1, 6]))
    whole = IncrementalEvaluator(classifier, images, compiled=compiled)
    for numbers in (1, 100_000):
        blocks = IncrementalEvaluator(classifier, images, compiled=compiled, memory=numbers)
        for _ in range(2):
            torch.testing.assert_close(blocks(candidates), whole(candidates), rtol=0, atol=whole.tolerance)


def test_pytorch_gives_the_same_in_several_threads_and_leaves_their_number(classifier):
    images = images_for(classifier, 2)
    evaluator = IncrementalEvaluator(classifier, images, compiled=False)
    candidates = candidates_for(images, 400)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = evaluator(candidates)
        torch.set_num_threads(3)
        torch.testing.assert_close(evaluator(candidates), alone, rtol=0, atol=evaluator.tolerance)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_the_kernel_gives_the_same_bits_however_candidates_are_grouped(classifier):
    images = images_for(classifier, 5)
    evaluator = IncrementalEvaluator(classifier, images)
    candidates = candidates_for(images, 700)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = evaluator(candidates)
        torch.set_num_threads(3)
        assert torch.equal(evaluator(candidates), alone)
    finally:
        torch.set_num_threads(threads)
    turned = candidates.select(torch.arange(5).flip(0))
    assert torch.equal(evaluator(turned).flip(0), alone)
    few = Candidates(*(part[:, :3] if part.ndim > 1 else part for part in vars(candidates).values()))
    assert torch.equal(evaluator(few), alone[:, :3])


def test_strided_candidates_are_read_as_what_they_are(classifier):
    images = images_for(classifier)
    evaluator = IncrementalEvaluator(classifier, images)
    candidates = candidates_for(images, 30)
    strided = Candidates(
        candidates.image,
        candidates.row.transpose(0, 1).contiguous().transpose(0, 1),
        candidates.column.repeat_interleave(2, 1)[:, ::2],
        candidates.value.flip(3).flip(3).transpose(0, 3).contiguous().transpose(0, 3),
    )
    assert torch.equal(evaluator(strided), evaluator(candidates))


def test_what_the_kernel_cannot_score_goes_other_ways(classifier, monkeypatch):
    monkeypatch.setattr(incremental, "_LARGEST_SQUARE", 6)
    images = images_for(classifier)
    evaluator = IncrementalEvaluator(classifier, images)
    assert evaluator.name == "chain"
    asked = []
    follow, plain = KernelFollower.__call__, PlainEvaluator.__call__
    monkeypatch.setattr(KernelFollower, "__call__", lambda self, c: (asked.append("kernel"), follow(self, c))[1])
    monkeypatch.setattr(PlainEvaluator, "__call__", lambda self, c: (asked.append("plain"), plain(self, c))[1])
    one = candidates_for(images)
    evaluator(one)
    assert asked == ["kernel"]
    away = Candidates(
        one.image,
        torch.cat([one.row, (one.row + 12) % 24], 2),
        torch.cat([one.column, (one.column + 13) % 27], 2),
        one.value.repeat(1, 1, 2, 1),
    )
    assert float((evaluator(away) - exact(classifier, images, away)).abs().max()) < 1e-4
    assert asked == ["kernel", "plain"]
    # Of two pixels in one place the last holds, and a box of one pixel is for the kernel.
    value = torch.cat([one.value.flip(3), one.value], 2)
    two = Candidates(one.image, one.row.repeat(1, 1, 2), one.column.repeat(1, 1, 2), value)
    assert torch.equal(evaluator(two), evaluator(one))
    assert asked == ["kernel", "plain", "kernel", "kernel"]
    broken = Candidates(one.image, one.row, one.column, one.value.clone().fill_(float("nan")))
    assert evaluator(broken).isnan().all()
    assert asked[4:] == ["plain"]


def test_no_candidates_give_no_logits(classifier):
    evaluator = IncrementalEvaluator(classifier, images_for(classifier))
    candidates = candidates_for(evaluator.images)
    assert evaluator(candidates.select(torch.arange(0))).shape == (0, 40, 3)
    none = Candidates(candidates.image, candidates.row[:, :0], candidates.column[:, :0], candidates.value[:, :0])
    assert evaluator(none).shape == (3, 0, 3)


@pytest.mark.parametrize("engine", ["chain", "incremental", "plain"])
@pytest.mark.parametrize("field", ["image", "row", "column"])
@pytest.mark.parametrize("place", [-1, 27])
def test_places_outside_are_refused(classifier, engine, field, place):
    evaluator = make_evaluator(classifier, images_for(classifier), engine=engine)
    parts = {name: part.clone() for name, part in vars(candidates_for(evaluator.images)).items()}
    parts[field].view(-1)[-1] = place
    with pytest.raises(InputError, match="outside"):
        evaluator(Candidates(**parts))


def test_images_of_another_size_are_refused(classifier):
    with pytest.raises(InputError, match=r"\(N, 3, 24, 27\)"):
        IncrementalEvaluator(classifier, torch.rand(2, 3, 27, 24))


def test_nothing_is_spoiled(classifier):
    images = images_for(classifier)
    kept = images.clone()
    state = copy.deepcopy(classifier.module.state_dict())
    evaluator = IncrementalEvaluator(classifier, images)
    candidates = candidates_for(images)
    first = evaluator(candidates)
    assert torch.equal(evaluator(candidates), first)
    assert torch.equal(images, kept)
    assert all(torch.equal(value, state[name]) for name, value in classifier.module.state_dict().items())
    with torch.inference_mode():
        torch.testing.assert_close(evaluator.clean(), classifier(images))


# ------------------------------------------------------------------------------------------------- the trial


def test_without_llvmlite_pytorch_answers_and_says_why(classifier, monkeypatch):
    this_processor.cache_clear()
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    evaluator = IncrementalEvaluator(classifier, images_for(classifier))
    assert evaluator.refusal == ""
    this_processor.cache_clear()
    assert evaluator.name == "incremental"
    assert "robustkit-audit[fast]" in evaluator.not_compiled
    assert "robustkit-audit[fast]" in evaluator.reason
    assert_exact(evaluator, candidates_for(evaluator.images))


def wrong(run):
    return lambda *arguments: run(*arguments) * 1.01


def test_a_kernel_that_is_wrong_is_not_used(classifier, monkeypatch):
    monkeypatch.setattr(KernelFollower, "__call__", wrong(KernelFollower.__call__))
    evaluator = IncrementalEvaluator(classifier, images_for(classifier))
    assert evaluator.name == "incremental"
    assert "from the plain ones" in evaluator.not_compiled
    assert_exact(evaluator, candidates_for(evaluator.images))


def test_a_network_that_is_not_what_it_seems_is_refused(classifier):
    class Liar(PlainEvaluator):
        def __call__(self, candidates: Candidates) -> Tensor:
            logits = super().__call__(candidates)
            logits[..., 0] += 0.001 * logits.abs().max()
            return logits

    images = images_for(classifier)
    evaluator = IncrementalEvaluator(classifier, images, plain=Liar(classifier, images))
    assert "from the plain ones" in evaluator.refusal
    assert "from the plain ones" in evaluator.not_compiled
    candidates = candidates_for(images)
    with torch.inference_mode():
        torch.testing.assert_close(evaluator(candidates), evaluator.plain(candidates))


def test_values_outside_the_trial_are_tried_first(classifier, monkeypatch):
    images = images_for(classifier)
    evaluator = IncrementalEvaluator(classifier, images)
    trials = []
    compare = incremental.trial_candidates
    monkeypatch.setattr(
        incremental,
        "trial_candidates",
        lambda *box, **how: (trials.append([float(side.max()) for side in box[1:]]), compare(*box, **how))[1],
    )
    assert evaluator.name == "chain"
    narrow = evaluator.tolerance
    trials.clear()
    evaluator(candidates_for(images, spread=0.5))
    assert trials == []
    far = candidates_for(images, spread=300.0)
    assert_exact(evaluator, far)
    assert len(trials) == 1
    assert trials[0][1] > float(far.value.max())
    assert evaluator.tolerance > 10 * narrow
    evaluator(far)
    assert len(trials) == 1


def test_values_that_fail_the_trial_are_scored_plainly(classifier, monkeypatch):
    images = images_for(classifier)
    evaluator = IncrementalEvaluator(classifier, images)
    assert evaluator.name == "chain"
    monkeypatch.setattr(KernelFollower, "__call__", wrong(KernelFollower.__call__))
    candidates = candidates_for(images, spread=300.0)
    torch.testing.assert_close(evaluator(candidates), evaluator.plain(candidates))
    assert evaluator.refusal
    assert evaluator.tolerance == 0.0
    assert "on values up to" in evaluator.reason


def test_the_tolerance_holds_over_every_pixel(classifier):
    images = images_for(classifier, 1)
    evaluator = IncrementalEvaluator(classifier, images)
    row, column = (
        place.reshape(1, -1, 1) for place in torch.meshgrid(torch.arange(24), torch.arange(27), indexing="ij")
    )
    for corner in ((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (1.0, 1.0, 1.0)):
        value = torch.tensor(corner).expand(1, row.shape[1], 1, 3)
        candidates = Candidates(torch.zeros(1, dtype=torch.int64), row, column, value)
        assert float((evaluator(candidates) - evaluator.plain(candidates)).abs().max()) < evaluator.tolerance / 2
