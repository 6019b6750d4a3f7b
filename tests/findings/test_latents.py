import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.errors import InputError
from robustkit.files import read_json, write_json
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRecord, AttackRequest, attempt_arrays
from robustkit.findings.latents.attacked import open_attacked
from robustkit.findings.latents.measure import embed_attacked
from robustkit.findings.latents.twins import parse_perturbation
from robustkit.latent.embeddings import Embeddings
from robustkit.models import open_checkpoint
from tests.attacks import make_attack
from tests.audits import make_audit


@pytest.fixture(scope="module")
def attack(tmp_path_factory):
    return make_attack(tmp_path_factory.mktemp("attack"))


def embed(attack, data=None, **options):
    said = []
    return embed_attacked(open_attacked(*attack, data=data), say=said.append, **options).record, "\n".join(said)


def test_the_record_holds_what_the_attack_found(attack, tmp_path):
    found, said = embed(attack)
    record = AttackRecord.load(attack[1] / "attack.npz")
    assert found.ids.tolist() == record.ids.tolist()
    np.testing.assert_array_equal(found.attempted, record.correct)
    np.testing.assert_array_equal(found.flipped, record.flipped_images())
    assert found.flipped.any()
    assert found.censored.any()
    assert (found.attempted != found.flipped | found.censored).sum() == 0
    np.testing.assert_array_equal(found.clean_class, record.clean_class)
    chosen = found.attempt[found.flipped]
    moved = np.linalg.norm((found.attacked - found.clean)[found.flipped].astype(float), axis=1)
    np.testing.assert_allclose(moved, record.latent_distance[chosen], rtol=1e-4)
    np.testing.assert_array_equal(found.attacked_class[found.flipped], record.new_class[chosen])
    assert np.isnan(found.attacked[~found.flipped]).all()
    assert np.isnan(found.attacked_logits[~found.flipped]).all()
    assert (found.attacked_class[~found.flipped] == -1).all()
    assert f"{found.flipped.sum()} flipped and {found.censored.sum()} not" in said
    again = Embeddings.load(found.save(tmp_path / "e.npz"))
    np.testing.assert_allclose(again.head(again.clean), again.clean_logits, atol=1e-4)


def test_the_first_search_that_flips_an_image_is_taken_or_the_one_named(attack):
    record = AttackRecord.load(attack[1] / "attack.npz")
    found, _ = embed(attack)
    for i in np.flatnonzero(found.flipped):
        by = record.search[(record.image == i) & record.flipped]
        assert found.search[i] == by.min()
    one, _ = embed(attack, search="de")
    np.testing.assert_array_equal(one.flipped, record.flipped_images("de"))
    assert set(one.search[one.flipped].tolist()) == {1}
    with pytest.raises(InputError, match="no search 'luck'; its searches are random, de"):
        embed(attack, search="luck")


def test_noisy_twins_are_the_shallower_exposure_of_the_same_objects(attack):
    found, said = embed(attack)
    checkpoint = open_checkpoint(attack[0])
    shallow = ImageSet.load(attack[0].parent / "shallow")
    images = shallow.images[shallow.positions(found.ids)]
    with torch.inference_mode():
        expected = checkpoint.classifier.embed(torch.from_numpy(checkpoint.stretch(images)))
    np.testing.assert_allclose(found.noisy, expected, atol=1e-4)
    assert found.has_noisy.all()
    assert "the same objects in" in said
    by_name, _ = embed(attack, noisy="shallow")
    by_path, _ = embed(attack, noisy=attack[0].parent / "shallow")
    np.testing.assert_array_equal(found.noisy, by_name.noisy)
    np.testing.assert_array_equal(found.noisy, by_path.noisy)


def test_missing_twins_are_nan_and_said(attack, tmp_path):
    shallow = ImageSet.load(attack[0].parent / "shallow")
    found, said = embed(attack, noisy=shallow.select(np.arange(len(shallow)) != 3).save(tmp_path / "fewer"))
    here = found.ids != "galaxy-3"
    np.testing.assert_array_equal(found.has_noisy, here)
    assert (here.sum() < len(here)) == ("of which 1 are missing" in said)
    assert (found.noisy_class[~here] == -1).all()
    others = replace(shallow, ids=np.char.add("other-", shallow.ids)).save(tmp_path / "others")
    with pytest.raises(InputError, match="none of the 16 images"):
        embed(attack, noisy=others)


def test_an_attack_that_had_no_image_to_attack_is_embedded_without_flips(attack, tmp_path):
    model, run = attack[0], shutil.copytree(attack[1], tmp_path / "attack")
    record = AttackRecord.load(run / "attack.npz")
    wrong = (record.true + 1) % len(record.class_names)
    nothing = attempt_arrays(
        [], ids=record.ids.tolist(), searches=record.searches, pixels=1, bands=record.before.shape[-1],
        classes=len(record.class_names),
    )  # fmt: skip
    replace(record, clean_class=wrong, **nothing).save(run / "attack.npz")
    found, said = embed((model, run))
    assert not found.flipped.any()
    assert not found.attempted.any()
    assert "16 images, 0 of them attacked, 0 flipped and 0 not" in said


def test_noise_that_is_made_belongs_to_the_image(attack):
    one, said = embed(attack, noisy="gaussian:0.05", seed=3)
    two, _ = embed(attack, noisy="gaussian:0.05", seed=3)
    other, _ = embed(attack, noisy="gaussian:0.05", seed=4)
    np.testing.assert_array_equal(one.noisy, two.noisy)
    assert (one.noisy != other.noisy).any()
    assert "made by gaussian at 0.05 of the input range, seed 3" in said
    assert not embed(attack, noisy="none")[0].has_noisy.any()


def test_without_a_shallower_exposure_one_is_made_where_the_units_allow(tmp_path):
    model, data = make_audit(tmp_path)
    lsst = replace(ImageSet.load(data), meta=Depth(LSST, 10, 10).meta()).save(tmp_path / "lsst")
    request = AttackRequest(n=4, budget=20, searches=("random",))
    plain = run_attack(model, request, out=tmp_path / "plain", say=lambda line: None).folder
    physical = run_attack(model, replace(request, data=lsst), out=tmp_path / "run", say=lambda line: None).folder
    found, said = embed((model, physical))
    assert "made by exposure at 0.1" in said
    assert found.has_noisy.all()
    found, said = embed((model, plain))
    assert "none: no shallower exposure of these images is known, and the image set does not declare" in said
    assert not found.has_noisy.any()


@pytest.mark.parametrize(
    ("noisy", "words"),
    [
        ("Y3", r"no noisy images are called 'Y3'; .*\(shallow\)"),
        ("psf:1.0", "does not declare"),
        ("gaussian:much", "expected a perturbation and its level"),
        ("gaussian:-3", "gaussian takes"),
    ],
)
def test_noise_that_cannot_be_had_is_refused(attack, noisy, words):
    with pytest.raises(InputError, match=words):
        embed(attack, noisy=noisy)


def test_runs_that_do_not_belong_are_refused(attack, tmp_path):
    model, run = attack
    other, _ = make_audit(tmp_path, n=20)
    with pytest.raises(InputError, match=r"was on another model .* than .*; attack this one, or name that one"):
        embed((other, run))
    with pytest.raises(InputError, match="holds no finished attack"):
        embed((model, tmp_path))
    unfinished = shutil.copytree(run, tmp_path / "unfinished")
    (unfinished / "summary.json").unlink()
    with pytest.raises(InputError, match="not finished; continue with"):
        embed((model, unfinished))
    with pytest.raises(InputError, match="not the ones that were attacked"):
        embed(attack, data=tmp_path / "galaxies")


def test_other_pixels_under_the_same_names_are_refused(attack, tmp_path):
    model, run = attack
    copy = shutil.copytree(run, tmp_path / "run")
    summary = read_json(copy / "summary.json")
    write_json(copy / "summary.json", {**summary, "inputs": {**summary["inputs"], "data_sha256": {}}})
    with pytest.raises(InputError, match="is not the one that was attacked: its pixels differ"):
        embed((model, copy), data=model.parent / "shallow")


def test_noise_on_the_input_is_part_of_the_range_of_the_training_images(attack):
    checkpoint = open_checkpoint(attack[0])
    lows, highs = zip(*checkpoint.card.input_range, strict=True)
    found = parse_perturbation("gaussian:0.1", checkpoint)
    assert found.sigma == pytest.approx(0.1 * (max(highs) - min(lows)))
    assert parse_perturbation("psf,restore_noise=false:s2", checkpoint).label == "psf,restore_noise=false"
