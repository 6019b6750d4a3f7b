from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cycler import cycler
from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure

import robustkit
from robustkit.report.blocks import Drawing, Panel, Series
from robustkit.report.palette import Meaning
from robustkit.report.saving import draw_on, printing, save_drawing

DRAWING = Drawing([Panel([Series(np.array([0.0, 1.0]), np.array([1.0, 0.0]), Meaning(model="$m_"))], "fonts")])


@pytest.mark.parametrize(("kind", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_kind_names_the_format_and_the_bytes_are_the_same(tmp_path, kind, begins):
    first, again = (save_drawing(DRAWING, tmp_path, name, kinds=(kind,))[0] for name in ("one", "two"))
    assert first == tmp_path / f"one.{kind}"
    assert first.read_bytes().startswith(begins)
    assert again.read_bytes() == first.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "said",
    [
        {"text.usetex": True},
        {"savefig.format": "tiff", "savefig.dpi": 9000, "figure.dpi": 9000},
        {"font.family": ["no such font"], "font.size": 99, "mathtext.fontset": "stix"},
        {"axes.prop_cycle": cycler(color=["red"]), "axes.grid": True, "figure.autolayout": True},
    ],
)
def test_the_settings_of_the_user_change_no_byte_and_stay(tmp_path, said):
    (first,) = save_drawing(DRAWING, tmp_path, "one", kinds=("png",))
    with rc_context(said):
        (again,) = save_drawing(DRAWING, tmp_path, "two", kinds=("png",))
        assert all(rcParams[name] == value for name, value in said.items())
    assert again.read_bytes() == first.read_bytes()


def test_a_drawing_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    (path,) = save_drawing(DRAWING, tmp_path, "one", kinds=("png",))
    before = path.read_bytes()

    def fail(self, file, **more):
        file.write(b"half of a picture")
        raise OSError("no space left on device")

    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", fail)
    with pytest.raises(OSError, match="no space left"):
        save_drawing(DRAWING, tmp_path, "one", kinds=("png",))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_fonts_of_a_pdf_are_those_that_journals_take(tmp_path):
    _, pdf = save_drawing(DRAWING, tmp_path, "one")
    assert b"/Type3" not in pdf.read_bytes()


def test_a_name_in_a_script_without_a_font_is_no_warning(tmp_path):
    named = Drawing([Panel([Series(np.arange(2.0), np.arange(2.0), Meaning(model="\u5b87\u5b99"))])])
    assert save_drawing(named, tmp_path, "one", kinds=("png",))[0].stat().st_size > 1000


@pytest.mark.parametrize("panels", [1, 3])
def test_a_drawing_goes_on_the_figure_or_the_axes_given(panels):
    drawing = replace(DRAWING, panels=DRAWING.panels * panels, columns=2)
    assert len(draw_on(drawing).axes) == (1 if panels == 1 else 4)
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    assert draw_on(drawing, right) is not figure
    assert len(figure.axes) == 1 + (1 if panels == 1 else 4)
    assert left in figure.axes
    with printing():
        figure.canvas.draw()
    mine = Figure()
    assert draw_on(drawing, mine) is mine
    mine.canvas.draw()


def test_every_drawing_is_painted_by_two_files_and_written_by_one():
    root = Path(robustkit.__file__).parent
    texts = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.py")}
    assert {name for name, text in texts.items() if ".savefig(" in text} == {"drawings.py"}  # for a notebook
    assert {name for name, text in texts.items() if ".print_png(" in text} == {"report/saving.py"}
    drawing = {name for name, text in texts.items() if "import matplotlib" in text or "from matplotlib" in text}
    painters = {"report/paper.py", "report/saving.py", "report/films.py"}
    assert drawing == {"drawings.py", "report/journal.py", "report/handout.py", *painters}  # sizes of type and of paper
    assert not [name for name, text in texts.items() if "import plotly" in text or "from plotly" in text]
