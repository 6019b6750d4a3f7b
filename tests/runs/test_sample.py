import dataclasses
import shutil

import numpy as np
import pytest
import torch

from robustkit.data import MeanStdStretch, open_images
from robustkit.errors import InputError
from robustkit.models import ModelOptions, open_checkpoint, save_checkpoint
from robustkit.runs.draw import draw, draw_sample
from robustkit.runs.opening import open_objects, open_sample
from robustkit.runs.selection import Selection
from tests.audits import make_audit


@pytest.fixture
def audit(tmp_path):
    return make_audit(tmp_path)


def test_sample_is_what_the_network_sees(audit):
    model, path = audit
    checkpoint = open_checkpoint(model)
    sample = draw_sample(checkpoint, model, n=8, seed=0)
    assert sample.images.shape == (8, 3, 24, 24)
    assert sample.available == 20
    assert set(sample.image_set.ids) <= set(checkpoint.card.data["split"]["test"])
    images = open_images(path)
    where = images.positions(sample.image_set.ids)
    np.testing.assert_array_equal(sample.images.numpy(), checkpoint.stretch(images.images[where]))
    assert sample.labels.tolist() == images.labels[where].tolist()


def test_draw_is_nested_and_independent_of_order():
    ids = [f"image {i}" for i in range(200)]
    drawn = draw(ids, 50, 3)
    assert drawn == draw(ids[::-1], 50, 3)
    assert drawn[:20] == draw(ids, 20, 3)
    assert len(set(drawn)) == 50
    assert set(drawn) != set(draw(ids, 50, 4))
    # Every image is drawn about as often as any other.
    counts = np.zeros(200)
    for seed in range(400):
        for image_id in draw(ids, 50, seed):
            counts[int(image_id.split()[1])] += 1
    assert 60 < counts.min() < counts.max() < 140  # 100 expected, standard deviation 8.7


def test_relative_path_wins_when_everything_moved(audit, tmp_path):
    model, path = audit
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(path, moved / "galaxies")
    shutil.move(model, moved / "net.pt")
    sample = draw_sample(open_checkpoint(moved / "net.pt"), moved / "net.pt", n=3, seed=0)
    assert sample.path == moved / "galaxies"


def test_images_that_are_stretched_already_are_taken_as_they_are(audit, tmp_path):
    model, path = audit
    checkpoint = open_checkpoint(model)
    calibrated = open_images(path)
    seen = checkpoint.stretch(np.asarray(calibrated.images))
    stretched = dataclasses.replace(calibrated, images=seen, stretch=checkpoint.stretch).save(tmp_path / "seen")
    torch.testing.assert_close(
        draw_sample(checkpoint, model, data=stretched, n=5, seed=0).images,
        draw_sample(checkpoint, model, n=5, seed=0).images,
    )
    other = dataclasses.replace(calibrated, stretch=MeanStdStretch((0.0,) * 3, (1.0,) * 3)).save(tmp_path / "other")
    with pytest.raises(InputError, match="give the calibrated images"):
        draw_sample(checkpoint, model, data=other, n=5, seed=0)


def test_too_few_images_are_said_and_taken_only_when_asked(audit):
    model, _ = audit
    checkpoint = open_checkpoint(model)
    with pytest.raises(InputError, match=r"has 20 images and 21 were asked for; ask for --n 20, or add --all"):
        draw_sample(checkpoint, model, n=21, seed=0)
    assert len(draw_sample(checkpoint, model, n=21, seed=0, take_all=True).images) == 20
    assert len(draw_sample(checkpoint, model, n=40, part="all", seed=0).images) == 40


def test_refusals(audit, tmp_path):
    model, path = audit
    checkpoint = open_checkpoint(model)
    images = open_images(path)

    def changed(name, **fields):
        return dataclasses.replace(images, images=np.asarray(images.images), **fields).save(tmp_path / name)

    for options, words in (
        ({"n": 0}, "at least 1 image"),
        ({"part": "valid"}, "known are test, train, all"),
        ({"data": tmp_path / "nowhere"}, "nowhere"),
        ({"data": changed("unlabelled", labels=None)}, "has no labels"),
        ({"data": changed("bands", bands=("r", "g", "i"))}, "takes bands g, r, i, but .* has r, g, i"),
        ({"data": changed("classes", class_names=("a", "b", "c"))}, "takes classes spiral"),
        ({"data": changed("ids", ids=np.array([f"x{i}" for i in range(40)]))}, "use --part all"),
    ):
        with pytest.raises(InputError, match=words):
            draw_sample(checkpoint, model, **{"n": 5, "seed": 0, **options})


def test_further_images_of_an_object_are_left_out(audit, tmp_path):
    model, path = audit
    checkpoint, images = open_checkpoint(model), open_images(path)
    test = images.select(images.positions(checkpoint.card.data["split"]["test"][:10]))
    ids = np.concatenate([test.ids, [f"{name}#rot90" for name in test.ids]])
    twice = dataclasses.replace(test, images=np.concatenate([test.images] * 2), labels=np.tile(test.labels, 2), ids=ids)
    sample = draw_sample(checkpoint, model, data=twice.save(tmp_path / "twice"), n=20, seed=0, take_all=True)
    assert (sample.available, sample.repeats) == (10, 10)
    assert sorted(sample.image_set.ids) == sorted(test.ids)


def test_images_that_changed_since_training_are_refused(audit):
    model, path = audit
    images = open_images(path)
    other = dataclasses.replace(images, images=images.images + np.float32(1))
    shutil.rmtree(path)
    other.save(path)
    with pytest.raises(InputError, match=r"images.npy.* changed since the model was trained"):
        draw_sample(open_checkpoint(model), model, n=5, seed=0)
    assert len(draw_sample(open_checkpoint(model), model, data=path, n=5, seed=0).images) == 5
    with pytest.raises(InputError, match=r"images.npy.* changed since the model was trained"):
        open_sample(model, Selection(n=5, options=ModelOptions(average="flips")), say=lambda line: None)


def test_a_checkpoint_that_does_not_know_its_images_asks_for_them(audit, tmp_path):
    model, path = audit
    checkpoint = open_checkpoint(model)
    bare = dataclasses.replace(checkpoint.card, data={})
    save_checkpoint(tmp_path / "bare.pt", checkpoint.classifier.module, bare)
    opened = open_checkpoint(tmp_path / "bare.pt")
    with pytest.raises(InputError, match="name them with --data"):
        draw_sample(opened, tmp_path / "bare.pt", n=5, seed=0)
    assert len(draw_sample(opened, tmp_path / "bare.pt", data=path, part="all", n=5, seed=0).images) == 5
    shutil.rmtree(path)
    with pytest.raises(InputError, match="are not at"):
        draw_sample(checkpoint, model, n=5, seed=0)


@pytest.mark.parametrize("said", [{"average": "flips"}, {"members": ("other.pt",)}])
def test_checkpoints_that_answer_together_know_the_images_of_the_first(audit, tmp_path, monkeypatch, said):
    monkeypatch.chdir(tmp_path)
    model, _ = audit
    shutil.copy(model, "other.pt")
    alone = open_sample(model, Selection(n=5), say=lambda line: None)
    joined = open_sample(model, Selection(n=5, options=ModelOptions(**said)), say=lambda line: None)
    assert joined.part == "test"
    assert list(joined.ids) == list(alone.ids)
    every = open_objects(model, options=ModelOptions(**said), say=lambda line: None)
    assert len(every.ids) == len(every.whole)


def test_a_member_of_another_split_is_said(audit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, _ = audit
    checkpoint = open_checkpoint(model)
    split = checkpoint.card.data["split"]
    other = {**split, "test": split["train"], "train": split["test"]}
    card = dataclasses.replace(checkpoint.card, data={**checkpoint.card.data, "split": other})
    save_checkpoint("other.pt", checkpoint.classifier.module, card)
    said = []
    open_sample(model, Selection(n=5, options=ModelOptions(members=("other.pt",))), say=said.append)
    assert any("other.pt was trained on another split than" in line for line in said)
