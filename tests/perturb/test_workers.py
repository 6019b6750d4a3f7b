import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from robustkit.errors import InputError, RobustkitError
from robustkit.perturb import workers
from robustkit.perturb.faults.naming import make_perturbation
from robustkit.perturb.workers import encode, worker_processes
from robustkit.seeds import Streams

QUALITY = {"codec": "jpeg", "quality": 80, "low": 0.0, "high": 1.0}


def test_processes_answer_as_this_one_does():
    pytest.importorskip("astropy")
    images = torch.from_numpy(np.random.default_rng(0).uniform(0, 1, (5, 3, 12, 17)).astype(np.float32))
    made = [make_perturbation(name, "s4") for name in ("rice", "hcompress", "jpeg")]

    def run():
        return [one(images, streams=Streams(0, "abcde")) for one in made]

    alone = run()
    with worker_processes(2):
        beside = run()
        assert len(workers._pool.started) == 2
        processes = [worker.process for worker in workers._pool.started]
        assert all(process.poll() is None for process in processes)
    assert all(process.poll() is not None for process in processes)
    assert workers._pool is None
    for one, other in zip(alone, beside, strict=True):
        assert torch.equal(one, other)


def test_workers_load_neither_torch_nor_robustkit():
    script = f"import runpy, sys; runpy.run_path({workers.codecs.__file__!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "robustkit"} & set(loaded.split())


def test_a_worker_that_fails_says_why():
    images = np.zeros((3, 1, 4, 4), np.float32)
    with worker_processes(2), pytest.raises(RobustkitError, match=r"ValueError.*--workers 1"):
        encode(images, [QUALITY | {"quality": "best"}] * 3)
    with worker_processes(1):
        encode(images, [QUALITY] * 3)
        os.kill(workers._pool.started[0].process.pid, 9)
        with pytest.raises(RobustkitError, match="a worker process failed"):
            encode(images, [QUALITY] * 3)


def test_numbers_of_processes():
    with worker_processes(0):
        assert workers._pool is None
    with pytest.raises(InputError, match="0 or more worker processes"), worker_processes(-1):
        pass
