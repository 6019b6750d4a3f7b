import numpy as np
import pytest
import torch

from robustkit.training import holding
from robustkit.training.domains import PartTensors
from robustkit.training.feed import Feed, order
from robustkit.training.holding import hold
from robustkit.training.symmetry import dihedral, turn_each


def part(n, *, labelled=True):
    images = torch.arange(n, dtype=torch.float32)[:, None, None, None].expand(n, 1, 4, 4).clone()
    labels = torch.arange(n) % 2 if labelled else None
    return PartTensors(images, labels, np.array([f"o{i}" for i in range(n)]))


def feed(sizes, batch, **changes):
    target = part(sizes[1], labelled=False) if len(sizes) > 1 else None
    return Feed(part(sizes[0]), target, batch=batch, seed=3, **{"dihedral": False} | changes)


def seen(batches, domain):
    images = [batch.source if domain == 0 else batch.target for _, batch in batches]
    return torch.cat(images)[:, 0, 0, 0].int().tolist()


@pytest.mark.parametrize(("sizes", "batch"), [((30,), 8), ((30, 17), 8), ((9, 50), 8), ((16, 16), 16)])
def test_every_image_of_every_domain_is_seen_in_every_epoch(sizes, batch):
    batches = list(feed(sizes, batch).epoch(0))
    assert len(batches) == -(-max(sizes) // batch)
    for domain, size in enumerate(sizes):
        drawn = seen(batches, domain)
        assert set(drawn) == set(range(size))
        assert max(drawn.count(i) for i in range(size)) - min(drawn.count(i) for i in range(size)) <= 1
        assert len(drawn) == len(batches) * batch


def test_the_ids_of_both_domains_are_those_of_their_images():
    _, batch = next(feed((30, 17), 8).epoch(0))
    for images, ids in ((batch.source, batch.ids), (batch.target, batch.target_ids)):
        assert [f"o{int(value)}" for value in images[:, 0, 0, 0]] == ids.tolist()
    assert next(feed((30,), 8).epoch(0))[1].target_ids is None


def test_a_domain_that_runs_out_is_shuffled_anew():
    first, second = np.split(order(10, 20, seed=0, domain=1, epoch=0), 2)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist()


def test_epochs_and_domains_have_their_own_order():
    orders = [order(20, 20, 0, domain, epoch).tolist() for domain in (0, 1) for epoch in (0, 1)]
    assert len({tuple(each) for each in orders}) == 4
    assert order(20, 20, 0, 1, 1).tolist() == orders[3]


def test_an_epoch_can_go_on_from_any_step():
    whole = list(feed((30, 17), 8, dihedral=True).epoch(2))
    rest = list(feed((30, 17), 8, dihedral=True).epoch(2, first=2))
    assert [step for step, _ in rest] == [2, 3]
    for (_, one), (_, other) in zip(whole[2:], rest, strict=True):
        assert torch.equal(one.source, other.source)
        assert torch.equal(one.target, other.target)
        assert torch.equal(one.labels, other.labels)


def test_labels_and_ids_belong_to_their_images():
    for _, batch in feed((30,), 8).epoch(0):
        numbers = batch.source[:, 0, 0, 0].long()
        assert torch.equal(batch.labels, numbers % 2)
        assert batch.ids.tolist() == [f"o{i}" for i in numbers.tolist()]


def test_batches_come_to_the_device_of_the_labels_from_images_that_are_kept_elsewhere():
    kept = part(12)
    elsewhere = PartTensors(kept.images, kept.labels.to("meta"), kept.ids)
    for _, batch in Feed(elsewhere, kept, batch=4, seed=0, dihedral=False).epoch(0):
        assert {batch.source.device.type, batch.labels.device.type, batch.target.device.type} == {"meta"}


@pytest.mark.parametrize(("free", "place"), [(2048, "meta"), (2047, "cpu")])
def test_images_are_held_on_the_device_when_they_take_half_of_what_is_free(free, place, monkeypatch):
    images = torch.zeros(4, 4, 4, 4)  # 1024 bytes
    monkeypatch.setattr(holding, "free_bytes", lambda device: free)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: torch.empty_like(self, device="meta"))  # no CUDA here
    assert hold(images, "cuda").device.type == place


def test_the_eight_elements_are_the_symmetries_of_the_square():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    made = {tuple(dihedral(image, k).flatten().tolist()) for k in range(8)}
    expected = {
        tuple(torch.rot90(each, k, (-2, -1)).flatten().tolist()) for k in range(4) for each in (image, image.flip(-1))
    }
    assert made == expected
    assert len(made) == 8


@pytest.mark.parametrize(("shape", "kinds"), [((64, 2, 5, 5), 8), ((64, 2, 5, 7), 4)])
def test_each_image_is_turned_by_itself_and_none_is_lost(shape, kinds):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    turned = turn_each(images, np.random.default_rng(0))
    choices = [
        [k for k in range(kinds) if torch.equal(dihedral(images[i : i + 1], k), turned[i : i + 1])]
        for i in range(len(images))
    ]
    assert all(len(choice) == 1 for choice in choices)
    assert len({choice[0] for choice in choices}) == kinds
    assert turned.is_contiguous(memory_format=torch.channels_last)
