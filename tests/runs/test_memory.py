"""Image sets that are larger than the memory a run may have."""

import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from robustkit.models import open_checkpoint, save_checkpoint
from tests.audits import SIZE, make_audit

IMAGES = 3 << 30
MEMORY = 2 << 30  # of the process's own; files that are mapped do not count


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint, and 3 GB of images in a sparse .npy file with labels beside it."""
    folder = tmp_path_factory.mktemp("large")
    opened = open_checkpoint(make_audit(folder)[0])
    card = replace(opened.card, class_names=("0", "1", "2"), bands=("band0", "band1", "band2"), data={})
    model = save_checkpoint(folder / "plain.pt", opened.classifier.module, card)
    n = IMAGES // (3 * SIZE * SIZE * 4)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.float32, (n, 3, SIZE, SIZE))
    images[:: n // 50] = np.random.default_rng(0).uniform(0, 300, (3, SIZE, SIZE))
    del images
    np.save(folder / "labels.npy", np.arange(n) % 3)
    return model, folder / "images.npy"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["attack", "--search", "random", "--budget", "20"],
        ["certify", "--budget", "20"],
        ["sweep", "--perturb", "gaussian"],
    ],
)
def test_images_larger_than_the_memory_are_streamed(large, tmp_path, command):
    model, data = large
    arguments = [*command, "--model", model, "--data", data, "--part", "all", "--n", 20, "--out", tmp_path / "run"]

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))

    done = subprocess.run(
        [sys.executable, "-m", "robustkit", *map(str, arguments)], preexec_fn=limit, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.slow
def test_the_limit_is_one_that_loading_them_would_meet(large):
    script = f"import numpy as np; np.array(np.load({str(large[1])!r}, mmap_mode='r'))"

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))

    done = subprocess.run([sys.executable, "-c", script], preexec_fn=limit, capture_output=True, text=True)
    assert "MemoryError" in done.stderr
