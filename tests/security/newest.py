"""What a stranger may send to the newest doors: shards of newer commands, tables, calibrations, folders, audits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tests.newer import NEWER, Runs
from tests.training.worlds import squares

Input = tuple[str, str, Callable[[Path], list[str]]]
OWN = "evil:Net"
CODE = "open('marker', 'w').close()\n"


def _place(model: str) -> Path:
    return Path(model).parent / "newer"


@cache
def _make_world(model: str) -> None:
    """Runs of the newer commands beside the model's own world, whole, and as a shard."""
    folder = _place(model)
    runs = Runs.build(folder)
    for name in NEWER:
        runs.run(name, folder / name)
        runs.run(name, folder / f"{name}-shard", shard="1/1")


def newest(model: str) -> Iterator[Input]:
    """All of this file; what they are made of is run when the first of them is made."""
    for kind, name, make in chain.from_iterable(family(model) for family in FAMILIES):

        def made(at: Path, make: Callable[[Path], list[str]] = make) -> list[str]:
            _make_world(model)
            return make(at)

        yield kind, name, made


def _edited(folder: Path, whole: Path, place: tuple[str, ...], new: Any) -> str:
    shutil.copytree(whole, folder / "s")
    path = folder / "s" / "manifest.json"
    value = json.loads(path.read_text())
    inside = value
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = new
    path.write_text(json.dumps(value))
    return "s"


FIELDS = {
    "attack-threat": ("threat", "searches", "footprints", "data"), "hazard": ("faults", "rates", "survey", "kept"),
    "conformal": ("conformal", "values", "budget", "data"),
    "predict": ("table", "columns", "catalogue", "id_column"),
    "flag": ("perturbations", "reference", "conformal", "table"),
}  # fmt: skip


def shards(model: str) -> Iterator[Input]:
    """Shards of newer commands whose request names code, files elsewhere and odd values."""
    folder = _place(model)
    for command, fields in FIELDS.items():
        for number, field in enumerate(fields):
            for new in (OWN, [OWN], "../victim.csv", ["x" * 10**6, 10**30, "\x1b[2J"][number % 3]):
                yield "shards of newer commands", f"{command} {field} = {str(new)[:20]!r}", (
                    lambda at, c=command, f=field, n=new: ["merge", _edited(_victim(at), folder / f"{c}-shard",
                                                                            ("request", f), n), "--out", "m"]
                )  # fmt: skip
        for option in ("front", "arch", "members", "labels", "question"):
            yield "shards of newer commands", f"{command} option {option}", (
                lambda at, c=command, o=option: [
                    "merge", _edited(at, folder / f"{c}-shard", ("inputs", "model_options"), {o: OWN}), "--out", "m"]
            )  # fmt: skip


def _victim(folder: Path) -> Path:
    (folder / "victim.csv").write_text("mine")
    (folder / "victim").write_text("mine")
    return folder


def tables(model: str) -> Iterator[Input]:
    """Tables of a survey whose columns lie, and calibrations that are something else."""
    folder = _place(model)
    data = str(folder / "galaxies")
    base = ["predict", "--model", str(folder / "net.pt"), "--data", data, "--columns", "ra,dec", "--out", "t.csv"]
    ids = [f"{i}" for i in range(60)]
    texts = {
        "two of one id": "id,ra,dec\n" + "a,1,2\n" * 60, "no rows": "id,ra,dec\n", "nothing": "",
        "an open quote": 'id,ra,dec\n"a,1,2\n' * 40, "nul": "id,ra,dec\n\0,1,2\n",
        "many columns": "id," + "ra," * 10**5,
        "one column twice": "id,ra,ra,dec\na,1,2,3\n", "utf-16": "\ufeffid,ra,dec\n",
        "formulas": "id,ra,dec\n=1+1,@A,-x\n",
        "long number": "id,ra,dec\na," + "9" * 10**5 + ",1\n", "escapes": "id,ra,dec\n\x1b[2J,\u202e,1\n",
    }  # fmt: skip
    for what, text in texts.items():

        def catalogue(at: Path, text: str = text, what: str = what) -> list[str]:
            (at / "c.csv").write_text(text, encoding="utf-16" if what == "utf-16" else "utf-8")
            return [*base, "--catalogue", "c.csv"]

        yield "tables", what, catalogue
    for what in ("heap", "rows", "scaled", "names", "nested"):

        def fits(at: Path, what: str = what) -> list[str]:
            from astropy.io import fits

            names = ("id", "=ra", "\x7fdec") if what == "names" else ("id", "ra", "dec")
            kinds = ("20A", "PD()" if what == "heap" else "D", "D")
            values = (ids, [np.zeros(2)] * 60 if what == "heap" else np.zeros(60), np.zeros(60))
            columns = [fits.Column(name=n, format=k, array=v) for n, k, v in zip(names, kinds, values, strict=True)]
            fits.BinTableHDU.from_columns(columns).writeto(at / "c.fits", output_verify="silentfix")
            whole = (at / "c.fits").read_bytes()
            lies = {"rows": (b"NAXIS2  =                   60", b"NAXIS2  =           4000000000"),
                    "scaled": (b"TFIELDS =                    3", b"TFIELDS =                  999"),
                    "heap": (b"PCOUNT  =                  960", b"PCOUNT  =           9999999999"),
                    "nested": (b"XTENSION= 'BINTABLE'", b"XTENSION= 'A3DTABLE'")}  # fmt: skip
            (at / "c.fits").write_bytes(whole.replace(*lies[what]) if what in lies else whole)
            return [*base, "--catalogue", "c.fits"]

        yield "tables", f"FITS {what}", fits

        def parquet(at: Path, what: str = what) -> list[str]:
            import pyarrow as pa
            import pyarrow.parquet as pq

            odd: dict[str, Any] = {
                "heap": pa.array([[1.0] * 9] * 60), "rows": pa.DictionaryArray.from_arrays(pa.array([0] * 60), ["=x"]),
                "scaled": pa.array([10**30] * 60, pa.decimal128(38)), "names": pa.array([{"a": 1}] * 60),
                "nested": pa.array([None] * 60, pa.null()),
            }  # fmt: skip
            pq.write_table(pa.table({"id": ids, "ra": odd[what], "dec": [b"\xff\x00"] * 60}), at / "c.parquet")
            return [*base, "--catalogue", "c.parquet"]

        yield "tables", f"Parquet {what}", parquet
    for place in (
        "victim.csv/t.csv",
        "../../../../proc/x.csv",
        "t.evil",
        "/dev/null.csv",
        "\x1b[2J.csv",
        "victims/../t.csv",
    ):
        yield "tables", f"out {place!r}", lambda at, p=place: [*base[:-4], "--out", str(_victim(at) and p)]

    def flag(folder_: str) -> list[str]:
        more = ["--conformal", folder_, "--no-least-change", "--perturb", "gaussian"]
        return ["flag", "--model", str(folder / "net.pt"), "--data", data, *more, "--out", "f.csv"]

    for what in ("hazard", "attack-threat", "predict", "nowhere"):
        yield "calibrations", f"of {what}", lambda at, w=what: flag(str(folder / w))
    for key, new in (
        ("lowest", np.nan),
        ("lowest", -1e308),
        ("clean", np.inf),
        ("labels", 2**40),
        ("calibration", False),
    ):

        def damaged(at: Path, key: str = key, new: Any = new) -> list[str]:
            shutil.copytree(folder / "conformal", at / "c")
            with np.load(next((at / "c").glob("*.npz"))) as archive:
                content = {name: archive[name] for name in archive.files}
            content[key] = np.full(content[key].shape, new).astype(content[key].dtype if key != "labels" else np.int64)
            np.savez(next((at / "c").glob("*.npz")), **content)
            return flag("c")

        yield "calibrations", f"{key} = {new}", damaged


def studies(model: str) -> Iterator[Input]:
    """Databases in which a search resumes, whose best trial names code, or whose tables are programs."""
    small = ["--source", "squares", "--target", "squares", "--network", "convnet", "--batch", "8", "--device", "cpu"]

    def study(at: Path, params: dict[str, Any], sql: str = "") -> list[str]:
        import sqlite3

        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        squares(24).save(at / "squares")
        (at / "o").mkdir()
        made = optuna.create_study(
            study_name="robustkit", direction="maximize", storage=f"sqlite:///{at / 'o' / 'search.db'}"
        )
        kinds = {name: optuna.distributions.CategoricalDistribution([value]) for name, value in params.items()}
        made.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=1e9))
        if sql:
            with sqlite3.connect(at / "o" / "search.db") as base:
                base.executescript(sql)
        return ["search", *small, "--epochs", "6", "--trials", "1", "--out", "o"]

    for name, value in (("method", OWN), ("network", "evil.py:Net"), ("method", "evil.py:Net"), ("weight", "x"),
                        ("learning_rate", float("nan")), ("epochs", 10**9), ("evil", 1), ("batch", True)):  # fmt: skip
        yield "studies", f"{name} = {value}", lambda at, n=name, v=value: study(at, {n: v})
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS"
    for what, sql in (
        ("a view", "ALTER TABLE studies RENAME TO s; "
                   f"CREATE VIEW studies AS {endless} study_id, 'robustkit' AS study_name FROM c;"),
        ("a trigger", "CREATE TRIGGER t AFTER INSERT ON trials BEGIN "
                      f"INSERT INTO studies(study_name) {endless} a FROM c; END;"),
        ("generated", "CREATE TABLE g (a INT, b BLOB GENERATED ALWAYS AS (zeroblob(1000000000)));"),
    ):  # fmt: skip
        yield "studies", what, lambda at, s=sql: study(at, {"weight": 1.0}, s)


def folders(model: str) -> Iterator[Input]:
    """Folders full of modules and settings, in which one stands while a command starts as a program."""
    data = str(Path(model).parent / "galaxies")
    few = ["--model", model, "--data", data, "--part", "all", "--n", "2", "--device", "cpu", "--out", "o"]
    modules = ("sitecustomize", "usercustomize", "timm", "PIL", "astropy", "h5py", "galsim", "tomllib", "optuna",
               "plotly", "scipy", "sklearn", "tqdm", "safetensors", "onnxruntime", "jinja2")  # fmt: skip
    settings = ("pyproject.toml", "setup.cfg", ".env", "matplotlibrc", ".numba_config.yaml", "plot.pth", "astropy.cfg",
                "parsl.py", "click.cfg", "torchinductor.py")  # fmt: skip
    commands = {
        "inspect": ["inspect", "--model", model, "--data", data],
        "attack": ["attack", *few, "--budget", "4", "--search", "random"],
        "sweep": ["sweep", *few, "--perturb", "gaussian"],
    }
    for command, arguments in commands.items():

        def start(at: Path, arguments: list[str] = arguments) -> list[str]:
            for name in modules:
                (at / f"{name}.py").write_text(CODE)
                (at / name).mkdir()
                (at / name / "__init__.py").write_text(CODE)
            for name in settings:
                (at / name).write_text("import os; " + CODE)
            env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
            program = [sys.executable, "-m", "robustkit", *arguments]
            done = subprocess.run(program, cwd=at, env=env, capture_output=True, text=True, check=False, timeout=120)
            if "Traceback" in done.stderr:
                raise RuntimeError(done.stderr)
            return ["--version"]

        yield "folders full of code", command, start


def archives(model: str) -> Iterator[Input]:
    """Records and checkpoints whose archive lies."""
    folder = _place(model)
    whole = folder / "hazard"

    def rewritten(at: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]) -> list[str]:
        shutil.copytree(whole, at / "h")
        path = next((at / "h" / "parts").glob("*.npz"))
        with zipfile.ZipFile(path) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (pair for one in members for pair in change(*one)):
                archive.writestr(name, content)
        for done in ("summary.json", "hazard.npz"):
            (at / "h" / done).unlink(missing_ok=True)
        more = ["--data", str(folder / "lsst"), "--n", "2", "--group", "1", "--events", "2", "--fault", "hot-pixel"]
        return ["hazard", "--model", str(folder / "net.pt"), *more, "--device", "cpu", "--out", "h"]

    huge = (
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(127) + b"\n"
    )
    call = b"cos\nsystem\n(S'touch marker'\ntR."
    pickled = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(127) + b"\n"
    changes: dict[str, Callable[[str, bytes], list[tuple[str, bytes]]]] = {
        "twice": lambda name, data: [(name, data), (name, data)],
        "outside": lambda name, data: [(f"../../{name}", data)],
        "absolute": lambda name, data: [(f"/tmp/{name}", data)], "a nul": lambda name, data: [(f"a\0{name}", data)],
        "nothing": lambda name, data: [], "empty": lambda name, data: [(name, b"")],
        "huge": lambda name, data: [(name, data if "__" in name else huge)],
        "objects": lambda name, data: [(name, data if "__" in name else pickled + call)],
        "a note of brackets": lambda name, data: [(name, b"[" * 10**6 if "__" in name else data)],
        "many": lambda name, data: [(f"{name}{i}", b"") for i in range(2000)],
    }  # fmt: skip
    for what, change in changes.items():
        yield "archives that lie", what, lambda at, c=change: rewritten(at, c)


def audits(model: str) -> Iterator[Input]:
    """Comparisons, baselines and catalogues of audits that are none."""
    values: dict[str, Any] = {
        "nothing": {}, "a list": [], "deep": None, "numbers as text": {"models": [{"metrics": {"flip_rate": "=1"}}]},
        "far numbers": {"models": [{"metrics": {"flip_rate": {"value": 1e308, "low": -1e308, "n": 10**30}}}]},
        "escapes": {"schema": "\x1b[2J", "models": [{"name": "\u202e"}]}, "no metrics": {"models": [{"metrics": None}]},
    }  # fmt: skip
    for what, value in values.items():

        def baseline(at: Path, value: Any = value) -> list[str]:
            (at / "b.json").write_text("[" * 10**5 if value is None else json.dumps(value))
            (at / "audit.toml").write_text(f"model = {json.dumps(model)}\nn = 2\nbaseline = 'b.json'\n")
            (at / "model").mkdir()
            (at / "model" / "about.json").write_text(json.dumps(value))
            (at / "robustkit.json").write_text(json.dumps(value))
            return ["report", "."]

        def many(at: Path, value: Any = value) -> list[str]:
            for name in "abc":
                (at / name / "model").mkdir(parents=True)
                (at / name / "audit.json").write_text("[" * 10**5 if value is None else json.dumps(value))
                (at / name / "audit.toml").write_text(f"model = {json.dumps(model)}\n")
                (at / name / "model" / "about.json").write_text(json.dumps(value))
            return ["compare", "a", "b", "c", "--out", "o"]

        yield "audits that are none", f"report: {what}", baseline
        yield "audits that are none", f"compare: {what}", many
    for address in (
        "tcp://127.0.0.1:1",
        "http://127.0.0.1:1/x",
        "file:///etc/passwd",
        "inproc://x",
        "tls://127.0.0.1:1",
    ):
        yield "addresses", f"--dask {address!r}", lambda at, a=address: [
            "attack", "--model", model, "--n", "2", "--budget", "4", "--search", "random", "--out", "o", "--dask", a,
        ]  # fmt: skip
        yield "addresses", f"--data {address!r}", lambda at, a=address: ["inspect", "--model", model, "--data", a]
        yield "addresses", f"--model {address!r}", lambda at, a=address: ["inspect", "--model", a]


FAMILIES = (shards, tables, studies, folders, archives, audits)
