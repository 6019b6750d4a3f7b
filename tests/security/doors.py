"""More of what a stranger may send, to doors that came later: fronts, requests, outputs, graphs, cards, odd names."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.models.foreign.payloads import FORMS

NAMED = ("evil:Net", "evil.py:Net", "clip+evil:Net", "joint:evil", "pkg.evil:Net,a=1", "median:evil.py:Net")
PAYLOAD = b"cos\nsystem\n(S'touch marker'\ntR."


def fronts(model: str) -> Iterator[tuple[str, str, Callable[[Path], list[str]]]]:
    """Front ends that a checkpoint or a card names."""
    commands: dict[str, list[str]] = {
        "inspect": [], "repair": ["--out", "r.pt"], "export": ["--onnx", "x.onnx"],
        "attack": ["--n", "2", "--budget", "4", "--out", "o"], "hazard": ["--n", "2", "--out", "o"],
    }  # fmt: skip

    def saved(folder: Path, front: Any) -> str:
        content = torch.load(model, weights_only=True)
        content["card"] = json.dumps(json.loads(content["card"]) | {"front": front})
        torch.save(content, folder / "f.pt")
        return "f.pt"

    for (command, more), name in itertools.product(commands.items(), NAMED):
        yield "front ends of files", f"{command}: {name}", lambda folder, c=command, m=more, n=name: [
            c, "--model", saved(folder, {"name": n, "constants": {}}), *m,
        ]  # fmt: skip
    for front in (None, [], "clip", {"name": ["evil"]}, {"name": "clip+" * 10**5}, {"name": "clip:9" * 9},
                  {"name": "joint:5", "constants": {"noise": {"low": [1e308], "sigma": [[]]}}},
                  {"name": "nan", "constants": {"fill": [[None]] * 10**5}}, {"name": "line:999999999"}):  # fmt: skip
        yield "front ends of files", repr(front)[:40], lambda folder, f=front: ["inspect", "--model", saved(folder, f)]
    for name, command in itertools.product(NAMED[:3], ("repair", "inspect")):

        def card(folder: Path, name: str = name, command: str = command) -> list[str]:
            (folder / "c.toml").write_text(f"front = {json.dumps(name)}\n")
            return [command, "--model", model, "--card", "c.toml", *commands[command]]

        yield "front ends of files", f"card of {command}: {name}", card


def requests(model: str) -> Iterator[tuple[str, str, Callable[[Path], list[str]]]]:
    """Fields of a request that came later."""
    lines = [
        'findings = ["evil:X"]', 'findings = ["./evil.py:X"]', 'findings = ["clean"]', 'baseline = "/dev/zero"',
        'baseline = "pipe"', 'baseline = "evil.py"', '[attack]\nsearches = ["evil:X"]',
        '[attack]\nsearches = ["de,a=evil:X"]',
        '[attack]\nvalues = "evil:X"', "[hazard]\nevents = 1000000000000000000000", '[hazard]\nrates = ["evil:X"]',
        '[thresholds]\n"evil:X" = 1', "[thresholds]\naccuracy = 1e999", 'effort = "evil:X"', 'part = "evil.py:X"',
        'fail_under = ["evil:X<=1"]', f"fail_under = [{json.dumps('a' * 99999 + '<=1')}]", "n = 1e308", "seed = -1",
    ]  # fmt: skip
    for line, command in itertools.product(lines, ("audit", "plan")):

        def write(folder: Path, line: str = line, command: str = command) -> list[str]:
            os.mkfifo(folder / "pipe")
            text = "" if line.startswith("n =") else "n = 3\n"
            (folder / "a.toml").write_text(f'model = {json.dumps(model)}\n{text}effort = "quick"\n{line}\n'.replace(
                'effort = "quick"\neffort', "effort"))  # fmt: skip
            return [command, "a.toml"]

        yield "fields of requests", f"{command}: {line}"[:60], write


def outputs(model: str) -> Iterator[tuple[str, str, Callable[[Path], list[str]]]]:
    """What stands where an output is to go: nothing outside is written, and no pipe is waited for."""
    things: dict[str, Callable[[Path], object]] = {
        "link to a file": lambda path: path.symlink_to("victim"), "pipe": os.mkfifo,
        "link to a folder": lambda path: path.symlink_to("victims"),
        "device": lambda path: path.symlink_to("/dev/full"),
        "loop": lambda path: path.symlink_to(path.name),
    }  # fmt: skip
    commands: dict[str, list[str]] = {
        "repair": ["repair", "--model", model, "--n", "2", "--out", "x"],
        "export": ["export", "--model", model, "--torchscript", "x"],
        "attack": ["attack", "--model", model, "--n", "2", "--budget", "4", "--search", "random", "--out", "x"],
        "simulate": ["simulate", "--n", "2", "--size", "32", "--workers", "1", "--out", "x"],
        "evaluate": ["evaluate", "--model", model, "--draws", "99", "--out", "x"],
        "inspect": ["inspect", "--model", model, "--write", "x"],
    }  # fmt: skip
    for (what, make), (command, arguments) in itertools.product(things.items(), commands.items()):

        def write(folder: Path, make: Any = make, arguments: Any = arguments) -> list[str]:
            (folder / "victim").write_text("mine")
            (folder / "victims").mkdir()
            (folder / "victims" / "file").write_text("mine")
            make(folder / "x")
            return arguments

        yield "odd outputs", f"{what} for {command}", write


def graphs(model: str) -> Iterator[tuple[str, str, Callable[[Path], list[str]]]]:
    """ONNX files with data elsewhere, in each other, or without end."""
    import onnx
    from onnx import TensorProto, helper

    def outside(location: str, **more: str) -> Any:
        tensor = helper.make_tensor("w", TensorProto.FLOAT, [3, 3], np.zeros(9, np.float32))
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        return tensor

    def whole(nodes: list[Any], values: Sequence[Any] = (), functions: Sequence[Any] = ()) -> Any:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
        graph = helper.make_graph([helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0), *nodes],
                                  "g", [x], [y], values)  # fmt: skip
        sets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        return helper.make_model(graph, opset_imports=sets, functions=functions, ir_version=8)

    def branch(depth: int, inside: list[Any]) -> Any:
        value = helper.make_tensor_value_info(f"b{depth}", TensorProto.FLOAT, None)
        both = {} if depth == 0 else {"then_branch": branch(depth - 1, inside), "else_branch": branch(0, inside)}
        body = [helper.make_node("If", ["t"], [f"b{depth}"], **both)] if both else inside
        return helper.make_graph(body, f"g{depth}", [], [value])

    last = helper.make_node("MatMul", ["m", "w"], ["y"])
    true = helper.make_tensor("t", TensorProto.BOOL, [], [True])
    places = ("../secret", "/etc/hostname", "pipe", "folder", "link", "/dev/zero", "a/../../secret", "https://127.0.0.1/w",
              "secret\0x", "", "m.onnx")  # fmt: skip
    made: dict[str, Callable[[], Any]] = {}
    for place in places:
        made[f"constant in {place!r}"] = lambda p=place: whole(
            [helper.make_node("Constant", [], ["w"], value=outside(p)), last]
        )
        made[f"branch in {place!r}"] = lambda p=place: whole(
            [helper.make_node("If", ["t"], ["w"], then_branch=branch(0, [
                helper.make_node("Constant", [], ["b0"], value=outside(p))]), else_branch=branch(0, [
                    helper.make_node("Constant", [], ["b0"], value=outside(p))])), last], [true])  # fmt: skip
    for key, value in (("offset", "-1"), ("length", "99999999999999"), ("offset", "evil"), ("length", "-4")):
        made[f"{key} {value}"] = lambda k=key, v=value: whole([last], [outside("beside", **{k: v})])
    own = helper.make_node("F", ["m"], ["y"], domain="own")
    made["function in itself"] = lambda: whole([own], functions=[helper.make_function(
        "own", "F", ["a"], ["b"], [helper.make_node("F", ["a"], ["b"], domain="own")],
        [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)])])  # fmt: skip
    made["circle"] = lambda: whole([helper.make_node("Add", ["m", "y"], ["y"])])
    same = [helper.make_node("Identity", ["m"], ["b0"])]
    made["branches in branches"] = lambda: whole(
        [helper.make_node("If", ["t"], ["y"], then_branch=branch(20, same), else_branch=branch(0, same))], [true]
    )
    made["a foreign domain"] = lambda: whole([helper.make_node("Evil", ["m"], ["y"], domain="evil.py")])
    made["many nodes"] = lambda: whole([helper.make_node("Identity", ["m"], [f"q{i}"]) for i in range(20000)] + [
        helper.make_node("Identity", ["m"], ["y"])])  # fmt: skip
    made["a giant name"] = lambda: whole([helper.make_node("Identity", ["m"], ["y"], name="\x1b[2J" * 200_000)])
    for what, make in made.items():

        def write(folder: Path, make: Any = make) -> list[str]:
            os.mkfifo(folder / "pipe")
            (folder / "folder").mkdir()
            (folder / "link").symlink_to("/etc/hostname")
            (folder / "beside").write_bytes(bytes(36))
            (folder / "m.onnx").write_bytes(make().SerializeToString())
            return ["inspect", "--model", "m.onnx"]

        yield "graphs", what, write
    assert onnx


def tables(model: str) -> Iterator[tuple[str, str, Callable[[Path], list[str]]]]:
    """Cards, sets and catalogues that say odd things."""
    card = ['question = "a,b;' + "c,d;" * 20000 + '"', 'question = "a>nan"', 'tolerance = "0.1(1+z)(1+z)"',
            "tolerance = 1e999", "threshold = nan", 'members = ["pipe"]', 'members = ["best.pth"]',
            'labels = "pipe.npy"',
            'labels = "/dev/zero"', "[arch_kwargs]\nclasses = 1000000000", "[arch_kwargs]\nsize = [1000000, 1000000]",
            '[arch_kwargs]\ncheckpoint_path = "evil.pkl"', '[arch_kwargs]\n"__class__" = "evil:X"',
            'preprocess = ["resize 1000000 1000000"]', 'preprocess = ["evil:X"]', 'stretch = "evil:X"',
            'stretch = {name = "evil:X"}', 'combine = "evil:X"', 'average = "evil:X"',
            "multi_label = true"]  # fmt: skip
    for line in card:

        def write(folder: Path, line: str = line) -> list[str]:
            from robustkit.models import ConvNet

            for name in ("pipe", "pipe.npy"):
                os.mkfifo(folder / name)
            (folder / "evil.pkl").write_bytes(PAYLOAD)
            torch.save(ConvNet(size=(24, 24)).state_dict(), folder / "best.pth")
            (folder / "best.toml").write_text(f'arch = "robustkit:ConvNet"\n{line}\n')
            return ["inspect", "--model", "best.pth", "--data", str(Path(model).parent / "galaxies")]

        yield "fields of cards", line[:50], write
    for depths in (
        ["../../x"],
        ["/etc"],
        ["/"],
        [],
        [1],
        "galaxies",
        ["evil:X"],
        ["x" * 5000],
        ["\0"],
        [["a"]],
        ["pipe"],
    ):

        def galaxies(folder: Path, depths: Any = depths) -> list[str]:
            (folder / "set").mkdir()
            os.mkfifo(folder / "set" / "pipe")
            said = {"kind": "robustkit-galaxies", "depths": depths}
            (folder / "set" / "galaxies.json").write_text(json.dumps(said))
            return ["inspect", "--model", model, "--data", "set"]

        yield "catalogues", f"depths {depths!r}"[:50], galaxies
    for path in ("/etc/passwd", "../x.png", "|touch marker", "file:///etc/passwd", "http://127.0.0.1:1/a.png",
                 "pipe.png",
                 "*.png", "-", "~/x.png", "\\\\host\\share\\a.png", "link.png"):  # fmt: skip

        def catalogue(folder: Path, path: str = path) -> list[str]:
            os.mkfifo(folder / "pipe.png")
            (folder / "link.png").symlink_to("/etc/passwd")
            (folder / "a.csv").write_text(f"path,label\n{path},a\n{path}x,b\n")
            return ["inspect", "--model", model, "--data", "a.csv"]

        yield "catalogues", path, catalogue
    for name in ("evil", "evil:Net", "numcodecs.evil", "arrow.py_extension_type"):

        def zarr(folder: Path, name: str = name) -> list[str]:
            (folder / "a.zarr" / "images").mkdir(parents=True)
            (folder / "a.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
            grid = {"name": "regular", "configuration": {"chunk_shape": [2, 3, 4, 4]}}
            (folder / "a.zarr" / "images" / "zarr.json").write_text(json.dumps(
                {"zarr_format": 3, "node_type": "array", "shape": [2, 3, 4, 4], "data_type": "float32", "fill_value": 0,
                 "chunk_grid": grid, "chunk_key_encoding": {"name": name}, "codecs": [{"name": name}],
                 "storage_transformers": [{"name": name}]}))  # fmt: skip
            return ["inspect", "--model", model, "--data", "a.zarr"]

        def parquet(folder: Path, name: str = name) -> list[str]:
            import pyarrow as pa
            import pyarrow.parquet as pq

            told = {b"ARROW:extension:name": name.encode(), b"ARROW:extension:metadata": PAYLOAD}
            fields = [pa.field("image", pa.binary(), metadata=told), pa.field("label", pa.int64(), metadata=told)]
            table = pa.table([[PAYLOAD] * 3, [0, 1, 2]], schema=pa.schema(fields, metadata={b"huggingface": PAYLOAD}))
            pq.write_table(table, folder / "a.parquet")
            return ["inspect", "--model", model, "--data", "a.parquet"]

        yield "codecs and extensions", f"zarr {name}", zarr
        yield "codecs and extensions", f"parquet {name}", parquet


def places(model: str) -> Iterator[tuple[str, str, Callable[[Path], list[str]]]]:
    """Checkpoints where other commands read some, studies of strangers, and files with odd names."""
    small = ["--data", str(Path(model).parent / "galaxies"), "--epochs", "1", "--device", "cpu"]
    for form in list(FORMS)[:8]:

        def begin(folder: Path, form: str = form) -> list[str]:
            FORMS[form](folder / "x.pt", folder / "marker")
            return ["train", *small, "--init", "x.pt", "--out", "o.pt"]

        def several(folder: Path, form: str = form) -> list[str]:
            (folder / "models").mkdir()
            FORMS[form](folder / "models" / "x.pt", folder / "marker")
            return ["evaluate", "--model", "models", "--out", "o"]

        yield "checkpoints elsewhere", f"--init {form}", begin
        yield "checkpoints elsewhere", f"a folder with {form}", several
    for what in ("pipe", "garbage", "zero", "pickle"):

        def study(folder: Path, what: str = what) -> list[str]:
            (folder / "o").mkdir()
            at = folder / "o" / "search.db"
            {"pipe": lambda: os.mkfifo(at), "garbage": lambda: at.write_bytes(bytes(5000)),
             "zero": lambda: at.symlink_to("/dev/zero"), "pickle": lambda: at.write_bytes(PAYLOAD)}[what]()  # fmt: skip
            return ["search", *small, "--trials", "1", "--out", "o"]

        yield "checkpoints elsewhere", f"a study that is {what}", study
    for name in ("a\nb.pt", "\x1b[2J.pt", "\u202ea.pt", "x" * 240 + ".pt", "..pt", "%s{0}.pt", "evil.py:Net", "$x$.pt"):

        def named(folder: Path, name: str = name) -> list[str]:
            shutil.copy(model, folder / name)
            data = str(Path(model).parent / "galaxies")
            return ["attack", "--model", f"./{name}", "--data", data, "--part", "all", "--n", "2", "--budget", "4",
                    "--search", "random"]  # fmt: skip

        yield "names of files", repr(name)[:40], named


DOORS = (fronts, requests, outputs, graphs, tables, places)
