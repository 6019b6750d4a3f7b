"""Hostile inputs through whole commands, damaged files through everything that reads one, and kills."""

import itertools
import warnings

import pytest

from tests import kills
from tests.fuzz_files import image_targets, read_back_targets
from tests.fuzz_models import fuzz
from tests.security.strangers import FAMILIES, World, main, tried

GOOD = ("refused", "ran", "not made")


def test_some_of_each_kind_of_hostile_input_end_in_words(tmp_path):
    world = World.build(tmp_path / "world")
    wrong = []
    for family in FAMILIES:
        attacks = list(family(world))
        for number, attack in enumerate(itertools.islice(attacks, 3, None, max(1, len(attacks) // 3))):
            folder = tmp_path / f"{family.__name__}{number}"
            folder.mkdir()
            outcome = tried(attack, folder)
            if outcome.word not in GOOD:
                wrong.append((attack.name, outcome))
    assert wrong == []


@pytest.mark.slow
def test_every_hostile_input_ends_in_words():
    assert main() == 0


def test_damaged_image_sets_and_small_files_are_refused_in_words(tmp_path):
    targets = image_targets(tmp_path / "images")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = fuzz(tmp_path, seconds=3, seed=2, most=120, targets=targets)
    assert not [kind for kind in counts if kind.startswith("FAILED")]


@pytest.mark.slow
def test_damaged_files_that_are_read_back_are_refused_in_words(tmp_path):
    targets = read_back_targets(tmp_path / "back")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = fuzz(tmp_path, seconds=60, seed=3, targets=targets)
    assert not [kind for kind in counts if kind.startswith("FAILED")]


@pytest.mark.slow
def test_commands_that_are_killed_go_on_to_what_they_would_have_left(tmp_path):
    said = []
    assert kills.run(23, tmp_path, seed=1, say=said.append) == 0, said
