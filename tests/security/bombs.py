"""Small files that would take all time or all memory, or run code: each is at most a megabyte."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

BOMBS: dict[str, Callable[[Path], Path]] = {}


def bomb(make: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    """Registers what makes the bytes of a file."""

    def write(folder: Path) -> Path:
        path = folder / "m.bin"
        path.write_bytes(make(folder))
        return path

    BOMBS[make.__name__] = write
    return make


def _zip(data: bytes, **members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("m/data.pkl", data)
        archive.writestr("m/version", b"3\n")
        for name, content in members.items():
            archive.writestr(f"m/{name}", content)
    return out.getvalue()


def _saved(value: object) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


@bomb
def references(folder: Path) -> bytes:
    shared: object = torch.zeros(2)
    for _ in range(8):
        shared = [shared] * 300
    return _saved({"a": shared})


@bomb
def dictionaries(folder: Path) -> bytes:
    shared: object = torch.zeros(2)
    for _ in range(12):
        shared = {str(i): shared for i in range(60)}
    return _saved({"a": shared})


@bomb
def itself(folder: Path) -> bytes:
    value: dict[str, object] = {"weight": torch.zeros(2)}
    value["more"] = [value] * 100
    return _saved(value)


@bomb
def brackets(folder: Path) -> bytes:
    return _zip(b"\x80\x02" + b"]" * 1_000_000 + b".")


@bomb
def brackets_in_each_other(folder: Path) -> bytes:
    return _zip(b"\x80\x02" + b"]" * 400_000 + b"a" * 399_999 + b".")


@bomb
def marks(folder: Path) -> bytes:
    return _zip(b"\x80\x02" + b"(" * 1_000_000 + b".")


@bomb
def tuples(folder: Path) -> bytes:
    return _zip(b"\x80\x02)" + b"\x85" * 900_000 + b".")


@bomb
def duplicates(folder: Path) -> bytes:
    return _zip(b"\x80\x02]" + b"2\x86" * 400_000 + b".")


@bomb
def a_number_of_a_million_digits(folder: Path) -> bytes:
    return _zip(b"\x80\x02L" + b"9" * 1_000_000 + b"L\n.")


@bomb
def a_long_of_a_megabyte(folder: Path) -> bytes:
    return _zip(b"\x80\x02\x8b" + struct.pack("<i", 1_000_000) + b"\x7f" * 1_000_000 + b".")


@bomb
def a_text_that_claims_four_gigabytes(folder: Path) -> bytes:
    return _zip(b"\x80\x02X" + b"\xff\xff\xff\xff" + b"a.")


@bomb
def a_memo_far_away(folder: Path) -> bytes:
    return _zip(b"\x80\x02]r\xff\xff\xff\x7f.")


@bomb
def brackets_of_the_old_form(folder: Path) -> bytes:
    head = b"".join(pickle.dumps(one, protocol=2) for one in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return head + b"\x80\x02" + b"]" * 1_000_000 + b"."


@bomb
def a_storage_of_a_terabyte(folder: Path) -> bytes:
    data = _saved({"weight": torch.zeros(1000)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next(one for one in archive.namelist() if one.endswith("data.pkl"))
        pickled = archive.read(name)
    return _zip(pickled.replace(b"M\xe8\x03", b"\x8a\x05\x00\x00\x00\x00\x01"), **{"data/0": bytes(4000)})


@bomb
def expanded(folder: Path) -> bytes:
    return _saved({"weight": torch.zeros(1).expand(1 << 40)})


@bomb
def nested(folder: Path) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _saved({"weight": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])})


@bomb
def sparse(folder: Path) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = torch.zeros(1, 1, dtype=torch.long)
        return _saved({"weight": torch.sparse_coo_tensor(place, torch.zeros(1), (1 << 40,))})


@bomb
def on_meta(folder: Path) -> bytes:
    return _saved({"weight": torch.empty(1 << 40, device="meta")})


@bomb
def one_byte_of_onnx(folder: Path) -> bytes:
    return b"\x08"


@bomb
def two_bytes_of_onnx(folder: Path) -> bytes:
    return b"\x08\x07"


@bomb
def a_header_of_safetensors(folder: Path) -> bytes:
    return struct.pack("<Q", 900_000) + b'{"a":' + b"[" * 899_995


@bomb
def many_tensors_of_safetensors(folder: Path) -> bytes:
    entries = {f"t{i}.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(12_000)}
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


@bomb
def shapes_of_safetensors(folder: Path) -> bytes:
    entries = {"a.weight": {"dtype": "F32", "shape": [1 << 31, 1 << 31, 0], "data_offsets": [0, 0]}}
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


@bomb
def many_members(folder: Path) -> bytes:
    return _zip(pickle.dumps({}, protocol=2), **{f"data/{i}": b"" for i in range(7000)})


@bomb
def a_deflated_archive(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(400_000_000))
    return out.getvalue()


@bomb
def an_archive_of_arrays(folder: Path) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, weight=np.zeros(50_000_000))
    return out.getvalue()


@bomb
def a_signature_of_hdf5(folder: Path) -> bytes:
    return b"\x89HDF\r\n\x1a\n" + os.urandom(500_000)


def _with_card(text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save({"conv1.weight": torch.zeros(8, 3, 5, 5), "fc.weight": torch.zeros(3, 4)}, folder / "m.pt")
        (folder / "m.toml").write_text(text)
        return folder / "m.pt"

    return write


BOMBS |= {
    "card: classes": _with_card('arch = "robustkit:ConvNet"\nclasses = 1000000000'),
    "card: more classes": _with_card('arch = "robustkit:ConvNet"\nclass_count = 10000000000000000000000000000000'),
    "card: size": _with_card('arch = "robustkit:ConvNet"\ninput_size = [1000000000, 1000000000]'),
    "card: dots": _with_card("a" + ".a" * 500_000 + " = 1"),
    "card: quoted dots": _with_card('"a"' + '."a"' * 200_000 + " = 1"),
    "card: brackets": _with_card("key = " + "[" * 500_000),
    "card: tables": _with_card("\n".join(f"[a.b{i}]" for i in range(60_000))),
    "card: names": _with_card(
        'arch = "robustkit:ConvNet"\nclasses = [' + ",".join(f'"{i}"' for i in range(90_000)) + "]"
    ),
    "card: code": _with_card('arch = "timm:evil.py:Net"'),
}


def _graph(nodes: Callable[[object, object], list[object]], *constants: tuple[str, object]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        made = [helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0), *nodes(helper, numpy_helper)]
        taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])
        given = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        values = [numpy_helper.from_array(np.array(value), name) for name, value in constants]
        model = helper.make_model(
            helper.make_graph(made, "g", [taken], [given], values), opset_imports=[helper.make_opsetid("", 17)]
        )
        model.ir_version = 8
        onnx.save(model, folder / "m.onnx")
        return folder / "m.onnx"

    return write


def _mean_of(name: str, kind: str, *inputs: str) -> Callable[[object, object], list[object]]:
    def nodes(helper, numpy_helper):
        return [
            helper.make_node(kind, list(inputs), ["z"]),
            helper.make_node("ReduceMean", ["z"], ["zm"], keepdims=0),
            helper.make_node("Add", ["m", "zm"], ["y"]),
        ]

    return nodes


def _loop(helper, numpy_helper):
    from onnx import TensorProto

    infos = [helper.make_tensor_value_info(n, t, s) for n, t, s in (
        ("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("v", TensorProto.FLOAT, None))]  # fmt: skip
    outs = [helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, None)]  # fmt: skip
    nodes = [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["v", "v"], ["v2"])]
    body = helper.make_graph(nodes, "b", infos, outs)
    return [helper.make_node("Loop", ["k", "t", "m"], ["y"], body=body)]


def _doubling(helper, numpy_helper):
    nodes, last = [], "m"
    for i in range(30):
        nodes.append(helper.make_node("Concat", [last, last], [f"q{i}"], axis=1))
        last = f"q{i}"
    return [*nodes, helper.make_node("ReduceMean", [last], ["r"], axes=[1]), helper.make_node("Add", ["m", "r"], ["y"])]


BOMBS |= {
    "onnx: loop": _graph(_loop, ("k", 2**62), ("t", True)),
    "onnx: constant": _graph(_mean_of("c", "ConstantOfShape", "s"), ("s", [1 << 33])),
    "onnx: giant constant": _graph(_mean_of("c", "ConstantOfShape", "s"), ("s", [1 << 42])),
    "onnx: expand": _graph(_mean_of("e", "Expand", "o", "s"), ("s", [1 << 16, 1 << 16]), ("o", np.float32([1]))),
    "onnx: range": _graph(
        _mean_of("r", "Range", "a", "b", "c"), ("a", np.float32(0)), ("b", np.float32(3e9)), ("c", np.float32(1))
    ),
    "onnx: tile": _graph(_mean_of("t", "Tile", "x", "s"), ("s", [1, 1, 4000, 400])),
    "onnx: doubling": _graph(_doubling),
}
