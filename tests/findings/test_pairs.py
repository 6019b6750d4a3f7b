"""The same galaxies under two networks: who is drawn, what stands beside each, and the command that does it."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from robustkit.cli import group
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.windows.pairs import Side, pair
from robustkit.findings.windows.record import Stamps
from robustkit.latent.embeddings import Embeddings
from robustkit.report.palette import make_palette
from tests.attacks import make_attack
from tests.embeddings import CLASSES, make_embeddings, make_side

PALETTE = make_palette(CLASSES)


@pytest.fixture(scope="module")
def attack(tmp_path_factory):
    return make_attack(tmp_path_factory.mktemp("attack"), n=10)


@pytest.fixture
def sides():
    found = make_embeddings()
    right = np.flatnonzero(found.clean_class == found.true)
    first, second = (np.isin(np.arange(len(found.ids)), right[some]) for some in (slice(3, None), slice(1, None, 2)))
    return make_side(found, first, "source"), make_side(found, second, "mmd"), right


def test_the_first_drawn_of_each_outcome_is_shown_and_nothing_of_the_windows_decides(sides):
    base, other, right = sides
    found = pair(base, other, PALETTE)
    outcomes = [row.flipped for row in found.rows]
    assert outcomes == [(True, True)] * 3 + [(True, False), (False, True), (False, False)]
    places = [row.places[0] for row in found.rows]
    assert places[3:] == [right[4], right[1], right[0]]
    both = [i for i in right if base.flips[i] and other.flips[i]]
    firsts = {int(base.latents.true[i]): i for i in both[::-1]}
    assert sorted(places[:3]) == sorted(firsts.values())
    # Other latents with the pixel make other windows of the same galaxies.
    moved = replace(base, stamps=replace(base.stamps, touched=base.stamps.touched + 1))
    assert [row.places for row in pair(moved, other, PALETTE).rows] == [row.places for row in found.rows]


def test_either_network_is_drawn_from_its_own_order_of_the_images(sides):
    base, other, _ = sides
    of_latents = ("ids", "true", "clean", "noisy", "attacked", "clean_logits", "noisy_logits", "attacked_logits")
    turned = {name: getattr(other.latents, name)[::-1] for name in of_latents}
    stamps = {name: getattr(other.stamps, name)[::-1] for name in ("ids", "spot", "touched", "end")}
    other = Side("mmd", replace(other.latents, **turned), replace(other.stamps, **stamps))
    for row in pair(base, other, PALETTE).rows:
        assert base.stamps.ids[row.places[0]] == other.stamps.ids[row.places[1]]


def test_what_cannot_be_paired_says_why(sides):
    base, other, _ = sides
    blind = replace(other, latents=replace(other.latents, head_sizes=[], head_parameters=np.zeros(0)))
    with pytest.raises(InputError, match="the head of mmd is neither affine nor dense layers with ReLU"):
        pair(base, blind, PALETTE)
    with pytest.raises(InputError, match="source and mmd have other classes"):
        pair(base, replace(other, latents=replace(other.latents, class_names=["a", "b", "c"])), PALETTE)
    with pytest.raises(InputError, match="no image that both source and mmd classify correctly"):
        pair(base, replace(other, stamps=replace(other.stamps, end=np.full_like(other.stamps.end, -1))), PALETTE)


def test_one_command_makes_the_figure_and_knows_who_was_never_flipped(attack, tmp_path):
    model, run = (str(path) for path in attack)
    request = CertifyRequest(n=10, values="corners")
    certificates = str(run_certify(model, request, out=tmp_path / "certify", say=lambda line: None).folder)
    both = ["--certificates", certificates, "--base-certificates", certificates]
    shown = AttackRecord.load(attack[1] / "attack.npz")
    both += ["--image", str(shown.ids[shown.image[shown.flipped][0]])]
    arguments = ["window", "--model", model, "--run", run, "--base", model, "--base-run", run, *both]
    done = CliRunner().invoke(group, [*arguments, "--device", "cpu", "--out", str(tmp_path / "out")])
    assert done.exception is None, done.output
    assert "the same images under both networks: " in done.output
    assert (tmp_path / "out" / "paired-windows.pdf").stat().st_size > 10_000
    assert read_json(tmp_path / "out" / "summary.json")["paired"] == "paired-windows"
    stamps = Stamps.load(tmp_path / "out" / "stamps.npz")
    latents = Embeddings.load(tmp_path / "out" / "embeddings.npz")
    np.testing.assert_array_equal(stamps.end >= 0, latents.attempted)
    np.testing.assert_array_equal(stamps.end[latents.flipped], latents.attacked_class[latents.flipped])
    np.testing.assert_allclose(stamps.touched[latents.flipped], latents.attacked[latents.flipped], atol=1e-5)
    changed = (stamps.attacked != stamps.clean).any(axis=(1, 2, 3))
    assert changed[stamps.end >= 0].all()
    assert not stamps.attacked[stamps.end < 0].any()
