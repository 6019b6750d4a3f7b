"""Each page is followed from its first block to its last, as a reader would; what has no known kind fails."""

import csv
from pathlib import Path

import pytest
import torch

from robustkit.code_gate import import_named
from tests.docs.blocks import blocks, pages
from tests.docs.checks import Reader
from tests.docs.shell import Shell

WITH_BLOCKS = [page for page in pages() if blocks(page)]
FROM_NOTHING = {"docs/tutorial.md"}


def follow(page, folder, capsys):
    reader = Reader(Shell(folder), lambda: capsys.readouterr().out)
    for block in blocks(page):
        try:
            reader.follow(block)
        except Exception as error:
            error.add_note(f"in the block at {block}")
            raise
    return reader


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_a_page_works_from_its_first_block_to_its_last(page, request, capsys):
    folder = request.getfixturevalue("reader_folder" if page in FROM_NOTHING else "given_folder")
    names = follow(page, folder, capsys).names
    if page in AFTER:
        AFTER[page](names)


def _cluster(names):
    for name in ("attacks.csv", "attack.npz"):
        assert Path("attack-merged", name).read_bytes() == Path("attack", name).read_bytes()


def _perturbation(names):
    (sweep,) = Path("runs").glob("sweep-*/sweep.csv")
    rows = list(csv.DictReader(sweep.read_text().splitlines()))
    assert [row["perturbation"] for row in rows] == ["clean"] + ["dark-current"] * 5


def _training_method(names):
    with Path("models/energy.csv").open(newline="") as log:
        assert all(float(row["penalty"]) >= 0 for row in list(csv.DictReader(log))[2:])
    source, target = torch.zeros(4, 2), torch.zeros(4, 2)
    source[:2, 0] = 2.0
    target[:, 0] = 1.0  # distances between: 1; within the source: mean 1, within the target: 0
    energy = import_named("energy.py:Energy", "--method")()
    assert float(energy(source, target)) == pytest.approx(0.5)


# What a page promises beyond that its blocks run.
AFTER = {
    "docs/howto/run-on-a-cluster.md": _cluster,
    "docs/howto/add-a-perturbation.md": _perturbation,
    "docs/howto/add-a-training-method.md": _training_method,
}
