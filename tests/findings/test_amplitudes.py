import csv
import json

import numpy as np
import pytest
import torch
from torch import nn

import robustkit as rk
from robustkit.cli import main
from robustkit.data import ArcsinhStretch, LuptonStretch, MeanStdStretch
from robustkit.errors import InputError
from robustkit.findings.amplitudes.record import AmplitudeRecord
from robustkit.findings.amplitudes.summary import brightnesses, flip_rates
from robustkit.perturb.amplitudes import make_amplitudes
from tests.audits import make_audit

pytest.importorskip("numba")


class Needle(nn.Module):
    """Flips where one pixel of one band lies within `half` of a value between its corners, and nowhere else."""

    latent = "fc"

    def __init__(self, value=0.613, half=2e-4, row=5, column=7):
        super().__init__()
        self.conv, self.relu, self.flatten = nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Flatten()
        self.fc = nn.Linear(2 * 10 * 12, 2)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[:, 1, 0, 0] = torch.tensor([1.0, -1.0])
            self.conv.bias.copy_(torch.tensor([-value, value]))
            self.fc.weight.zero_()
            self.fc.bias.copy_(torch.tensor([0.0, half]))
            for channel in range(2):
                self.fc.weight[1, (channel * 10 + row) * 12 + column] = -1.0
        self.eval()

    def forward(self, x):
        return self.fc(self.flatten(self.relu(self.conv(x))))


def certify(module, values="line", **more):
    images = np.random.default_rng(0).uniform(0, 0.4, (3, 2, 10, 12)).astype(np.float32)
    images[:, :, 0, 0], images[:, :, 0, 1] = 0.0, 1.0  # the range of the data
    return rk.certify(module, images, np.zeros(3, int), values=values, **more)


def test_a_flip_between_two_corners_is_found_with_its_ends():
    assert certify(Needle(), "corners").record.certified.all()
    record = certify(Needle()).record
    assert record.exact
    assert record.flippable.all()
    assert not record.certified.any()
    assert len(record.span_image) == 3
    assert set(zip(record.span_row, record.span_column, record.span_kind, strict=True)) == {(5, 7, 1)}
    np.testing.assert_allclose(record.span_high - record.span_low, 4e-4, rtol=1e-2)
    np.testing.assert_array_equal(record.least_row[:, 1], [[-1, 5]] * 3)
    np.testing.assert_allclose(record.least[:, 1, 1], record.span_low, atol=1e-5)
    assert np.isnan(record.least[:, 0]).all()


def test_what_never_flips_is_certified_for_every_value():
    record = certify(Needle(half=-2e-4)).record
    assert record.certified.all()
    assert len(record.span_image) == 0
    np.testing.assert_allclose(record.peak, -2e-4, rtol=1e-2)
    np.testing.assert_array_equal(record.peak_row, 5)
    assert "no single bad pixel of any brightness in one band" in certify(Needle(half=-2e-4)).describe()


def test_some_pixels_only_certify_nothing():
    record = certify(Needle(half=-2e-4), budget=20).record
    assert not record.certified.any()
    assert (record.tried == 20 * 2 * 2).all()


def test_a_network_with_a_bent_function_is_looked_at_on_a_grid_that_says_so():
    module = Needle(half=0.1)
    module.relu = nn.Softplus(beta=200)
    result = certify(module)
    record = result.record
    assert not record.exact
    assert not record.certified.any()
    assert "grid of 1/32" in result.describe()
    assert record.flippable.all()
    np.testing.assert_allclose(record.span_high - record.span_low, 0.2, rtol=0.1)


def test_the_command_leaves_record_table_and_figures(tmp_path, capsys):
    model, _ = make_audit(tmp_path / "audit")
    with pytest.raises(SystemExit) as ended:
        main(
            ["certify", "--model", str(model), "--values", "line", "--n", "4", "--all", "--out", str(tmp_path / "run")]
        )
    assert ended.value.code == 0
    said = capsys.readouterr().out
    numbers = json.loads((tmp_path / "run" / "summary.json").read_text())
    rows = list(csv.DictReader((tmp_path / "run" / "amplitudes.csv").read_text().splitlines()))
    record = AmplitudeRecord.load(tmp_path / "run" / "amplitudes.npz")
    assert numbers["drawn"] == len(rows) == len(record.ids)
    assert numbers["certified"] + numbers["flippable"] + numbers["too_near_to_certify"] == numbers["complete"]
    assert "bounds first, then from breakpoint to breakpoint" in said
    assert record.units == "electron"
    assert (tmp_path / "run" / "flip-rate-against-brightness.png").stat().st_size > 1000
    some, chance = flip_rates(record, brightnesses(record))
    assert (some[:, -1] >= some[:, :-1].max(1)).all()
    assert ((chance >= 0) & (chance <= 1)).all()


def test_a_change_in_electrons_undoes_the_stretch_and_has_no_end_where_it_clips():
    stretch = ArcsinhStretch(low=(-10.0, -20.0), high=(1000.0, 500.0), c=0.01)
    lines = make_amplitudes(
        "line", input_range=((0.4, 0.9), (0.4, 0.9)), stretch=stretch, units="electron", bounds=None
    )
    calibrated = np.array([[100.0, 30.0]])
    clean = stretch(calibrated[:, :, None, None])[:, :, 0, 0]
    down, up = lines.ends(0, clean, calibrated)
    moved = stretch(np.array([[250.0, 30.0]])[:, :, None, None])[:, :, 0, 0] - clean
    np.testing.assert_allclose(lines.changes(0, clean, calibrated, moved[:, 0]), 150.0)
    assert lines.changes(0, clean, calibrated, up)[0] == np.inf
    assert lines.changes(0, clean, calibrated, -down)[0] == -np.inf


def test_bands_that_move_together_are_straight_only_under_a_linear_stretch():
    ranges = ((-1.0, 3.0), (-1.0, 3.0))
    linear = MeanStdStretch(mean=(1.0, 2.0), std=(2.0, 4.0))
    both = make_amplitudes("line:1,0.5", input_range=ranges, stretch=linear, units="electron", bounds=None)
    assert both.straight
    calibrated = np.array([[3.0, 4.0]])
    clean = linear(calibrated[:, :, None, None])[:, :, 0, 0]
    moved = linear(np.array([[5.0, 5.0]])[:, :, None, None])[:, :, 0, 0]
    np.testing.assert_allclose(both.values(0, clean, calibrated, np.array([2.0])), moved, rtol=1e-6)
    bent = ArcsinhStretch(low=(-10.0, -20.0), high=(1000.0, 500.0), c=0.01)
    assert not make_amplitudes("line:1,1", input_range=ranges, stretch=bent, units="electron", bounds=None).straight
    assert make_amplitudes("line", input_range=ranges, stretch=bent, units="electron", bounds=None).straight


def test_a_stretch_that_mixes_the_bands_gives_lines_of_charge_that_are_bent():
    lupton = LuptonStretch(minimum=(0.0, 0.0), softening=8.0, stretch=50.0)
    lines = make_amplitudes(
        "line", input_range=((0, 1), (0, 1)), stretch=lupton, units="electron", bounds=(-10.0, 900.0)
    )
    assert (lines.kinds, lines.straight) == (2, False)
    calibrated = np.array([[100.0, 30.0], [5.0, 40.0]])
    clean = lupton(calibrated[:, :, None, None])[:, :, 0, 0]
    np.testing.assert_allclose(lines.ends(1, clean, calibrated), [[40, 50], [870, 860]])
    moved = lupton((calibrated + np.array([0, 200]))[:, :, None, None])[:, :, 0, 0]
    assert (moved[:, 0] < clean[:, 0]).all()  # the other band is seen darker
    np.testing.assert_allclose(lines.values(1, clean, calibrated, np.full(2, 200.0)), moved, rtol=1e-6)
    np.testing.assert_array_equal(lines.changes(1, clean, calibrated, np.array([3.0, -2.0])), [3, -2])
    assert "electron g -10 to 900" in lines.describe("gr")


@pytest.mark.parametrize("name", ["line:1", "line:0,0", "line:a,b", "line:1,nan", "line:"])
def test_directions_that_make_no_sense_are_refused(name):
    with pytest.raises(InputError, match="a weight for each of the 2 bands"):
        make_amplitudes(name, input_range=((0, 1), (0, 1)), stretch=None, units="unknown", bounds=None)


def test_what_has_no_lines_is_refused():
    lupton = LuptonStretch(minimum=(0.0, 0.0), softening=8.0, stretch=1.0)
    with pytest.raises(InputError, match="mixes the bands"):
        make_amplitudes("line", input_range=((0, 1), (0, 1)), stretch=lupton, units="electron", bounds=None)
    with pytest.raises(InputError, match="only robustkit certify follows them"):
        rk.attack(Needle(), np.zeros((3, 2, 10, 12), np.float32) + 0.1, np.zeros(3, int), values="line")
    with pytest.raises(InputError, match="at least 1 pixel"):
        certify(Needle(), budget=0)
