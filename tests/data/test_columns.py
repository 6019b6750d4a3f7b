"""What a catalogue says of the images drawn: which rows are theirs, and what its columns mean."""

import numpy as np
import pytest

from robustkit.data.columns import find_catalogue, magnitude_of, read_columns, sky_places
from robustkit.errors import InputError

IDS = ["b", "a#rot90", "zz"]
ROWS = {"name": ["a", "b", "c"], "ra": [10.0, 370.0, 30.0], "dec": [-5.0, 6.0, 7.0], "mag_r": [20.5, np.nan, 19.0],
        "survey": ["DES", "DES", "DES"], "flag": [1, 1, 1]}  # fmt: skip


def _csv(folder):
    path = folder / "table.csv"
    lines = [",".join("" if cell != cell else str(cell) for cell in row) for row in zip(*ROWS.values(), strict=True)]
    path.write_text("\n".join([",".join(ROWS), *lines]) + "\n")
    return path


def _fits(folder):
    Table = pytest.importorskip("astropy.table").Table
    Table({name: np.array(cells) for name, cells in ROWS.items()}).write(folder / "table.fits")
    return folder / "table.fits"


def _parquet(folder):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(ROWS), folder / "table.parquet")
    return folder / "table.parquet"


@pytest.mark.parametrize("write", [_csv, _fits, _parquet])
def test_rows_are_found_by_id_and_columns_of_numbers_are_kept(tmp_path, write):
    found = read_columns(write(tmp_path), IDS)
    assert found.matched == 2
    assert "column 'name'" in found.source
    assert found.names == ["ra", "dec", "mag_r"]  # one that is the same for all says nothing
    np.testing.assert_array_equal(found.values, [[370, 6, np.nan], [10, -5, 20.5], [np.nan] * 3])


def test_integer_ids_match_and_a_column_with_repeats_never_does(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("field\tobjid\tz\n7\t7\t0.1\n7\t8\t0.2\n")
    found = read_columns(path, ["7", "8"])
    assert (found.matched, found.names) == (2, ["z"])
    assert "'objid'" in found.source


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "name,ra\nx,1\ny,2\n", "no column of .* holds the ids of the images, such as 'b'; it has name, ra"),
        ("a.csv", "name,ra\n", "has no rows"),
        ("a.csv", "name,ra\nb,1,2\n", "has 3 cells; expected 2"),
        ("a.txt", "b", "expected --catalogue as a table"),
        ("a.fits", "b", "does not begin|FITS|fits"),
        ("a.parquet", "b", "Parquet"),
    ],
)
def test_what_is_no_catalogue_is_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        read_columns(tmp_path / name, IDS)
    with pytest.raises(InputError, match="no such file"):
        read_columns(tmp_path / f"other-{name}", IDS)


def test_places_on_the_sky_are_degrees_on_the_sphere():
    ra, dec = sky_places(["RAJ2000", "x", "DEJ2000"], np.array([[-10, 0, 5], [400, 0, 5], [10, 0, 95.0]]))
    np.testing.assert_array_equal(ra, [350, np.nan, np.nan])
    np.testing.assert_array_equal(dec, [5, np.nan, np.nan])
    assert sky_places(["ra"], np.array([[1.0]])) is None
    assert sky_places(["ra", "dec"], np.array([[1e9, 1e9]])) is None


def test_magnitudes_are_known_by_their_names():
    assert [magnitude_of([name]) for name in ("MAG_AUTO", "r_mag", "petroMag_r", "image", "magnitude")] == [
        0, 0, 0, None, 0,
    ]  # fmt: skip


def test_the_catalogue_that_comes_with_images_is_found(tmp_path):
    (tmp_path / "Y1").mkdir()
    assert find_catalogue(tmp_path / "Y1") is None
    for name in ("galaxies.json", "catalogue.csv"):
        (tmp_path / name).write_text("{}")
    assert find_catalogue(tmp_path / "Y1") == find_catalogue(tmp_path) == tmp_path / "catalogue.csv"
    assert find_catalogue(tmp_path / "set.csv") == tmp_path / "set.csv"
