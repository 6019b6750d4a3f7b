import json
import os
import subprocess
import sys
import tempfile

import pytest

from robustkit.errors import InputError
from robustkit.files import (
    atomic_write,
    clear_beside,
    new_folder,
    read_json,
    sha256_file,
    whole_folder,
    write_json,
    write_text,
)


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


def test_what_a_killed_process_left_beside_a_file_is_cleared_and_not_what_lives(tmp_path):
    path = tmp_path / "net.onnx"
    code = "import sys, time; from pathlib import Path; from robustkit.files import unfinished_file\n"
    code += "with unfinished_file(Path(sys.argv[1])) as (_, made): print(made, flush=True); time.sleep(60)"
    others = [subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    dead, living = (other.stdout.readline().strip() for other in others if other.stdout)
    others[0].kill()
    for other in others:
        assert other.stdout is not None
        other.stdout.close()
    others[0].wait()
    mine = [tmp_path / ".net.onnx.mine.part", tmp_path / ".net.onnx.abc.robustkit-part.txt", tmp_path / "net.onnx"]
    for one in mine:
        one.write_text("mine")
    (tmp_path / ".net.onnx.link.robustkit-part").symlink_to(path)
    clear_beside(path)
    assert not os.path.exists(dead)
    assert os.path.exists(living)
    assert all(one.read_text() == "mine" for one in mine)
    others[1].kill()
    others[1].wait()
    clear_beside(path)
    assert not os.path.exists(living)


def test_a_file_that_was_cleared_before_it_is_held_is_begun_again(tmp_path, monkeypatch):
    real, made = tempfile.mkstemp, []

    def cleared_at_once(**how):
        made.append(real(**how))
        if len(made) == 1:
            clear_beside(tmp_path / "a")  # by another process, between the two lines
        return made[-1]

    monkeypatch.setattr(tempfile, "mkstemp", cleared_at_once)
    write_text(tmp_path / "a", "whole")
    assert len(made) == 2
    assert os.listdir(tmp_path) == ["a"]


def interrupted(path):
    path.write_text("half")
    raise KeyboardInterrupt


def test_a_folder_is_there_when_it_is_whole(tmp_path):
    out = tmp_path / "out"
    half = tmp_path / ".out.abc.robustkit-part"
    half.mkdir()
    (half / "file").write_text("of a process that was killed")
    with pytest.raises(KeyboardInterrupt), whole_folder(out) as building:
        interrupted(building / "file")
    assert os.listdir(tmp_path) == []
    out.mkdir()
    with whole_folder(out) as building:
        (building / "file").write_text("whole")
        assert os.listdir(out) == []
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(out) == ["file"]
    with pytest.raises(InputError, match="already holds files"), whole_folder(out):
        pass
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with whole_folder(tmp_path / "link") as building:
        (building / "file").write_text("whole")
    assert os.listdir(tmp_path / "elsewhere") == ["file"]
