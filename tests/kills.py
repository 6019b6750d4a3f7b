"""Kills commands at random moments, lets them go on, and holds what they leave against a run that nobody killed.

python -m tests.kills --count 100 [--folder DIR] [--minutes 10] [--only 'WORD;WORD'] [--seed 0]

With `--folder` it resumes: what was done is in `kills.jsonl`, and a second call goes on from there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import robustkit
from robustkit.cli import main as command_line
from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.findings.remedy import measure as remedy
from tests.attacks import make_attack
from tests.kept import contents
from tests.training.worlds import squares

PATIENCE = 600.0
JOURNAL = "kills.jsonl"
AUDIT = """
model = "{model}"
n = 8
effort = "quick"
[attack]
searches = ["random"]
budget = 40
[sweep]
perturbations = ["gaussian"]
[certify]
seconds = 0.0
"""


@dataclass(frozen=True)
class Victim:
    """A command that is killed.

    Attributes:
        name: For the counts.
        first: Its arguments; `OUT` is where it writes.
        again: What is added to go on.
        out: How the output is called, in a folder of its own.
        copied: A folder that is there already and is written into: it is copied for each kill.
        allowed: Statuses with which it may end.
    """

    name: str
    first: Sequence[str]
    again: tuple[str, ...] = ()
    out: str = "out"
    copied: Path | None = None
    allowed: tuple[int, ...] = (0,)

    def arguments(self, place: Path) -> list[str]:
        """Those of the command when it writes into a folder."""
        out = str(place / self.out)
        told = [out if word == "OUT" else word for word in self.first]
        return told if "OUT" in self.first else [*told, "--out", out]

    def prepare(self, place: Path) -> None:
        """Makes the folder that it writes into."""
        place.mkdir(parents=True)
        if self.copied is not None:
            shutil.copytree(self.copied, place / self.out)


def victims(world: Path) -> list[Victim]:
    """The commands, small enough to be killed many times; what they need is made where it is not there.

    `search` is not among them: a killed trial counts as one, and those after it are drawn otherwise.
    """
    model, run, audit, audit_toml = (
        world / "w" / "net.pt",
        world / "w" / "attack",
        world / "audit",
        world / "audit.toml",
    )
    base = ["--model", str(model), "--device", "cpu"]
    few = [*base, "--n", "8", "--group", "1"]
    attack = ["attack", *few, "--budget", "150", "--search", "random", "--search", "de"]
    if not (world / "made").is_file():
        shutil.rmtree(world, ignore_errors=True)
        world.mkdir(parents=True)
        make_attack(world / "w", n=8)
        squares(60).save(world / "squares")
        images = ImageSet.load(world / "w" / "galaxies")
        replace(images, meta=Depth(LSST, 10, 10).meta()).save(world / "lsst")
        audit_toml.write_text(AUDIT.format(model=model))
        small = ["--data", str(world / "squares"), "--batch", "8", "--device", "cpu"]
        finished(["train", *small, "--epochs", "1", "--out", str(world / "own.pt")])
        for k in (1, 2):
            finished([*attack, "--shard", f"{k}/2", "--out", str(world / f"shard{k}")])
        finished(["audit", str(audit_toml), "--device", "cpu", "--out", str(audit)], (0, 1))
        shutil.copytree(audit, world / "other")
        (world / "made").touch()
    units = ["--data", str(world / "lsst")]
    tiny = ["--model", str(world / "own.pt"), "--device", "cpu", "--group", "1"]
    latent = ["--model", str(model), "--run", str(run), "--device", "cpu"]
    small = ["--data", str(world / "squares"), "--network", "convnet", "--batch", "8", "--device", "cpu"]
    resume = ("--resume",)
    return [
        Victim("attack", attack, resume),
        Victim("attack, 2 workers", [*attack, "--workers", "2"], resume),
        Victim("certify", ["certify", *few, "--budget", "3000"], resume),
        Victim("certify, lines", ["certify", *tiny, "--n", "3", "--values", "line"], resume),
        Victim("certify, conformal", ["certify", *tiny, "--n", "12", "--conformal", "0.8"], resume),
        Victim("attack, a fault", ["attack", *few, *units, "--threat", "hot-pixel", "--budget", "60"], resume),
        Victim("sweep", ["sweep", *few, "--perturb", "gaussian", "--perturb", "jpeg"], resume),
        Victim("hazard", ["hazard", *few, *units, "--fault", "hot-pixel", "--events", "20"], resume),
        Victim("predict", ["predict", *tiny], out="classes.csv"),
        Victim("flag", ["flag", *tiny[:4], "--group", "20", "--suite", "plain"], out="flagged.csv"),
        Victim("merge", ["merge", str(world / "shard1"), str(world / "shard2")]),
        Victim("train", ["train", *small, "--epochs", "3"], resume, "net.pt"),
        Victim("evaluate", ["evaluate", "--model", str(world / "own.pt"), "--device", "cpu", "--draws", "199"]),
        Victim("simulate", ["simulate", "--n", "40", "--size", "32", "--workers", "1", "--seed", "1"]),
        Victim("repair", ["repair", "--model", str(model), "--n", "8"], out="repaired.pt"),
        Victim("export", ["export", "--model", str(model), "--onnx", "OUT"], out="net.onnx"),
        Victim("audit", ["audit", str(audit_toml), "--device", "cpu"], allowed=(0, 1)),
        Victim("audit, remedy", ["audit", str(audit_toml), "--device", "cpu", "--remedy"], allowed=(0, 1)),
        Victim("window", ["window", *latent]), Victim("isomap", ["isomap", *latent]),
        Victim("distances", ["distances", *latent]),
        Victim("report", ["report", "OUT"], copied=audit),
        Victim("compare", ["compare", str(audit), str(world / "other")]),
    ]  # fmt: skip


def started(arguments: list[str], said: Path) -> int:
    """Starts a command in a process of its own and returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        # What a remedy costs in seconds is in its records and on the page, and differs from run to run.
        remedy.time = SimpleNamespace(process_time=partial(next, itertools.count()))
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


def killed(victim: Victim, whole: Path, took: float, folder: Path, rng: random.Random) -> tuple[int, str]:
    """Kills a command once or twice and lets it go on.

    Returns:
        How many kills hit it, and what differs from the whole, which lies in a folder; empty for nothing.
    """
    folder.mkdir(parents=True)
    place, said = folder / "place", folder / "said"
    wanted, kills = rng.choice((1, 1, 2)), 0
    for number in range(20):  # one that was done before is begun again
        if not kills:
            shutil.rmtree(place, ignore_errors=True)
            victim.prepare(place)
        again = victim.again if kills else ()
        moment = rng.uniform(0, took) * 0.9 ** max(number - wanted, 0)
        status = ended(started([*victim.arguments(place), *again], said), moment)
        if status is not None and status not in victim.allowed:
            if kills and contents(place) == contents(whole):
                return kills, ""  # it was finished when it was killed, and is not made twice
            return kills, f"not killed and ended with {status}: {said.read_text()[-600:]}"
        kills += status is None
        if kills == wanted or (kills and status is not None):
            break
    try:
        finished([*victim.arguments(place), *victim.again], victim.allowed)
    except AssertionError as error:
        if contents(place) == contents(whole):
            return kills, ""  # it was finished when it was killed, and is not made twice
        return kills, f"does not go on: {error}"
    found, expected = contents(place), contents(whole)
    names = sorted(set(found) ^ set(expected)) or [name for name in expected if found[name] != expected[name]]
    return kills, f"another outcome: {', '.join(names[:6])}" if names else ""


def run(
    count: int, folder: Path, *, seed: int = 0, only: str = "", minutes: float = 1e9, say: Callable[[str], None] = print
) -> int:
    """Kills commands in turn until so many are done, in this call and those before it in the same folder.

    Args:
        count: How many in all.
        folder: Where it works, and resumes.
        seed: Of the moments.
        only: Words of the names of those that are killed, with semicolons between them.
        minutes: After which it stops, to be continued.
        say: Receives a line for each.

    Returns:
        How many did not end as if nothing had happened.
    """
    end = time.monotonic() + 60 * minutes
    world, journal, code = folder / "world", folder / JOURNAL, _code()
    done = [json.loads(line) for line in journal.read_text().splitlines()] if journal.is_file() else []
    if (folder / "code").is_file() and (folder / "code").read_text() != code:
        shutil.rmtree(world, ignore_errors=True)  # a whole run is one of the code that is killed
    (folder / "code").write_text(code)
    chosen = [victim for victim in victims(world) if any(word in victim.name for word in only.split(";"))]
    while len(done) < count and time.monotonic() < end:
        number = len(done)
        victim = chosen[number % len(chosen)]
        whole, place = world / "whole" / victim.name, folder / "killed"
        shutil.rmtree(place, ignore_errors=True)
        took = _whole(victim, whole)
        kills, problem = killed(victim, whole, took, place, random.Random(f"{seed} {number}"))
        one = {"number": number, "victim": victim.name, "kills": kills, "problem": problem, "code": code[:12]}
        done.append(one)
        with open(journal, "a") as file:
            file.write(json.dumps(one) + "\n")
        say(f"{number} {victim.name}, {kills} kills: {problem or 'as if nothing had happened'}")
        if problem:
            shutil.copytree(place, folder / f"wrong-{number}", symlinks=True)
    tried, wrong = Counter(one["victim"] for one in done), Counter(one["victim"] for one in done if one["problem"])
    for name in tried:
        say(f"{name:20} {tried[name]:4} runs killed, {wrong[name]} not as if nothing had happened")
    now = [one for one in done if one["code"] == code[:12]]
    say(f"{len(done)} runs, {sum(one['kills'] for one in done)} kills, {wrong.total()} wrong; of this code {len(now)}")
    return wrong.total()


def _whole(victim: Victim, whole: Path) -> float:
    """Makes what an undisturbed run leaves, unless it is there; returns how long that took."""
    took = whole.with_name(f"{victim.name}.seconds")
    if not took.is_file():
        shutil.rmtree(whole, ignore_errors=True)
        victim.prepare(whole)
        took.write_text(str(finished(victim.arguments(whole), victim.allowed)))
    return float(took.read_text())


def _code() -> str:
    """The hash of all code."""
    root, digest = Path(robustkit.__file__).parent, sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Kills and counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) if asked.folder is None else asked.folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        wrong = run(
            asked.count, folder, seed=asked.seed, only=asked.only, minutes=asked.minutes,
            say=lambda line: print(line, flush=True),
        )  # fmt: skip
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
