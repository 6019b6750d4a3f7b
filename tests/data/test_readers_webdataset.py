"""Webdataset: tar files in which the files of a sample share a key."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from robustkit.data import open_images
from robustkit.errors import InputError
from tests.data.samples import has_note, images, labels

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 12, 14), dtype=np.uint8)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def npy(pixels):
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def write(path, files, mode="w"):
    """Writes a tar file of names and contents."""
    with tarfile.open(path, mode) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def pictures(rows=range(20)):
    return [file for i in rows for file in ((f"{i:04d}.png", png(PIXELS[i])), (f"{i:04d}.cls", f"{i % 3}\n".encode()))]


def test_pictures_with_classes(tmp_path):
    write(tmp_path / "a.tar", [*pictures(), ("README", b"text"), (".hidden.png", b"x")])
    image_set = open_images(tmp_path / "a.tar", class_names=("a", "b", "c"))
    np.testing.assert_array_equal(image_set.images[:, 0], PIXELS)
    np.testing.assert_array_equal(image_set.labels, labels())
    assert image_set.ids[3] == "0003"
    assert has_note(image_set, "the files .png of 20 samples in 1 tar files")
    assert has_note(image_set, "labels: the files .cls")


def test_shards_of_arrays_with_json_are_one_set_with_its_split(tmp_path):
    values = images()
    for name, rows in (("test-000", range(15, 20)), ("train-000", range(8)), ("train-001", range(8, 15))):
        write(
            tmp_path / f"{name}.tar",
            [
                f
                for i in rows
                for f in ((f"g/{i}.json", json.dumps({"label": "xyz"[i % 3]}).encode()), (f"g/{i}.NPY", npy(values[i])))
            ],
        )
    image_set = open_images(tmp_path, bands=("g", "r", "i"))
    order = [*range(15, 20), *range(15)]
    np.testing.assert_array_equal(image_set.images, values[order])
    np.testing.assert_array_equal(image_set.labels, labels()[order])
    assert image_set.class_names == ("x", "y", "z")
    assert image_set.ids[0] == "g/15"
    assert list(image_set.meta["split"].values()) == ["test"] * 5 + ["train"] * 15
    stated = open_images(tmp_path, bands=("g", "r", "i"), labels=labels())
    np.testing.assert_array_equal(stated.labels, labels())


def test_several_images_a_sample_can_be_chosen_from(tmp_path):
    write(tmp_path / "a.tar", [(f"1.{kind}.png", png(PIXELS[i])) for i, kind in enumerate(("deep", "shallow"))])
    with pytest.raises(InputError, match=r"several images \(deep.png, shallow.png\); name one with --images"):
        open_images(tmp_path / "a.tar")
    image_set = open_images(tmp_path / "a.tar", images="shallow.png")
    np.testing.assert_array_equal(image_set.images[0, 0], PIXELS[1])
    assert has_note(image_set, "labels: none found")


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        ([("a.txt", b"x")], {}, "the sample 'a' .* has no image; it has txt"),
        ([("a.png", png(PIXELS[0])), ("b.cls", b"1")], {}, "the sample 'b' .* has no .png, it has cls"),
        ([*pictures([0]), ("1.png", png(PIXELS[1]))], {}, "the sample '1' has no .cls"),
        ([*pictures([0]), *pictures([0])], {}, r"'0000.png' in a.tar is there twice"),
        ([("a.png", b"no picture")], {}, "is not a PNG or JPEG picture"),
        ([("a.png", png(PIXELS[0])), ("a.json", b"[1]")], {}, "holds no object"),
        ([("a.png", png(PIXELS[0])), ("a.json", b"{")], {}, "not readable as JSON"),
        ([("a.png", png(PIXELS[0])), ("a.json", b'{"kind": 1}')], {"labels": "type"}, "no field 'type'; it has kind"),
        ([("a.png", png(PIXELS[0])), ("a.json", b'{"y": 1.5}')], {}, "no 'y' that is a number or a name"),
        (pictures([0]), {"labels": "json"}, "has neither a .json nor a .json|leave labels= out"),
        ([("a.png", png(PIXELS[0])), ("b.npy", npy(PIXELS[1])), ("b.png", npy(PIXELS[1]))], {}, "not a PNG or JPEG"),
        ([("a.cls", b"1" * (2 << 20)), ("a.png", png(PIXELS[0]))], {}, "larger than a label"),
        ([], {}, "holds no samples"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(tmp_path, files, options, words):
    write(tmp_path / "a.tar", files)
    with pytest.raises(InputError, match=words):
        open_images(tmp_path / "a.tar", **options)


def test_links_and_compressed_files_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("1.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError, match="is a link or no plain file"):
        open_images(tmp_path / "a.tar")
    write(tmp_path / "b.tar", pictures(), "w:gz")
    with pytest.raises(InputError, match="not readable as an uncompressed tar file"):
        open_images(tmp_path / "b.tar")


@pytest.mark.parametrize("keep", [100, 600, 4000])
def test_truncated_files_are_refused(tmp_path, keep):
    write(tmp_path / "a.tar", pictures())
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:keep])
    with pytest.raises(InputError, match=r"truncated|not readable as an uncompressed tar file"):
        open_images(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("there", "said"), [((0, 2), "1 of the files data-N are not there, 000001 first"), ((0, 1), "")]
)
def test_a_shard_that_is_missing_between_others_is_said(tmp_path, there, said):
    for number in there:
        write(tmp_path / f"data-{number:06d}.tar", pictures(range(5 * number, 5 * number + 5)))
    notes = [note for note in open_images(tmp_path).notes if "not there" in note]
    assert len(notes) == bool(said)
    assert all(said in note for note in notes)
