from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from robustkit.auditing.request import AuditRequest, of_effort, read_request, request_of
from robustkit.auditing.steps import Steps
from robustkit.errors import InputError
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.finding import ModelRecords
from robustkit.findings.remedy import measure, show
from robustkit.findings.remedy.measure import measure_remedies
from robustkit.findings.remedy.record import RECORD, RemedyPart, RemedyRecord
from robustkit.findings.remedy.summary import advice, lost, recommended, row, summary
from robustkit.models import ModelOptions, open_checkpoint, save_checkpoint
from robustkit.runs.opening import open_sample
from robustkit.runs.selection import Selection
from tests.attacks import silent
from tests.audits import make_audit

DRAW = Selection(n=8, take_all=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remedy")
    model, _ = make_audit(folder)
    opened = open_checkpoint(model)
    trained = save_checkpoint(folder / "trained.pt", opened.classifier.module, opened.card)
    sample = open_sample(model, DRAW, say=silent)
    part = RemedyPart(tried=True, n=4, fronts=("clip", "joint:5"), models=(str(trained),), lines=0)
    out = folder / "out"
    record = measure_remedies(sample, {"images": sample}, part, out, values="corners", events=2)
    return sample, part, out, record


def _record(**changes):
    """Three remedies on four images, of which the second certifies most and the third loses accuracy."""
    bools = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]], bool)
    made = RemedyRecord(
        remedies=["none", "clip", "median"], values=["corners"] * 3, commands=["", "repair clip", "repair median"],
        ids=np.array(list("abcd")), labels=np.zeros(4, int), right=bools,
        flipped=np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool),
        certified=np.array([[0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]], bool),
        every=np.array([[4, 1, 3], [-1, -1, -1], [-1, -1, -1]]),
        domains=["source", "target"], domain_of=np.repeat([0, 1], 100),
        domain_right=np.stack([np.arange(200) % 100 < 80, np.arange(200) % 100 < 79, np.arange(200) % 100 < 70]),
        hazard=np.full((3, 3), np.nan), changed=np.array([0, 0.2, 0.9]), search_seconds=np.array([0.1, 0.4, 0.4]),
        forward_seconds=np.array([0.01, 0.02, 0.02]), class_names=["x", "y"], notes=[],
    )  # fmt: skip
    return replace(made, **changes)


def test_every_remedy_is_looked_at_with_the_same_images(world):
    sample, _, out, record = world
    assert record.remedies == ["none", "clip", "trained", "trained+clip"]
    assert record.ids.tolist() == sample.ids[:4].tolist()
    assert any("joint:5 was not tried: joint needs the noise" in note for note in record.notes)
    # The network that was called trained is the same one, so its lines are those of the first two.
    for name in ("right", "flipped", "certified", "domain_right", "changed"):
        np.testing.assert_array_equal(getattr(record, name)[:2], getattr(record, name)[2:])
    assert (record.every == -1).all()
    assert 0 < record.changed[1] < 1
    assert record.changed[0] == 0
    assert "--front clip" in record.commands[1]
    np.testing.assert_array_equal(RemedyRecord.load(out / RECORD).certified, record.certified)


def test_what_is_found_is_what_the_repaired_model_alone_gives(world, tmp_path):
    from robustkit.auditing.repair import repair_model

    sample, _, _, record = world
    repair_model(sample.model, tmp_path / "repaired.pt", ModelOptions(front="clip"), say=silent)
    alone = run_certify(tmp_path / "repaired.pt", CertifyRequest(n=4), out=tmp_path / "run", say=silent).record
    np.testing.assert_array_equal(record.certified[1], alone.certified)
    np.testing.assert_array_equal(record.flipped[1], alone.flippable)


class Followed:
    """Stands for the lines of a network, which take long to compile."""

    network = (object(), "")

    def __init__(self, *_):
        pass


def test_every_amplitude_is_followed_where_no_front_end_is_in_the_way(world, tmp_path, monkeypatch):
    sample, part, _, _ = world
    three = np.array([True, True, False])
    found = SimpleNamespace(record=SimpleNamespace(complete=three, certified=~three, flippable=three))
    asked = []
    monkeypatch.setattr(measure, "FollowLines", Followed)
    monkeypatch.setattr(measure, "run_amplitudes", lambda *one, **how: asked.append((one, how)) or found)
    monkeypatch.setattr(measure, "_measured", lambda one, *_, **__: {})
    monkeypatch.setattr(measure, "RemedyRecord", lambda **fields: SimpleNamespace(save=lambda path: None, **fields))
    record = measure_remedies(sample, {"a": sample}, replace(part, lines=3), tmp_path, values="corners", events=2)
    assert record.every.tolist() == [[2, 1, 2], [-1, -1, -1], [2, 1, 2], [-1, -1, -1]]
    assert len(asked) == 2
    assert len(asked[0][0][0]) == 3  # so many images
    assert asked[0][0][1].values == "line"
    assert any("every amplitude was followed for none, trained only" in note for note in record.notes)
    Followed.network = None, "it is no chain"
    record = measure_remedies(sample, {"a": sample}, replace(part, lines=3), tmp_path, values="corners", events=2)
    assert (record.every == -1).all()
    assert any("every amplitude of none was not followed: it is no chain" in note for note in record.notes)


def test_a_run_that_was_stopped_goes_on_where_it_was(world, monkeypatch, tmp_path):
    sample, part, _, record = world
    real = measure._measured

    def stopped(one, *arguments, **options):
        if one.name == "trained":
            raise KeyboardInterrupt
        return real(one, *arguments, **options)

    how = {"values": "corners", "events": 2}
    monkeypatch.setattr(measure, "_measured", stopped)
    with pytest.raises(KeyboardInterrupt):
        measure_remedies(sample, {"images": sample}, part, tmp_path / "out", **how)
    monkeypatch.setattr(measure, "_measured", real)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("parts/*")}
    again = measure_remedies(sample, {"images": sample}, part, tmp_path / "out", resume=True, **how)
    assert kept
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    np.testing.assert_array_equal(again.certified, record.certified)


def test_the_rule_takes_the_most_certified_of_those_that_cost_no_accuracy():
    record = _record()
    assert lost(record, 2) == pytest.approx(0.1)
    assert recommended(record) == 1
    text = " ".join(advice(record))
    assert "clip: flipped 0.75" in text
    assert "accuracy changes by -0.010 on the domain where it loses most" in text
    assert "Made by: repair clip" in text
    assert summary(record)["recommended"] == "clip"
    assert row(record, 1)["accuracy"]["target"]["lost"] == 1


def test_a_change_that_is_rounded_to_nothing_has_no_sign():
    domain_right = np.ones((3, 200), bool)
    assert "accuracy changes by 0.000" in " ".join(advice(_record(domain_right=domain_right)))


def test_nothing_is_recommended_where_nothing_helps():
    record = _record(certified=np.array([[0, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]], bool))
    assert recommended(record) is None
    assert "None of the remedies tried" in " ".join(advice(record))


def test_of_equals_the_one_that_changes_least_is_taken():
    domain_right = np.ones((3, 200), bool)
    certified = np.array([[0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]], bool)
    assert recommended(_record(domain_right=domain_right, certified=certified)) == 1
    other = _record(domain_right=domain_right, certified=certified, changed=np.array([0, 0.3, 0.1]))
    assert recommended(other) == 2
    assert "it cannot be told apart from clip" in " ".join(advice(other))


def test_the_chapter_draws_it_or_says_how_to_get_it(tmp_path):
    about = {"model": "ckpt.pt", "class_names": ["x", "y"]}
    found = ModelRecords("net", tmp_path, about, {}, {"remedy": _record(values=["corners", "corners", "corners+edge"])})
    chapter = show.chapter([found])
    assert [section.name for section in chapter.sections] == ["remedy-flips", "remedy-accuracy", "remedy-table"]
    assert all(section.summary() and section.table().rows for section in chapter.sections)
    assert "for median also over values just inside the threshold" in chapter.sections[0].summary()
    assert chapter.sections[2].table().rows[1][0] == "clip (recommended)"
    assert [row[4] for row in chapter.sections[2].table().rows] == ["1 of 4", "not followed", "not followed"]
    (said,) = show.chapter([ModelRecords("net", tmp_path, about, {})]).missing
    assert "robustkit audit --model ckpt.pt --remedy" in said


def test_full_asks_for_it_and_quick_takes_few_images():
    plain = AuditRequest("a.pt")
    assert not of_effort(plain).remedy.tried
    assert of_effort(replace(plain, effort="full")).remedy.tried
    few = of_effort(request_of(None, {"model": "a.pt", "effort": "quick", "remedy": True})).remedy
    assert few.tried
    assert few.n < 60
    chosen = RemedyPart(tried=True, n=30, fronts=("median",))
    assert of_effort(replace(plain, effort="quick", remedy=chosen)).remedy == replace(chosen, lines=0)
    assert request_of(None, {"model": "a.pt", "remedy_models": ("b.pt",)}).remedy.models == ("b.pt",)


def test_a_file_names_front_ends_of_robustkit_only_and_its_models_lie_beside_it(tmp_path):
    file = tmp_path / "audit.toml"
    file.write_text('model = "a.pt"\n[remedy]\ntried = true\nmodels = ["b.pt"]\n')
    assert read_request(file).remedy.models == (str(tmp_path / "b.pt"),)
    for name in ("evil.py:Front", "package.module:Front", "clip+evil.py:Front", "../evil:Front"):
        file.write_text(f'model = "a.pt"\n[remedy]\nfronts = ["{name}"]\n')
        with pytest.raises(InputError, match="fronts are those of robustkit"):
            read_request(file)
    with pytest.raises(InputError, match="twice"):
        RemedyPart(fronts=("clip", "clip"))
    with pytest.raises(InputError, match="at least 1, or 0"):
        RemedyPart(n=-1)


def test_models_that_do_not_fit_are_refused_in_a_sentence(world, tmp_path):
    sample, part, _, _ = world
    how = {"values": "corners", "events": 2}
    opened = open_checkpoint(sample.model)
    split = opened.card.data["split"]
    swapped = {"train": split["test"], "test": split["train"]}
    card = replace(opened.card, data={**opened.card.data, "split": swapped, "path": str(sample.path)})
    other = save_checkpoint(tmp_path / "other.pt", opened.classifier.module, card)
    with pytest.raises(InputError, match="was trained on some of the audited images"):
        measure_remedies(sample, {"images": sample}, replace(part, models=(str(other),)), tmp_path / "a", **how)
    with pytest.raises(InputError, match=r"there is no model .*missing.pt"):
        measure.models_sha256((str(tmp_path / "missing.pt"),))
    twice = replace(part, models=(str(sample.model), str(other.with_name("other.pt"))), fronts=())
    (tmp_path / "b").mkdir()
    again = save_checkpoint(tmp_path / "b" / sample.model.name, opened.classifier.module, opened.card)
    with pytest.raises(InputError, match="have one name"):
        measure_remedies(
            sample, {"images": sample}, replace(twice, models=(str(sample.model), str(again))), tmp_path / "c", **how
        )


def test_a_step_that_is_not_asked_for_goes_when_it_was_of_another_model(tmp_path):
    steps = Steps(tmp_path, silent)
    steps.run("remedy", {"model_sha256": "a", "n": 4, "settings": 1}, lambda folder, resume: folder.mkdir())
    steps.forget("remedy", {"model_sha256": "a", "n": 4})
    assert (tmp_path / "remedy.json").is_file()
    steps.forget("remedy", {"model_sha256": "b", "n": 4})
    assert not (tmp_path / "remedy.json").exists()
    assert not (tmp_path / "remedy").exists()
    steps.forget("remedy", {"model_sha256": "b", "n": 4})  # nothing is there, and nothing is said
