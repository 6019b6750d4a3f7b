"""Decisions, numbers and ensembles that do not fit: each is refused by a command in one sentence."""

import numpy as np
import pytest
import torch

from tests.cli.forms import making

VOTES = ("--classes", "a,b,c,d,e", "--output-kind", "votes")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Checkpoints and images of several kinds, in one folder."""
    folder = tmp_path_factory.mktemp("refused")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        images = making.pictures()
        nets = {"one": ("Net", 1), "two": ("Net", 2), "three": ("Net", 3), "votes": ("Votes", 5), "seven": ("Net", 7)}
        for name, (kind, outputs) in nets.items():
            torch.save(making.made(kind, images, outputs).state_dict(), f"{name}.pt")
        torch.save(making.made("Plain", making.pictures(3, 16), 3, size=16).state_dict(), "large.pt")
        torch.save(making.made("Net", making.pictures(4), 3).state_dict(), "four.pt")
        making.code("Net")
        for name, labels in {
            "names": np.array(["bogus", "real"] * 6), "numbers": np.linspace(0.1, 1, 12), "broken": np.full(12, np.nan),
            "classes": np.arange(12) % 3, "five": np.arange(12) % 5,
        }.items():  # fmt: skip
            np.savez(f"{name}.npz", images=images, labels=labels)
    return folder


def arch(outputs, kind="Net"):
    return ("--arch", f"nets.py:{kind}", "--arch-kwargs", f"outputs = {outputs}")


REFUSED = [
    ("one", "numbers", (*arch(1), "--tolerance", "0"), "--tolerance must be above 0, got 0"),
    ("one", "numbers", (*arch(1), "--tolerance", "-0.1(1+z)"), "--tolerance must be above 0, got -0.1"),
    ("one", "numbers", (*arch(1), "--tolerance", "wide"), "expected --tolerance as '0.1' or '0.15(1+z)', got 'wide'"),
    ("one", "numbers", (*arch(1), "--tolerance", "0.15(1+y)"), "expected --tolerance as '0.1' or '0.15(1+z)'"),
    ("one", "names", (*arch(1), "--tolerance", "0.1"), "labels that are finite numbers, and these are names"),
    ("one", "broken", (*arch(1), "--tolerance", "0.1"), "labels that are finite numbers"),
    ("two", "numbers", (*arch(2), "--tolerance", "0.1"), "this one has 2 outputs; choose one with --output-index"),
    ("one", "numbers", (*arch(1), "--tolerance", "0.1", "--classes", "a,b"), "--classes for one of classes; omit one"),
    ("one", "numbers", (*arch(1), "--tolerance", "0.1", "--threshold", "0.5"), "--threshold and --tolerance each say"),
    ("one one", "numbers", (*arch(1), "--tolerance", "0.1"), "--model A B for one of classes"),
    ("one", "numbers", (*arch(1), "--tolerance", "0.1", "--output-kind", "sigmoid"), "--output-kind for one of"),
    ("one", "numbers", arch(1), "labels are float64 and not whole numbers; expected one class per image"),
    ("one", "names", (*arch(1), "--threshold", "0.9999999"), "give a threshold that the scores reach"),
    ("one", "names", (*arch(1), "--threshold", "1.5"), "--threshold must be between 0 and 1"),
    ("three", "classes", (*arch(3), "--threshold", "0.5"), "cuts the score of one of two classes, and there are 3"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES, "--question", "a,b; b,c; ..."), "names 'b' twice"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES, "--question", "a,b; c,d"), "leaves out the outputs e"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES, "--question", "a,b,f"), "names 'f', which is no output"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES[2:], "--question", "a,b"), "name all of them with --classes"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES, "--question", "a,b,c: a>1.5; ..."), "must be between 0 and 1"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES, "--question", "a>0.5>0.4"), "expected a cut as 'name>0.5'"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES, "--question", ";"), "expected --question as 'a,b,c' or 'a>0.5'"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES, "--question", "a"), "gives a question 1 answers"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES, "--question", "a,b; a>0.5"), "names 'a' twice"),
    ("votes", "five", (*arch(5, "Votes"), *VOTES, "--question", "a,b,c: a>0.999; ..."), "give a threshold that the"),
    ("three", "classes", (*arch(3), "--output-kind", "votes"), "outputs are below 0, so they are no votes"),
    ("seven", "classes", (*arch(7), "--classes", "a,b,c,d,e,f,g", "--multi-label"), "takes 2 to 6 labels"),
    ("three four", "classes", arch(3), "four.pt do not fit Net"),
    ("one", "numbers", (*arch(1), "--tolerance", "inf"), "expected --tolerance as '0.1' or '0.15(1+z)'"),
    ("one", "names", (*arch(1), "--threshold", "nan"), "--threshold must be between 0 and 1, got nan"),
    ("three", "classes", (*arch(3), "--classes", "a,b", "--multi-label"), "is of 2 outputs and the network has 3"),
    ("three two", "classes", arch(3), "two.pt"),
    ("three large", "classes", arch(3), "large.pt"),
]  # fmt: skip


@pytest.mark.parametrize(("models", "data", "options", "words"), REFUSED, ids=[row[3] for row in REFUSED])
def test_what_does_not_fit_is_refused_in_one_sentence(robustkit, files, monkeypatch, models, data, options, words):
    monkeypatch.chdir(files)
    given = [f"{name}.pt" for name in models.split()]
    out = ("--out", "attack", "--n", 4, "--device", "cpu")
    code, _, wrong = robustkit("attack", "--model", *given, "--data", f"{data}.npz", *making.BOUNDS, *options, *out)
    assert code == 2
    assert words in wrong
    said = [line for line in wrong.splitlines() if not line.startswith("robustkit: running")]
    assert len(said) == 1
    assert said[0].startswith("robustkit: ")
