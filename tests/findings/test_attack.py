import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from robustkit.engine import Candidates, PlainEvaluator
from robustkit.errors import InputError
from robustkit.findings.attack.loop import AttackSettings
from robustkit.findings.attack.measure import AttackJob, attack
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.attack.summary import summarize
from robustkit.models import AuditedClassifier, ConvNet
from robustkit.perturb.proof import FlipRule
from robustkit.perturb.search.differential_evolution import DifferentialEvolution
from robustkit.perturb.search.random import RandomSearch
from robustkit.perturb.values import Corners
from robustkit.seeds import stream
from tests.oracles import MeanClassifier, PlantedPixel
from tests.perturb.published import pixel_of, published_search

SHAPE = (3, 12, 14)
UNIT = Corners(torch.zeros(3), torch.ones(3), name="paper")
DE = DifferentialEvolution(population=200, generations=20)
BEST = DifferentialEvolution(form="best1bin", population=200, generations=20)
RANDOM = RandomSearch()
CELLS = 12 * 14 * 8


def planted(**options):
    return AuditedClassifier(PlantedPixel(SHAPE, **options), input_shape=SHAPE)


def grey(n, *, seed=0):
    return 0.5 * torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def names(n):
    return [f"image {i}" for i in range(n)]


def run(classifier, images, labels=None, **options):
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
    options = {"search": DE, "values": UNIT, "seed": 0, "ids": names(len(images)), **options}
    return attack(classifier, images, labels, **options)


class Scripted:
    """A search that proposes given candidates, generation by generation, and remembers what it was told."""

    def __init__(self, script, name="scripted"):
        self.script, self.name, self.told = script, name, []

    def start(self, problem):
        self.left = list(self.script)
        return self

    def propose(self, active):
        if not self.left:
            return None
        row, column, value = self.left.pop(0)
        m, p = len(active), len(row)
        return Candidates(
            active,
            torch.tensor(row)[None, :, None].expand(m, p, 1),
            torch.tensor(column)[None, :, None].expand(m, p, 1),
            torch.tensor(value, dtype=torch.float32)[None, :, None].expand(m, p, 1, 3),
        )

    def tell(self, candidates, logits):
        self.told.append(logits.shape)

    def to_json(self):
        return {"name": self.name}


HIT = (5, 9, [1.0, 1.0, 1.0])
MISS = (0, 0, [1.0, 1.0, 1.0])


def generation(*pixels):
    return tuple(list(part) for part in zip(*pixels, strict=True))


@pytest.mark.parametrize("search", [DE, BEST, RANDOM], ids=lambda search: search.name)
def test_finds_the_one_pixel_that_flips(search):
    record = run(planted(), grey(8), search=search)
    assert record.flipped.all()
    assert record.row.ravel().tolist() == [5] * 8
    assert record.column.ravel().tolist() == [9] * 8
    assert record.new_class.tolist() == [1] * 8
    assert (record.after[:, 0, 1] > 0.9).all()
    clean = grey(8)[:, :, 5, 9].numpy()
    np.testing.assert_array_equal(record.before[:, 0], clean)
    # The latent is that one pixel minus the threshold.
    np.testing.assert_allclose(record.latent_distance, record.after[:, 0, 1] - clean[:, 1], rtol=1e-5)
    assert (record.probabilities.argmax(1) == 1).all()


@pytest.mark.parametrize("search", [DE, BEST, RANDOM], ids=lambda search: search.name)
def test_what_cannot_be_flipped_is_kept_with_all_that_it_cost(search):
    network = AuditedClassifier(MeanClassifier(threshold=0.6), input_shape=SHAPE)
    record = run(network, grey(3), search=search)
    assert not record.flipped.any()
    assert len(record.image) == 3
    assert record.queries.tolist() == [CELLS if search is RANDOM else 4200] * 3
    assert np.isnan(record.latent_distance).all()
    assert (record.row == -1).all()


def test_queries_are_counted_to_the_very_candidate_that_flips():
    search = Scripted([generation(MISS, MISS, MISS), generation(MISS, HIT, MISS, HIT)])
    record = run(planted(), grey(2), search=search)
    assert record.queries.tolist() == [5, 5]
    assert record.generations.tolist() == [2, 2]
    assert search.told == [(2, 3, 3)]  # and nothing is told when nobody is left


def test_the_best_of_a_generation_costs_the_whole_generation():
    stronger = (5, 9, [0.0, 0.97, 0.0])
    weaker = (5, 9, [0.0, 0.93, 0.0])
    search = Scripted([generation(MISS, weaker, stronger, weaker)])
    first = run(planted(), grey(1), search=search)
    best = run(planted(), grey(1), search=search, report="best")
    assert first.queries.tolist() == [2]
    assert first.after[0, 0, 1] == np.float32(0.93)
    assert best.queries.tolist() == [4]
    assert best.after[0, 0, 1] == np.float32(0.97)


@pytest.mark.parametrize(("budget", "flipped", "queries"), [(4, False, 4), (5, True, 5), (2, False, 2), (100, True, 5)])
def test_a_flip_beyond_the_budget_does_not_count(budget, flipped, queries):
    search = Scripted([generation(MISS, MISS, MISS), generation(MISS, HIT, MISS, HIT)])
    record = run(planted(), grey(2), search=search, budget=budget)
    assert record.flipped.tolist() == [flipped] * 2
    assert record.queries.tolist() == [queries] * 2


def test_more_budget_never_loses_a_flip():
    flips = [run(planted(threshold=0.99), grey(12), budget=budget).flipped for budget in (200, 400, 900, 4200)]
    for fewer, more in itertools.pairwise(flips):
        assert (fewer <= more).all()
    assert flips[0].sum() < flips[-1].sum()


def test_only_what_was_right_before_is_attacked():
    images = grey(5)
    images[1, 1, 5, 9] = 1.0  # already class 1
    images[3, 1, 5, 9] = 1.0
    labels = torch.tensor([0, 0, 0, 1, 2])
    record = run(planted(), images, labels)
    assert record.correct.tolist() == [True, False, True, True, False]
    assert record.image.tolist() == [0, 2, 3]
    assert record.new_class.tolist() == [1, 1, 0]
    assert record.flipped_images().tolist() == [True, False, True, True, False]


class Lying(PlainEvaluator):
    """Says that a candidate whose red is below a half goes to class 1."""

    def __call__(self, candidates):
        logits = super().__call__(candidates).clone()
        logits[candidates.value[..., 0, 0] < 0.5] = torch.tensor([0.0, 5.0, 0.0])
        return logits


def test_a_flip_that_does_not_stand_alone_is_counted_and_not_kept():
    false = (0, 0, [0.1, 1.0, 1.0])
    search = Scripted([generation(false, MISS, false), generation(false, HIT, false)])
    record = run(planted(), grey(2), search=search, evaluator=Lying)
    assert record.flipped.all()
    assert record.row.ravel().tolist() == [5, 5]
    assert record.queries.tolist() == [5, 5]
    assert record.unproved.tolist() == [3, 3]
    nothing = run(planted(), grey(2), search=Scripted([generation(false, false)]), evaluator=Lying)
    assert not nothing.flipped.any()
    assert nothing.unproved.tolist() == [2, 2]


class Breaking(nn.Module):
    """Class 0, and not a number where any pixel is bright."""

    latent = "flatten"

    def __init__(self, value):
        super().__init__()
        self.flatten, self.value = nn.Flatten(), value
        self.eval()

    def forward(self, images):
        brightest = self.flatten(images).amax(1)
        other = torch.where(brightest > 0.95, torch.full_like(brightest, self.value), -torch.ones_like(brightest))
        return torch.stack([torch.zeros_like(other), other], 1)


def test_answers_that_are_not_finite_are_counted_up_to_the_flip_and_over_all_targets():
    broken = (0, 0, [0.96, 0.96, 0.96])
    network = AuditedClassifier(PlantedPixel(SHAPE), input_shape=SHAPE)

    class Broken(PlainEvaluator):
        """NaN where red is very bright."""

        def __call__(self, candidates):
            logits = super().__call__(candidates).clone()
            logits[(candidates.value[..., 0, 0] - broken[2][0]).abs() < 1e-3] = torch.nan
            return logits

    search = Scripted([generation(broken, MISS, broken), generation(broken, HIT, broken)])
    record = run(network, grey(2), search=search, evaluator=Broken)
    assert record.flipped.all()
    assert record.not_finite.tolist() == [3, 3]  # none of those after the flip
    summary = summarize(record)
    assert summary.to_json()["searches"]["scripted"]["not_finite_images_without_a_flip"] == 0
    assert summary.to_json()["searches"]["scripted"]["not_finite_candidates"] == 6


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_is_no_flip(value):
    network = AuditedClassifier(Breaking(-0.5), input_shape=SHAPE)
    network.module.value = value
    record = run(network, grey(3), search=[DE, RANDOM])
    assert not record.flipped.any()
    assert record.unproved.sum() == 0
    assert (record.not_finite > 0).all()
    summary = summarize(record)
    assert summary.searches["random"].images_not_finite == summary.searches["random"].unsettled == 3
    assert "the outputs for" in summary.text()
    assert "3 of these images were not flipped and are not shown to be safe" in summary.text()
    bright = grey(3)
    bright[1, 0, 0, 0] = 1.0
    assert run(network, bright).clean_class.tolist() == [0, -1, 0]


class Peaks(nn.Module):
    """Class k wins where pixel (k, k) of band 0 is bright; class 3 is never reached."""

    latent = "flatten"

    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.eval()

    def forward(self, images):
        self.flatten(images)
        peaks = [4 * (images[:, 0, k, k] - 0.9) for k in (1, 2)]
        return torch.stack([torch.zeros(len(images)), *peaks, torch.full((len(images),), -9.0)], 1)


class Through(nn.Module):
    """`Peaks` behind a latent that is the image itself."""

    latent = "look"

    def __init__(self):
        super().__init__()
        self.look, self.peaks = nn.Identity(), Peaks()
        self.eval()

    def forward(self, images):
        return self.peaks(self.look(images))


def test_targets_in_turn_stop_at_the_first_and_each_goes_on():
    network = AuditedClassifier(Through(), input_shape=SHAPE)
    images = grey(2)
    untargeted = run(network, images, search=RANDOM)
    turn = run(network, images, search=RANDOM, targeted="in-turn")
    each = run(network, images, search=RANDOM, targeted="each")
    assert set(untargeted.new_class.tolist()) <= {1, 2}
    assert untargeted.target.tolist() == [-1, -1]
    assert turn.target.tolist() == turn.new_class.tolist() == [1, 1]
    assert each.target.tolist() == [1, 2, 3, 1, 2, 3]
    assert each.flipped.tolist() == [True, True, False] * 2
    assert each.queries[[0, 3]].tolist() == turn.queries.tolist()  # the same search of the first target
    assert each.queries[[2, 5]].tolist() == [CELLS] * 2


def test_targets_in_turn_add_up_their_queries():
    network = AuditedClassifier(Through(), input_shape=SHAPE)
    images = grey(2)
    images[:, 0, 1, 1] = 1.0  # class 1: the first wrong class is 0
    labels = torch.ones(2, dtype=torch.int64)
    low = Corners(torch.full((3,), 0.95), torch.ones(3))  # class 0 cannot be reached: nothing gets darker
    turn = run(network, images, labels, search=RANDOM, targeted="in-turn", values=low)
    assert turn.flipped.tolist() == [False, False]
    assert turn.queries.tolist() == [3 * CELLS] * 2
    assert turn.target.tolist() == [3, 3]


def test_a_probability_may_be_asked_for_besides():
    easy = run(planted(gain=4.0), grey(3), search=RANDOM)
    hard = run(planted(gain=4.0), grey(3), search=RANDOM, success=0.5)
    # p(class 1) is at most e^0.4 / (1 + e^0.4 + e^-1) = 0.52 with the pixel at 1.
    impossible = run(planted(gain=4.0), grey(3), search=RANDOM, success=0.53)
    assert easy.flipped.all()
    assert hard.flipped.all()
    assert (hard.probabilities.max(1) > 0.5).all()
    assert not impossible.flipped.any()


class Smooth(nn.Module):
    """Linear, with weights that change slowly across the image, so that a search can climb."""

    latent = "look"

    def __init__(self, classes=3):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        waves = torch.randn(classes, 3, 3, 4, generator=generator)
        weight = nn.functional.interpolate(waves, size=SHAPE[1:], mode="bicubic", align_corners=True)
        self.look, self.flatten = nn.Identity(), nn.Flatten()
        self.weight = nn.Parameter(0.35 * weight.flatten(1))
        self.bias = nn.Parameter(-0.25 * 0.35 * weight.flatten(1).sum(1) + torch.tensor([0.8, 0.0, 0.1])[:classes])
        self.eval()

    def forward(self, images):
        return nn.functional.linear(self.flatten(self.look(images)), self.weight, self.bias)


def published_attack(classifier, image, label, image_id, *, seed, population, rounds):
    """The published attack on one image: (target, populations, pixel) of the first wrong class that works, or None."""
    for turn, target in enumerate(k for k in range(3) if k != label):

        def score(row, column, value, target=target):
            painted = image.clone()
            painted[:, row, column] = torch.from_numpy(value)
            with torch.inference_mode():
                return float(classifier(painted[None]).double().softmax(1)[0, target])

        history = published_search(
            stream(seed, image_id, f"de/{turn}"), score, shape=SHAPE, population=population, rounds=rounds
        )
        for populations, (candidates, fitness) in enumerate(history, 1):
            if fitness.max() > 0.5:
                return target, populations, pixel_of(candidates[fitness.argmax()], SHAPE)
    return None


def test_paper_mode_is_the_published_attack():
    classifier, images = AuditedClassifier(Smooth(), input_shape=SHAPE), grey(14, seed=5)
    with torch.inference_mode():
        labels = classifier(images).argmax(1)
    population, rounds = 40, 8
    search = DifferentialEvolution(population=population, generations=rounds)
    record = run(classifier, images, labels, search=search, targeted="in-turn", success=0.5, report="best")
    targets = []
    for i in range(len(images)):
        expected = published_attack(
            classifier, images[i], int(labels[i]), f"image {i}", seed=0, population=population, rounds=rounds
        )
        assert record.flipped[i] == (expected is not None)
        if expected is not None:
            target, populations, (row, column, value) = expected
            assert (record.target[i], record.generations[i]) == (target, populations)
            assert (record.row[i, 0], record.column[i, 0]) == (row, column)
            np.testing.assert_array_equal(record.after[i, 0], value)
            targets.append((target, populations))
    # It is a test only if some images flip late, some to the second class, and some never.
    assert 3 <= len(targets) < len(images), targets
    assert any(populations > 1 for _, populations in targets), targets
    assert len({target for target, _ in targets}) > 1, targets


def same(one, other):
    for field in dataclasses.fields(AttackRecord):
        if field.name not in {"costs", "settings"}:
            a, b = getattr(one, field.name), getattr(other, field.name)
            if isinstance(a, np.ndarray):
                np.testing.assert_array_equal(a, b, err_msg=field.name)
            else:
                assert a == b


@pytest.mark.parametrize("targeted", [None, "in-turn", "each"])
def test_an_answer_depends_on_seed_and_id_alone(targeted):
    images, ids = grey(9), names(9)
    search = DifferentialEvolution(population=100, generations=8)
    settings = AttackSettings((search, RANDOM), UNIT, 3, targeted=targeted)
    labels = torch.zeros(9, dtype=torch.int64)
    classifier = planted(threshold=0.97)

    def record(order, block):
        job = AttackJob(classifier, images[order], labels[order], [ids[i] for i in order], settings, block=block)
        return job.record(job.attempts())

    whole = record(list(range(9)), 128)
    assert whole.flipped.any()
    for block in (1, 4):
        same(whole, record(list(range(9)), block))
    order = [5, 2, 8, 0]
    part = record(order, 3)
    for place, i in enumerate(order):
        mine, its = part.image == place, whole.image == i
        for name in ("search", "target", "flipped", "queries", "row", "column", "after", "latent_distance"):
            np.testing.assert_array_equal(getattr(part, name)[mine], getattr(whole, name)[its])
    other = attack(classifier, images, labels, search=search, values=UNIT, seed=4, ids=ids, targeted=targeted)
    assert not np.array_equal(other.queries, whole.queries[whole.of_search("de")])


def test_searches_side_by_side_do_not_see_each_other():
    both = run(planted(), grey(4), search=[DE, RANDOM])
    assert both.searches == ["de", "random"]
    for search in (DE, RANDOM):
        alone = run(planted(), grey(4), search=search)
        np.testing.assert_array_equal(both.queries[both.of_search(search.name)], alone.queries)


def test_several_pixels():
    record = run(planted(), grey(2), search=[DE, RANDOM], pixels=2, budget=4000)
    assert record.row.shape == (4, 2)
    assert record.flipped.all()
    for row, column in zip(record.row, record.column, strict=True):
        assert (5, 9) in set(zip(row.tolist(), column.tolist(), strict=True))


def test_flips_stand_when_they_are_painted_from_the_record():
    torch.manual_seed(0)
    network = ConvNet(size=(24, 24)).eval()
    images = torch.rand(12, 3, 24, 24)
    with torch.no_grad():
        network.fc.bias -= network(images).mean(0)  # so that no class always wins
        labels = network(images).argmax(1)
    classifier = AuditedClassifier(network, input_shape=(3, 24, 24))
    wide = Corners(torch.full((3,), -4.0), torch.full((3,), 4.0))
    record = attack(classifier, images, labels, search=[BEST, RANDOM], values=wide, seed=0, ids=names(12), budget=400)
    assert record.flipped.sum() > 5
    for a in np.flatnonzero(record.flipped):
        i = record.image[a]
        painted = images[i].clone()
        painted[:, record.row[a, 0], record.column[a, 0]] = torch.from_numpy(record.after[a, 0])
        assert (painted != images[i]).any(0).sum() == 1
        with torch.inference_mode():
            logits = classifier(painted[None])
            distance = (classifier.embed(painted[None]) - classifier.embed(images[i][None])).norm()
        assert int(logits.argmax()) == record.new_class[a] != labels[i]
        np.testing.assert_allclose(float(distance), record.latent_distance[a], rtol=1e-4)
        np.testing.assert_allclose(logits.softmax(1)[0].numpy(), record.probabilities[a], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("shape", "classes"), [((1, 8, 9), 2), ((5, 9, 7), 4)])
def test_any_number_of_bands_and_classes(shape, classes):
    bands = shape[0]
    network = PlantedPixel(shape, row=5, column=2, band=bands - 1, classes=classes)
    images = 0.5 * torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    record = run(
        AuditedClassifier(network, input_shape=shape),
        images,
        search=[BEST, RANDOM],
        values=Corners(torch.zeros(bands), torch.ones(bands)),
    )
    assert record.flipped.all()
    assert set(zip(record.row.ravel().tolist(), record.column.ravel().tolist(), strict=True)) == {(5, 2)}
    assert (record.after[:, 0, -1] > 0.9).all()


def test_record_survives_the_disk(tmp_path):
    record = run(planted(), grey(3), search=[DE, RANDOM])
    record.save(tmp_path / "attack.npz")
    loaded = AttackRecord.load(tmp_path / "attack.npz")
    same(record, loaded)
    assert loaded.settings == record.settings
    assert loaded.settings["searches"][0]["population"] == 200
    assert loaded.settings["values"] == {"name": "paper", "low": [0.0] * 3, "high": [1.0] * 3}


def test_nothing_to_attack_is_an_answer_too():
    record = run(planted(), grey(3), torch.full((3,), 2))
    assert len(record.image) == 0
    assert record.after.shape == (0, 1, 3)
    assert not record.flipped_images().any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": torch.rand(2, 3, 12, 15)}, "expected float32 images of shape"),
        ({"images": torch.rand(2, 3, 12, 14).double()}, "expected float32 images"),
        ({"images": torch.rand(0, 3, 12, 14)}, "expected float32 images"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "a label and an id each"),
        ({"labels": torch.tensor([0, 3])}, "expected classes from 0 to 2"),
        ({"ids": ["a", "a"]}, "must be unique"),
        ({"values": Corners(torch.zeros(2), torch.ones(2))}, "values are for 2 bands"),
        ({"images": torch.full((2, 3, 12, 14), float("nan"))}, "not finite, the first is a"),
        ({"budget": 0}, "must be at least 1"),
        ({"pixels": 0}, "at least 1 pixel"),
        ({"seed": -1}, "at least 0"),
        ({"search": [DE, DE]}, "different names"),
        ({"search": []}, "different names"),
        ({"success": "often"}, "expected 'argmax' or a probability"),
        ({"success": 1.0}, "expected 'argmax' or a probability"),
        ({"targeted": "all"}, "None, 'in-turn' or 'each'"),
    ],
)
def test_refusals(change, words):
    options = {"images": grey(2), "labels": torch.zeros(2, dtype=torch.int64), "ids": ["a", "b"], **change}
    with pytest.raises(InputError, match=words):
        run(planted(), options.pop("images"), options.pop("labels"), **options)


def test_what_a_search_refuses_is_refused_before_the_attack():
    class Refusing(Scripted):
        def start(self, problem):
            raise InputError(f"{problem.pixels} pixels are too many")

    settings = AttackSettings((DE, Refusing([])), UNIT, 0, pixels=2)
    with pytest.raises(InputError, match="2 pixels are too many"):
        AttackJob(planted(), grey(2), torch.zeros(2, dtype=torch.int64), names(2), settings)


def test_flip_rule_reads_both_ways():
    assert FlipRule.parse("argmax").probability is None
    assert FlipRule.parse("0.5") == FlipRule.parse(0.5) == FlipRule(0.5)
