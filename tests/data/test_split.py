import json
from dataclasses import replace

import numpy as np
import pytest

from robustkit.data import ImageSet, Split, given_split, split_images
from robustkit.errors import InputError

COUNTS = (500, 300, 200)


def galaxies(counts=COUNTS, copies: int = 1, order: int | None = None, labelled: bool = True) -> ImageSet:
    """Tiny images; `copies` of each object; in a random order where one is given."""
    labels = np.repeat(np.arange(len(counts)), counts)
    ids = [f"g{i}" + (f"#rot{copy}" if copy else "") for i in range(len(labels)) for copy in range(copies)]
    labels = np.repeat(labels, copies)
    rows = np.arange(len(ids)) if order is None else np.random.default_rng(order).permutation(len(ids))
    return ImageSet(
        images=np.zeros((len(ids), 1, 1, 1), dtype=np.float32),
        labels=labels[rows] if labelled else None,
        class_names=("spiral", "elliptical", "merger")[: len(counts)],
        bands=("g",),
        ids=np.array(ids)[rows],
    )


def test_shares_are_kept_in_every_class():
    image_set = galaxies()
    split = split_images(image_set)
    for part, share in (("train", 0.7), ("valid", 0.1), ("test", 0.2)):
        counts = split.apply(image_set, part).class_counts()
        assert counts == {name: round(share * n) for name, n in zip(image_set.class_names, COUNTS, strict=True)}


@pytest.mark.parametrize("counts", [(33, 41, 57), (101, 20, 29)])
def test_uneven_classes_are_within_one_object_of_their_shares(counts):
    image_set = galaxies(counts)
    split = split_images(image_set)
    assert len(split.train) + len(split.valid) + len(split.test) == sum(counts)
    for part, share in (("train", 0.7), ("valid", 0.1), ("test", 0.2)):
        for got, n in zip(split.apply(image_set, part).class_counts().values(), counts, strict=True):
            assert abs(got - share * n) < 1


def test_order_and_the_number_of_images_of_an_object_change_nothing():
    split = split_images(galaxies())
    assert split_images(galaxies(order=1)) == split
    assert split_images(galaxies(copies=4, order=2)) == split


def test_a_class_is_divided_alike_whatever_other_classes_there_are():
    spirals = {part: set(split_images(galaxies()).objects(part)) for part in ("train", "valid", "test")}
    alone = split_images(galaxies(COUNTS[:1]))
    for part in ("train", "valid", "test"):
        assert set(alone.objects(part)) <= spirals[part]


def test_seeds_differ_and_each_repeats():
    splits = [split_images(galaxies(), seed=seed) for seed in (0, 1, 0)]
    assert splits[0] == splits[2]
    overlap = len(set(splits[0].test) & set(splits[1].test))
    assert 20 < overlap < 60  # two independent draws of 200 of 1000 share 40 on average, standard deviation 5


def test_all_images_of_an_object_are_in_one_part():
    image_set = galaxies(copies=8, order=0)
    split = split_images(image_set)
    seen = [set(split.apply(image_set, part).objects.tolist()) for part in ("train", "valid", "test")]
    assert len(set.union(*seen)) == sum(map(len, seen)) == sum(COUNTS)
    assert sum(len(split.apply(image_set, part)) for part in ("train", "valid", "test")) == len(image_set)


def test_the_same_objects_at_another_depth_or_fewer_of_them_follow_the_split():
    split = split_images(galaxies())
    shallow = galaxies(order=5)
    assert sorted(split.apply(shallow, "test").objects.tolist()) == list(split.test)
    some = shallow.select(np.arange(100))
    assert set(split.apply(some, "train").objects.tolist()) <= set(split.train)
    with pytest.raises(InputError, match="are in no part of the split, the first is 'x'"):
        split.apply(replace(some, ids=np.array(["x", *some.ids[1:]])), "train")


def test_without_labels_all_objects_are_one_class():
    image_set = galaxies(labelled=False)
    split = split_images(image_set)
    assert [len(split.objects(part)) for part in ("train", "valid", "test")] == [700, 100, 200]


def test_a_share_of_zero_leaves_a_part_empty():
    split = split_images(galaxies((10, 10)), fractions=(0.8, 0.0, 0.2))
    assert len(split.train) == 16
    assert split.valid == ()
    with pytest.raises(InputError, match="no image is in the valid part"):
        split.apply(galaxies((10, 10)), "valid")


def test_a_given_split_is_kept_and_lacking_valid_is_drawn_from_train_alone():
    image_set = galaxies()
    given = {str(name): "test" if i % 10 == 0 else "train" for i, name in enumerate(image_set.ids)}
    image_set = replace(image_set, meta={"split": given})
    taken = given_split(image_set)
    assert taken is not None
    assert (len(taken.train), len(taken.valid), len(taken.test)) == (900, 0, 100)
    split = split_images(image_set)
    assert split.test == taken.test
    assert set(split.train) | set(split.valid) == set(taken.train)
    assert len(split.valid) == pytest.approx(900 / 8, abs=2)
    assert "given by the image set" in split.origin
    assert split_images(image_set, fractions=(0.8, 0.0, 0.2)).train == taken.train
    assert split_images(image_set, given=False) == split_images(galaxies())


def test_a_given_split_with_valid_is_taken_as_it_is():
    image_set = galaxies((10, 10))
    words = ("training", "Validation", "test", "train")
    given = {str(name): words[i % 4] for i, name in enumerate(image_set.ids)}
    split = split_images(replace(image_set, meta={"split": given}))
    assert [len(split.objects(part)) for part in ("train", "valid", "test")] == [10, 5, 5]


@pytest.mark.parametrize(
    ("image_set", "settings", "message"),
    [
        (galaxies((10, 50)), {}, "class 'spiral' has 10 objects, which leaves 1 for valid; expected at least 2"),
        (galaxies((12,), labelled=False), {}, "the image set has 12 objects"),
        (galaxies(), {"fractions": (0.7, 0.2, 0.2)}, "that add to 1"),
        (galaxies(), {"fractions": (1.2, -0.4, 0.2)}, "that add to 1"),
        (galaxies(), {"fractions": (0.0, 0.5, 0.5)}, "that add to 1"),
        (
            replace(galaxies((20, 20)), ids=np.array([f"g{i % 20}#{i}" for i in range(40)])),
            {},
            "object 'g0' has images of two classes",
        ),
        (
            replace(galaxies((20, 20)), meta={"split": {"g0": "holdout"}}),
            {},
            "unknown part 'holdout' of image 'g0'; known are train",
        ),
        (
            replace(
                galaxies((2,), copies=2),
                meta={"split": {"g0": "train", "g0#rot1": "test", "g1": "train", "g1#rot1": "train"}},
            ),
            {},
            "object 'g0' is in more than one part",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused(image_set, settings, message):
    with pytest.raises(InputError, match=message):
        split_images(image_set, **settings)


def test_save_and_load(tmp_path):
    split = split_images(galaxies(), seed=3)
    loaded = Split.load(split.save(tmp_path / "split.json"))
    assert loaded == split
    assert loaded.sha256 == split.sha256
    assert Split.from_json(json.loads(json.dumps(split.to_json()))) == split


def test_the_hash_is_of_who_is_where_and_of_nothing_else():
    split = Split(train=("b", "a"), valid=("c",), test=("d",))
    assert split.train == ("a", "b")
    assert split.sha256 == replace(split, seed=9, origin="given").sha256
    assert split.sha256 != Split(train=("a", "c"), valid=("b",), test=("d",)).sha256
    # printf '{"train": ["a", "b"], "valid": ["c"], "test": ["d"]}' | sha256sum
    assert split.sha256.startswith("60f41d68f3f1b63b")


@pytest.mark.parametrize(
    "change",
    [
        {"train": ["g1"]},
        {"sha256": "0"},
        {"kind": "x"},
        {"fractions": [1]},
        {"fractions": None},
        {"seed": "x"},
        {"test": None},
        {"test": 3},
    ],
)
def test_a_changed_file_is_refused(tmp_path, change):
    path = split_images(galaxies()).save(tmp_path / "split.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError):
        Split.load(path)


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", "{", "[" * 100_000])
def test_what_is_no_split_is_refused(tmp_path, text):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(InputError):
        Split.load(tmp_path / "split.json")


def test_an_unknown_part_is_refused():
    with pytest.raises(InputError, match="unknown part 'all'; known are train, valid, test"):
        split_images(galaxies()).apply(galaxies(), "all")  # type: ignore[arg-type]
