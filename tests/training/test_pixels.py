# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
import copy
from dataclasses import replace

import pytest
import torch

from robustkit.errors import InputError
from robustkit.models import open_checkpoint
from robustkit.models.fronts import Repaired
from robustkit.models.fronts.splitting import split_front
from robustkit.training import Settings, train
from robustkit.training.network import renew_statistics
from tests.training.worlds import QUICK, noisier, squares, start

ENDS = ((-5.0, 5.0), (-6.0, 6.0), (-7.0, 7.0))


def _painted(settings, epoch=0, step=0):
    setup, run, feed = start(settings)
    _, batch = next(feed.epoch(0))
    return setup.pixels(ENDS)(run.network, batch, epoch, step), batch, run


def test_a_share_of_the_images_gets_one_pixel_at_the_ends_of_each_band():
    made, batch, _ = _painted(Settings(pixels="random", pixel_share=0.5, **QUICK | {"batch": 60}))
    other = (made != batch.source).any(1)
    counts = other.sum((1, 2))
    assert set(counts.tolist()) == {0, 1}
    assert 15 <= int(counts.sum()) <= 45
    values = made.permute(0, 2, 3, 1)[other]
    assert set(values[:, 2].tolist()) == {-7.0, 7.0}
    assert len({tuple(value) for value in values.tolist()}) > 4  # each band by itself


def test_every_image_gets_one_where_the_share_is_one():
    made, batch, _ = _painted(Settings(pixels="random", pixel_share=1.0, **QUICK))
    assert (made != batch.source).any(1).flatten(1).sum(1).tolist() == [1] * len(batch.source)


def test_the_pixels_of_a_step_follow_from_seed_epoch_and_step_alone():
    settings = Settings(pixels="random", **QUICK)
    assert torch.equal(_painted(settings)[0], _painted(settings)[0])
    assert not torch.equal(_painted(settings)[0], _painted(settings, step=1)[0])
    assert not torch.equal(_painted(settings)[0], _painted(settings, epoch=1)[0])


def test_the_worst_of_several_has_a_larger_loss_than_the_first_and_the_network_is_left_as_it_is():
    settings = Settings(pixels="worst:8", pixel_share=1.0, **QUICK)
    _, run, feed = start(settings)
    _, batch = next(feed.epoch(0))
    run.network.train()
    before = copy.deepcopy(run.network.state_dict())
    losses = {}
    for tries in ("random", "worst:8"):
        pixels = start(Settings(pixels=tries, pixel_share=1.0, **QUICK))[0].pixels(ENDS)
        made = pixels(run.network, batch, 0, 0)
        run.network.eval()
        with torch.no_grad():
            losses[tries] = float(torch.nn.functional.cross_entropy(run.network.run(made).logits, batch.labels))
        run.network.train()
    assert losses["worst:8"] > losses["random"]
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())
    assert run.network.training


@pytest.mark.parametrize("method", ["source", "mmd", "augment"])
def test_every_method_trains_with_pixels_behind_a_front_end(tmp_path, method):
    source = squares(60)
    settings = Settings(method=method, pixels="worst:3", front="clip", **QUICK | {"epochs": 2})
    trained = train(source, noisier(source), out=tmp_path / "net.pt", settings=settings)
    opened = open_checkpoint(tmp_path / "net.pt")
    assert opened.card.front["name"] == "clip"
    assert opened.card.latent == "bottleneck"
    assert isinstance(trained.network, Repaired)
    assert split_front(opened.classifier) is not None
    assert opened.card.training["settings"]["pixels"] == "worst:3"


def test_batch_norm_is_renewed_over_clean_images(tmp_path):
    """What the running averages see in the steps has bad pixels; what is kept must not."""
    source = squares(60)
    settings = Settings(pixels="random", pixel_share=1.0, **QUICK | {"epochs": 1, "warm_up": 0})
    trained = train(source, out=tmp_path / "net.pt", settings=settings)
    _, run, feed = start(Settings(**QUICK | {"epochs": 1, "warm_up": 0}), source)
    run.network.module.load_state_dict(trained.network.state_dict())
    renew_statistics(run.network, feed.sample(0))
    for name, value in run.network.module.state_dict().items():
        torch.testing.assert_close(value, trained.network.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_a_run_with_pixels_resumes_to_the_same(tmp_path):
    settings = Settings(pixels="worst:3", front="clip", **QUICK)
    whole = train(squares(60), out=tmp_path / "a.pt", settings=settings)
    again = train(squares(60), out=tmp_path / "a.pt", settings=settings, resume=True)
    assert torch.equal(whole.network.state_dict()["network.fc.weight"], again.network.state_dict()["network.fc.weight"])


def test_weights_to_begin_with_are_taken_and_fine_tuned(tmp_path):
    source = squares(60)
    first = train(source, out=tmp_path / "a.pt", settings=Settings(**QUICK))
    still = QUICK | {"epochs": 1, "warm_up": 0}
    tuned = Settings(init=str(tmp_path / "a.pt"), front="median", learning_rate=1e-12, weight_decay=0.0, **still)
    second = train(source, out=tmp_path / "b.pt", settings=tuned)
    mine, its = first.network.state_dict(), second.network.network.state_dict()
    torch.testing.assert_close(its["fc.weight"], mine["fc.weight"], rtol=0, atol=1e-6)
    torch.save(first.network.state_dict(), tmp_path / "weights.pth")
    third = train(source, out=tmp_path / "c.pt", settings=replace(tuned, init=str(tmp_path / "weights.pth")))
    assert torch.equal(third.network.network.state_dict()["fc.weight"], its["fc.weight"])


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError):
        train(squares(60), out=tmp_path / "b.pt", settings=Settings(init=str(tmp_path / "other.pth"), **QUICK))
    assert not (tmp_path / "b.pt").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pixels": "worst"}, "random or worst:K"),
        ({"pixels": "worst:1"}, "K from 2 to 64"),
        ({"pixels": "worst:65"}, "K from 2 to 64"),
        ({"pixels": "best:3"}, "random or worst:K"),
        ({"pixel_share": 0.5}, "needs pixels"),
        ({"pixels": "random", "pixel_share": 0.0}, "above 0 and at most 1"),
        ({"pixels": "random", "pixel_share": 1.5}, "above 0 and at most 1"),
        ({"pixels": "random", "pixel_share": float("nan")}, "above 0 and at most 1"),
        ({"front": "clp"}, "unknown front"),
        ({"front": "mine:Class"}, "robustkit repair"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        Settings(**changes)
