import json
import os
import resource
import subprocess
import sys

import pytest

from robustkit.errors import InputError, RobustkitError
from robustkit.runs import Journal, read_journal

ENTRIES = [{"unit": n, "text": "\u00e9\n" * n} for n in range(6)]


@pytest.fixture
def path(tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(ENTRIES[:4])
        journal.append(ENTRIES[4:])
    return tmp_path / "journal.jsonl"


def test_entries_go_round(path):
    assert list(read_journal(path)) == ENTRIES


def test_a_journal_cut_at_any_byte_reads_whole_and_goes_on(path, tmp_path):
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(whole[:length])
        kept = whole[:length].count(b"\n")
        assert list(read_journal(cut)) == ENTRIES[:kept]
        with Journal(cut) as journal:
            journal.append([{"unit": "new"}])
        assert list(read_journal(cut)) == [*ENTRIES[:kept], {"unit": "new"}]


def test_a_long_torn_tail_is_trimmed(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b'{"a":1}\n' + b"x" * 200_000)
    Journal(path).close()
    assert path.read_bytes() == b'{"a":1}\n'


def test_a_changed_line_is_refused_by_number(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{broken}\n", *lines[1:]]))
    with pytest.raises(InputError, match="line 2"):
        list(read_journal(path))


FULL = """
import resource, sys
from robustkit.errors import RobustkitError
from robustkit.runs import Journal
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = Journal(sys.argv[1])
written = 0
try:
    while True:
        journal.append([{"unit": written, "pad": "x" * 90}])
        written += 1
except RobustkitError as error:
    print(written, error)
"""


def test_a_full_disk_keeps_every_finished_entry(tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "j"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    written = int(done.stdout.split()[0])
    assert "--resume" in done.stdout
    assert [entry["unit"] for entry in read_journal(path)] == list(range(written))
    assert path.read_bytes().endswith(b"\n")


def test_nan_is_refused_before_anything_is_written(path):
    before = path.read_bytes()
    with Journal(path) as journal, pytest.raises(ValueError, match="JSON compliant"):
        journal.append([{"a": 1}, {"a": float("nan")}])
    assert path.read_bytes() == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_dev_full_is_an_error_of_ours(tmp_path, monkeypatch):
    full = os.open("/dev/full", os.O_WRONLY)
    with Journal(tmp_path / "j") as journal:
        write = os.write
        monkeypatch.setattr("robustkit.runs.journal.os.write", lambda _, data: write(full, data))
        with pytest.raises(RobustkitError, match="No space left"):
            journal.append([{"a": 1}])
    os.close(full)
    assert json.loads(json.dumps(list(read_journal(tmp_path / "j")))) == []
