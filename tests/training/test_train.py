from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.models import open_checkpoint
from robustkit.training import Settings, train
from tests.training.worlds import squares

QUICK = Settings(epochs=6, batch=16)


def test_one_seed_gives_the_same_weights_bit_for_bit(tmp_path):
    first, second = (train(squares(), out=tmp_path / name / "a.pt", settings=QUICK) for name in "ab")
    for one, two in zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_the_checkpoint_says_what_an_audit_needs(tmp_path):
    folder = squares().save(tmp_path / "squares")
    train(folder, out=tmp_path / "models" / "a.pt", settings=QUICK)
    card = open_checkpoint(tmp_path / "models" / "a.pt").card
    assert card.data["relative"] == "../squares"
    assert card.data["path"] == str(folder.resolve())
    split = card.data["split"]
    assert sorted(split["train"] + split["valid"] + split["test"]) == sorted(f"object {i}" for i in range(90))
    assert card.training["class_weights"] == pytest.approx([1, 1, 1])
    assert len(card.input_range) == 3
    assert all(0 <= low < high <= 1 for low, high in card.input_range)


def test_the_checkpoint_says_what_each_class_weighed(tmp_path):
    images = squares()
    few = images.select(np.flatnonzero((images.labels > 0) | (np.arange(90) < 60)))  # 20, 30 and 30 images
    trained = train(few, out=tmp_path / "a.pt", settings=replace(QUICK, epochs=1))
    learned = few.labels[few.positions(trained.card.data["split"]["train"])]
    counts = np.bincount(learned)
    assert counts[0] < counts[1]
    assert trained.card.training["class_weights"] == pytest.approx((len(learned) / (3 * counts)).tolist())


def test_a_network_learns_squares(tmp_path):
    trained = train(squares(), out=tmp_path / "a.pt", settings=replace(QUICK, epochs=15))
    assert trained.card.training["figures"]["valid_balanced_accuracy"] > 0.9
