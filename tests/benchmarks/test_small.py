"""Every benchmark that has `--small` runs to its table, so that none rots between two measurements."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = sorted(path.name for path in BENCHMARKS.glob("*.py") if '"--small"' in path.read_text())
# A row of the table that is printed; the others print Markdown.
ROWS = {
    "adaptation.py": r"^mmd +convnet +\w+ +\d+ +1 +\d",
    "training.py": r"^  (processor|wall) ratio \d",
}
MARKDOWN = r"^\|[^|]+\|.*\d.*\|$"


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_small_benchmark_prints_its_table(name, tmp_path):
    out = ["--out", "out"] if '"--out", type=Path, required=True' in (BENCHMARKS / name).read_text() else []
    done = subprocess.run(
        [sys.executable, BENCHMARKS / name, "--small", *out],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = [line for line in done.stdout.splitlines() if re.search(ROWS.get(name, MARKDOWN), line)]
    assert len(rows) >= 2, done.stdout
    assert not [row for row in rows if re.search(r"\b(nan|inf)\b", row)]


def test_most_benchmarks_have_a_small_size():
    assert {"adaptation.py", "engine.py", "isomap.py", "searches.py", "training.py"} <= set(SMALL)
