"""The compiled kernel's parts: instructions that compute what they say, and code for processors of other widths."""

import ctypes
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from robustkit.engine import Candidates, kernel, kernel_code, paint
from robustkit.engine.chain import read_chain
from robustkit.engine.graph import trace
from robustkit.engine.kernel import KernelFollower
from robustkit.engine.kernel_builder import INT, POINTER, Builder
from robustkit.engine.kernel_code import Processor, this_processor
from robustkit.models import Output

binding = pytest.importorskip("llvmlite.binding")


def run(write, *arrays: np.ndarray, count: int = 0) -> None:
    """Compiles a function that `write` fills, and calls it on a count and arrays."""
    b = Builder("run", [INT, *[POINTER] * len(arrays)])
    write(b, *b.arguments)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    module = binding.parse_assembly(b.module())
    module.verify()
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * len(arrays))
    kind(engine.get_function_address("run"))(count, *[array.ctypes.data for array in arrays])


def test_vectors_compute_lane_by_lane():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=8).astype(np.float32) for _ in range(2))
    out = np.zeros((8, 8), dtype=np.float32)

    def write(b, _, x, y, out):
        a, c = b.vector(x, 8), b.vector(y, 8)
        made = [
            b.ops.fadd(a, c),
            b.ops.fsub(a, c),
            b.ops.fmul(a, c),
            b.either(a, ">", c),
            b.either(a, "<", c),
            b.fma(a, c, a),
        ]
        made += [b.constant(0.1, 8), b.spread(b.number(x, 3), 8)]
        for i, value in enumerate(made):
            b.put(value, b.at(out, 8 * i))

    run(write, x, y, out)
    truth = [x + y, x - y, x * y, np.maximum(x, y), np.minimum(x, y), x * y + x]
    np.testing.assert_allclose(out[:6], truth, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(out[6], np.full(8, 0.1, dtype=np.float32))
    np.testing.assert_array_equal(out[7], np.full(8, x[3]))


@pytest.mark.parametrize("number", [0.0, -1.5, 0.01, 1e-30, -3.4e38, float("inf"), float("-inf")])
def test_constants_are_rounded_to_float32(number):
    out = np.zeros(4, dtype=np.float32)
    run(lambda b, _, out: b.put(b.constant(number, 4), out), out)
    np.testing.assert_array_equal(out, np.full(4, number, dtype=np.float32))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_loops_and_variables(count):
    x = np.arange(1, 41, dtype=np.float32)
    out = np.zeros(1, dtype=np.float32)

    def write(b, count, x, out):
        total = b.variable(b.constant(0.0, 4))
        with b.loop(0, count) as i, b.loop(b.minus(i, 1), b.either(b.either(i, ">", 2), "<", 3), 2) as j:
            place = b.sum(b.times(i, 4), b.times(b.sum(j, 1), 4))
            b.set(total, b.fma(b.vector(b.at(x, place), 4), b.constant(1.0, 4), b.get(total, 4)))
        b.put(b.add_up(b.get(total, 4), b.number(x, 0)), out)

    run(write, x, out, count=count)
    expected = x[0] + sum(
        x[4 * i + 4 * (j + 1) :][:4].sum() for i in range(count) for j in range(i - 1, min(max(i, 2), 3), 2)
    )
    assert out[0] == expected


@pytest.mark.parametrize("box", [(1, 1), (2, 3), (9, 17), (20, 4)])
@pytest.mark.parametrize(("lanes", "sums"), [(4, 12), (8, 12), (16, 3)])
def test_code_for_other_processors_gives_the_same(lanes, sums, box, monkeypatch):
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 9, (5, 4), padding=2), nn.MaxPool2d(2), nn.LeakyReLU(0.3)]
    layers += [nn.Conv2d(9, 20, 3, padding=1), nn.BatchNorm2d(20).eval(), nn.Hardtanh(-0.2, 0.3), nn.AvgPool2d(3)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(20 * 3 * 3, 5)).eval()
    images = torch.rand(2, 2, 20, 21)
    down, across = (at.flatten() for at in torch.meshgrid(*(torch.arange(side) for side in box), indexing="ij"))
    row = torch.randint(21 - box[0], (300, 1, 1)) + down
    column = torch.randint(22 - box[1], (300, 1, 1)) + across
    candidates = Candidates(torch.randint(2, (300,)), row, column, torch.rand(300, 1, len(down), 2))
    painted = paint(images[candidates.image], row[:, 0], column[:, 0], candidates.value[:, 0])
    own = this_processor()
    other = Processor(own.name, own.features, lanes, sums)
    for module in (kernel, kernel_code):
        monkeypatch.setattr(module, "this_processor", lambda: other)
    with torch.inference_mode():
        monkeypatch.setattr(kernel, "read_chain", partial(read_chain, least_saving=0.0))
        follower = KernelFollower(trace(network, images), images, Output(), 1 << 30, box)
        assert all(stage.channels % 4 == 0 for stage in follower._code.stages)
        torch.testing.assert_close(follower(candidates), network(painted), rtol=1e-5, atol=1e-5)


def test_vectors_are_few_and_then_full():
    processor = Processor("any", "", 16, 24)
    assert [processor.lanes_for(n) for n in (1, 4, 5, 8, 9, 16, 20, 32)] == [4, 4, 8, 8, 16, 16, 16, 16]
    assert [Processor("any", "", 8, 12).lanes_for(n) for n in (3, 6, 20)] == [4, 8, 8]
