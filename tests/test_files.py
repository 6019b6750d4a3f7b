import json
import os

import pytest

from robustkit.errors import InputError
from robustkit.files import atomic_write, new_folder, read_json, sha256_file, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), atomic_write(path) as file:
        file.writelines([b"new", 1])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_written_files_have_the_users_permissions(tmp_path):
    write_text(tmp_path / "ours", "x")
    (tmp_path / "theirs").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_json_goes_round_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"b": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", {"b": float("nan")})


@pytest.mark.parametrize("content", [None, b"", b'{"a": ', b"\xff\xfe"])
def test_damaged_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(path)


def test_sha256_is_the_known_one(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")


def test_new_folder_refuses_what_is_there(tmp_path):
    assert new_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "a" / "file").write_text(json.dumps(1))
    with pytest.raises(InputError, match="already holds files"):
        new_folder(tmp_path / "a")
    with pytest.raises(InputError, match="is a file"):
        new_folder(tmp_path / "a" / "file")
    with pytest.raises(InputError, match="cannot make"):
        new_folder(tmp_path / "a" / "file" / "below")
