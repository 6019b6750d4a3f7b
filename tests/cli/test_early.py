"""A command line that names what is not there is refused before anything heavy is imported."""

import json
import os
import shlex
import subprocess
import sys

import click
import pytest

from robustkit.cli import COMMANDS, GROUPS, group
from robustkit.cli.examples import EXAMPLES
from robustkit.cli.names import LETTERS, NUMBERS
from tests.inventory import offered

# Every command with a wrong file, name or value, and what it is told; they are run in the folder of `refusals`.
REFUSED = [
    ("audit", "name a checkpoint with --model"),
    ("audit nowhere.toml", "cannot read nowhere.toml as an audit file"),
    ("audit misspelt.toml", "unknown perturbation 'exposre'; did you mean 'exposure'?"),
    ("audit unsearched.toml", "unknown search 'dee'; did you mean 'de'?"),
    ("audit -m nte.onnx", "expected a checkpoint file at nte.onnx, but it does not exist; did you mean net.onnx?"),
    ("audit -m junk.pt", "junk.pt is of no kind that robustkit opens"),
    ("audit -m net.onnx --base nowhere.pt", "expected a checkpoint file at nowhere.pt"),
    ("audit -m net.onnx -d imges", "no such file or folder: imges (expected images); did you mean images?"),
    ("audit -m net.onnx --require flips<1", "unknown number 'flips' in the gate 'flips<1'"),
    ("audit -m net.onnx --require flip_rat<1", "did you mean 'flip_rate'?"),
    ("audit -m net.onnx --baseline nowhere.json", "cannot read nowhere.json as an audit.json"),
    ("audit -m net.onnx -o images", "images already holds files"),
    ("audit -m net.onnx -o junk.pt", "junk.pt is a file"),
    ("plan --pilot nowhere", "expected an audit at nowhere"),
    ("plan --perturbations 0", "--perturbations must be at least 1, got 0"),
    ("report nowhere", "expected the folder of an audit, but there is no folder nowhere"),
    ("report audit --journal mnra", "unknown journal 'mnra'; did you mean 'mnras'?"),
    ("report images", "there is no audit.toml in images"),
    ("compare images nowhere", "expected the folder of an audit"),
    ("attack -m nowhere.pt", "expected a checkpoint file at nowhere.pt"),
    ("attack -m net.onnx --search luk", "unknown search 'luk'"),
    ("attack -m net.onnx --values hots", "unknown values 'hots'; did you mean 'hot'?"),
    ("attack -m net.onnx --values grid:", "'grid:' needs something after its colon"),
    ("attack -m net.onnx --budget 0", "--budget must be at least 1, got 0"),
    ("attack -m net.onnx --mean 1", "--mean and --std belong together"),
    ("attack -m net.onnx --arch nowhere.py:Net", "there is no file nowhere.py"),
    ("attack -m net.onnx --threshold 2", "--threshold must be between 0 and 1, got 2"),
    ("attack -m net.onnx --workers 2 --dask tcp://a:1", "--workers and --dask exclude each other"),
    ("attack -m net.onnx --shard 4/3", "shard 4/3 does not exist"),
    ("attack -m net.onnx --device gpu", "unknown device 'gpu'; did you mean 'cuda'?"),
    ("attack -m net.onnx --preset papr", "unknown preset 'papr'; did you mean 'paper'?"),
    ("attack -m net.onnx -o images", "images already holds files"),
    ("attack -m net.onnx --values grid:x", "expected a number after grid:, as in grid:3; got 'x'"),
    ("compare past", "expected 2 to 30 audits to compare, got 1"),
    ("export -m net.onnx", "name a file to write with --onnx or --torchscript"),
    ("export -m net.onnx --onnx junk.pt", "junk.pt exists and nothing is overwritten; name another with --onnx"),
    ("repair -m net.onnx -o junk.pt", "junk.pt exists and nothing is overwritten; name another with --out"),
    ("repair -m net.onnx -o x.pt --front joint:five", "expected a number after joint:, as in joint:3; got 'five'"),
    ("inspect -m net.onnx --write junk.pt", "junk.pt exists and nothing is overwritten; name another with --write"),
    ("certify -m net.onnx --values corner", "did you mean 'corners'?"),
    ("hazard -m net.onnx --fault cosmic-rays", "did you mean 'cosmic-ray'?"),
    ("sweep -m net.onnx --perturb psff", "did you mean 'psf'?"),
    ("sweep -m net.onnx --suite lst", "unknown suite 'lst'; did you mean 'lsst'?"),
    ("sweep -m net.onnx", "name perturbations with --perturb"),
    ("window -m net.onnx --run nowhere", "expected the folder of a run, but there is no folder nowhere"),
    ("window -m net.onnx --run run --x noize", "unknown axis 'noize'; did you mean 'noise'?"),
    ("window -m net.onnx --run run --extent 0", "--extent must be above 0, got 0"),
    ("isomap -m net.onnx --run run --also tnse", "unknown map 'tnse'; did you mean 'tsne'?"),
    ("isomap -m net.onnx --run run -o images", "images already holds files"),
    ("distances -m net.onnx --run run --draws 5", "--draws must be at least 99, got 5"),
    ("merge images -o whole", "there is no manifest.json in images"),
    ("predict -m nowhere.pt -d images -o y.csv", "expected a checkpoint file at nowhere.pt"),
    ("flag -m nowhere.pt -d images -o y.csv", "expected a checkpoint file at nowhere.pt"),
    ("inspect -m nowhere.pt", "expected a checkpoint file at nowhere.pt"),
    ("inspect -m net.onnx -n 0", "--n must be at least 1, got 0"),
    ("repair -m nowhere.pt -o x.pt", "expected a checkpoint file at nowhere.pt"),
    ("repair -m net.onnx -o x.pt --front clp", "unknown front end 'clp'; did you mean 'clip'?"),
    ("export -m net.onnx -d nowhere --onnx x.onnx", "no such file or folder: nowhere"),
    ("simulate --survey lst", "unknown survey 'lst'; did you mean 'lsst'?"),
    ("simulate --years 0", "--years must be above 0, got 0.0"),
    ("train -o x.pt", "expected either --data, or --source"),
    ("train -d images -o x.pt --method mmdd", "unknown method 'mmdd'; did you mean 'mmd'?"),
    ("train -d images -o x.pt --epochs 0", "--epochs must be at least 1, got 0"),
    ("search -d nowhere -o trials", "no such file or folder: nowhere"),
    ("search -d images -o trials --trials 0", "--trials must be at least 1, got 0"),
    ("evaluate -m nowhere.pt", "expected a checkpoint, or a folder of them, at nowhere.pt"),
    ("evaluate -m net.onnx --part tset", "unknown part 'tset'; did you mean 'test'?"),
    ("reproduce ad23", "unknown paper 'ad23'; did you mean 'ad22'?"),
    ("reproduce ad22 --scale tinny", "did you mean 'tiny'?"),
    ("doctor --atack", "Did you mean '--attack'?"),
    ("completion tcsh", "'tcsh' is not one of"),
    ("help atack", "unknown command 'atack'; did you mean 'attack'?"),
    ("atack", "unknown command 'atack'; did you mean 'attack'?"),
]

# Runs command lines one after another, and says after each what was said and what had been imported.
_RUN = """
import contextlib, io, json, sys
from robustkit.cli import main
heavy, said = ("torch", "scipy", "sklearn", "matplotlib", "plotly"), []
for arguments in json.loads(sys.argv[1]):
    stream, status = io.StringIO(), None
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            main(arguments)
        except SystemExit as end:
            status = end.code
    said.append([status, stream.getvalue(), [name for name in heavy if name in sys.modules]])
print(json.dumps(said))
"""


def _command(name):
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return command


def _together(lines, folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = json.dumps([shlex.split(line) for line in lines])
    done = subprocess.run(
        [sys.executable, "-c", _RUN, words], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("early")
    (folder / "net.onnx").write_bytes(b"\x08\x09\x12\x07pytorch" + bytes(64))
    (folder / "junk.pt").write_text("hello " * 100)
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(b"a")
    (folder / "run").mkdir()
    (folder / "past").mkdir()
    (folder / "past" / "audit.toml").write_text('model = "net.onnx"\n')
    (folder / "run" / "manifest.json").write_text("{}")
    (folder / "misspelt.toml").write_text('model = "net.onnx"\n[sweep]\nperturbations = ["exposre"]\n')
    (folder / "unsearched.toml").write_text('model = "net.onnx"\n[attack]\nsearches = ["dee"]\n')
    return dict(zip(REFUSED, _together([line for line, _ in REFUSED], folder), strict=True))


@pytest.mark.parametrize("case", REFUSED, ids=[line for line, _ in REFUSED])
def test_what_is_wrong_is_said_before_anything_heavy_is_imported(refusals, case):
    status, said, imported = refusals[case]
    assert status == 2, said
    assert case[1] in said
    assert imported == []


def test_every_command_is_among_the_refused():
    assert {line.split()[0] for line, _ in REFUSED} >= set(COMMANDS)


def test_help_of_every_command_imports_nothing_heavy(tmp_path):
    for status, said, imported in _together([f"{name} --help" for name in COMMANDS], tmp_path):
        assert status == 0, said
        assert imported == []
        assert "\nExamples:\n  robustkit " in said
        assert said.endswith("\n")


def test_the_commands_stand_in_groups_with_the_audit_first(robustkit):
    status, said, _ = robustkit("--help")
    assert status == 0
    headings = [line.rstrip(":") for line in said.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options", *GROUPS]
    assert said.index("\n  audit ") < min(said.index(f"\n  {name} ") for name in COMMANDS if name != "audit")
    assert robustkit("help") == (0, said, "")


def test_help_of_a_command_is_that_of_its_option(robustkit):
    assert robustkit("help", "audit") == robustkit("audit", "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_command_lines(name):
    assert 2 <= len(EXAMPLES[name]) <= 3
    for line in EXAMPLES[name]:
        first, *words = shlex.split(line.partition(" > ")[0])
        assert first == name
        _command(name).make_context(name, words)  # which parses them, and looks at no file


def test_letters_stand_for_the_same_in_every_command():
    for name in COMMANDS:
        for option in _command(name).params:
            short = [word for word in option.opts if len(word) == 2 and word.startswith("-")]
            assert short in ([], [LETTERS.get(option.opts[0])]), (name, option.opts)


def test_the_numbers_of_gates_are_those_of_audits():
    assert set(NUMBERS) == set(offered()["metrics"])
