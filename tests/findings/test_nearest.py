# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""The nearest flip and the most dangerous cell, against every cell embedded."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustkit.errors import InputError
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.distances import nearest as nearest_module
from robustkit.findings.distances.measure import run_distances
from robustkit.findings.distances.nearest import complete_twins, load_certificates
from robustkit.findings.distances.record import DANGEROUS, NEAREST, PIXEL, DistancesRequest
from robustkit.findings.latents.attacked import open_attacked
from robustkit.findings.latents.measure import embed_attacked
from tests.attacks import make_attack, silent


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, an attack on it, and a complete search on the same images."""
    folder = tmp_path_factory.mktemp("nearest")
    model, run = make_attack(folder, n=8)
    record = run_certify(model, CertifyRequest(n=8), out=folder / "certificates", say=silent).record
    return model, run, folder / "certificates", record


def _every_cell(embedded, record, i):
    """d_E and margin of every cell of image i, and whether it flips the image, from the network alone."""
    sample = embedded.attacked.sample
    classifier = sample.checkpoint.classifier
    clean = sample.inputs[i : i + 1]
    values = nearest_module._values(sample, record)
    height, width = clean.shape[2:]
    moved, flips, margins = [], [], []
    with torch.inference_mode():
        start = classifier.embed(clean)[0].double()
        for pixel in range(height * width):
            painted = clean.repeat(values.size, 1, 1, 1)
            options = torch.arange(values.size)
            painted[:, :, pixel // width, pixel % width] = values.option(
                painted[:, :, pixel // width, pixel % width], options
            )
            logits = classifier(painted)
            label = int(record.labels[i])
            others = logits.clone()
            others[:, label] = -torch.inf
            moved.append((classifier.embed(painted).double() - start).norm(dim=1))
            margins.append(others.amax(1) - logits[:, label])
            flips.append(logits.argmax(1) != label)
    return torch.cat(moved).numpy(), torch.cat(flips).numpy(), torch.cat(margins).numpy()


def test_the_nearest_flip_is_the_nearest_of_all_and_does_not_depend_on_the_search(world, tmp_path, monkeypatch):
    monkeypatch.setattr(nearest_module, "MOST", 4096)
    model, run, folder, record = world
    said = []
    found = {}
    for search in ("de", "random"):
        request = DistancesRequest(certificates=folder, search=search, draws=99)
        found[search] = run_distances(model, run, request, out=tmp_path / search, say=said.append).record
    one, other = found["de"], found["random"]
    for p in (NEAREST, DANGEROUS):
        np.testing.assert_array_equal(one.euclidean[p], other.euclidean[p])
    np.testing.assert_array_equal(np.isfinite(one.euclidean[NEAREST]), record.flippable)
    np.testing.assert_array_equal(np.isfinite(one.euclidean[DANGEROUS]), record.complete)
    flipped = one.has(PIXEL) & one.has(NEAREST)
    assert flipped.any()
    assert (one.euclidean[NEAREST] <= one.euclidean[PIXEL] * (1 + 1e-5))[flipped].all()
    np.testing.assert_array_equal(one.nearest_floor, one.euclidean[NEAREST])
    assert any("times as far as the nearest flip" in line for line in said)
    embedded = embed_attacked(open_attacked(model, run), say=silent)
    looked = np.flatnonzero(record.complete)[:3]
    for i in looked.tolist():
        moved, flips, margins = _every_cell(embedded, record, i)
        assert one.best_margin[i] == pytest.approx(margins[moved > 0].max(), abs=1e-4)
        if flips.any():
            assert one.euclidean[NEAREST, i] == pytest.approx(moved[flips].min(), rel=1e-4)
            assert one.new_class[NEAREST, i] != record.labels[i]
    np.testing.assert_array_equal((one.reach[DANGEROUS] > 1)[record.complete], record.flippable[record.complete])
    lines = list(csv.DictReader((tmp_path / "de" / "distances.csv").read_text().splitlines()))
    assert {line["perturbation"] for line in lines} == {"noisy", "one pixel", "nearest flip", "most dangerous cell"}
    assert "| nearest flip | d_E |" in (tmp_path / "de" / "table.md").read_text()


def test_where_few_flips_may_be_embedded_a_floor_says_how_near_another_could_be(world):
    model, run, _, record = world
    embedded = embed_attacked(open_attacked(model, run), say=silent)
    sample = embedded.attacked.sample
    whole = complete_twins(sample, embedded.record, record, most=4096)
    few = complete_twins(sample, embedded.record, record, most=1)
    have = record.flippable
    near, first = (
        np.linalg.norm(some.nearest[have].astype(float) - embedded.record.clean[have], axis=1) for some in (whole, few)
    )
    assert (near <= first + 1e-9).all()
    assert (few.floor[have] <= near * (1 + 1e-6)).all()
    np.testing.assert_allclose(whole.floor[have], near, rtol=1e-6)


def test_certificates_of_another_model_or_of_other_values_are_refused(world, tmp_path):
    model, run, folder, record = world
    embedded = embed_attacked(open_attacked(model, run), say=silent)
    with pytest.raises(InputError, match="of another model"):
        load_certificates(folder, replace(embedded.record, model_sha256="0" * 64))
    with pytest.raises(InputError, match=r"cannot read .* as a robustkit record"):
        run_distances(model, run, DistancesRequest(certificates=tmp_path), out=tmp_path / "out", say=silent)
    assert not (tmp_path / "out").exists()
    values = {**record.settings["values"], "high": [9.0, 9.0, 9.0]}
    other = replace(record, settings={**record.settings, "values": values})
    with pytest.raises(InputError, match="cannot be made again"):
        complete_twins(embedded.attacked.sample, embedded.record, other)
