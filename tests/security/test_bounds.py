"""What is read is bounded: no file, however small, takes all time or all memory, or ends in a traceback."""

import json
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robustkit.data import open_images
from robustkit.data.bounds import bounded_memory
from robustkit.errors import InputError, RobustkitError
from robustkit.files import check_plain, read_json, read_object, read_toml
from robustkit.models import ConvNet, ModelOptions, open_model
from robustkit.models.foreign.options import parse_classes, read_card
from robustkit.records import load_note
from tests.audits import make_audit
from tests.security.__main__ import GIB, arguments_of, inspect
from tests.security.bombs import BOMBS
from tests.security.image_bombs import IMAGE_BOMBS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_audit(tmp_path_factory.mktemp("world"))[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BOMBS, *IMAGE_BOMBS])
def test_inspect_ends_soon_within_a_gigabyte_whatever_is_in_the_file(tmp_path, world, name):
    """Ten seconds and a gibibyte on a machine of its own; here others work too, so processor time is counted."""
    asked = arguments_of(name, tmp_path, world)
    sizes = [Path(root, one).lstat().st_size for root, _, names in os.walk(tmp_path) for one in names]
    assert sum(sizes) < 1.2e6
    found = inspect(*asked)
    assert found.refused, found
    assert found.seconds < 14
    assert found.memory < GIB


# Of each kind those that are made in no time.
QUICK = [
    "zarr: blosc chunk", "zarr: zstd chunk", "zarr_of_links_in_a_circle", "zarr_with_a_pipe_for_its_metadata",
    "zarr_of_deep_groups", "zarr_with_a_link_outside", "hdf5: wide rows", "parquet: columns", "fits: declared shape",
    "fits: axes without end", "tar: long label", "tar: negative size", "tar: number", "jpeg: scans",
    "folder: giant pictures", "csv: one file again and again", "csv: long cell",
]  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_small_image_sets_unpack_to_no_more_than_images_do(tmp_path, name):
    with pytest.raises(InputError):
        open_images(IMAGE_BOMBS[name](tmp_path))


def test_the_limit_of_memory_ends_with_its_block_also_where_threads_and_blocks_meet():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    inside = threading.Barrier(2)

    def enter_and_leave():
        with bounded_memory(0, "a set"):
            inside.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: enter_and_leave(), range(2)))
    with bounded_memory(0, "a set"), bounded_memory(1 << 40, "another"):
        pass
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with pytest.raises(InputError, match="a set takes more than the 288 MiB"), bounded_memory(0, "a set"):
        np.zeros(1 << 30)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_large_set_of_one_colour_is_read_where_it_is_stored_as_it_is(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((30, 1, 1024, 1024), np.uint8))  # 120 MiB as float32, and no bomb
    assert open_images(tmp_path / "a.npy", channels="first").images.shape == (30, 1, 1024, 1024)


def test_a_record_unpacks_to_no_more_than_it_holds(tmp_path):
    header = json.dumps({"records": {}, "note": {}})
    np.savez_compressed(tmp_path / "bomb.npz", __records__=np.array(header), zeros=np.zeros(1 << 22))
    with pytest.raises(InputError, match="is compressed, and robustkit compresses none"):
        load_note(tmp_path / "bomb.npz")
    np.savez(tmp_path / "lie.npz", __records__=np.array(header), zeros=np.zeros(8))
    data = (tmp_path / "lie.npz").read_bytes().replace(b"'shape': (8,), ", b"'shape': (9,), ")
    (tmp_path / "lie.npz").write_bytes(data)
    with pytest.raises(InputError, match=r"claims other values|CRC"):
        load_note(tmp_path / "lie.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(InputError, match="it is a pipe"):
        load_note(tmp_path / "pipe.npz")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class_count = 1000000000", "between 1 and 100,000"),
        ("classes = 1000000000000000000000000000000", "between 1 and 100,000"),
        ("classes = -1", "between 1 and 100,000"),
        ("bounds = [-inf, inf]", "--bounds"),
        ("a" + ".a" * 200_000 + " = 1", "nests tables deeper"),
        ("key = " + "[" * 100_000, "not readable"),
        ("key = '" + "x" * (1 << 20) + "'", "more than the 1,048,576"),
    ],
)
def test_a_card_is_bounded(tmp_path, text, words):
    (tmp_path / "best.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_card(tmp_path / "best.toml", named=True)


def test_pipes_and_devices_are_refused_where_files_are_expected(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    save_file(ConvNet(size=(8, 8)).state_dict(), tmp_path / "w.safetensors")
    for path, what in ((tmp_path / "pipe", "a pipe"), (tmp_path / "zero", "a device"), (tmp_path, "a folder")):
        for read in (read_json, lambda one: read_toml(one, "a card"), lambda one: check_plain(one, "a card"),
                     lambda one: read_card(one, named=True)):  # fmt: skip
            with pytest.raises(InputError, match=f"it is {what}"):
                read(path)
        if path is not tmp_path:
            with pytest.raises(InputError):
                open_model(path)
        with pytest.raises(InputError):
            open_model(tmp_path / "w.safetensors", ModelOptions(card=str(path)))


def test_json_is_bounded(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="not readable JSON"):
        read_json(path)
    path.write_text("[0" + ",0" * 1000 + "]")
    with pytest.raises(InputError, match="more than the 100 of"):
        read_json(path, most=100)
    for text, words in (("[]", "no JSON object"), ('{"a": true}', "has True as 'a'"), ("{}", "has nothing as 'a'")):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_object(path, "a note", a=int)


def test_a_number_of_classes_is_bounded_before_anything_is_made():
    for text in ("1000000000", "9" * 5000):
        with pytest.raises(InputError, match="between 1 and 100,000"):
            ModelOptions(**parse_classes(text))


CLAIMS = [
    {"input_shape": [3, 1 << 20, 1 << 20]}, {"class_names": ["a"] * 200_000}, {"bands": 3}, {"data": 7},
    {"input_range": [[0, 1]]}, {"input_shape": [3, 0, 8]}, {"stretch": {"name": "evil"}},
    {"input_shape": [10**30, 8, 8]}, {"network": ["convnet"]},
]  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_card_inside_a_checkpoint_is_held_against_its_weights(tmp_path, claim):
    model, _ = make_audit(tmp_path)
    content = torch.load(model, weights_only=True)
    content["card"] = json.dumps(json.loads(content["card"]) | claim)
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError):
        open_model(tmp_path / "x.pt")


def test_shared_objects_are_looked_at_once(tmp_path):
    shared = {"weight": torch.zeros(2, 2)}
    for _ in range(8):
        shared = [shared] * 300
    torch.save({"state_dict": {"a": torch.zeros(2)}, "more": shared}, tmp_path / "x.pt")
    assert tmp_path.joinpath("x.pt").stat().st_size < 20_000
    with pytest.raises(RobustkitError):
        open_model(tmp_path / "x.pt")


def test_checksums_of_parts_are_verified(tmp_path):
    np.savez(tmp_path / "p.npz", __records__=np.array(json.dumps({"records": {}, "note": {}})), a=np.arange(100.0))
    data = bytearray((tmp_path / "p.npz").read_bytes())
    data[data.index(np.float64(57).tobytes()) + 6] ^= 1
    (tmp_path / "p.npz").write_bytes(data)
    from robustkit.records import load_records

    with pytest.raises(InputError, match="CRC"):
        load_records(tmp_path / "p.npz", {})
