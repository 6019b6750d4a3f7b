"""The compiled kernel's loop in numba beside the kernel itself: candidates per second, and the time to be ready.

    pip install numba
    python -m benchmarks.kernel_numba [--rounds 9] [--threads 1 2]

The numba functions are written as text for the chain's shapes, so that every sum that fits stays in a register while
the channels are vectorised: the fastest of the forms that were tried. The ways are taken in turn, and the speeds are
per second of processor time (of all threads together), so that what else the machine does weighs little and on both
alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from benchmarks.chain import all_corners, candidates_for, classifier_for, galaxies
from robustkit.engine import IncrementalEvaluator
from robustkit.engine.kernel import KernelFollower
from robustkit.engine.kernel_code import FunctionCode, KernelCode, StageCode

# What the kernel may do as well: fused products, and sums of a head's lanes in any order.
_FASTMATH = {"contract", "reassoc", "nsz", "nnan", "ninf", "arcp"}


def functions(codes: Sequence[FunctionCode], x: str) -> list[str]:
    lines: list[str] = []
    for kind, *settings in codes:
        if kind == "affine":
            lines.append(f"{x} = {x} * affine[{settings[0]} * C + c] + affine[{settings[0] + 1} * C + c]")
        elif kind == "leaky":
            lines.append(f"{x} = max({x}, {x} * np.float32({settings[0]!r}))")
        else:
            low, high = settings
            lines.append(f"{x} = {x} if {x} > np.float32({low!r}) else np.float32({low!r})")
            if high != float("inf"):
                lines.append(f"{x} = {x} if {x} < np.float32({high!r}) else np.float32({high!r})")
    return lines


def finish(stage: StageCode, result: str, *, fill: bool) -> list[str]:
    """What follows the convolution, on every cell; with `fill` the clean positions are copied into the frame."""
    positions = [(i, j) for i in range(stage.y.pool) for j in range(stage.x.pool)]
    body: list[str] = []
    for p, (i, j) in enumerate(positions):
        frame = f"frame[fo + {(i * stage.x.frame + j) * stage.channels} + c]"
        place = (i * stage.x.total * stage.x.pool + j) * stage.channels
        body += [f"v{p} = src[so + {place} + c]", f"{frame} = v{p}"] if fill else [f"v{p} = {frame}"]
    for p in range(len(positions)):
        body += functions(stage.before, f"v{p}")
    body.append("t = v0")
    for p in range(1, len(positions)):
        body.append(f"t = t + v{p}" if stage.pool == "mean" else f"t = t if t > v{p} else v{p}")
    if stage.pool == "mean":
        body.append(f"t = t * np.float32({1 / len(positions)!r})")
    body += [*functions(stage.after, "t"), result]
    return [
        f"    for py in range({stage.y.cells}):",
        f"        for px in range({stage.x.cells}):",
        f"            so = (py * {stage.y.pool * stage.x.total * stage.x.pool} + px * {stage.x.pool}) * C",
        f"            fo = (py * {stage.y.pool * stage.x.frame} + px * {stage.x.pool}) * C",
        f"            co = (py * {stage.x.cells} + px) * C",
        "            for c in range(C):",
        *(f"                {line}" for line in body),
    ]


def stage_source(number: int, stage: StageCode) -> str:
    y, x, c, c_in = stage.y, stage.x, stage.channels, stage.channels_in
    together = next(n for n in (4, 2, 1) if c_in % n == 0)  # input channels for one visit of the sums
    lines = [
        f"def stage{number}(before, weight, affine, slot, row, column, change, frame, clean, result):",
        f"    C = {c}",
        f"    sy = row + {y.shift + y.margin * y.pool}; cy = sy // {y.pool}; iy0 = sy - cy * {y.pool}",
        f"    sx = column + {x.shift + x.margin * x.pool}; cx = sx // {x.pool}; ix0 = sx - cx * {x.pool}",
        f"    place = (slot * {y.total * y.pool} + cy * {y.pool}) * {x.total * x.pool} + cx * {x.pool}",
        "    src = before[place * C :]",
        *finish(stage, "clean[co + c] = t", fill=True),
        f"    target = frame[(iy0 * {x.frame} + ix0) * C :]",
        f"    for ty in range({y.changed}):",
        f"        line = target[ty * {x.frame} * C :]",
        f"        for iy in range(max(0, ty - {y.kernel - 1}), min(ty + 1, {y.reach})):",
        f"            for ci in range(0, {c_in}, {together}):",
        f"                values = change[iy * {x.reach * c_in} + ci :]",
        f"                taps = weight[((ty - iy) * {c_in} + ci) * {x.kernel * c} :]",
        *(f"                x{u}_{i} = values[{i * c_in + u}]" for u in range(together) for i in range(x.reach)),
        "                for c in range(C):",
        *(f"                    s{t} = line[{t * c} + c]" for t in range(x.changed)),
    ]
    for u in range(together):
        for kx in range(x.kernel):
            lines.append(f"                    w = taps[{(u * x.kernel + kx) * c} + c]")
            reached = [t for t in range(x.changed) if 0 <= t - kx < x.reach]
            lines += [f"                    s{t} += x{u}_{t - kx} * w" for t in reached]
    lines += [f"                    line[{t * c} + c] = s{t}" for t in range(x.changed)]
    return "\n".join([*lines, *finish(stage, "result[co + c] = t - clean[co + c]", fill=False), "    return cy, cx"])


def run_source(code: KernelCode) -> str:
    assert code.outputs is not None, "only chains whose head is compiled too"
    own = ", ".join(f"before{k}, weight{k}, affine{k}" for k in range(len(code.stages)))
    last, plane = code.stages[-1], code.height * code.width
    given = "images, image, slot, row, column, value, result, head_clean, head_weight"
    lines = [f"def run(start, stop, {given}, scratch, {own}):", f"    change0 = np.empty({code.bands}, np.float32)"]
    for k, stage in enumerate(code.stages):
        sizes = {f"frame{k}": stage.frame, f"clean{k}": stage.cells, f"change{k + 1}": stage.cells}
        lines += [f"    {name} = np.empty({size}, np.float32)" for name, size in sizes.items()]
    old = f"images[(image[n] * {code.bands} + b) * {plane} + y * {code.width} + x]"
    lines += ["    for n in range(start, stop):", "        y = row[n]; x = column[n]"]
    lines += [f"        for b in range({code.bands}): change0[b] = value[n * {code.bands} + b] - {old}"]
    for k, stage in enumerate(code.stages):
        arguments = f"before{k}, weight{k}, affine{k}, slot[n], y, x, change{k}, frame{k}, clean{k}, change{k + 1}"
        lines += [
            f"        cy, cx = stage{k}({arguments})",
            f"        y = cy - {stage.y.margin}; x = cx - {stage.x.margin}",
        ]
    run = last.x.cells * last.channels
    lines += [
        f"        for o in range({code.outputs}):",
        "            t = np.float32(0)",
        f"            for py in range({last.y.cells}):",
        f"                w = head_weight[((o * {last.y.total} + cy + py) * {last.x.total} + cx) * {last.channels} :]",
        f"                v = change{len(code.stages)}[py * {run} :]",
        f"                for i in range({run}): t += v[i] * w[i]",
        f"            result[n * {code.outputs} + o] = head_clean[slot[n] * {code.outputs} + o] + t",
    ]
    return "\n".join(lines)


def numba_run(code: KernelCode) -> Callable[[int, int, Sequence[Tensor]], None]:
    """Takes the place of `KernelFollower`'s machine code; compiled at the first call."""
    names: dict[str, Any] = {"np": np}
    for number, stage in enumerate(code.stages):
        exec(stage_source(number, stage), names)
        compiled = numba.njit(names[f"stage{number}"], fastmath=_FASTMATH, error_model="numpy")
        names[f"stage{number}"] = compiled
    exec(run_source(code), names)
    function = numba.njit(names["run"], fastmath=_FASTMATH, error_model="numpy", nogil=True)
    turned: dict[int, Any] = {}

    def array(position: int, tensor: Tensor) -> Any:
        stage, which = divmod(position - 10, 3)
        if stage < 0 or which != 1:
            return tensor.view(-1).numpy()
        if stage not in turned:  # weights without blocks of channels: (kernel height, C_in, kernel width, C_out)
            turned[stage] = tensor.permute(1, 2, 3, 0, 4).contiguous().view(-1).numpy()
        return turned[stage]

    return lambda start, stop, tensors: function(start, stop, *(array(i, x) for i, x in enumerate(tensors)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    for name, size in (("convnet", 100), ("deepmerge", 75)):
        classifier, images = classifier_for(name, size), galaxies(10, size)
        began = time.perf_counter()
        evaluator = IncrementalEvaluator(classifier, images)
        kernel = evaluator._follower((1, 1))
        assert isinstance(kernel, KernelFollower), evaluator.reason
        print(f"{name}: the kernel is ready, trial included, after {time.perf_counter() - began:.2f} s")
        ways = {"kernel": kernel._run, "numba": numba_run(kernel._code)}
        for words, candidates in {
            "10 images x 2000": candidates_for(images, 2000),
            "every corner": all_corners(images),
        }.items():
            logits: dict[str, Tensor] = {}
            for way, kernel._run in ways.items():
                began = time.perf_counter()
                logits[way] = evaluator(candidates)
                print(f"  {words}, {way}: first call {time.perf_counter() - began:.2f} s")
            same = logits["numba"] == logits["kernel"]
            error = float((logits["numba"] - logits["kernel"]).abs().max() / logits["kernel"].abs().max())
            print(f"  logits that are the same bits {float(same.float().mean()):.1%}, largest difference {error:.1e}")
            for threads in options.threads:
                torch.set_num_threads(threads)
                speeds: dict[str, list[float]] = {way: [] for way in ways}
                for _ in range(options.rounds):
                    for way, kernel._run in ways.items():
                        began = time.process_time()
                        evaluator(candidates)
                        speeds[way].append(len(candidates) / (time.process_time() - began))
                ratio = statistics.median(n / k for n, k in zip(speeds["numba"], speeds["kernel"], strict=True))
                medians = ", ".join(f"{way} {statistics.median(values):,.0f}/s" for way, values in speeds.items())
                print(f"  {words}, {threads} threads: {medians}; numba / kernel {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
