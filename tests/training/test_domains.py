from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robustkit.data import ArcsinhStretch, IdentityStretch, Split, split_images
from robustkit.errors import InputError
from robustkit.files import write_json
from robustkit.training import Settings, pair_of, train
from robustkit.training.domains import Domain, fit_stretch, input_range, make_part, open_domains, split_target
from robustkit.training.noise import added_noise, background_sigma
from robustkit.training.setup import make_setup
from tests.training.worlds import QUICK, noisier, squares


def test_objects_that_both_domains_have_fall_into_the_same_part_whatever_their_order():
    source = squares()
    target = noisier(source).select(np.random.default_rng(0).permutation(90)[:70])
    first, (second,) = open_domains(source, target, split_seed=3)
    for part in ("train", "valid", "test"):
        assert set(second.split.objects(part)) <= set(first.split.objects(part))
    assert len(second.rows("train")) + len(second.rows("valid")) + len(second.rows("test")) == 70


def test_a_target_of_other_objects_is_divided_by_itself_and_a_mixed_one_keeps_what_is_shared():
    source = split_images(squares(), seed=0)
    strangers = replace(squares(80), ids=np.array([f"stranger {i}" for i in range(80)]), labels=None)
    assert split_target(strangers, source, seed=0).sha256 == split_images(strangers, seed=0).sha256
    mixed = replace(squares(80), ids=np.concatenate([squares().ids[:40], strangers.ids[:40]]), labels=None)
    split = split_target(mixed, source, seed=0)
    for part in ("train", "valid", "test"):
        shared = {name for name in split.objects(part) if name.startswith("object")}
        assert shared <= set(source.objects(part))
    assert sum(len(split.objects(part)) for part in ("train", "valid", "test")) == 80


def test_turned_images_of_one_object_stay_together():
    images = squares()
    twice = replace(
        images,
        images=np.concatenate([images.images, images.images]),
        labels=np.concatenate([images.labels, images.labels]),
        ids=np.concatenate([images.ids, [f"{name}#rot90" for name in images.ids]]),
    )
    first, _ = open_domains(twice, None, split_seed=0)
    names = {part: {name.partition("#")[0] for name in twice.ids[first.rows(part)]} for part in ("train", "test")}
    assert not names["train"] & names["test"]
    assert len(first.rows("train")) == 2 * len(names["train"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bands": ("g", "r", "z")}, "different bands: g r i and g r z"),
        ({"images": np.zeros((90, 3, 12, 16), np.float32)}, "different image sizes: 16 16 and 12 16"),
        ({"units": "display"}, "different units: electron and display"),
        ({"stretch": IdentityStretch()}, "different stretches"),
    ],
)
def test_domains_that_do_not_fit_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        open_domains(squares(), replace(noisier(squares()), **change), split_seed=0)


def test_a_class_that_is_missing_or_rare_is_refused_by_name():
    source = squares()
    absent = replace(source, class_names=(*source.class_names, "irregular"))
    with pytest.raises(InputError, match=r"class 'irregular' has 0 objects in the train part"):
        make_setup(absent, None, Settings())
    rare = source.select(np.flatnonzero((source.labels != 2) | (np.arange(90) < 12)))
    with pytest.raises(InputError, match="class 2"):
        make_setup(rare, None, Settings())


def test_turned_images_of_one_object_are_not_two_objects():
    images = squares()
    alone, other = images.ids[images.labels == 2][:2]
    turned = [f"{alone}#rot{turn}" for turn in (90, 180, 270)]
    rows = np.concatenate([np.arange(90), np.repeat(images.positions([alone]), 3)])
    split = {name: ("train", "valid", "test")[i // 3 % 3] for i, name in enumerate(images.ids)}
    split |= {name: "train" for name in images.ids[images.labels == 2] if split[name] == "valid"}
    split |= dict.fromkeys([alone, *turned], "valid")  # four images of class 2, and one object

    def given():
        arrays = {"images": images.images[rows], "labels": images.labels[rows]}
        return replace(images, **arrays, ids=np.array([*images.ids, *turned]), meta={"split": split})

    with pytest.raises(InputError, match="class 'class 2' has 1 objects in the valid part"):
        make_setup(given(), None, Settings())
    split[other] = "valid"
    assert make_setup(given(), None, Settings()).settings.batch


@pytest.mark.parametrize("method", ["oracle", "mmd"])
def test_a_labelled_target_without_one_class_is_refused_where_its_labels_are_read(method):
    source = squares()
    # Its class 0 is what the source calls class 1.
    target = noisier(source).select(np.flatnonzero(source.labels > 0))
    target = replace(target, labels=target.labels - 1, class_names=source.class_names[1:])
    words = "classes of the source in their order, class 0, class 1, class 2; this one has class 1, class 2; name all"
    with pytest.raises(InputError, match=words):
        make_setup(source, target, Settings(method=method), report_oracle=True)
    assert make_setup(source, target, Settings(method="mmd")).oracle is None
    named = replace(target, labels=target.labels + 1, class_names=source.class_names)
    assert set(make_setup(source, named, Settings(method="mmd"), report_oracle=True).oracle) == {1, 2}


def test_a_source_without_labels_and_a_method_without_target_are_refused():
    with pytest.raises(InputError, match="no labels"):
        make_setup(replace(squares(), labels=None), None, Settings())
    for settings in (Settings(method="mmd"), Settings(method="adabn"), Settings(entropy=0.1)):
        with pytest.raises(InputError, match="needs target images"):
            make_setup(squares(), None, settings)


def test_a_batch_larger_than_a_domain_is_refused_and_the_default_fits():
    source, few = squares(), noisier(squares(50))
    with pytest.raises(InputError, match=r"batch of 40 is larger than the \d+ training images of the target"):
        make_setup(source, few, Settings(method="mmd", batch=40))
    with pytest.raises(InputError, match="batch of 80 is larger than the 63 training images of the labelled"):
        make_setup(source, None, Settings(batch=80))
    assert make_setup(source, None, Settings()).settings.batch == 63
    assert make_setup(squares(300), None, Settings()).settings.batch == 128


def test_images_that_are_stretched_already_keep_their_stretch(tmp_path):
    source = squares()
    stretch = ArcsinhStretch.fit(source.images)
    stretched = replace(source, images=stretch(source.images), stretch=stretch)
    trained = train(stretched, out=tmp_path / "a.pt", settings=Settings(epochs=1, batch=16))
    assert trained.card.stretch == stretch.to_json()
    assert trained.card.input_range[0][1] == pytest.approx(stretched.images[:, 0].max(), abs=0.1)
    domain = Domain(stretched, None, split_images(stretched))
    part = make_part(domain, "train", stretch, "cpu")
    np.testing.assert_array_equal(part.images.numpy(), stretched.images[domain.rows("train")])
    with pytest.raises(InputError, match="already stretched by"):
        fit_stretch(domain, "meanstd")


def test_the_input_range_is_that_of_the_stretched_training_images():
    setup = make_setup(squares(), noisier(squares()), Settings(method="augment"))
    card = setup.card(Path("a.pt"), setup.feed("cpu"), "bottleneck")
    expected = setup.stretch(setup.source.images.images[setup.source.rows("train")])
    np.testing.assert_allclose(
        card.input_range, np.stack([expected.min((0, 2, 3)), expected.max((0, 2, 3))], 1), rtol=1e-6
    )
    part = make_part(setup.source, "train", setup.stretch, "cpu")
    np.testing.assert_allclose(input_range(part, IdentityStretch()), card.input_range, rtol=1e-6)


def test_pixels_that_are_not_finite_are_refused():
    images = squares()
    images.images[images.ids.tolist().index(split_images(images).train[0]), 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        make_part(Domain(images, None, split_images(images)), "train", IdentityStretch(), "cpu")


def test_turning_is_on_for_electrons_only_unless_asked_for():
    display = replace(squares(), units="display")
    assert make_setup(squares(), None, Settings()).settings.dihedral
    assert not make_setup(display, None, Settings()).settings.dihedral
    assert make_setup(display, None, Settings(dihedral=True)).settings.dihedral


def test_the_deepest_and_the_shallowest_galaxies_are_source_and_target(tmp_path):
    for name in ("Y10", "Y5", "Y1"):
        (tmp_path / name).mkdir()
    write_json(tmp_path / "galaxies.json", {"kind": "robustkit-galaxies", "depths": ["Y10", "Y5", "Y1"]})
    assert pair_of(tmp_path) == (tmp_path / "Y10", tmp_path / "Y1")
    assert pair_of(tmp_path / "Y10") == (tmp_path / "Y10", None)
    assert pair_of(source="a", target="b") == tuple(map(type(tmp_path), ("a", "b")))
    for wrong in ({}, {"data": "a", "source": "b"}, {"data": "a", "target": "b"}, {"target": "b"}):
        with pytest.raises(InputError, match="either --data"):
            pair_of(**wrong)


def declared(images, sigma, scale):
    return replace(images, meta={"noise_sigma": dict.fromkeys("gri", sigma), "scale": scale})


def test_the_noise_to_add_is_the_difference_of_what_the_sets_declare():
    noise = added_noise(declared(squares(), 2.0, 1.0), declared(squares(), 7.0, 10.0))
    assert noise.background == (45.0, 45.0, 45.0)
    assert (noise.slope, noise.known) == (9.0, True)
    light = torch.full((400, 3, 10, 10), 100.0)
    added = noise(light, torch.Generator().manual_seed(0)) - light
    chosen = added.abs().amax((1, 2, 3)) > 0
    assert 0.4 < chosen.float().mean() < 0.6
    assert float(added[chosen].std()) == pytest.approx((45 + 900) ** 0.5, rel=0.02)


def test_noise_that_is_not_declared_is_measured_in_the_pixels():
    source = squares(200, noise=0.3)
    assert background_sigma(source.images) == pytest.approx([0.3] * 3, rel=0.06)
    noise = added_noise(source, noisier(source, 1.0))
    assert not noise.known
    assert noise.background == pytest.approx([1.0] * 3, rel=0.06)


def test_noise_cannot_be_added_to_reach_a_quieter_or_a_stretched_target():
    with pytest.raises(InputError, match="noisier"):
        added_noise(noisier(squares()), squares())
    stretch = ArcsinhStretch.fit(squares().images)
    with pytest.raises(InputError, match="calibrated"):
        added_noise(squares(), replace(squares(), stretch=stretch))


def test_the_split_in_a_checkpoint_lists_images_and_hashes_objects(tmp_path):
    trained = train(squares(), noisier(squares()), out=tmp_path / "a.pt", settings=Settings(method="mmd", **QUICK))
    for data in (trained.card.data, trained.card.data["target"]):
        split = Split(*(tuple(data["split"][part]) for part in ("train", "valid", "test")))
        assert split.sha256 == data["split_sha256"]
        assert data["path"] is None
    assert trained.card.data["split_sha256"] == trained.card.data["target"]["split_sha256"]


def test_what_is_no_image_set_is_refused_in_words(tmp_path):
    for given in (np.zeros(3), [np.zeros(3)], 7):
        with pytest.raises(InputError, match="one source, and one target or a list of them"):
            open_domains(squares(), given, split_seed=0)
        with pytest.raises(InputError, match="one target or a list"):
            pair_of(source=tmp_path, target=given)
    with pytest.raises(InputError, match="not a list"):
        pair_of(["a.npz"])
