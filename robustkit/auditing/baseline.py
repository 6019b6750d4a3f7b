"""Is an audit worse than an earlier one? Outcomes image by image in audit.json, and the paired tests of a gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robustkit.auditing.machine import GateResult, outcomes_of
from robustkit.auditing.request import Gate
from robustkit.errors import InputError
from robustkit.files import read_json, reading
from robustkit.findings.finding import Finding, ModelRecords
from robustkit.stats import bounded_mean, holm, p_above

# How often a network that is not worse fails, at most, over all that is compared.
ALPHA = 0.05


def against_baseline(path: Path, found: ModelRecords, kinds: Sequence[Finding]) -> list[GateResult]:
    """A gate for each measure that two audits share: it fails where the network is worse for certain.

    Args:
        path: The audit.json of an earlier audit of the same images.
        found: What was found now.
        kinds: The findings of the audit.

    Returns:
        The gates; the p-values of all are adjusted together (Holm).

    Raises:
        InputError: If the file is no audit.json with outcomes, or shares no image and measure with this audit.
    """
    now = outcomes_of(found, kinds)
    changes: dict[str, tuple[np.ndarray, float, float]] = {}
    with reading(path, "the audit.json of an earlier audit"):
        kept = read_json(path)
        try:
            before = kept["models"][0]["outcomes"]
            old_ids, old_bad = [str(one) for one in before["ids"]], dict(before["bad"])
        except (KeyError, IndexError, TypeError) as error:
            raise InputError(
                f"--baseline {path} holds no outcomes of images; give the audit.json of an audit by this robustkit"
            ) from error
        place = {one: i for i, one in enumerate(old_ids)}
        rows = [(i, place[one]) for i, one in enumerate(map(str, now["ids"])) if one in place]
        for name, values in now["bad"].items():
            pairs = [(values[i], old_bad[name][j]) for i, j in rows if name in old_bad]
            both = np.array([pair for pair in pairs if None not in pair], dtype=np.float64).reshape(-1, 2)
            if len(both):
                changes[name] = both[:, 0] - both[:, 1], float(both[:, 1].mean()), float(both[:, 0].mean())
    if not changes:
        raise InputError(f"--baseline {path} is of other images; audit with the same --data, --part, --n and --seed")
    adjusted = holm([float(p_above(change, 0, low=-1)) for change, _, _ in changes.values()])
    results = []
    for (name, (change, old, new)), p in zip(changes.items(), adjusted, strict=True):
        said = f"{name} no higher than in {path.name}: {old:.4g} before, change {bounded_mean(change, low=-1)}"
        results.append(GateResult(Gate(said, name, "value", "<=", old), new, bool(p > ALPHA)))
    return results
