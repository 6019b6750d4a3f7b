from pathlib import Path

import pytest
from matplotlib.figure import Figure

import robustkit
from robustkit.drawings import save_figure, write_figure


@pytest.fixture
def figure():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0])
    return figure


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_the_suffix_names_the_format_and_the_bytes_are_the_same(figure, tmp_path, suffix, begins):
    first = write_figure(figure, tmp_path / f"one{suffix}").read_bytes()
    assert first.startswith(begins)
    if suffix != ".svg":  # whose ids are drawn at random outside of a report
        assert write_figure(figure, tmp_path / f"two{suffix}").read_bytes() == first


def test_a_drawing_that_fails_leaves_the_one_before(figure, tmp_path, monkeypatch):
    path = write_figure(figure, tmp_path / "one.png")
    before = path.read_bytes()

    def fail(file, **more):
        file.write(b"half of a picture")
        raise OSError("no space left on device")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="no space left"):
        write_figure(figure, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_fonts_of_a_pdf_are_those_that_journals_take(figure, tmp_path):
    figure.suptitle("fonts")
    _, pdf = save_figure(figure, tmp_path, "one")
    assert b"/Type3" not in pdf.read_bytes()


def test_every_drawing_is_written_in_one_place():
    root = Path(robustkit.__file__).parent
    writers = {str(path.relative_to(root)) for path in root.rglob("*.py") if ".savefig(" in path.read_text()}
    assert writers == {"drawings.py", "report/style.py"}  # the latter writes into memory
