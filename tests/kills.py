"""Kills commands at random moments, lets them go on, and holds what they leave against a run that nobody killed.

python -m tests.kills --count 100 [--only WORD] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustkit.cli import main as command_line
from robustkit.records import load_note
from tests.attacks import make_attack
from tests.audits import make_audit
from tests.training.worlds import squares

PATIENCE = 600.0
# What tells how long it took or where it was, and not what was found.
_TIMES = re.compile(r"second|wall|elapsed|resumed|took|time|epoch_s|speed|per_s|^out$|^folder$", re.IGNORECASE)


@dataclass(frozen=True)
class Victim:
    """A command that is killed.

    Attributes:
        name: For the counts.
        first: Its arguments, without `--out`.
        again: What is added to go on.
        out: How the output is called, in a folder of its own.
    """

    name: str
    first: list[str]
    again: tuple[str, ...] = ()
    out: str = "out"


def victims(world: Path) -> list[Victim]:
    """The commands, small enough to be killed many times."""
    model, run = make_attack(world / "w", n=8)
    base = ["--model", str(model), "--device", "cpu"]
    few = ["--n", "8", "--group", "1"]
    attack = ["attack", *base, *few, "--budget", "150", "--search", "random", "--search", "de"]
    for k in (1, 2):
        finished([*attack, "--shard", f"{k}/2", "--out", str(world / f"shard{k}")])
    make_audit(world / "a", name="net.pt")
    audit = world / "audit"
    (world / "audit.toml").write_text(
        f'model = "{world}/a/net.pt"\nn = 8\neffort = "quick"\n[attack]\nsearches = ["random"]\nbudget = 40\n'
        '[sweep]\nperturbations = ["gaussian"]\n[certify]\nseconds = 2.0\n'
    )
    finished(["audit", str(world / "audit.toml"), "--device", "cpu", "--out", str(audit)])
    latent = ["--model", str(model), "--run", str(run), "--device", "cpu"]
    squares(60).save(world / "squares")
    train = [
        "train",
        "--data",
        str(world / "squares"),
        "--network",
        "convnet",
        "--epochs",
        "3",
        "--batch",
        "8",
        "--device",
        "cpu",
    ]
    resume = ("--resume",)
    return [
        Victim("attack", attack, resume),
        Victim("attack, 2 workers", [*attack, "--workers", "2"], resume),
        Victim("certify", ["certify", *base, *few, "--budget", "3000"], resume),
        Victim("sweep", ["sweep", *base, *few, "--perturb", "gaussian", "--perturb", "jpeg"], resume),
        Victim("merge", ["merge", str(world / "shard1"), str(world / "shard2")]),
        Victim("train", train, resume, "net.pt"),
        Victim("simulate", ["simulate", "--n", "40", "--size", "32", "--workers", "1", "--seed", "1"]),
        Victim("audit", ["audit", str(world / "audit.toml"), "--device", "cpu"]),
        Victim("window", ["window", *latent]), Victim("isomap", ["isomap", *latent]),
        Victim("distances", ["distances", *latent]), Victim("report", ["report", str(audit)]),
    ]  # fmt: skip


def started(arguments: list[str], said: Path) -> int:
    """Starts a command in a process of its own and returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        status = 0
        try:
            command_line(arguments)
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 1
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 99
    sys.stderr.flush()
    os._exit(status)


def ended(child: int, seconds: float) -> int | None:
    """The exit status of a command, or `None` if it had to be killed after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.003)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def finished(arguments: list[str], allowed: tuple[int, ...] = (0,)) -> float:
    """Runs a command to its end and returns how long it took.

    Raises:
        AssertionError: If it fails.
    """
    with tempfile.NamedTemporaryFile() as said:
        began = time.monotonic()
        status = ended(started(arguments, Path(said.name)), PATIENCE)
        took = time.monotonic() - began
        assert status in allowed, f"{' '.join(arguments)} ended with {status}: {Path(said.name).read_text()[-1500:]}"
    return took


def contents(folder: Path) -> dict[str, Any]:
    """Every file below a folder, by its name: its bytes, without the times in them."""
    return {name: _content(folder / name) for name in sorted(_files(folder))}


def _files(folder: Path) -> Iterator[str]:
    for root, _, names in os.walk(folder):
        for name in names:
            yield str(Path(root, name).relative_to(folder))


def _content(path: Path) -> Any:
    data = path.read_bytes()
    if path.suffix == ".json":
        return _timeless(json.loads(data))
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in data.splitlines()]
    if path.parent.name == "parts":
        return _timeless(load_note(path)), _arrays(path)
    if path.suffix in (".pt", ".state"):
        return _tensors(path)
    if path.suffix in (".html", ".md", ".csv", ".xml"):  # where seconds are told in words
        return re.sub(rb"\d+(\.\d+)?(e-?\d+)?( |&nbsp;|</td><td>)*(s\b|seconds?|minutes?|min\b)", b"", data)
    return data


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if not _TIMES.search(str(key))}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _arrays(path: Path) -> dict[str, bytes]:
    import numpy as np

    with np.load(path) as archive:
        return {name: archive[name].tobytes() for name in archive.files if not name.startswith("__")}


def _tensors(path: Path) -> Any:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    return {name: one.numpy().tobytes() for name, one in found["state_dict"].items()}


def killed(victim: Victim, whole: dict[str, Any], took: float, folder: Path, rng: random.Random) -> str:
    """Kills a command once or twice, lets it go on, and says what differs from the whole; empty for nothing."""
    folder.mkdir()
    out, said = folder / victim.out, folder.with_name(f"{folder.name}.said")
    arguments = [*victim.first, *_where(victim, out, folder)]
    again = [*arguments, *victim.again]
    kills = 0
    for number in range(rng.choice((1, 1, 2))):
        status = ended(started(again if number else arguments, said), rng.uniform(0, took * 1.05))
        if status is not None:
            if status not in (0, 1):
                return f"not killed and ended with {status}: {said.read_text()[-600:]}"
            break
        kills += 1
    if kills:
        try:
            finished(again, (0, 1) if victim.name == "audit" else (0,))
        except AssertionError as error:
            return f"does not go on: {error}"
    found = contents(folder)
    if found == whole:
        return ""
    names = sorted(set(found) ^ set(whole)) or [name for name in whole if found[name] != whole[name]]
    return f"another outcome after {kills} kills: {', '.join(names[:6])}"


def _where(victim: Victim, out: Path, folder: Path) -> list[str]:
    if victim.name != "report":
        return ["--out", str(out)]
    return []


def run(count: int, folder: Path, *, seed: int = 0, only: str = "", say: Callable[[str], None] = print) -> int:
    """Kills so many commands in turn; returns how many did not end as if nothing had happened."""
    rng = random.Random(seed)
    chosen = [victim for victim in victims(folder) if only in victim.name]
    wholes: dict[str, tuple[dict[str, Any], float]] = {}
    for victim in chosen:
        if victim.name == "report":  # draws into the audit itself: it is copied for each kill
            took = finished(victim.first)
            wholes[victim.name] = (contents(Path(victim.first[1])), took)
            continue
        place = folder / "whole" / victim.name
        place.mkdir(parents=True)
        took = finished([*victim.first, *_where(victim, place / victim.out, place)])
        wholes[victim.name] = (contents(place), took)
        say(f"{victim.name}: {took:.1f} s, {len(wholes[victim.name][0])} files")
    wrong = dict.fromkeys(wholes, 0)
    tried = dict.fromkeys(wholes, 0)
    for number in range(count):
        victim = chosen[number % len(chosen)]
        place = folder / f"kill{number}"
        whole, took = wholes[victim.name]
        if victim.name == "report":
            problem = _killed_report(Path(victim.first[1]), whole, took, place, rng)
        else:
            problem = killed(victim, whole, took, place, rng)
        tried[victim.name] += 1
        if problem:
            wrong[victim.name] += 1
        say(f"{number} {victim.name}: {problem or 'as if nothing had happened'}")
        shutil.rmtree(place, ignore_errors=True)
    for name in wholes:
        say(f"{name:20} {tried[name]:4} kills, {wrong[name]} not as if nothing had happened")
    say(f"{sum(tried.values())} kills, {sum(wrong.values())} wrong")
    return sum(wrong.values())


def _killed_report(audit: Path, whole: dict[str, Any], took: float, place: Path, rng: random.Random) -> str:
    shutil.copytree(audit, place)
    status = ended(started(["report", str(place)], place.with_name(f"{place.name}.said")), rng.uniform(0, took))
    if status is None:
        try:
            finished(["report", str(place)])
        except AssertionError as error:
            return f"does not go on: {error}"
    found = contents(place)
    names = sorted(set(found) ^ set(whole)) or [name for name in whole if found[name] != whole[name]]
    return f"another outcome: {', '.join(names[:6])}" if names else ""


def main() -> None:
    """Kills and counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        wrong = run(asked.count, Path(made), seed=asked.seed, only=asked.only, say=lambda line: print(line, flush=True))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
