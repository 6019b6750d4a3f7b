# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""What holds for every finding about latents: it may be killed, and its request takes a short way."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import robustkit
from robustkit.errors import InputError
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.distances.measure import DISTANCES
from robustkit.findings.distances.record import DistancesRequest
from robustkit.findings.latents.running import run_latents
from robustkit.findings.maps.measure import MAPS
from robustkit.findings.maps.record import IsomapRequest
from robustkit.findings.windows import measure as windows
from robustkit.findings.windows.measure import WINDOWS, run_window
from robustkit.findings.windows.record import WindowRequest
from tests.attacks import make_attack, silent

ROOT = f"{Path(robustkit.__file__).parent}/"
KINDS = {
    "window": (WINDOWS, WindowRequest()),
    "isomap": (MAPS, IsomapRequest(neighbours=5, frames=2)),
    "distances": (DISTANCES, DistancesRequest(draws=99)),
}


@pytest.fixture(scope="module")
def attack(tmp_path_factory):
    return make_attack(tmp_path_factory.mktemp("attack"), n=10)


class Killed(BaseException):
    """What a process that is killed leaves is what it had written: no code of ours catches this."""


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", KINDS)
def test_a_run_that_was_killed_at_any_file_is_run_again_into_the_same_bytes(attack, tmp_path, monkeypatch, name):
    kind, request = KINDS[name]
    if name == "window":  # one is enough to draw
        record = AttackRecord.load(attack[1] / "attack.npz")
        request = replace(request, shown=(str(record.ids[record.flipped_images()][0]),))
    run_latents(kind, *attack, request, out=tmp_path / "whole", device="cpu", say=silent)
    whole = files_of(tmp_path / "whole")
    rename, left = robustkit.files.os.replace, [0]

    def killed(source, target):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        rename(source, target)

    # In the middle; of the cheapest also at the manifest, at the first record and at the summary.
    for count in (0, 1, len(whole) // 2, len(whole) - 1) if name == "distances" else (len(whole) // 2,):
        out = tmp_path / f"killed-{count}"
        monkeypatch.setattr(robustkit.files.os, "replace", killed)
        left[0] = count
        with pytest.raises(Killed):
            run_latents(kind, *attack, request, out=out, device="cpu", say=silent)
        assert not (out / "summary.json").exists()
        monkeypatch.setattr(robustkit.files.os, "replace", rename)
        run_latents(kind, *attack, request, out=out, device="cpu", say=silent)
        assert files_of(out) == whole
    with pytest.raises(InputError, match="already holds files"):
        run_latents(kind, *attack, request, out=tmp_path / "whole", device="cpu", say=silent)


def test_a_killed_run_of_something_else_is_not_written_over(attack, tmp_path):
    run_latents(DISTANCES, *attack, KINDS["distances"][1], out=tmp_path / "run", device="cpu", say=silent)
    (tmp_path / "run" / "summary.json").unlink()
    other = DistancesRequest(draws=99, seed=1)
    with pytest.raises(InputError, match=r"started with other inputs: settings\.seed was 0 and is 1"):
        run_latents(DISTANCES, *attack, other, out=tmp_path / "run", device="cpu", say=silent)
    with pytest.raises(InputError, match="started with other inputs"):
        run_latents(MAPS, *attack, KINDS["isomap"][1], out=tmp_path / "run", device="cpu", say=silent)


def test_a_request_is_handed_to_its_measurement_through_few_functions(attack, monkeypatch):
    """Counts the functions of robustkit that get the request or one of its values as an argument, but for both ends."""
    model, run = attack
    words = ("one-pixel", "noise", "shallow", "random")
    x, y, noisy, search = ("".join(list(word)) for word in words)  # strings of their own, told apart by identity
    request = WindowRequest(x=x, y=y, noisy=noisy, search=search, data=model.parent / "galaxies", seed=987_654_321)
    values = [request, x, y, noisy, search, request.data, request.seed]
    handed = set()

    def arrive(*arguments, **options):
        raise Killed

    monkeypatch.setattr(windows, "measure_windows", arrive)

    def watch(frame, event, _):
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(ROOT) or code.co_name.startswith("<"):
            return
        arguments = list(frame.f_locals.values())
        arguments += [item for one in arguments if isinstance(one, dict) and len(one) < 40 for item in one.values()]
        if code is not run_window.__code__ and any(one is value for one in arguments for value in values):
            handed.add(code.co_qualname)

    sys.setprofile(watch)
    try:
        with pytest.raises(Killed):
            run_window(model, run, request, out=model.parent / "walked", device="cpu", say=silent)
    finally:
        sys.setprofile(None)
    assert {"run_latents", "find_in", "measure"} <= handed
    assert len(handed) <= 10, sorted(handed)
