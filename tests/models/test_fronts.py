# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robustkit.data.stretch import ArcsinhStretch
from robustkit.engine.graph import trace
from robustkit.errors import InputError, SecurityError
from robustkit.models import AuditedClassifier, ConvNet, open_checkpoint, open_model, save_checkpoint
from robustkit.models.checkpoint import Card
from robustkit.models.foreign.options import ModelOptions
from robustkit.models.fronts import FrontEnd, Repaired, front_from_json, make_front, noise_constants
from robustkit.models.fronts.base import ranked
from robustkit.models.fronts.splitting import split_front
from robustkit.testing import check_front

NOISE = {"low": [0.0] * 3, "high": [1.0] * 3, "sigma": [np.linspace(0.02, 0.1, 9).tolist()] * 3}
NAMES = (
    "across", "across:1", "clip", "clip:2", "clip:3", "clip:4", "median", "line", "line:2", "joint:3", "joint:5", "nan",
    "clip+joint:5", "nan+line:2+clip", "detect:joint:5+clip", "detect:across:2",
)  # fmt: skip


def _make(name):
    return make_front(name, {"noise": NOISE, "fill": 0.25})


@pytest.mark.parametrize("name", NAMES)
def test_every_front_end_keeps_the_contract(name):
    check_front(_make(name))


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 16])
def test_order_statistics_are_those_of_a_sort(n):
    planes = torch.rand(n, 50, generator=torch.Generator().manual_seed(n))
    wanted = [0, n // 2, n - 1]
    torch.testing.assert_close(torch.stack(ranked(list(planes), wanted)), planes.sort(0).values[wanted], rtol=0, atol=0)


def test_clip_is_that_of_a_loop():
    image = torch.rand(1, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    padded = np.pad(image[0].numpy(), ((0, 0), (1, 1), (1, 1)), mode="reflect")
    for rank in (1, 2, 3, 4):
        expected = np.empty_like(image[0].numpy())
        for band in range(2):
            for y in range(5):
                for x in range(6):
                    around = np.sort(np.delete(padded[band, y : y + 3, x : x + 3].ravel(), 4))
                    expected[band, y, x] = np.clip(image[0, band, y, x].numpy(), around[rank - 1], around[-rank])
        np.testing.assert_array_equal(make_front(f"clip:{rank}")(image)[0].numpy(), expected)


@pytest.mark.parametrize("name", ["across", "across:3", "clip", "median", "joint:5", "line"])
def test_one_bad_pixel_in_an_even_sky_is_gone_and_nothing_else_changes(name):
    image = torch.full((1, 3, 9, 9), 0.5)
    bad = image.clone()
    bad[0, :, 4, 0] = torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(_make(name)(bad), image, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "width"), [("line", 1), ("line:2", 2)])
@pytest.mark.parametrize("direction", ["column", "row", "diagonal"])
def test_a_line_of_bad_pixels_is_gone(name, width, direction):
    image = torch.full((1, 1, 15, 15), 0.5)
    bad = image.clone()
    if direction == "column":
        bad[..., 7 : 7 + width] = 1.0
    elif direction == "row":
        bad[:, :, 5 : 5 + width] = 0.0
    else:
        for offset in range(width):
            bad[0, 0].diagonal(offset).fill_(1.0)
    inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))  # the border is mirrored, and with it the line
    torch.testing.assert_close(make_front(name)(bad)[inside], image[inside], rtol=0, atol=0)


def test_across_expects_a_slope_to_go_on_and_leaves_the_noise_alone():
    slope = (torch.arange(9.0)[:, None] * 2 + torch.arange(9.0) * 8).expand(1, 2, 9, 9)
    bad = slope.clone()
    bad[0, 0, 4, 4] = 45.0  # within the range of its neighbours, and not what they expect: 40
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # the border is mirrored, and with it the slope
    assert torch.equal(make_front("clip")(bad)[inside], bad[inside])
    assert torch.equal(make_front("across")(bad)[inside], slope[inside])
    bad[0, 1, 3, 3], bad[0, 1, 4, 4] = 30 + 6, 1000.0  # of the means across (4, 4) one is 43, and three are 40
    for name, end in (("across:0", 43.0), ("across:1", 46.0), ("across", 49.0)):
        assert make_front(name)(bad)[0, :, 4, 4].tolist() == [40.0, end]
    noise = torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    moved = [(make_front(name)(noise) != noise).double().mean().item() for name in ("clip", "across")]
    assert moved[0] == pytest.approx(2 / 9, abs=0.005)
    assert moved[1] < 0.04


def test_a_pair_of_bad_pixels_needs_the_second_rank():
    image = torch.full((1, 1, 9, 9), 0.5)
    image[0, 0, 4, 4:6] = 1.0
    assert (make_front("clip")(image) == 1).sum() == 2
    assert (make_front("clip:2")(image) == 0.5).all()


def test_what_is_not_finite_is_filled_from_its_neighbours():
    image = torch.arange(25.0).view(1, 1, 5, 5)
    image[0, 0, 2, 2], image[0, 0, 0, 0] = torch.nan, torch.inf
    filled = make_front("nan")(image)
    assert float(filled[0, 0, 2, 2]) == 12.0
    assert filled.isfinite().all()
    everything = torch.full((1, 2, 4, 4), torch.nan)
    assert (make_front("nan", {"fill": [0.5, 0.25]})(everything)[0, :, 0, 0] == torch.tensor([0.5, 0.25])).all()


def test_joint_changes_all_bands_by_their_sum_and_leaves_what_noise_explains():
    image = torch.full((1, 3, 9, 9), 0.5)
    sigma = 0.06  # the declared noise at 0.5
    image[0, :, 2, 2] += 4 * sigma  # 4 in each of three bands is 6.9 together
    image[0, 0, 6, 6] += 4 * sigma
    repaired = make_front("joint:5", {"noise": NOISE})(image)
    assert (repaired[0, :, 2, 2] == 0.5).all()
    torch.testing.assert_close(repaired[0, :, 6, 6], image[0, :, 6, 6])


def test_the_noise_is_that_of_the_images_through_the_stretch():
    stretch = ArcsinhStretch(low=(-100.0, -100.0), high=(5000.0, 5000.0), c=1e-4)
    meta = {"noise_sigma": {"g": 100.0, "r": 200.0}, "scale": 1.0}
    ends = [(float(stretch(np.full((2, 1, 1), v))[0, 0, 0]) for v in (-100, 5000)) for _ in range(2)]
    noise = noise_constants(stretch, meta, ("g", "r"), [tuple(pair) for pair in ends])
    light = np.random.default_rng(0).normal(0, 1, (2, 200, 200)) * np.array([[[100.0]], [[200.0]]])
    spread = stretch(light + 2000).std((1, 2)) * np.sqrt(np.array([100.0**2 + 2000, 200.0**2 + 2000])) / [100, 200]
    grid = np.linspace(noise["low"][0], noise["high"][0], 65)
    at = float(stretch(np.full((2, 1, 1), 2000.0))[0, 0, 0])
    declared = [np.interp(at, grid, sigma) for sigma in noise["sigma"]]
    np.testing.assert_allclose(declared, spread, rtol=0.05)
    with pytest.raises(InputError, match="use --front across"):
        noise_constants(stretch, {}, ("g", "r"), [(0.0, 1.0)] * 2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("clp", "unknown front end 'clp'; did you mean 'clip'"),
        ("clip:5", "clip:1 to clip:4"),
        ("clip:x", "expected a number"),
        ("clip:inf", "expected a number"),
        ("across:x", "as in --front across:2"),
        ("across:-1", "at least 0"),
        ("median:3", "takes no number"),
        ("joint", "expected a number"),
        ("joint:-1", "above 0"),
        ("line:3", "line or line:2"),
        ("", "joined by"),
        ("clip++clip", "joined by"),
        ("clip+" * 9 + "clip", "1 to 8 front ends"),
        ("timm:resnet18", "no package of front ends"),
        ("collections:OrderedDict", "is not a subclass"),
    ],
)
def test_what_is_no_front_end_is_refused_in_words(name, said):
    with pytest.raises(InputError, match=said):
        _make(name)


def test_joint_without_noise_says_how_to_get_it():
    with pytest.raises(InputError, match="robustkit repair"):
        make_front("joint:5")


@pytest.mark.parametrize(
    "broken", [{"low": [0.0]}, {"sigma": [[1.0]]}, {"sigma": "x"}, {"sigma": [[float("nan")] * 3] * 3}]
)
def test_constants_that_cannot_be_used_are_refused(broken):
    with pytest.raises(InputError):
        front_from_json({"name": "joint:5", "constants": {"noise": NOISE | broken}}, file="a.pt")


def test_a_window_larger_than_the_image_is_refused():
    for name, size in (("clip", 1), ("line:2", 2), ("clip+line:2", 2)):
        with pytest.raises(InputError, match="pixels to each side, and the images have"):
            _make(name).check((3, 9, size))
        _make(name).check((3, 9, size + 1))


class Darker(FrontEnd):
    radius = 0

    def forward(self, images):
        return images * 0.5


class Liar(FrontEnd):
    radius = 1

    def forward(self, images):
        return images * (images.amax((2, 3), keepdim=True) < 5)


def test_a_front_end_that_reaches_further_than_it_says_fails_the_contract():
    with pytest.raises(AssertionError, match="radius"):
        check_front(Liar())


def _card(**more):
    return Card(
        network="convnet", class_names=("a", "b", "c"), bands=("g", "r", "i"), input_shape=(3, 16, 16),
        stretch={"name": "none"}, input_range=((0.0, 1.0),) * 3, latent="bottleneck", **more,
    )  # fmt: skip


def _network():
    torch.manual_seed(0)
    return ConvNet(size=(16, 16)).eval()


def test_a_repaired_checkpoint_is_the_front_end_and_the_same_weights(tmp_path):
    network, images = _network(), torch.rand(2, 3, 16, 16)
    front = {"name": "clip+joint:5", "constants": {"noise": NOISE}}
    save_checkpoint(tmp_path / "a.pt", Repaired(_make("clip+joint:5"), network), _card(front=front))
    opened = open_checkpoint(tmp_path / "a.pt")
    expected = network(_make("clip+joint:5")(images))
    torch.testing.assert_close(opened.classifier(images), expected, rtol=0, atol=0)
    assert opened.classifier.latent_name == "bottleneck"
    assert json.loads(json.dumps(opened.card.front)) == front
    assert opened.classifier.embed(images).shape == (2, 256)
    split = split_front(opened.classifier)
    assert split is not None
    front_end, rest = split
    torch.testing.assert_close(rest(front_end(images)), expected, rtol=0, atol=0)


def test_a_checkpoint_without_a_front_end_says_nothing_of_it(tmp_path):
    save_checkpoint(tmp_path / "a.pt", _network(), _card())
    assert b'"front"' not in (tmp_path / "a.pt").read_bytes()
    assert split_front(open_checkpoint(tmp_path / "a.pt").classifier) is None


def test_an_option_puts_a_front_end_before_a_checkpoint_that_has_none(tmp_path):
    network, images = _network(), torch.rand(2, 3, 16, 16)
    save_checkpoint(tmp_path / "a.pt", network, _card())
    opened = open_model(tmp_path / "a.pt", ModelOptions(front="clip"))
    torch.testing.assert_close(opened.classifier(images), network(make_front("clip")(images)), rtol=0, atol=0)
    save_checkpoint(tmp_path / "b.pt", network, _card(front={"name": "median", "constants": {}}))
    with pytest.raises(InputError, match="has the front end 'median' and --front says 'clip'"):
        open_model(tmp_path / "b.pt", ModelOptions(front="clip"))


def test_a_file_never_chooses_the_code_of_its_front_end(tmp_path):
    name = "tests.models.test_fronts:Darker"
    save_checkpoint(tmp_path / "a.pt", _network(), _card(front={"name": name, "constants": {}}))
    with pytest.raises(SecurityError, match="names code to run"):
        open_model(tmp_path / "a.pt")
    images = torch.rand(2, 3, 16, 16)
    opened = open_model(tmp_path / "a.pt", ModelOptions(front=name))
    torch.testing.assert_close(opened.classifier(images), _network()(images * 0.5), rtol=0, atol=0)
    (tmp_path / "weights.toml").write_text(f'arch = "robustkit:ConvNet"\nfront = "{name}"\n')
    torch.save(_network().state_dict(), tmp_path / "weights.pth")
    for options in (ModelOptions(), ModelOptions(card=str(tmp_path / "weights.toml"))):
        with pytest.raises(SecurityError, match="names code to run"):
            open_model(tmp_path / "weights.pth", options)


def test_the_code_of_a_front_end_is_found_where_the_user_says(tmp_path):
    code = Path(__file__).read_text().partition("class Darker")[2].partition("\n\n\n")[0]
    for folder in ("then", "now"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dark.py").write_text(
            f"from robustkit.models.fronts import FrontEnd\n\n\nclass Darker{code}\n"
        )
    save_checkpoint(tmp_path / "a.pt", _network(), _card(front={"name": "clip+dark.py:Darker", "constants": {}}))
    with pytest.raises(SecurityError, match="names code to run"):
        open_model(tmp_path / "a.pt")
    images = torch.rand(2, 3, 16, 16)
    wanted = _network()(make_front("clip")(images) * 0.5)
    for folder in ("then", "now"):
        opened = open_model(tmp_path / "a.pt", ModelOptions(front=f"clip+{tmp_path / folder}/dark.py:Darker"))
        torch.testing.assert_close(opened.classifier(images), wanted, rtol=0, atol=0)
    for other in ("dark.py:Lighter", "light.py:Darker", "clip"):
        with pytest.raises(InputError, match="and --front says"):
            open_model(tmp_path / "a.pt", ModelOptions(front=f"clip+{tmp_path}/{other}"))


@pytest.mark.parametrize("value", ["clip", 3, {"name": 3}, {"name": "clip", "constants": []}, {}])
def test_a_damaged_front_end_in_a_file_is_refused(value):
    with pytest.raises(InputError):
        front_from_json(value, file="a.pt")


def test_a_network_of_others_is_repaired_by_its_card(tmp_path):
    network, images = _network(), torch.rand(2, 3, 16, 16)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    (tmp_path / "weights.toml").write_text('arch = "robustkit:ConvNet"\nfront = "clip:2"\ninput_size = [16, 16]\n')
    opened = open_model(tmp_path / "weights.pth")
    torch.testing.assert_close(opened.classifier(images), network(make_front("clip:2")(images)), rtol=0, atol=0)
    assert opened.card.front["name"] == "clip:2"
    assert opened.classifier.latent_name == "bottleneck"
    assert any("front end clip:2" in note for note in opened.origin.notes)


@pytest.mark.parametrize("name", NAMES)
def test_a_repaired_network_traces_to_the_same(name):
    network = Repaired(_make(name), _network()).eval()
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(trace(network, images)(images), network(images), rtol=0, atol=1e-5)


def test_what_is_changed_is_counted():
    network = Repaired(make_front("clip"), nn.Flatten())
    images = torch.full((1, 2, 6, 6), 0.5)
    images[0, 1, 3, 3] = 1.0
    assert network.changed(images).nonzero().tolist() == [[0, 3, 3]]
    assert AuditedClassifier(Repaired(make_front("clip"), _network()).eval(), input_shape=(3, 16, 16)).latent_name
