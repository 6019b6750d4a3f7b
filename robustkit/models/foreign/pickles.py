"""Tensors out of PyTorch's pickles: its restricted reader, and nothing that a file names is imported or called."""

from __future__ import annotations

import io
import pickletools
import re
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import torch

from robustkit.data.guard import brief
from robustkit.errors import InputError, SecurityError
from robustkit.models.foreign.archive import MOST_PICKLE_BYTES, check_archive
from robustkit.models.foreign.kinds import LEGACY, TORCH, Kind
from robustkit.models.foreign.pickled_modules import may_stand, record_of, weights_of, without_sources

# The first release without a known hole in weights_only=True (CVE-2026-24747).
LEAST_TORCH = (2, 10)
# Each step takes microseconds: a file may have so many, and one more for so many of its bytes.
_STEPS, _BYTES_PER_STEP = 200_000, 40
# Pickles before the weights in the form before 1.6: number, version, system, object, keys.
_LEGACY_PICKLES = 5

# Bookkeeping that training scripts leave beside the weights: it is skipped, and nothing of it is imported.
_SKIPPED = re.compile(
    r"argparse\.Namespace|pathlib\.\w*Path|pathlib\._local\.\w*Path|datetime\.\w+|collections\.defaultdict"
    r"|functools\.partial|(copyreg|copy_reg)\._reconstructor|uuid\.UUID|decimal\.Decimal|fractions\.Fraction"
    r"|(builtins|__builtin__)\.(object|dict|set|frozenset|slice|range|complex|int|float|bool|str|list|tuple|bytes|bytearray|type)"
    r"|(numpy|omegaconf|pytorch_lightning|lightning|lightning_fabric|lightning_utilities|torchmetrics|yacs|addict"
    r"|easydict|ml_collections|torch\.optim)\..+"
)
# Dictionaries of these kinds are filled by the file, so an ordinary one takes their place.
_DICTIONARIES = re.compile(
    r".*\.(AttributeDict|EasyDict|CfgNode|ConfigDict)|(builtins|__builtin__)\.dict|addict\..*Dict"
)
# What PyTorch's own reader knows or refuses by itself.
_KNOWN = re.compile(r"torch\..+|collections\.(OrderedDict|Counter)|_codecs\.encode|__builtin__\.(set|bytearray)")
# Names of plain tensors and containers, which a record must never replace.
_PLAIN = frozenset({"collections.OrderedDict", "collections.Counter", "torch.nn.parameter.Parameter"})


class Skipped:
    """Stands where the file had an object of a kind that is not opened."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Skipped:  # noqa: D102
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _dictionary(*factory: Any) -> dict[Any, Any]:
    return {}


def _stand_in(name: str) -> Any:
    """What takes the place of a kind of object that is not opened."""
    if name == "collections.defaultdict":
        return _dictionary  # torch fills what a function gave only if it is a plain dict
    return OrderedDict if _DICTIONARIES.fullmatch(name) else Skipped


def check_torch() -> None:
    """Refuses a PyTorch whose restricted reader can be broken.

    Raises:
        SecurityError: If it is older than 2.10.
    """
    found = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if found < LEAST_TORCH:
        raise SecurityError(
            f"PyTorch {torch.__version__} is installed, and before 2.10 a crafted checkpoint can run code even when "
            "only weights are read (CVE-2026-24747); run: pip install --upgrade 'torch>=2.10'"
        )


def globals_of(path: Path, kind: Kind) -> list[str]:
    """The names of code that the pickles of a file mention, found without running them.

    Raises:
        InputError: If the file is damaged.
        SecurityError: If it is no plain archive.
    """
    if kind is TORCH:
        pickles = io.BytesIO(check_archive(path))
        count = 1
    else:
        with open(path, "rb") as file:
            pickles = io.BytesIO(file.read(MOST_PICKLE_BYTES))
        count = _LEGACY_PICKLES if kind is LEGACY else 1
    names: set[str] = set()
    size = path.stat().st_size
    left = _STEPS + size // _BYTES_PER_STEP
    try:
        for _ in range(count):
            strings: list[str] = []
            for opcode, argument, _position in pickletools.genops(pickles):
                left -= 1
                if left < 0:
                    raise SecurityError(
                        f"{path} has more steps in its pickle than {size:,} bytes of weights need; do not use it"
                    )
                if opcode.name in ("GLOBAL", "INST"):
                    names.add(str(argument).replace(" ", ".", 1))
                elif opcode.name == "STACK_GLOBAL":
                    names.add(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except SecurityError:
        raise
    except Exception as error:  # genops raises many kinds on random bytes
        raise InputError(
            f"{path} is not readable as {kind.name} ({brief(error)}); it is truncated or damaged, so fetch it again"
        ) from error
    return sorted(names)


def read_pickled(path: Path, kind: Kind) -> tuple[Any, list[str], tuple[str, ...]]:
    """What torch.save wrote, as tensors and plain values on the CPU.

    Args:
        path: The file.
        kind: `TORCH` or `LEGACY`.

    Returns:
        The content with a state_dict in the place of each network, the kinds of objects that were skipped, and the
        classes of the networks.

    Raises:
        SecurityError: If the file names code that would have to run.
        InputError: If the file is damaged.
    """
    check_torch()
    names = globals_of(path, kind)
    skipped = [name for name in names if _SKIPPED.fullmatch(name)]
    strange = [name for name in names if name not in skipped and not _KNOWN.fullmatch(name)]
    if not all(map(may_stand, strange)):
        raise _refusal(path, strange)
    layers = [name for name in names if name not in skipped and name not in _PLAIN and may_stand(name)]
    modern = {name: name.replace("__builtin__.", "builtins.").replace("copy_reg.", "copyreg.") for name in skipped}
    stand_ins: Any = [(_stand_in(name), spelled) for name in skipped for spelled in {name, modern[name]}]
    stand_ins += [(record_of(name), name.replace("__builtin__.", "builtins.")) for name in layers]
    try:
        # An open file, because torch.load goes by some endings of names.
        with (
            torch.serialization.safe_globals(stand_ins),
            warnings.catch_warnings(),
            _opened(path, kind, layers) as file,
        ):
            warnings.simplefilter("ignore")  # of pickle protocols and of storages in old files
            # Written out, because an environment variable can switch the default off.
            value = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a file that is not its own
        code = re.search(r"GLOBAL ([\w.]+)|reduce for unrecognized function|Can only (create|build)", str(error))
        if code:
            raise _refusal(path, [code[1]] if code[1] else names) from error
        if "Unsupported operand" in str(error):
            raise InputError(
                f"{path} was saved with another pickle protocol than PyTorch's own, which is 2; save it again with "
                "torch.save and without pickle_protocol="
            ) from error
        raise InputError(
            f"{path} is not readable as {kind.name} ({brief(error)}); it is truncated or damaged, so fetch it again"
        ) from error
    value, classes = weights_of(value)
    if strange and not classes:
        raise _refusal(path, strange)
    return value, skipped, classes


def _opened(path: Path, kind: Kind, layers: list[str]) -> BinaryIO:
    """The file, or a copy of it in the form that PyTorch's restricted reader takes."""
    if kind is not LEGACY or not layers:
        return open(path, "rb")
    data = path.read_bytes()
    stream = io.BytesIO(data)
    ends = [0]
    for _ in range(_LEGACY_PICKLES):
        for _step in pickletools.genops(stream):
            pass
        ends.append(stream.tell())
    start, end = ends[3], ends[4]  # after the number, the version and the system comes the object
    return io.BytesIO(data[:start] + without_sources(data[start:end]) + data[end:])


def _refusal(path: Path, names: list[str]) -> SecurityError:
    shown = ", ".join(name[:80] for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return SecurityError(
        f"{path} holds Python objects ({shown}), and opening them could run code from the file; ask for a plain "
        "state_dict or .safetensors file, or name its SHA-256 with --trust-checkpoint if you wrote it yourself"
    )
