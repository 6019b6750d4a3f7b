"""What was measured, with the settings that made it: arrays and JSON in one .npz, never a pickle."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from robustkit.errors import InputError
from robustkit.files import atomic_write

_HEADER = "__record__"


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """Base of everything that is measured and saved.

    A subclass is a frozen dataclass whose fields are NumPy arrays or JSON values. Its class name is its `kind`.

    Attributes:
        version: Raised when the fields change their meaning; another version is refused on loading.
    """

    version: ClassVar[int] = 1

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the record to one .npz file, atomically.

        Raises:
            TypeError: If a field is neither an array nor a JSON value.
        """
        arrays: dict[str, np.ndarray] = {}
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                if value.dtype == object:
                    raise TypeError(
                        f"field {field.name!r} of {type(self).__name__} is an object array; use numbers or str"
                    )
                arrays[field.name] = value
            else:
                values[field.name] = value
        header = json.dumps({"kind": type(self).__name__, "version": self.version, "values": values}, sort_keys=True)
        path = Path(path)
        with atomic_write(path) as file:
            np.savez(file, **{_HEADER: np.array(header), **arrays})  # type: ignore[arg-type]
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a record of this kind.

        Raises:
            InputError: If the file is missing, damaged, of another kind or version, or lacks a field.
        """
        try:
            # Opened here, because NumPy leaves the file open when the archive inside is damaged.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                content = {name: archive[name] for name in archive.files}
            header = json.loads(str(content.pop(_HEADER)))
            kind, version, values = header["kind"], header["version"], header["values"]
        except OSError as error:
            raise InputError(f"cannot read the record {path}: {error.strerror or error}") from error
        except Exception as error:  # zipfile, numpy and json each raise their own kinds on a damaged file
            raise InputError(f"{path} is not a readable robustkit record ({error}); make it again") from error
        if (kind, version) != (cls.__name__, cls.version):
            raise InputError(
                f"expected a {cls.__name__} record of version {cls.version} in {path}, "
                f"found {kind} of version {version}; make it again with this robustkit"
            )
        names = {field.name for field in dataclasses.fields(cls)}
        if names != set(content) | set(values):
            missing, extra = sorted(names - set(content) - set(values)), sorted((set(content) | set(values)) - names)
            raise InputError(f"the {kind} record in {path} lacks {missing} and has unknown {extra}; make it again")
        return cls(**content, **values)
