"""Parquet: a column of pictures as Hugging Face stores them, or of arrays, in one file or several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.data.guard import reading
from robustkit.data.readers import pictures
from robustkit.data.readers.found import Found, Frames, Names, Options
from robustkit.data.readers.labels import stated_labels
from robustkit.data.readers.layout import set_layout
from robustkit.data.readers.naming import IDS, LABELS, SPLIT
from robustkit.data.readers.shards import hash_shards, picture_blocks, shard_files, split_of
from robustkit.data.readers.single import SingleImage, in_words
from robustkit.errors import InputError
from robustkit.extras import require

_KIND = "a Parquet file"
_ROWS = 64  # at once; pages are decompressed whole in any case
_IMAGES = ("image", "images", "img", "picture")


@dataclass(frozen=True)
class _Table:
    """Parquet files that are read as one table."""

    files: list[Path]
    schema: Any
    counts: list[int]

    def column(self, name: str) -> Iterator[Any]:
        """A column in parts, as Arrow arrays without missing values."""
        import pyarrow.parquet as pq

        for file in self.files:
            with reading(file, _KIND), pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(_ROWS, columns=[name]):
                    values = batch.column(0)
                    if values.null_count:
                        raise InputError(f"{values.null_count} values of {name!r} in {file.name} are missing")
                    yield values

    def values(self, name: str) -> np.ndarray:
        """A column of numbers or names in memory, shape (N,)."""
        found = [value for part in self.column(name) for value in part.to_pylist()]
        return np.array(found)


def read_parquet(path: Path, options: Options) -> Found:
    """Finds the images of a Parquet file, or of all Parquet files of a folder.

    Args:
        path: The file or the folder.
        options: `images`, `labels` and `ids` name columns.

    Raises:
        InputError: If a file is damaged, the files differ in their columns, or none holds images.
        MissingExtra: If pyarrow is not installed.
    """
    require("pyarrow.parquet", extra="parquet", purpose="read Parquet files")
    table = _open(shard_files(path, ".parquet"))
    count = sum(table.counts)
    if count == 0:
        raise InputError(f"{path} holds no rows; expected an image in each")
    column = _image_column(table, options, path)
    names = Names(count, lambda index: f"image {index} of {path.name}")
    kind = table.schema.field(column).type
    notes = [f"images: the column {column!r} of {len(table.files)} Parquet files, {count} rows of {kind}"]
    stated = options.labels if isinstance(options.labels, str) else None
    labels = None if isinstance(options.labels, np.ndarray) else _first(table, stated, LABELS, notes, "labels")
    ids, split = _first(table, options.ids, IDS, notes, "ids"), _first(table, None, SPLIT, notes, "split")
    found = Found(
        frames=Frames(names, lambda _: iter(())),
        labels=None if labels is None else table.values(labels),
        class_names=_class_names(table.schema, labels),
        ids=None if ids is None else table.values(ids),
        split=split_of(table.files, table.counts) if split is None else table.values(split),
        notes=notes,
    )
    if labels is None:
        found.labels = stated_labels(options, notes, found.provenance)
        if found.labels is None:
            notes.append(f"labels: none found among {', '.join(table.schema.names)}")
    found.frames = (
        _pictures(table, column, names, found) if _encoded(kind) else _arrays(table, column, names, options, notes)
    )
    hash_shards(found, path, table.files)
    return found


def _open(files: Sequence[Path]) -> _Table:
    """The files as one table; all must have the columns of the first."""
    import pyarrow.parquet as pq

    schema, counts = None, []
    for file in files:
        with reading(file, _KIND), pq.ParquetFile(file) as opened:
            if schema is None:
                schema = opened.schema_arrow
            elif opened.schema_arrow.remove_metadata() != schema.remove_metadata():
                raise InputError(f"{file.name} has other columns than {files[0].name}; give files of one set")
            counts.append(opened.metadata.num_rows)
    return _Table(list(files), schema, counts)


def _image_column(table: _Table, options: Options, path: Path) -> str:
    able = [field.name for field in table.schema if _encoded(field.type) or _depth(field.type)[0] >= 2]
    if options.images is not None:
        if options.images not in able:
            raise InputError(f"{path} has no column {options.images!r} of images; it has {_listed(table.schema)}")
        return options.images
    usual = able if len(able) == 1 else [name for name in _IMAGES if name in able][:1]
    if not usual:
        several = f"several columns could be the images ({', '.join(able)}); name one with --images"
        raise InputError(f"{path}: {several}" if able else f"{path} holds no images; it holds {_listed(table.schema)}")
    return usual[0]


def _listed(schema: Any) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema) or "nothing"


def _first(table: _Table, stated: str | None, usual: Sequence[str], notes: list[str], what: str) -> str | None:
    """The column that was named, unless it is a file, or the first of the usual ones."""
    if stated is not None and stated not in table.schema.names and not stated.endswith(".npy"):
        raise InputError(f"there is no column {stated!r}; there are {', '.join(table.schema.names)}")
    names = usual if stated is None else (stated,)
    name = next((name for name in names if name in table.schema.names), None)
    if name is not None:
        notes.append(f"{what}: the column {name!r}")
    return name


def _class_names(schema: Any, labels: str | None) -> tuple[str, ...] | None:
    """The names of the classes, where Hugging Face wrote them beside the schema."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None or labels is None:
        return None
    try:
        names = json.loads(text)["info"]["features"][labels]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) and names else None


def _encoded(kind: Any) -> bool:
    """Whether a column holds the bytes of pictures: binary, or a struct with `bytes`."""
    import pyarrow.types as types

    if types.is_struct(kind):
        return "bytes" in [kind.field(i).name for i in range(kind.num_fields)] and _encoded(kind.field("bytes").type)
    return types.is_binary(kind) or types.is_large_binary(kind)


def _depth(kind: Any) -> tuple[int, Any]:
    """How deep lists of numbers are nested, and the type of the numbers; 0 for anything else."""
    import pyarrow as pa
    import pyarrow.types as types

    if isinstance(kind, pa.FixedShapeTensorType):
        return len(kind.shape), kind.value_type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        depth, value = _depth(kind.value_type)
        number = types.is_integer(value) or types.is_floating(value) or types.is_boolean(value)
        return (depth + 1, value) if number else (0, value)
    return 0, kind


def _pictures(table: _Table, column: str, names: Names, found: Found) -> Frames:
    """Frames of pictures that are decoded one by one."""
    import pyarrow.types as types

    def images() -> Iterator[SingleImage]:
        place = 0
        for part in table.column(column):
            for value in part.field("bytes") if types.is_struct(part.type) else part:
                if not value.is_valid:
                    raise InputError(f"{names[place]} names a file and holds no bytes; store the pictures themselves")
                yield pictures.read_picture(value.as_py(), names[place])
                place += 1

    first = next(images())
    found.bands, found.units, found.bounds = first.bands, first.units, first.bounds
    found.notes.append(f"images: the first is a {in_words(first)}, {first.pixels.dtype.name}")
    return Frames(names, lambda _: picture_blocks(images(), names, first, found))


def _arrays(table: _Table, column: str, names: Names, options: Options, notes: list[str]) -> Frames:
    """Frames of nested lists of numbers, all of one shape."""
    first = _unnested(next(table.column(column)), names[0])
    layout = set_layout((len(names), *first.shape[1:]), options, repr(column))
    notes.append(layout.note)

    def blocks(_: int | None) -> Iterator[np.ndarray]:
        place = 0
        for part in table.column(column):
            values = _unnested(part, names[place])
            if values.shape[1:] != first.shape[1:]:
                raise InputError(f"{names[place]} has shape {values.shape[1:]} and {names[0]} has {first.shape[1:]}")
            yield layout.apply(values)
            place += len(values)

    return Frames(names, blocks)


def _unnested(values: Any, name: str) -> np.ndarray:
    """Nested lists of equal lengths as an array (n, ...)."""
    import pyarrow as pa

    if isinstance(values, pa.FixedShapeTensorArray):
        return values.to_numpy_ndarray()
    shape = [len(values)]
    while hasattr(values.type, "value_type"):
        lengths = np.unique(values.value_lengths().to_numpy(zero_copy_only=False))
        if len(lengths) != 1:
            raise InputError(f"the images from {name} on have sides of several lengths; give arrays of one shape")
        shape.append(int(lengths[0]))
        values = values.flatten()
        if values.null_count:
            raise InputError(f"some pixels from {name} on are missing; expected numbers")
    return values.to_numpy(zero_copy_only=False).reshape(shape)
