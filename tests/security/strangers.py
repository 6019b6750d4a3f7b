"""What a stranger may send: hundreds of hostile files, links and folders, each given to a whole command.

Every command runs in a process of its own, with limits; counted are code that ran, no end, memory, and tracebacks.

python -m tests.security.strangers [WORD...]
"""

from __future__ import annotations

import io
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robustkit.cli import main as command_line
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.models import ConvNet
from tests.attacks import silent
from tests.audits import make_audit
from tests.models.foreign.payloads import FORMS
from tests.security.doors import DOORS
from tests.security.newest import newest

PATIENCE, MOST = 40.0, 2 << 30
ONE = AttackRequest(n=4, budget=8, group=2, searches=("random",))


@dataclass(frozen=True)
class Attack:
    """One hostile input.

    Attributes:
        kind: What is tried, for the counts.
        name: Which of that kind.
        make: Writes it into a folder and returns the arguments of the command.
    """

    kind: str
    name: str
    make: Callable[[Path], list[str]]


@dataclass(frozen=True)
class World:
    """What honest people have: a checkpoint, its images, the run of an attack, a shard, and an audit's request."""

    folder: Path

    @property
    def model(self) -> str:
        """The checkpoint."""
        return str(self.folder / "net.pt")

    @classmethod
    def build(cls, folder: Path) -> World:
        """Makes it."""
        made = cls(folder)
        make_audit(folder)
        run_attack(made.model, ONE, out=folder / "run", device="cpu", say=silent)
        run_attack(made.model, ONE, out=folder / "shard", shard="1/1", device="cpu", say=silent)
        return made


def _attack(world: World, out: Path | str) -> list[str]:
    """A small attack."""
    return ["attack", "--model", world.model, "--n", "2", "--budget", "4", "--search", "random", "--out", str(out)]


# Code that a file names.

NAMES = ("keras:Net", "evil:Net", "evil.py:Net", "timm:evil.py:Net", "robustkit:evil.py:Net", "evil", "evil.Net",
         "pkg.evil:Net", "evil:Net,level=1", "./evil.py:Net", "zoobot:evil:Net", "TIMM:evil", "timm:evil\n",
         "hf-hub:evil", "local-dir:.", "timm:hf-hub:evil/evil")  # fmt: skip


def _evil(folder: Path) -> None:
    (folder / "pkg").mkdir(exist_ok=True)
    code = f"open({str(folder / 'marker')!r}, 'w').close()\n"
    for name in ("evil", "keras", "timm", "torchvision", "zoobot", "transformers", "pkg/__init__", "pkg/evil",
                 "timm:evil", "timm:net", "robustkit:evil"):  # fmt: skip
        (folder / f"{name}.py").write_text(code)


def _edited(folder: Path, world: World, run: str, file: str, edit: Callable[[Any], Any]) -> Path:
    made = folder / run
    shutil.copytree(world.folder / run, made)
    value = json.loads((made / file).read_text())
    (made / file).write_text(json.dumps(edit(value)))
    return made


def _put(value: Any, place: tuple[str, ...], new: Any) -> Any:
    inside = value
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = new
    return value


def code(world: World) -> Iterator[Attack]:
    """Files that name code."""

    def card(folder: Path, name: str) -> list[str]:
        torch.save(ConvNet(size=(24, 24)).state_dict(), folder / "best.pth")  # our own say all about themselves
        (folder / "best.toml").write_text(f"arch = {json.dumps(name)}\n")
        return ["inspect", "--model", "best.pth"]

    def manifest(folder: Path, name: str) -> list[str]:
        made = _edited(folder, world, "shard", "manifest.json", lambda v: _put(v, ("request", "perturbations"), [name]))
        return ["merge", str(made), "--out", "merged"]

    def options(folder: Path, name: str) -> list[str]:
        made = _edited(folder, world, "shard", "manifest.json",
                       lambda v: _put(v, ("inputs", "model_options"), {"arch": name}))  # fmt: skip
        return ["merge", str(made), "--out", "merged"]

    def summary(folder: Path, name: str, what: str) -> list[str]:
        made = _edited(folder, world, "run", "summary.json",
                       lambda v: _put(v, ("inputs", "model_options"), {"arch": name}))  # fmt: skip
        return [what, "--model", world.model, "--run", str(made), "--out", "out"]

    def request(folder: Path, name: str) -> list[str]:
        (folder / "audit.toml").write_text(
            f"model = {json.dumps(world.model)}\nn = 4\n[sweep]\nperturbations = [{json.dumps(name)}]\n"
        )
        return ["audit", "audit.toml", "--out", "out"]

    def field(folder: Path, name: str, text: str) -> list[str]:
        torch.save(ConvNet(size=(24, 24)).state_dict(), folder / "best.pth")
        (folder / "best.toml").write_text(f'arch = "robustkit:ConvNet"\n{text} = {name}\n')
        return ["inspect", "--model", "best.pth", "--data", str(world.folder / "galaxies")]

    def place(folder: Path, name: str, what: str) -> list[str]:
        made = _edited(folder, world, "shard", "manifest.json", lambda v: _put(v, (what,), name))
        return ["merge", str(made), "--out", "merged"]

    def model(folder: Path, name: str, what: str) -> list[str]:
        text = "" if what == "model" else f"model = {json.dumps(world.model)}\n"
        (folder / "audit.toml").write_text(f"{text}{what} = {json.dumps(name)}\nn = 4\n")
        return ["audit", "audit.toml", "--out", "out"]

    makers = {
        "card": card, "manifest": manifest, "options of a manifest": options, "request": request,
        "front end of a card": lambda f, n: field(f, json.dumps(n), "front"),
        "members of a card": lambda f, n: field(f, json.dumps([n, n]), "members"),
        "model of a manifest": lambda f, n: place(f, n, "model"),
        "command of a manifest": lambda f, n: place(f, n, "command"),
        "model of a request": lambda f, n: model(f, n, "model"), "base of a request": lambda f, n: model(f, n, "base"),
        "data of a request": lambda f, n: model(f, n, "data"),
    }  # fmt: skip
    for command in ("distances", "window", "isomap"):
        makers[f"summary, {command}"] = lambda folder, name, what=command: summary(folder, name, what)
    for (what, make), name in itertools.product(makers.items(), NAMES):
        yield Attack("a file names code", f"{what}: {name!r}", lambda folder, make=make, name=name: make(folder, name))


def disguises(world: World) -> Iterator[Attack]:
    """Checkpoints that hold code, under every name that a file may have."""
    suffixes = (".pt", ".npy", ".safetensors", ".ckpt", ".joblib", ".onnx", ".h5", ".bin", "")
    for (form, make), suffix in itertools.product(FORMS.items(), suffixes):

        def write(folder: Path, make: Any = make, suffix: str = suffix) -> list[str]:
            make(folder / f"m{suffix}", folder / "marker")
            return ["inspect", "--model", f"m{suffix}"]

        yield Attack("checkpoints in disguise", f"{form} as {suffix or 'no suffix'}", write)


def odd_files(world: World) -> Iterator[Attack]:
    """What is no file, wherever a file is expected."""

    def fifo(path: Path) -> None:
        os.mkfifo(path)

    def listener(path: Path) -> None:
        here = os.getcwd()
        os.chdir(path.parent)
        socket.socket(socket.AF_UNIX).bind(path.name)
        os.chdir(here)

    things: dict[str, Callable[[Path], object]] = {
        "pipe": fifo, "device": lambda path: path.symlink_to("/dev/zero"), "socket": listener,
        "folder": lambda path: path.mkdir(), "loop": lambda path: path.symlink_to(path.name),
        "root": lambda path: path.symlink_to("/"), "proc": lambda path: path.symlink_to("/proc/self/mem"),
        "dangling": lambda path: path.symlink_to("nothing"), "empty": lambda path: path.write_bytes(b""),
        "hole": lambda path: _hole(path), "nul": lambda path: path.write_bytes(bytes(1 << 20)),
        "text": lambda path: path.write_text("[" * 1_000_000),
    }  # fmt: skip
    look = ["inspect", "--model", world.model]
    pixels = str(world.folder / "galaxies" / "images.npy")
    places: dict[str, Callable[[str], list[str]]] = {
        "--model": lambda at: ["inspect", "--model", at], "--data": lambda at: [*look, "--data", at],
        "--card": lambda at: [*look, "--card", at], "--labels": lambda at: [*look, "--data", pixels, "--labels", at],
        "--arch-kwargs": lambda at: [*look, "--arch", "robustkit:ConvNet", "--arch-kwargs", at],
        "audit": lambda at: ["audit", at], "report": lambda at: ["report", at],
        "merge": lambda at: ["merge", at, "--out", "o"], "compare": lambda at: ["compare", at, at],
        "--run": lambda at: ["distances", "--model", world.model, "--run", at, "--out", "o"],
        "--base": lambda at: ["audit", "--model", world.model, "--base", at],
        "--out": lambda at: [*_attack(world, at), "--resume"],
    }  # fmt: skip
    suffix = {"--card": ".toml", "--arch-kwargs": ".json", "--labels": ".npy", "audit": ".toml", "--data": ".npz"}
    for (what, make), (place, arguments) in itertools.product(things.items(), places.items()):

        def write(folder: Path, make: Any = make, arguments: Any = arguments, place: str = place) -> list[str]:
            at = folder / f"x{suffix.get(place, '')}"
            make(at)
            return arguments(str(at))

        yield Attack("pipes, devices, links", f"{what} as {place}", write)


def _hole(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(40 << 30)


VALUES = (None, [], {}, "", "x", -1, 2**70, 1.5, True, [[]], {"a": []}, "1/1000000000", "../../x", "\x1b[2J", 1e308)
PLACES = (
    (), ("inputs",), ("inputs", "units"), ("inputs", "shard"), ("inputs", "n"), ("inputs", "settings"), ("request",),
    ("request", "n"), ("request", "searches"), ("request", "data"), ("versions",), ("device",), ("model",),
    ("command",), ("format",), ("request", "evil"),
)  # fmt: skip


def edited_runs(world: World) -> Iterator[Attack]:
    """Manifests, summaries, locks and parts that somebody changed, before a run goes on or is merged."""
    resume = ["attack", "--model", world.model, "--n", "4", "--budget", "8", "--group", "2", "--search", "random",
              "--device", "cpu", "--resume", "--out"]  # fmt: skip
    for place, (number, value) in itertools.product(PLACES, enumerate(VALUES)):
        if (number + len(place)) % 2:  # half of them for each command
            continue
        for run, arguments in (("shard", ["merge", "--out", "merged"]), ("run", resume)):

            def write(
                folder: Path, run: str = run, arguments: Any = arguments, p: Any = place, v: Any = value
            ) -> list[str]:
                made = _edited(folder, world, run, "manifest.json", lambda old: v if not p else _put(old, p, v))
                return [*arguments, str(made)]

            yield Attack("manifests edited", f"{run} {'.'.join(place) or 'whole'} = {value!r}"[:70], write)
    far = '{"host": "x", "pid": 1180591620717411303424}'
    locks = ("", "{}", "[]", "null", '{"host": 1}', far, "\0" * 99, "x" * 5000,
             '{"host": "\\u001b[2J", "pid": 1}', '{"host": "h", "pid": "1"}')  # fmt: skip
    for text in locks:

        def write_lock(folder: Path, text: str = text) -> list[str]:
            shutil.copytree(world.folder / "run", folder / "run")
            (folder / "run" / "lock").write_text(text)
            return [*resume, str(folder / "run")]

        yield Attack("locks edited", repr(text)[:50], write_lock)
    for what, change in _parts().items():

        def write_part(folder: Path, change: Any = change) -> list[str]:
            shutil.copytree(world.folder / "run", folder / "run")
            change(folder / "run" / "parts" / "0000001.npz")
            return [*resume, str(folder / "run")]

        yield Attack("parts edited", what, write_part)


def _parts() -> dict[str, Callable[[Path], object]]:
    def record(**changes: Any) -> Callable[[Path], object]:
        def write(path: Path) -> None:
            with np.load(path) as archive:
                content = {name: archive[name] for name in archive.files}
            for name, value in changes.items():
                key = next(one for one in content if one.endswith(name))
                content[key] = value(content[key])
            np.savez(path, **content)

        return write

    def header(edit: Callable[[Any], Any]) -> Callable[[Path], object]:
        return record(__records__=lambda old: np.array(json.dumps(edit(json.loads(str(old))))))

    kinds: dict[str, Callable[[Path], object]] = {
        "gone": lambda path: path.unlink(), "empty": lambda path: path.write_bytes(b""),
        "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]), "link": _linked, "folder": _a_folder,
        "of another unit": lambda path: shutil.copy(path.with_name("0000000.npz"), path),
        "far unit": lambda path: path.rename(path.with_name("99999999999.npz")),
        "pickle": lambda path: np.savez(path, x=np.array([{}], dtype=object), allow_pickle=True),
        "packed": lambda path: np.savez_compressed(path, x=np.zeros(1 << 27)),
    }  # fmt: skip
    for field in ("image", "queries", "clean_class", "ids", "flipped", "row", "search", "true", "clean_probabilities"):
        kinds[f"{field} shorter"] = record(**{f"/{field}": lambda old: old[:0]})
        kinds[f"{field} far away"] = record(**{f"/{field}": lambda old: np.full(old.shape, 2**62)})
        kinds[f"{field} text"] = record(**{f"/{field}": lambda old: np.full(old.shape, "\x1b[2J=cmd")})
    for key, value in itertools.product(("records", "note"), ([], {}, None, "x", {"attack": []})):
        kinds[f"{key} = {value!r}"] = header(lambda old, key=key, value=value: {**old, key: value})
    for key, value in itertools.product(("sizes", "maker", "engine"), ([], {}, None, -1, "x", [[1]])):
        kinds[f"note {key} = {value!r}"] = header(lambda old, k=key, v=value: {**old, "note": {**old["note"], k: v}})
    return kinds


def _linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def names(world: World) -> Iterator[Attack]:
    """Names of classes and images in every script, and in none."""
    evil = (
        "=cmd|'/c calc'!A0", "@SUM(1)", "</script><svg onload=alert(1)>", "\x1b]0;x\x07\x1b[2J", "\u202eabc", "a\nb",
        "fusionnée", "\u0000", "x" * 20_000, "../../../etc/passwd", "{{7*7}}", "%s%n", "\ud800", "ж" * 300,
    )  # fmt: skip
    for place, name in itertools.product(("ids", "class_names"), evil):

        def write(folder: Path, place: str = place, name: str = name) -> list[str]:
            shutil.copytree(world.folder / "galaxies", folder / "set")
            about = folder / "set" / "imageset.json"
            value = json.loads(about.read_text())
            value[place][0] = name
            about.write_text(json.dumps(value))
            return [*_attack(world, folder / "out"), "--data", str(folder / "set"), "--part", "all"]

        yield Attack("evil names", f"{place}: {name!r}"[:60], write)


def numbers(world: World) -> Iterator[Attack]:
    """Arrays and options of every odd value."""
    nan, inf = float("nan"), float("inf")
    plain = np.random.default_rng(0).normal(0, 1, (6, 3, 24, 24)).astype(np.float32)
    arrays: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "no images": (plain[:0], np.zeros(0, int)), "no bands": (plain[:, :0], np.zeros(6, int)),
        "nan": (np.full_like(plain, nan), np.zeros(6, int)), "inf": (np.full_like(plain, inf), np.zeros(6, int)),
        "1e300": (plain.astype(float) * 1e300, np.zeros(6, int)), "five axes": (plain[None], np.zeros(6, int)),
        "complex": (plain.astype(complex), np.zeros(6, int)), "bool": (plain > 0, np.zeros(6, int)),
        "labels -1": (plain, -np.ones(6, int)), "labels 2^63": (plain, np.full(6, 2**63 - 1)),
        "labels nan": (plain, np.full(6, nan)), "labels 1e9": (plain, np.full(6, 10**9)),
        "too few": (plain, np.zeros(2, int)),
        "text": (plain, np.array(["nan", "", "a", "b", "c", "d"])), "dates": (plain, np.zeros(6, "M8[s]")),
        "structured": (plain, np.zeros(6, [("a", "i4")])), "one pixel": (plain[..., :1, :1], np.zeros(6, int)),
    }  # fmt: skip
    for what, (images, labels) in arrays.items():

        def write(folder: Path, images: np.ndarray = images, labels: np.ndarray = labels) -> list[str]:
            np.savez(folder / "a.npz", images=images, labels=labels)
            return ["inspect", "--model", world.model, "--data", str(folder / "a.npz")]

        yield Attack("odd arrays", what, write)
    options = (
        "--n",
        "--seed",
        "--budget",
        "--group",
        "--pixels",
        "--shard",
        "--workers",
        "--image-range",
        "--channels",
    )
    for option, value in itertools.product(options, ("0", "-1", "1e9", "nan", "9" * 400, "", "\x1b[2J", "1/0")):
        given = [option, value, value] if option == "--image-range" else [option, value]
        yield Attack(
            "odd options", f"{option} {value[:12]!r}",
            lambda folder, given=given: [*_attack(world, folder / "out"), *given],
        )  # fmt: skip


def doors(world: World) -> Iterator[Attack]:
    """The doors that came later."""
    for family in (*DOORS, newest):
        for kind, name, make in family(world.model):
            yield Attack(kind, name, make)


FAMILIES = (code, disguises, odd_files, edited_runs, names, numbers, doors)


@dataclass(frozen=True)
class Outcome:
    """What came of an attack: one of `refused`, `ran`, `code`, `endless`, `memory`, `traceback`, `crash`.

    `memory` is what the command had at most beyond what it began with: it is a fork of a process that tests filled.
    """

    word: str
    seconds: float
    memory: int
    said: str


def _resident() -> int:
    """Bytes of memory that this process has now; 0 where Linux does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def tried(attack: Attack, folder: Path) -> Outcome:
    """Runs the command in a process of its own and says what came of it."""
    _evil(folder)
    try:
        arguments = attack.make(folder)
    except RuntimeError as error:  # a program was started already, and ended in a traceback
        return Outcome("traceback", 0, 0, str(error))
    except Exception as error:  # of the library that should write it
        return Outcome("not made", 0, 0, str(error))
    start, before = time.monotonic(), _resident()
    said = folder / "said.txt"
    child = os.fork()
    if child == 0:
        _run(arguments, folder, said)
    done = 0
    while not done:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if not done and time.monotonic() - start > PATIENCE:
            os.kill(child, signal.SIGKILL)
            done, status, usage = os.wait4(child, 0)
            return Outcome("endless", PATIENCE, (usage.ru_maxrss << 10) - before, _end_of(said))
        time.sleep(0 if done else 0.005)
    code_, text = os.waitstatus_to_exitcode(status), _end_of(said)
    word = "ran" if code_ == 0 else "refused" if code_ in (1, 2, 3, 75) else "crash"
    if "Traceback" in text:
        word = "traceback"
    if (usage.ru_maxrss << 10) - before > MOST:
        word = "memory"
    if (folder / "marker").exists():
        word = "code"
    mine = [folder / "victim", folder / "victims" / "file"]
    if any(path.exists() and path.read_text() != "mine" for path in mine):
        word = "overwritten"
    return Outcome(word, time.monotonic() - start, (usage.ru_maxrss << 10) - before, text)


def _run(arguments: list[str], folder: Path, said: Path) -> None:
    """The child: it never returns."""
    try:
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        out = os.open(said, os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(os.fdopen(n, "wb", closefd=False), line_buffering=True) for n in (1, 2)
        )
        status = 0
        try:
            command_line(arguments)
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 1
        sys.stdout.flush()
        os._exit(status)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _end_of(said: Path) -> str:
    return said.read_bytes()[-4000:].decode(errors="replace") if said.is_file() else ""


def main(*wanted: str) -> int:
    """Tries everything, or what holds one of these words; prints what went wrong, and the counts."""
    counts: dict[str, Counter[str]] = {}
    longest, most = 0.0, 0
    with tempfile.TemporaryDirectory() as made:
        world = World.build(Path(made) / "world")
        for attack in itertools.chain.from_iterable(family(world) for family in FAMILIES):
            if wanted and not any(word in f"{attack.kind}: {attack.name}" for word in wanted):
                continue
            folder = Path(made) / "stranger"
            folder.mkdir()
            one = tried(attack, folder)
            counts.setdefault(attack.kind, Counter())[one.word] += 1
            longest, most = max(longest, one.seconds), max(most, one.memory)
            if one.word not in ("refused", "ran", "not made"):
                print(f"{one.word.upper()}: {attack.kind}: {attack.name}\n    {one.said[-600:]}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    for kind, count in counts.items():
        print(f"{kind:28} {count.total():4} " + ", ".join(f"{n} {word}" for word, n in count.most_common()))
    total = sum(counts.values(), Counter())
    bad = sum(n for word, n in total.items() if word not in ("refused", "ran", "not made"))
    print(f"{total.total()} tried, {bad} went wrong; at most {longest:.1f} s and {most >> 20} MiB")
    return bad


if __name__ == "__main__":
    sys.exit(1 if main(*sys.argv[1:]) else 0)
