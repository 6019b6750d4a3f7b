"""One colour and one marker for what stands for the same thing, from the first figure of a report to its last."""

import itertools
import json
import re
from collections import defaultdict

import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.colors import to_hex
from matplotlib.markers import MarkerStyle

from robustkit.errors import InputError
from robustkit.report.blocks import Bars, Drawing, Lines, Panel, Points, Regions, Series
from robustkit.report.page import Page, looks_of, write_page
from robustkit.report.palette import (
    DARK,
    DARK_SCALES,
    EDGE,
    GREY,
    INK,
    KINDS,
    PAPER,
    Looks,
    Meaning,
    contrast,
    lightness,
    make_palette,
    parts_of,
)
from robustkit.report.paper import paint
from robustkit.report.saving import printing
from robustkit.report.section import Chapter
from tests.report.reports import make_sections, painted, shown

NEUTRAL = {one.lower() for one in (INK, GREY, EDGE, PAPER, "#ffffff", "#000000")}
# The same marker in both painters.
SAME = {"X": "x", "*": "star", "^": "triangle-up", "o": "circle", "s": "square", "D": "diamond", "P": "cross",
        "v": "triangle-down", "h": "hexagon", "p": "pentagon", "d": "diamond-tall", "<": "triangle-left",
        ">": "triangle-right"}  # fmt: skip
PAPER_CONVENTION = {"clean": "x", "noisy": "star", "attacked": "triangle-up"}


def page_of(classes, models):
    palette = make_palette([f"class {k}" for k in range(classes)])
    sections = tuple(make_sections(classes, models))
    return Page("A", "B", (), (), [Chapter("all", "All", (), sections)], looks=Looks(palette, models))


def marks(sections):
    """Every block of a report that stands for something, with its panel; alike ones of a section once."""
    seen = set()
    for section in sections:
        drawing = section.drawing()
        for panel in [] if drawing is None else drawing.panels:
            for block in panel.blocks:
                if not isinstance(block, Series | Points | Bars) or block.of == Meaning():
                    continue
                key = section.name, type(block), block.of, panel.space, getattr(block, "size", 0)
                if key not in seen:
                    seen.add(key)
                    yield section, panel, block


def on_screen(panel, block, looks):
    """Colours and markers that the screen shows of a block by itself."""
    spec = painted(Drawing([Panel([block], space=panel.space)], legend="none"), looks)
    found = set(re.findall(r"#[0-9a-f]{6}", json.dumps(spec, default=str).lower()))
    for text in re.findall(r"rgba\((\d+), (\d+), (\d+)", json.dumps(spec, default=str)):
        found.add("#" + "".join(f"{int(one):02x}" for one in text))
    markers = {trace["marker"]["symbol"].removesuffix("-open") for trace in shown(spec)
               if "markers" in trace.get("mode", "")}  # fmt: skip
    if panel.space:
        glyphs = {"✖": "x", "★": "star", "▲": "triangle-up"}
        markers = {glyphs[trace["text"]] for trace in spec["data"] if trace["mode"] == "text"}
    return found - NEUTRAL - {"#000000"}, markers


def on_paper(panel, block, looks):
    """The same on paper."""
    with printing():
        (ax, *_) = paint(Drawing([Panel([block], space=panel.space)], legend="none"), looks).axes
    found, markers = set(), set()
    for line in ax.lines:
        found |= {to_hex(line.get_color()), to_hex(line.get_markeredgecolor())}
        if line.get_marker() not in ("", "None", None, "|", "_"):
            markers.add(line.get_marker())
    for many in ax.collections:
        found |= {to_hex(one) for one in [*many.get_facecolor(), *many.get_edgecolor()] if one[3]}
    for patch in ax.patches:
        found |= {to_hex(patch.get_facecolor()), to_hex(patch.get_edgecolor())}
    if isinstance(block, Series) and block.marked:
        (one,) = [m for m in SAME if any(_is(m, many) for many in ax.collections)]
        markers = {one}
    return found - NEUTRAL, {SAME[one] for one in markers}


def _is(marker, collection):
    style = MarkerStyle(marker)
    outline = style.get_path().transformed(style.get_transform())
    return any(path.vertices.shape == outline.vertices.shape and np.allclose(path.vertices, outline.vertices)
               for path in collection.get_paths())  # fmt: skip


@pytest.mark.parametrize(("classes", "models"), [
    (3, ("mmd", "source")), (10, ("mmd", "source")), (20, ("mmd", "source", "dann"))
])  # fmt: skip
def test_a_class_a_model_and_a_kind_look_alike_in_the_whole_report(classes, models):
    page = page_of(classes, models)
    sections, looks = page.chapters[0].sections, looks_of(page)
    for eye in (on_screen, on_paper):
        colours, markers = defaultdict(set), defaultdict(set)
        seen = set()
        for _, panel, block in marks(sections):
            found, shapes = eye(panel, block, looks)
            parts = parts_of(block.of)
            by = {next(name for name in ("label", "model", "kind", "search", "domain")
                       if getattr(part, name) not in (-1, "")): part for part in parts}  # fmt: skip
            seen |= set(by)
            of_colour = next(by[name] for name in ("label", "model", "kind", "search", "domain") if name in by)
            assert len(found) == (0 if "domain" in by and len(by) == 1 else 1), (block.of, found)
            colours[of_colour] |= found
            if shapes:
                of_marker = next(by[name] for name in ("kind", "label", "model") if name in by)
                markers[of_marker] |= shapes
        assert {"label", "model", "kind", "search", "domain"} <= seen
        assert all(len(found) == 1 for found in colours.values()), colours
        assert all(len(found) == 1 for found in markers.values()), markers
        for kind in KINDS:
            assert markers[Meaning(kind=kind)] == {PAPER_CONVENTION[kind]}
        for many in ([Meaning(label=k) for k in range(classes)], [Meaning(model=m) for m in models]):
            pairs = {(min(colours[one]), min(markers[one])) for one in many}
            assert len(pairs) == len(many)
        assert not {min(colours[Meaning(label=k)]) for k in range(classes)} & {
            min(colours[Meaning(model=m)]) for m in models
        }


def test_regions_and_legends_have_the_colours_of_their_classes():
    for section in make_sections(10):
        drawing = section.drawing()
        looks = Looks().including(drawing.meanings(), drawing.palette)
        by_name = {name: looks(Meaning(label=k)).colour for k, name in enumerate(looks.palette.class_names)}
        for trace in painted(drawing)["data"]:
            if trace.get("showlegend") and trace["name"] in by_name:
                assert trace["marker"]["color"] == by_name[trace["name"]]
        regions = [block for panel in drawing.panels for block in panel.blocks if isinstance(block, Regions)]
        for block in regions:
            spec = painted(Drawing([Panel([block])], palette=drawing.palette))
            fills = [trace["line"]["color"] for trace in spec["data"] if trace.get("fill") == "toself"]
            assert fills == [by_name[looks.palette.class_names[k]] for k in sorted({k for k, _ in block.pieces})]


def test_a_written_page_has_one_colour_for_each_name(tmp_path):
    html = write_page(page_of(10, ("mmd", "source")), tmp_path).read_text()
    colours = defaultdict(set)
    for spec in re.findall(r'<script type="application/json" id="[^"]*-figure">(.*?)</script>', html, re.S):
        for trace in json.loads(spec)["data"]:
            for part in ("marker", "line", "textfont"):
                colour = trace.get(part, {}).get("color")
                if colour and trace.get("name"):
                    colours[trace["name"]].add(colour)
    assert colours["mmd"] == {"#0072B2"}
    assert colours["source"] == {"#D55E00"}
    for k in range(10):
        assert len(colours[f"class {k}"]) == 1
    assert len(set.union(*(colours[f"class {k}"] for k in range(10)))) == 10


@pytest.mark.parametrize("count", [*range(2, 8), 10, 20, 24, 25, 48, 100, 200])
def test_no_two_classes_share_a_colour_and_a_marker(count):
    looks = Looks(make_palette([f"class {k}" for k in range(count)]))
    pairs = [(one.colour, one.marker) for one in map(looks, (Meaning(label=k) for k in range(count)))]
    assert len(set(pairs)) == count
    if count <= 24:
        assert len({colour for colour, _ in pairs}) == count
    kinds = {looks(Meaning(kind=kind)).marker for kind in KINDS}
    assert not kinds & {marker for _, marker in pairs}


def test_thirty_models_are_told_apart_and_a_search_is_no_model():
    looks = Looks(models=tuple(f"m{i}" for i in range(30))).including(
        Meaning(search=name) for name in ("random", "auto", "de")
    )
    models = [looks(Meaning(model=name)) for name in looks.models]
    assert len({(one.colour, one.marker) for one in models}) == 30
    searches = [looks(Meaning(search=name)) for name in ("random", "auto", "de")]
    assert not {one.colour for one in searches} & {one.colour for one in models}
    assert len({one.dash for one in searches}) == 3
    assert searches[0].dash == "dot"
    # On one line, the model is told by the colour and the search by the dash.
    both = looks(Meaning(model="m1", search="de"))
    assert (both.colour, both.dash) == (models[1].colour, searches[2].dash)


def test_a_name_keeps_its_look_whichever_comes_first():
    looks = Looks(models=("mmd", "source"))
    for order in itertools.permutations(("mmd", "source", "dann")):
        more = looks.including(Meaning(model=name) for name in order)
        assert more(Meaning(model="source")) == looks(Meaning(model="source"))
        assert more.models == ("mmd", "source", "dann")


def test_every_colour_has_a_twin_that_can_be_seen_in_the_dark():
    ground = DARK[PAPER]
    looks = Looks(make_palette([f"class {k}" for k in range(24)]), tuple(f"m{i}" for i in range(8)))
    looks = looks.including(Meaning(search=f"s{i}") for i in range(6))
    used = {looks(Meaning(label=k)).colour for k in range(24)} | {looks(Meaning(model=m)).colour for m in looks.models}
    used |= {looks(Meaning(search=s)).colour for s in looks.searches} | {looks(Meaning(kind=k)).colour for k in KINDS}
    for count, name in ((2, "safe"), (3, "safe"), (6, "safe"), (3, "paper")):
        used |= set(make_palette([str(k) for k in range(count)], name).colours)
    assert used <= set(DARK)
    worst = min(contrast(DARK[colour], ground) for colour in DARK if colour != PAPER)
    assert worst >= 4.5
    twins = [dark.lower() for dark in DARK.values()]
    assert len(set(twins)) == len(twins)
    assert contrast(DARK_SCALES["share"][-1], ground) > 10


def test_colours_differ_in_grey_and_are_refused_where_there_are_none():
    for count in (2, 3, 6):
        shades = [lightness(colour) for colour in make_palette([str(k) for k in range(count)]).colours]
        assert shades == sorted(shades, reverse=True)
        assert min(np.abs(np.diff(shades))) > 0.07
    with pytest.raises(InputError, match="paper has 3 colours and there are 4 classes"):
        make_palette(["a", "b", "c", "d"], "paper")
    with pytest.raises(InputError, match="unknown colours 'gaudy'; known are safe, paper"):
        make_palette(("a",), "gaudy")


@pytest.mark.parametrize("section", make_sections(), ids=lambda section: type(section).__name__)
def test_plotly_accepts_what_is_painted_for_it(section):
    figure = painted(section)
    assert len(figure["data"]) + len(figure["layout"]["images"]) > 0
    assert go.Figure(figure).to_json()


def test_lines_without_a_meaning_are_grey_in_both():
    block = Lines(np.array([[[0.0, 0.0], [1.0, 1.0]]]), "grey", arrow=True, name="moves")
    spec = painted(Drawing([Panel([block])]))
    assert {trace["line"]["color"] for trace in spec["data"]} == {GREY}
    assert spec["data"][1]["marker"]["symbol"] == "arrow"
