"""The hazard held against counting: images hit by faults at their rates, the network run on all of them, flips counted.

    python -m benchmarks.hazard --model net.pt --data galaxies/Y10 --out run [--images 60] [--repeats 40] [--boost 20]

Every image is exposed `--repeats` times. Each fault hits it as often as a Poisson law with its rate says (times
`--boost`, so that there is something to count), at other places and severities than those that the chance was measured
with. Counted is every image hit whose class changed. A run that was stopped continues in its folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest

from robustkit.data import rates
from robustkit.files import write_json
from robustkit.findings.hazard.measure import Hazard, run_hazard
from robustkit.findings.hazard.record import HazardRecord, HazardRequest
from robustkit.findings.hazard.show import read_hazard
from robustkit.findings.hazard.summary import chance
from robustkit.perturb.conditions import calibrated
from robustkit.perturb.faults.registry import HITS, PERTURBATIONS
from robustkit.runs.measurement import start
from robustkit.seeds import Streams

_UNKNOWN = 0.01


def severity(fault: str, rng: np.random.Generator) -> float:
    """A severity at random, of the distribution that the hazard takes its strata from."""
    if fault in rates.SEVERITIES:
        return float(rates.SEVERITIES[fault].at(rng.uniform()))
    return float(rng.choice(PERTURBATIONS[fault].levels))


def _counted(
    hazard: Hazard, record: HazardRecord, stored: torch.Tensor, fault: str, rate: float, repeat: int,
    rng: np.random.Generator,
) -> list[int]:  # fmt: skip
    """How many images a fault hits when each is exposed once, and how many of them change class."""
    hits = changed = 0
    # The same event does not hit all images: a severity for each group of them.
    for some in np.array_split(rng.permutation(len(stored)), 6):
        struck = some[(rng.poisson(min(rate, 1.0), len(some)) > 0) & record.looked[some]]
        if len(struck):
            streams = Streams(repeat + 1, record.ids[struck], f"count {fault}")
            hit = PERTURBATIONS[fault](severity(fault, rng))(
                stored[struck], conditions=hazard.conditions, streams=streams
            )
            hits += len(struck)
            changed += int((hazard.classes_of(hit) != record.clean[struck]).sum())
    return [hits, changed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--events", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--boost", type=float, default=20.0)
    options = parser.parse_args()
    request = HazardRequest(n=options.images, data=options.data, events=options.events, depths=("own",), take_all=True)
    run_hazard(options.model, request, out=options.out / "hazard", resume=True, device="cpu", say=print)
    hazard = start(Hazard, Path(options.model), request, "cpu", lambda line: None)
    record, _ = read_hazard(options.out / "hazard")
    stored = torch.from_numpy(np.array(calibrated(hazard.sample.image_set).images, np.float32))
    rate = np.where(np.isnan(record.rate), _UNKNOWN, record.rate) * options.boost
    looked, alone = record.looked, np.zeros((len(HITS), 3))
    kept, asked = options.out / "counted.json", f"{options.images} {options.repeats} {options.boost:g}"
    done: dict[str, list[int]] = json.loads(kept.read_text()) if kept.exists() else {}
    print("fault              events  counted  predicted of them [interval]   counted/predicted, p of a difference")
    with torch.inference_mode():
        for f, fault in enumerate(HITS):
            hits, changed = 0, 0
            for repeat in range(options.repeats):
                name = f"{asked} {fault} {repeat}"
                if name not in done:
                    rng = np.random.default_rng([1, f, repeat])
                    done[name] = _counted(hazard, record, stored, fault, float(rate[f]), repeat, rng)
                    write_json(kept, done)
                hits, changed = hits + done[name][0], changed + done[name][1]
            found = chance(record, f)
            assert found is not None
            # Of the very images, so that only the events are at random.
            expected = hits * float(np.nanmean(record.chances()[f]))
            alone[f] = hits, changed, expected
            interval = f"[{hits * found.low:.1f}, {hits * found.high:.1f}]"
            ratio = changed / expected if expected else float("nan")
            # Both were counted, the prediction too: of all changes, as many here as events were here.
            tried = record.events * int(looked.sum())
            before = round(float(np.nansum(record.chances()[f])) * record.events)
            p = binomtest(changed, changed + before, hits / (hits + tried)).pvalue if changed + before else 1.0
            print(f"{fault:15s} {hits:9,d} {changed:8,d}  {expected:8.1f} {interval:20s} {ratio:.2f}  p = {p:.2f}")
    hits, changed, expected = alone.sum(0)
    print(f"all: {int(changed)} counted, {expected:.1f} predicted, ratio {changed / expected:.2f}")


if __name__ == "__main__":
    main()
