# pyright: reportOptionalOperand=false, reportOptionalIterable=false, reportOptionalSubscript=false
"""What a command line says of images and networks: one meaning in every command, in the order in which it is typed."""

import ast
import re
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image

import robustkit
from robustkit.cli import COMMANDS, group
from robustkit.data import ImageSet, MeanStdStretch
from robustkit.data.preprocess import parse_steps
from robustkit.errors import WARNING, InputError
from robustkit.files import read_json
from robustkit.models import ModelOptions, open_model
from robustkit.models.foreign.architecture import import_named
from robustkit.models.foreign.options import read_card
from tests.models.foreign.networks import CODE, settled

SOURCE = Path(robustkit.__file__).parent


def _options():
    """Every option of every command."""
    found = {}
    for name in COMMANDS:
        for parameter in group.get_command(click.Context(group), name).params:
            found |= dict.fromkeys([*parameter.opts, *parameter.secondary_opts], name)
    return found


def _refusals():
    """The text of every refusal and note, with where it stands."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "InputError",
                "SecurityError",
                "Finding",
            ):
                for part in ast.walk(node):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield f"{path.relative_to(SOURCE)}:{part.lineno}", part.value


# What is said to someone who calls Python, of things that no command takes.
_PYTHON = {"dim", "pickle_protocol", "requires_grad", "weights_only", "write_empty_chunks"}


def test_a_refusal_that_names_an_argument_names_an_option_of_the_command_line():
    options = {name.lstrip("-").replace("-", "_") for name in _options()}
    wrong, seen = [], 0
    for where, text in _refusals():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text):
            seen += 1
            if option not in {**_options(), "--upgrade": "pip"}:
                wrong.append(f"{where}: {option}")
        for argument in re.findall(r"(?<![\w.{'/ ])([a-z_]{2,})=(?![={])|(?<= )([a-z_]{2,})=(?![={\d])", text):
            name = next(filter(None, argument))
            if name not in _PYTHON and name in options:
                wrong.append(f"{where}: {name}= is said, and the option is --{name.replace('_', '-')}")
    assert not wrong
    assert seen > 100


@pytest.mark.parametrize("option", ["--stretch", "--data", "--part", "--seed", "--n", "--values", "--budget"])
def test_an_option_is_of_one_kind_in_every_command(option):
    kinds = {}
    for name in COMMANDS:
        for parameter in group.get_command(click.Context(group), name).params:
            if option in parameter.opts:
                kinds[name] = (type(parameter.type).__name__, parameter.nargs)
    kinds.pop("completion", None)
    assert (
        len({kind.replace("StringParamType", "Names").replace("Path", "Names") for kind, _ in kinds.values()}) == 1
    ), kinds


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.py").write_text(CODE)
    torch.save(settled(import_named("network.py")[0].Galaxies()).state_dict(), "w.pth")
    rng = np.random.default_rng(0)
    for k in range(12):
        folder = tmp_path / "galaxies" / ("elliptical", "merger", "spiral")[k % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40 + k, 60, 3), dtype=np.uint8)).save(folder / f"{k}.jpg")
    return ["--model", "w.pth", "--arch", "network.py:Galaxies", "--data", "galaxies"]


STEPS = {
    "cut, then resampled": ["--crop", "32", "--resize", "16", "16"],
    "resampled, then cut": ["--resize", "24", "--crop", "16", "16"],
    "inverted": ["--resize", "16", "16", "--invert"],
    "padded": ["--resize", "14", "14", "--pad", "1"],
    "as three greys": ["--resize", "16", "16", "--grey", "3"],
}


@pytest.mark.parametrize("steps", STEPS)
def test_steps_are_taken_in_the_order_typed_and_stand_in_the_card(robustkit, foreign, steps):
    given = STEPS[steps]
    code, said, wrong = robustkit("inspect", *foreign, *given, "--stretch", "unit", "--write", "card.toml")
    assert code == 0, wrong
    card = read_card(Path("card.toml"), named=True)
    words = " ".join(f"--{step}" for step in card.preprocess).split()
    assert words == given
    code, said, wrong = robustkit(
        "attack", "--model", "w.pth", "--card", "card.toml", "--data", "galaxies", "--n", "2", "--search", "random",
        "--budget", "20", "--device", "cpu", "--out", "run",
    )  # fmt: skip
    assert code == 0, wrong
    line = next(line for line in said.splitlines() if "in this order" in line)
    order = [line.index(step.words) for step in parse_steps(card.preprocess)]
    assert order == sorted(order)
    assert read_json(Path("run") / "summary.json")["inputs"]["model_options"]["preprocess"] == list(card.preprocess)


def test_a_window_of_a_run_sees_the_images_as_the_attack_did(robustkit, foreign):
    given = [*foreign, "--resize", "16", "16", "--stretch", "unit"]
    attack = ["--n", "6", "--search", "random", "--budget", "30", "--device", "cpu", "--out", "run"]
    assert robustkit("attack", *given, *attack)[0] == 0
    code, _, wrong = robustkit(
        "distances", "--model", "w.pth", "--arch", "network.py:Galaxies", "--run", "run", "--noisy", "gaussian:s3",
        "--draws", "99",
    )  # fmt: skip
    assert code == 0, wrong


def _arrays(path, scale, **more):
    rng = np.random.default_rng(0)
    images = (rng.random((12, 3, 16, 16)) * scale).astype(np.float32)
    np.savez(path, images=np.round(images) if scale > 1 else images, labels=np.arange(12) % 3, **more)


def test_unit_needs_the_range_of_float_images(robustkit, foreign):
    _arrays("f.npz", 255.0)
    given = ["--model", "w.pth", "--arch", "network.py:Galaxies", "--data", "f.npz", "--stretch", "unit"]
    code, said, _ = robustkit("inspect", *given)
    assert code == 2
    assert "say it with --image-range 0 255" in said
    for command, more in (
        ("inspect", []),
        ("attack", ["--n", "2", "--search", "random", "--budget", "20", "--device", "cpu"]),
    ):
        code, said, wrong = robustkit(command, *given, "--image-range", "0", "255", *more)
        assert code == 0, wrong
        assert "0 to 255 becomes 0 to 1" in said


def _set(scale, units="unknown", bounds=None):
    rng = np.random.default_rng(0)
    images = np.round(rng.random((6, 3, 32, 32)) * scale * 100).astype(np.float32) / 100
    return ImageSet(images, np.arange(6) % 3, ("a", "b", "c"), ("R", "G", "B"), np.array(list("uvwxyz")), units, bounds)


@pytest.mark.parametrize(
    ("scale", "options", "stretch", "words"),
    [
        (1.0, {"stretch": "unit"}, (0, 1), "already, so --stretch unit has no effect"),
        (65535.0, {"stretch": "unit", "bounds": (0.0, 65535.0)}, (0, 65535), "0 to 65535 becomes 0 to 1"),
        (255.0, {"mean": (0.5,), "std": (0.25,)}, (0.5, 0.25), f"{WARNING}mean and std are applied to the values as"),
        (255.0, {"mean": (0.5,), "std": (0.25,), "bounds": (0.0, 255.0)}, (127.5, 63.75), "0 to 255 becomes 0 to 1"),
        (255.0, {"mean": (0.0,), "std": (255.0,), "bounds": (0.0, 255.0)}, (0, 255), "those of the values as they are"),
        (30.0, {"mean": (0.5,), "std": (0.9,)}, (0.5, 0.9), "stretch: mean and std are applied to the values as"),
    ],
)
def test_what_a_stretch_does_to_float_values_is_said(foreign, scale, options, stretch, words):
    images = _set(scale, bounds=options.pop("bounds", None))
    made = open_model("w.pth", ModelOptions(arch="network.py:Galaxies", **options), images=images)
    assert made.stretch == MeanStdStretch((float(stretch[0]),) * 3, (float(stretch[1]),) * 3)
    assert [note for note in made.origin.notes if note.startswith(words) or words in note]


@pytest.mark.parametrize(("scale", "bounds"), [(255.0, "0 255"), (60000.0, "0 65535"), (-3.0, "LOW HIGH")])
def test_unit_without_a_range_is_refused_with_a_likely_one(foreign, scale, bounds):
    with pytest.raises(InputError, match=f"--image-range {bounds}"):
        open_model("w.pth", ModelOptions(arch="network.py:Galaxies", stretch="unit"), images=_set(scale))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--images", "x_test", "--labels", "y_test"], "the array 'x_test'"),
        (["--images", "x_test", "--labels", "names.npy"], "labels: from names.npy"),
    ],
)
def test_arrays_are_named_with_options(robustkit, foreign, given, words):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        np.save(f"x_{part}.npy", rng.random((9, 3, 16, 16), dtype=np.float32))
    arrays = {f"x_{part}": np.load(f"x_{part}.npy") for part in ("train", "test")}
    np.savez("many.npz", **arrays, y_train=np.arange(9) % 3, y_test=np.arange(9) % 3)
    np.save("names.npy", np.array(["elliptical", "merger", "spiral"] * 3))
    start = ["--model", "w.pth", "--arch", "network.py:Galaxies", "--data", "many.npz"]
    code, said, _ = robustkit("inspect", *start)
    assert (code, "--images" in said) == (2, True)
    attack = ["--n", "2", "--search", "random", "--budget", "20", "--device", "cpu"]
    code, said, wrong = robustkit("attack", *start, *given, *attack)
    assert code == 0, wrong
    assert words in said


def test_an_own_checkpoint_takes_what_is_said_of_images_and_nothing_else(robustkit, tmp_path, monkeypatch):
    from tests.audits import make_audit

    monkeypatch.chdir(tmp_path)
    model, data = make_audit(tmp_path)
    attack = ["--n", "2", "--search", "random", "--budget", "20", "--device", "cpu", "--part", "all"]
    images = ImageSet.load(data)
    np.savez(
        "two.npz", a=images.images, b=images.images, labels=images.labels, class_names=np.array(images.class_names)
    )
    start = ["attack", "--model", model, "--data", "two.npz", "--bands", "g,r,i"]
    assert robustkit(*start, *attack)[0] == 2
    start = ["attack", "--model", model, "--data", "two.npz"]
    code, _, wrong = robustkit(*start, *attack)
    assert (code, "--images" in wrong) == (2, True)


@pytest.mark.parametrize("command", ["inspect", "attack", "certify", "sweep"])
def test_options_without_effect_are_said_by_every_command(robustkit, foreign, command):
    _arrays("u.npz", 1.0)
    given = [
        "--model",
        "w.pth",
        "--arch",
        "network.py:Galaxies",
        "--data",
        "u.npz",
        "--stretch",
        "unit",
        "--nan",
        "fill",
    ]
    more = {"attack": ["--search", "random", "--budget", "20"], "certify": ["--budget", "20"],
            "sweep": ["--perturb", "gaussian", "--levels", "0.1"], "inspect": []}[command]  # fmt: skip
    device = [] if command == "inspect" else ["--device", "cpu"]
    code, said, wrong = robustkit(command, *given, "--n", "3", *device, *more)
    assert code == 0, wrong
    assert "--stretch unit has no effect" in said
    assert "--nan fill has no effect" in said
