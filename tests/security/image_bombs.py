"""Small image sets that would take all time or all memory, or lead outside: each is at most a megabyte."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

IMAGE_BOMBS: dict[str, Callable[[Path], Path]] = {}
SIDE = 24  # of the images that the network takes


def bomb(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Registers what writes a set into a folder and says where it is."""
    IMAGE_BOMBS[make.__name__] = make
    return make


def some(count: int = 4) -> np.ndarray:
    """Images that are fine."""
    return np.random.default_rng(0).normal(10, 5, (count, 3, SIDE, SIDE)).astype(np.float32)


# Zarr. Chunks are made here by hand, as a stranger would.


def _zarr(
    path: Path, shape: list[int], chunks: list[int], dtype: str, chunk: bytes, compressor: object = None, **more: object
) -> None:
    path.mkdir(parents=True)
    about = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype, "compressor": compressor,
             "fill_value": 0, "order": "C", "filters": None}  # fmt: skip
    (path / ".zarray").write_text(json.dumps(about | more))
    (path / ".".join("0" for _ in shape)).write_bytes(chunk)


def _group(folder: Path, count: int = 4) -> Path:
    path = folder / "a.zarr"
    path.mkdir()
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    if count:
        values = some(count)
        _zarr(path / "images", list(values.shape), list(values.shape), "<f4", values.tobytes())
    return path


_SETTINGS: dict[str, dict[str, object]] = {
    "lzma": {"format": 1, "check": -1, "preset": None, "filters": None},
    "blosc": {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
}


def _zarr_chunk(id_: str, chunk: Callable[[], bytes]) -> Callable[[Path], Path]:
    """A small array whose one chunk unpacks to gigabytes."""

    def write(folder: Path) -> Path:
        path = _group(folder)
        _zarr(path / "labels", [4], [4], "<i8", chunk(), _SETTINGS.get(id_, {"level": 1}) | {"id": id_})
        return path

    return write


def zeros_of(size: int, pack: Any) -> bytes:
    """So many zeros, packed piece by piece."""
    piece = bytes(1 << 20)
    return b"".join(pack.compress(piece) for _ in range(size >> 20)) + pack.flush()


IMAGE_BOMBS |= {
    "zarr: gzip chunk": _zarr_chunk("gzip", lambda: zeros_of(900 << 20, zlib.compressobj(6, wbits=31))),
    "zarr: zlib chunk": _zarr_chunk("zlib", lambda: zeros_of(900 << 20, zlib.compressobj(6))),
    "zarr: bz2 chunk": _zarr_chunk("bz2", lambda: zeros_of(1 << 30, bz2.BZ2Compressor())),
    "zarr: lzma chunk": _zarr_chunk("lzma", lambda: zeros_of(1 << 30, lzma.LZMACompressor(preset=0))),
    "zarr: blosc chunk": _zarr_chunk("blosc", lambda: struct.pack("<BBBBIII", 2, 1, 0x21, 1, 0x7FFFFFF0, 1 << 20, 600)
                                     + bytes(600)),
    "zarr: zstd chunk": _zarr_chunk("zstd", lambda: b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 40) + bytes(600)),
}  # fmt: skip


@bomb
def zarr_giant_chunk(folder: Path) -> Path:
    path = _group(folder, 0)
    data = zeros_of(900 << 20, zlib.compressobj(6))
    _zarr(path / "images", [15, 3, 4472, 4472], [15, 3, 4472, 4472], "|u1", data, {"id": "zlib", "level": 9})
    return path


@bomb
def zarr_declared_shape(folder: Path) -> Path:
    path = _group(folder, 0)
    _zarr(path / "images", [1 << 40, 3, 24, 24], [1, 3, 24, 24], "<f4", some(1).tobytes())
    return path


@bomb
def zarr_declared_chunk(folder: Path) -> Path:
    path = _group(folder, 0)
    _zarr(path / "images", [4, 3, 24, 24], [1 << 40, 3, 24, 24], "<f4", some(4).tobytes())
    return path


@bomb
def zarr_of_a_wide_text(folder: Path) -> Path:
    path = _group(folder)
    _zarr(path / "labels", [4], [4], "<U1000000000", b"")
    return path


@bomb
def zarr_of_links_in_a_circle(folder: Path) -> Path:
    path = _group(folder)
    for name in "abcd":
        (path / name).symlink_to(path, target_is_directory=True)
    return path


@bomb
def zarr_with_a_link_outside(folder: Path) -> Path:
    path = _group(folder)
    (path / "images" / "0.0.0.0").unlink()
    (path / "images" / "0.0.0.0").symlink_to("/dev/zero")
    return path


@bomb
def zarr_with_a_pipe(folder: Path) -> Path:
    path = _group(folder)
    (path / "images" / "0.0.0.0").unlink()
    os.mkfifo(path / "images" / "0.0.0.0")
    return path


@bomb
def zarr_with_a_pipe_for_its_metadata(folder: Path) -> Path:
    path = _group(folder)
    (path / "labels").mkdir()
    os.mkfifo(path / "labels" / ".zarray")
    return path


@bomb
def zarr_of_thousands_of_groups(folder: Path) -> Path:
    path = _group(folder, 0)
    for number in range(20_000):
        (path / str(number)).mkdir()
        (path / str(number) / ".zgroup").write_text('{"zarr_format":2}')
    return path


@bomb
def zarr_of_deep_groups(folder: Path) -> Path:
    path = inside = _group(folder, 0)
    for _ in range(400):
        inside = inside / "a"
        inside.mkdir()
        (inside / ".zgroup").write_text('{"zarr_format": 2}')
    return path


@bomb
def zarr_of_deep_json(folder: Path) -> Path:
    path = folder / "a.zarr"
    path.mkdir()
    (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": ' + "[" * 900_000)
    return path


@bomb
def zarr_of_strings_that_are_one(folder: Path) -> Path:
    path = _group(folder)
    count = 5000
    text = struct.pack("<I", count) + b"".join(struct.pack("<I", n) + b"a" * n for n in [500_000, *[0] * (count - 1)])
    _zarr(path / "labels", [count], [count], "|O", text, filters=[{"id": "vlen-utf8"}])
    return path


@bomb
def zarr_of_a_billion_strings(folder: Path) -> Path:
    path = _group(folder)
    _zarr(path / "labels", [1 << 30], [1 << 30], "|O", struct.pack("<I", 1 << 30), filters=[{"id": "vlen-utf8"}])
    return path


@bomb
def zarr_of_a_shard_in_itself(folder: Path) -> Path:
    """60,000 inner chunks that are all the same bytes."""
    path = folder / "a.zarr"
    path.mkdir()
    chunk = gzip.compress(bytes(1 << 16))
    inner = {"name": "sharding_indexed", "configuration": {
        "chunk_shape": [1, 1, 256, 256], "index_location": "end", "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "gzip", "configuration": {"level": 5}}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}}  # fmt: skip
    count = 60_000
    grid = {"name": "regular", "configuration": {"chunk_shape": [count, 1, 256, 256]}}
    about = {"zarr_format": 3, "node_type": "array", "shape": [count, 1, 256, 256], "data_type": "uint8",
             "chunk_grid": grid, "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": [inner],
             "attributes": {}}  # fmt: skip
    (path / "zarr.json").write_text(json.dumps(about))
    (path / "c" / "0" / "0" / "0").mkdir(parents=True)
    index = struct.pack("<QQ", 0, len(chunk)) * count
    (path / "c" / "0" / "0" / "0" / "0").write_bytes(chunk + index)
    return path


# HDF5


def _hdf5(fill: Callable[[Any], None]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import h5py

        with h5py.File(folder / "a.h5", "w", libver="latest") as file:
            fill(file)
        return folder / "a.h5"

    return write


def _inflates(file: Any) -> None:
    """A dataset of four values whose chunk inflates to gigabytes, packed twice."""
    import h5py

    file["images"] = some()
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_chunk((4,))
    create.set_deflate(9)
    create.set_deflate(9)
    space = h5py.h5s.create_simple((4,))
    made = h5py.h5d.create(file.id, b"labels", h5py.h5t.NATIVE_INT64, space, create)
    made.write_direct_chunk((0,), zlib.compress(zeros_of(2 << 30, zlib.compressobj(6))))


def _inflates_once(file: Any) -> None:
    made = file.create_dataset("images", (900, 1, 1024, 1024), "u1", chunks=(900, 1, 1024, 1024), compression="gzip")
    made.id.write_direct_chunk((0, 0, 0, 0), zeros_of(900 << 20, zlib.compressobj(6)))


def _wide_rows(file: Any) -> None:
    file["images"] = some()
    file.create_dataset("labels", (4,), "S1000000000", chunks=(1,), compression="gzip")


def _billion_strings(file: Any) -> None:
    import h5py

    file["images"] = some()
    file.create_dataset("labels", (9_999_999,), h5py.string_dtype())


def _one_string(file: Any) -> None:
    import h5py

    file["images"] = some(3000)[:, :1, :4, :4]
    made = file.create_dataset("ids", (3000,), h5py.string_dtype())
    made[0] = "a" * 600_000


def _circle(file: Any) -> None:
    inside = file
    for _ in range(30):
        inside = inside.create_group("a")
        for name in "bcde":
            inside[name] = file["/"]
    file["images"] = some()


def _outside(file: Any) -> None:
    import h5py

    file["images"] = h5py.ExternalLink("/dev/zero", "/images")
    file["soft"] = h5py.SoftLink("/soft")


def _external(file: Any) -> None:
    file.create_dataset("images", (4, 3, 24, 24), "f4", external=[("/dev/zero", 0, 4 * 3 * 24 * 24 * 4)])


def _virtual(file: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout((4, 3, 24, 24), "f4")
    layout[:] = h5py.VirtualSource("/dev/zero", "images", (4, 3, 24, 24))
    file.create_virtual_dataset("images", layout)


def _thousands(file: Any) -> None:
    for number in range(6000):
        file.create_group(str(number))
    file["images"] = some()


def _deep(file: Any) -> None:
    inside = file
    for _ in range(4000):
        inside = inside.create_group("a")


def _shape(file: Any) -> None:
    grows = (None, 3, 24, 24)
    file.create_dataset("images", (1 << 40, 3, 24, 24), "f4", maxshape=grows, chunks=(1, 3, 24, 24), compression="gzip")
    file["images"][0] = some(1)[0]


IMAGE_BOMBS |= {
    f"hdf5: {name}": _hdf5(fill)
    for name, fill in {
        "inflates twice": _inflates, "inflates": _inflates_once, "wide rows": _wide_rows,
        "strings never written": _billion_strings, "one long string": _one_string, "groups in a circle": _circle,
        "links outside": _outside, "values outside": _external, "virtual": _virtual, "thousands of groups": _thousands,
        "deep groups": _deep, "declared shape": _shape,
    }.items()
}  # fmt: skip


# Parquet


def _parquet(columns: Callable[[], Mapping[str, Any]], **more: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(dict(columns())), folder / "a.parquet", compression="zstd", **more)
        return folder / "a.parquet"

    return write


def _rows(count: int, value: np.ndarray) -> Any:
    import pyarrow as pa

    flat = pa.array(np.tile(value.ravel(), count))
    for side in (value.shape[1], value.shape[0])[: value.ndim]:
        flat = pa.FixedSizeListArray.from_arrays(flat, side)
    return flat


def _tiny_png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (4, 4)).save(out, "PNG")
    return out.getvalue()


def _repeated(value: Any, count: int) -> Any:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([value])).cast(
        pa.array([value]).type
    )


def _tables(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({f"c{i}": pa.array([], pa.int8()) for i in range(4000)}), folder / "a.parquet")
    return folder / "a.parquet"


def _deep_lists(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.float32()
    for _ in range(400):
        kind = pa.list_(kind)
    pq.write_table(pa.table({"images": pa.array([], kind)}), folder / "a.parquet")
    return folder / "a.parquet"


IMAGE_BOMBS |= {
    "parquet: constant images": _parquet(lambda: {"images": _rows(64, np.zeros((1500, 1500), np.float32))}),
    "parquet: one giant image": _parquet(lambda: {"images": _rows(1, np.zeros((16_000, 16_000), np.uint8))}),
    "parquet: many rows": _parquet(lambda: {"image": _repeated(_tiny_png(), 8_000_000)}),
    "parquet: many labels": _parquet(
        lambda: {"image": _repeated(_tiny_png(), 6_000_000), "label": _repeated("a", 6_000_000)}
    ),
    "parquet: one long label": _parquet(
        lambda: {"image": _repeated(_tiny_png(), 4000), "label": ["a" * 500_000] + ["a"] * 3999}
    ),
    "parquet: a label of megabytes in each": _parquet(
        lambda: {"image": _repeated(_tiny_png(), 1000), "label": _repeated("a" * 400_000, 1000)}
    ),
    "parquet: giant pictures": _parquet(lambda: {"image": _repeated(png(9000, 9000), 200)}),
    "parquet: columns": _tables,
    "parquet: deep lists": _deep_lists,
}


# FITS


def _fits_of(cards: Mapping[str, object], data: bytes = b"", first: bytes = b"") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        text = "".join(f"{key:<8}= {_value(value):>20}".ljust(80) for key, value in cards.items()) + "END".ljust(80)
        header = text.ljust(-(-len(text) // 2880) * 2880).encode()
        (folder / "a.fits").write_bytes(first + header + data + bytes(-len(data) % 2880))
        return folder / "a.fits"

    return write


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return f"'{value:<8}'" if isinstance(value, str) else str(value)


_IMAGE = {"SIMPLE": True, "BITPIX": 8, "NAXIS": 2, "NAXIS1": 24, "NAXIS2": 24}
_EMPTY = b"".join(
    f"{key:<8}= {value:>20}".ljust(80).encode() for key, value in (("SIMPLE", "T"), ("BITPIX", "8"), ("NAXIS", "0"))
).ljust(2800) + b"END".ljust(80)


def _table(**cards: object) -> dict[str, object]:
    return {"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 8, "NAXIS2": 1, "PCOUNT": 0, "GCOUNT": 1,
            "TFIELDS": 1, "TFORM1": "1PB", "TTYPE1": "COMPRESSED_DATA"} | cards  # fmt: skip


def _tiles(kind: str, packed: Callable[[], bytes], side: int, pixels: int | None = None) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        data = packed()
        form = "1PB" if kind.startswith("GZIP") else "1PI" if kind == "PLIO_1" else "1PB"
        cards = _table(PCOUNT=len(data), TFORM1=f"{form}({len(data)})", ZIMAGE=True, ZTENSION="IMAGE", ZBITPIX=16,
                       ZNAXIS=2, ZNAXIS1=side, ZNAXIS2=side, ZPCOUNT=0, ZGCOUNT=1, ZTILE1=side,
                       ZTILE2=pixels or side, ZCMPTYPE=kind)  # fmt: skip
        size = len(data) // 2 if form == "1PI" else len(data)
        return _fits_of(cards, struct.pack(">ii", size, 0) + data, _EMPTY)(folder)

    return write


IMAGE_BOMBS |= {
    "fits: declared shape": _fits_of(_IMAGE | {"NAXIS1": 1 << 30, "NAXIS2": 1 << 30}),
    "fits: shape past all numbers": _fits_of(_IMAGE | {"NAXIS1": 10**18, "NAXIS2": 10**18}),
    "fits: negative side": _fits_of(_IMAGE | {"NAXIS1": -24, "NAXIS2": -24}),
    "fits: axes": _fits_of(_IMAGE | {"NAXIS": 999} | {f"NAXIS{i}": 1 for i in range(1, 1000)}),
    "fits: axes without end": _fits_of(_IMAGE | {"NAXIS": 10**9}),
    "fits: fields": _fits_of(_table(TFIELDS=10**9), b"", _EMPTY),
    "fits: heap": _fits_of(_table(PCOUNT=1 << 60), b"", _EMPTY),
    "fits: groups": _fits_of(_IMAGE | {"NAXIS1": 0, "GROUPS": True, "GCOUNT": 1 << 50, "PCOUNT": 1 << 50}),
    "fits: no end": lambda folder: _written(folder / "a.fits", _EMPTY[:240] + b" " * 900_000),
    "fits: continued": lambda folder: _written(
        folder / "a.fits",
        _EMPTY[:240] + b"A       = 'a&'".ljust(80) + b"CONTINUE  'a&'".ljust(80) * 11_000 + b"END".ljust(80),
    ),
    "fits: hdus": lambda folder: _written(
        folder / "a.fits",
        _EMPTY + b"".join(f"{key:<8}= {value:>20}".ljust(80).encode() for key, value in (
            ("XTENSION", "'IMAGE   '"), ("BITPIX", "8"), ("NAXIS", "0"), ("PCOUNT", "0"), ("GCOUNT", "1")))
        .ljust(2800) .__add__(b"END".ljust(80)) * 340,
    ),
    "fits: gzip tile": _tiles("GZIP_1", lambda: gzip.compress(zeros_of(0, zlib.compressobj()) + bytes(800 << 20)), 24),
    "fits: giant gzip tile": _tiles("GZIP_1", lambda: gzip.compress(bytes(18_000 * 18_000 * 2)), 18_000),
    "fits: giant rice tile": _tiles("RICE_1", lambda: bytes(100_000), 30_000),
    "fits: giant hcompress tile": _tiles("HCOMPRESS_1", lambda: b"\xdd\x99" + struct.pack(">iii", 1 << 30, 1 << 30, 1)
                                         + bytes(1000), 30_000),
    "fits: hcompress of another size": _tiles("HCOMPRESS_1", lambda: b"\xdd\x99" + struct.pack(
        ">iii", 1 << 15, 1 << 15, 1) + bytes(1000), 24),
    "fits: plio": _tiles("PLIO_1", lambda: struct.pack(">7h", 0, 7, -100, 32000, 0, 0, 0) * 1000, 24),
    "fits: tile of no pixels": _tiles("GZIP_1", lambda: gzip.compress(bytes(1152)), 24, -1),
}  # fmt: skip


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data + bytes(-len(data) % 2880))
    return path


# Pictures, tar, webdataset, catalogues, archives


def png(width: int, height: int, mode: str = "L") -> bytes:
    """A PNG of one colour."""
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, "PNG", optimize=False, compress_level=9)
    return out.getvalue()


def _tar(members: Callable[[], list[tuple[tarfile.TarInfo, bytes]]], form: int = tarfile.PAX_FORMAT) -> Any:
    def write(folder: Path) -> Path:
        with tarfile.open(folder / "a.tar", "w", format=form) as archive:
            for info, data in members():
                info.size = len(data) if info.isreg() else 0
                archive.addfile(info, io.BytesIO(data))
        return folder / "a.tar"

    return write


def member(name: str, data: bytes, **about: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a tar file."""
    info = tarfile.TarInfo(name)
    for key, value in about.items():
        setattr(info, key, value)
    return info, data


def _sample(more: list[tuple[tarfile.TarInfo, bytes]] | None = None) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [member("a.png", png(24, 24, "RGB")), member("a.cls", b"0"), *(more or [])]


def _raw_tar(headers: Callable[[], bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "a.tar").write_bytes(headers() + bytes(1024))
        return folder / "a.tar"

    return write


def _pax(**records: str) -> bytes:
    """A header of the POSIX form with these records, and the member that they speak of."""
    text = b"".join(_record(f"{key}={value}\n".encode()) for key, value in records.items())
    head = tarfile.TarInfo("././@PaxHeader")
    head.type, head.size = tarfile.XHDTYPE, len(text)
    inside = tarfile.TarInfo("a.png")
    return head.tobuf() + text + bytes(-len(text) % 512) + inside.tobuf()


def _record(text: bytes) -> bytes:
    size = len(text) + 3
    while len(str(size)) + 1 + len(text) != size:
        size = len(str(size)) + 1 + len(text)
    return f"{size} ".encode() + text


def _progressive() -> bytes:
    """A JPEG with thousands of scans of the same values, each of which touches every pixel."""
    out = io.BytesIO()
    Image.new("L", (4000, 4000)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    starts = [i for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xda"]
    last = data[starts[-1] : -2]
    return data[:-2] + last * max(1, (900_000 - len(data)) // max(1, len(last))) + data[-2:]


IMAGE_BOMBS |= {
    "tar: giant pictures": _tar(lambda: [member(f"{i}.png", png(4000, 4000)) for i in range(40)]),
    "tar: many giant pictures": _tar(lambda: [member(f"{i}.png", png(2000, 2000)) for i in range(150)]),
    "tar: link": _tar(lambda: _sample([member("b.png", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")])),
    "tar: hard link": _tar(lambda: _sample([member("b.png", b"", type=tarfile.LNKTYPE, linkname="a.png")])),
    "tar: device": _tar(lambda: _sample([member("b.png", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5)])),
    "tar: thousands": _tar(lambda: [member(f"{i}.cls", b"") for i in range(1900)]),
    "tar: long key": _tar(lambda: _sample([
        *(member(f"{i}.{end}", data) for i in range(150) for end, data in (("png", png(4, 4)), ("cls", b"0"))),
        member("k" * 700_000 + ".png", png(24, 24, "RGB")), member("k" * 10 + ".cls", b"0")])),
    "tar: long label": _tar(lambda: [
        *(member(f"{i}.{end}", data) for i in range(400) for end, data in (("png", png(4, 4)), ("cls", b"a"))),
        member("x.png", png(4, 4)), member("x.cls", b"a" * 400_000)]),
    "tar: deep json": _tar(lambda: [member("a.png", png(24, 24)), member("a.json", b"[" * 900_000)]),
    "tar: number": _tar(lambda: [member("a.png", png(24, 24)), member("a.cls", b"9" * 900_000)]),
    "tar: negative size": _raw_tar(lambda: _pax(size="-2048")),
    "tar: huge size": _raw_tar(lambda: _pax(size="9" * 400)),
    "tar: sparse": _raw_tar(lambda: _pax(**{
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.png",
        "GNU.sparse.realsize": str(1 << 60)}) + b"9999999999\n".ljust(512)),
    "tar: records": _raw_tar(lambda: _pax(**{f"a{i}": "" for i in range(60_000)})),
    "tar: packed": lambda folder: _packed(folder),
    "png: one giant": lambda folder: _picture(folder, "a.png", png(9400, 9400)),
    "png: giant colours": lambda folder: _picture(folder, "a.png", png(9000, 9000, "RGB")),
    "jpeg: scans": lambda folder: _picture(folder, "a.jpg", _progressive()),
    "csv: one file again and again": lambda folder: _catalogue(folder, ["a.png"] * 120_000, png(24, 24, "RGB")),
    "csv: one giant again and again": lambda folder: _catalogue(folder, ["a.png"] * 4000, png(2000, 2000)),
    "csv: long cell": lambda folder: _catalogue(folder, [f"{i}" for i in range(2000)], png(4, 4), "b" * 120_000),
    "csv: columns": lambda folder: _catalogue(folder, ["a.png"], png(4, 4), "a" + ",a" * 400_000),
    "folder: giant pictures": lambda folder: _pictures(folder, [png(2000, 2000)] * 150),
    "npz: constant images": lambda folder: _npz(folder, images=np.zeros((900, 1, 1000, 1000), np.uint8)),
    "npz: constant labels": lambda folder: _npz(folder, images=np.zeros((1 << 29, 1, 1), np.uint8)),
    "npz: wide text": lambda folder: _npz(folder, images=some(), labels=np.array(["a" * (1 << 26)] * 4)),
}  # fmt: skip


def _packed(folder: Path) -> Path:
    inner = _tar(lambda: [member("a.png", bytes(300 << 20))])(folder)
    (folder / "b.tar").write_bytes(gzip.compress(inner.read_bytes()))
    inner.unlink()
    return folder / "b.tar"


def _picture(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def _pictures(folder: Path, pictures: list[bytes]) -> Path:
    for number, data in enumerate(pictures):
        into = folder / "set" / "ab"[number % 2]
        into.mkdir(parents=True, exist_ok=True)
        (into / f"{number}.png").write_bytes(data)
    return folder / "set"


def _catalogue(folder: Path, files: list[str], picture: bytes, label: str = "a") -> Path:
    for name in set(files):
        (folder / name).write_bytes(picture)
        if not name.endswith(".png"):
            (folder / name).rename(folder / f"{name}.png")
    lines = [f"{name if name.endswith('.png') else f'{name}.png'},{'b' if row else label}" for row, name in
             enumerate(files)]  # fmt: skip
    (folder / "a.csv").write_text("file,label\n" + "\n".join(lines))
    return folder / "a.csv"


def _npz(folder: Path, **arrays: np.ndarray) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.savez_compressed(folder / "a.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return folder / "a.npz"
