"""Blocks painted for the screen: figures of plotly as JSON values. Plotly itself is needed by the page alone."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, assert_never

import numpy as np

from robustkit.report.blocks import (
    Axis,
    Bars,
    Block,
    Cells,
    Drawing,
    Key,
    Lines,
    Panel,
    Picture,
    Points,
    Regions,
    Rings,
    Rule,
    Series,
    Words,
    axes_of,
    legend_of,
)
from robustkit.report.palette import BEHIND, BRIGHT, EDGE, GREY, INK, PAPER, RING, SCALES, Looks, Meaning
from robustkit.report.values import array, broken, domain, gap, part_of, picture, plain, shade, steps

TONES = {"ink": INK, "grey": GREY, "edge": EDGE, "paper": PAPER, "bright": BRIGHT}
_POINT = 1.45  # pixels of a point of print: the page is read from further away
_LINE, _AXIS = 17, 52  # pixels of a line of a title, and of what stands below a panel
_CAMERA = {"eye": {"x": 1.4, "y": 1.4, "z": 1.1}, "center": {"x": 0, "y": 0, "z": -0.12}}
_INNER = 900  # pixels between the margins of a drawing, about
_LETTERS = 165  # of a title, over the whole width


def paint(drawing: Drawing, looks: Looks) -> dict[str, Any]:
    """A drawing as a figure of plotly.

    Args:
        drawing: What to paint.
        looks: How what it shows is drawn; names that it lacks are added.

    Returns:
        `data` and `layout`, JSON values.
    """
    looks = looks.including(drawing.meanings(), drawing.palette)
    panels = [panel for panel in drawing.panels if panel.screen]
    keys = legend_of(drawing, looks) if drawing.legend != "none" else []
    columns = min(drawing.columns, len(panels))
    rows = -(-len(panels) // columns)
    titles = [_title(panel, columns) for panel in panels]
    above = max(_LINE * (text.count("<br>") + 1) + 4 if text else 0 for text in titles)
    axes = _AXIS if any(p.x.shown and (p.x.title or p.x.ticks is None or p.x.ticks) for p in panels) else 6
    axes += 26 if any(p.x.turned for p in panels) else 0
    top, bottom = 12 + above, axes + 6
    layout: dict[str, Any] = {
        "height": drawing.height,
        "margin": {"l": 64 if any(panel.y.shown for panel in panels) else 12, "r": 20, "t": top, "b": bottom},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "hoverlabel": {"align": "left"},
        "hovermode": "closest",
        "uirevision": "kept",
        "showlegend": bool(keys),
        "legend": {"orientation": "h", "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        "annotations": [],
        "shapes": [],
        "images": [],
        "barmode": "overlay",
    }
    inner = drawing.height - top - bottom
    layout["legend"]["y"] = 1 + (above + 6) / inner
    data = [_key(key, looks) for key in keys]
    wide = 0.03 if drawing.shared or not panels[0].y.shown else max(0.3 / (columns + 2), _beside(panels, columns))
    tall = min((axes + above) / inner, 0.6 / rows)
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        x = domain(column, columns, wide)
        y = domain(rows - 1 - row, rows, tall)
        if len(drawing.heights) == rows:
            y = part_of(drawing.heights, row, tall)
        first = place if not drawing.shared else row * columns
        if titles[place]:
            layout["annotations"].append(
                {"text": titles[place], "x": sum(x) / 2, "y": y[1], "xref": "paper", "yref": "paper",
                 "xanchor": "center", "yanchor": "bottom", "showarrow": False, "yshift": 3,
                 "font": {"size": 12.5 if columns < 4 else 11.5}}
            )  # fmt: skip
        if panel.space:
            layout["xaxis"] = layout["yaxis"] = {"visible": False}  # those of the legend's traces
            data += _space(panel, place, looks, layout, x, y)
        else:
            data += _flat(panel, place, looks, layout, x, y, shared=first if first != place else None)
    return {"data": data, "layout": layout}


def _beside(panels: Sequence[Panel], columns: int) -> float:
    """The share of the width that the longest names of rows need between two panels."""
    names = [text for place, panel in enumerate(panels) if place % columns for _, text in panel.y.ticks or ()]
    return min(max((7.0 * len(line) + 20 for text in names for line in text.split("\n")), default=0.0) / _INNER, 0.4)


def _title(panel: Panel, columns: int) -> str:
    lines = [piece for line in panel.title.splitlines() for piece in textwrap.wrap(line, _LETTERS // columns - 2)]
    return "<br>".join(map(plain, lines))


def _flat(
    panel: Panel, place: int, looks: Looks, layout: dict[str, Any], x: list[float], y: list[float], shared: int | None
) -> list[dict[str, Any]]:
    number = "" if place == 0 else str(place + 1)
    horizontal, vertical = axes_of(panel)
    xaxis, yaxis = _axis(horizontal, y=False) | {"domain": x}, _axis(vertical, y=True) | {"domain": y}
    xaxis["anchor"], yaxis["anchor"] = f"y{number}", f"x{number}"
    if panel.equal:
        yaxis |= {"scaleanchor": f"x{number}", "constrain": "domain" if horizontal.span else "range"}
        xaxis["constrain"] = yaxis["constrain"]
    if shared is not None:
        yaxis |= {"matches": "y" if shared == 0 else f"y{shared + 1}", "showticklabels": False}
        yaxis.pop("title", None)
    layout[f"xaxis{number}"], layout[f"yaxis{number}"] = xaxis, yaxis
    axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    return [{**trace, **axes} for block in panel.blocks for trace in _block(block, looks, layout, number)]


def _space(
    panel: Panel, place: int, looks: Looks, layout: dict[str, Any], x: list[float], y: list[float]
) -> list[dict[str, Any]]:
    name = f"scene{'' if place == 0 else place + 1}"
    axis = {"showticklabels": False, "showbackground": False, "zeroline": False}
    axes = {
        f"{letter}axis": {**axis, "title": {"text": f"axis {d + 1}", "font": {"size": 12}}}
        for d, letter in enumerate("xyz")
    }
    layout[name] = {**axes, "aspectmode": "data", "camera": _CAMERA, "domain": {"x": x, "y": y}}
    traces: list[dict[str, Any]] = []
    for block in panel.blocks:
        if isinstance(block, Lines):
            traces.append(
                {"type": "scatter3d", "mode": "lines", **broken(block.ends), "hoverinfo": "skip", "showlegend": False,
                 "line": {"color": TONES[block.tone], "dash": "dash" if block.dashed else "solid"}, "scene": name}
            )  # fmt: skip
        elif isinstance(block, Points):
            look = looks(block.of)
            # Plotly has seven markers in space; letters give it those of the plane.
            traces.append(
                {"type": "scatter3d", "mode": "text", "text": look.glyph, "textposition": "middle center",
                 "textfont": {"color": look.colour, "size": 2.6 * block.size}, "scene": name,
                 **_told(block), **_group(block.of, looks),
                 **{letter: array(block.places[:, d]) for d, letter in enumerate("xyz")}}
            )  # fmt: skip
    return traces


def _block(block: Block, looks: Looks, layout: dict[str, Any], number: str) -> Iterator[dict[str, Any]]:
    """The traces of a block; what is no trace is added to the layout."""
    x, y = f"x{number}", f"y{number}"
    match block:
        case Series():
            yield from _series(block, looks)
        case Points():
            yield _points(block, looks)
        case Lines():
            yield _lines(block)
        case Rule():
            along, across = (x, f"{y} domain") if block.axis == "x" else (f"{x} domain", y)
            ends = {"x0": block.at, "x1": block.at, "y0": 0, "y1": 1}
            if block.axis == "y":
                ends = {"x0": 0, "x1": 1, "y0": block.at, "y1": block.at}
            look = looks(block.of)
            colour = GREY if look.colour == INK else look.colour
            line = {"color": colour, "width": block.width, "dash": "dot" if block.dashed else look.dash}
            layout["shapes"].append({"type": "line", "xref": along, "yref": across, **ends, "line": line})
        case Regions():
            yield from _regions(block, looks)
        case Cells():
            yield _cells(block)
        case Picture():
            left, right, low, high = block.box
            layout["images"].append(
                {"source": picture(block.values), "xref": x, "yref": y, "x": (left + right) / 2, "y": (low + high) / 2,
                 "xanchor": "center", "yanchor": "middle", "sizex": abs(right - left), "sizey": abs(high - low),
                 "sizing": "contain" if block.whole else "stretch",
                 "layer": "above" if block.whole else "below"}
            )  # fmt: skip
        case Rings():
            for centre in block.places:
                box = {"x0": centre[0] - block.radius, "x1": centre[0] + block.radius,
                       "y0": centre[1] - block.radius, "y1": centre[1] + block.radius}  # fmt: skip
                for colour, width in (("#000000", 4), (RING, 2)):
                    layout["shapes"].append(
                        {"type": "circle", "xref": x, "yref": y, **box, "line": {"color": colour, "width": width}}
                    )
        case Bars():
            look = looks(block.of)
            edge = {"color": look.colour, "width": 1.5}
            yield {
                "type": "bar", "x": array(block.x), "y": array(block.y), "width": block.width,
                "marker": {"color": look.colour if look.filled else PAPER, "line": edge},
                **({} if block.errors is None else {"error_y": {"type": "data", "array": array(block.errors)}}),
                **_group(block.of, looks),
            }  # fmt: skip
        case Words():
            place = _on(layout[f"xaxis{number}"], block.x), _on(layout[f"yaxis{number}"], block.y)
            if not np.isfinite(place).all():  # the name of a curve that has no point
                return
            layout["annotations"].append(
                {"text": f"<b>{plain(block.text)}</b>" if block.bold else plain(block.text),
                 "x": place[0], "y": place[1], "xref": x, "yref": y, "showarrow": False,
                 "font": {"size": 12.5 * block.size, **_tinted(block, looks)},
                 "textangle": -90 if block.upright else 0, "xanchor": block.align,
                 "yanchor": "bottom" if block.above else "middle",
                 **({"bgcolor": shade(PAPER, 0.7)} if block.of.label >= 0 else {})}
            )  # fmt: skip
        case _:
            assert_never(block)


def _on(axis: dict[str, Any], value: float) -> float:
    """Where plotly wants an annotation: on a logarithmic axis, unlike everything else, at the logarithm."""
    if axis.get("type") != "log":
        return value
    return float(np.log10(value)) if value > 0 else math.nan


def _tinted(block: Words, looks: Looks) -> dict[str, str]:
    """The colour of words where it is not that of the page's ink."""
    if block.of.search:
        return {"color": looks(block.of).colour}
    return {} if block.tone == "ink" else {"color": TONES[block.tone]}


def _series(block: Series, looks: Looks) -> Iterator[dict[str, Any]]:
    look, group = looks(block.of), _group(block.of, looks, block.name)
    shape = "hv" if block.step else "linear"
    if block.low is not None and block.high is not None and not block.bars:
        x, low = steps(block.x, block.low) if block.step else (block.x, block.low)
        high = steps(block.x, block.high)[1] if block.step else block.high
        known = np.isfinite(low) & np.isfinite(high)
        yield {
            "type": "scatter", "mode": "lines", "fill": "toself", "hoverinfo": "skip", "line": {"width": 0},
            "fillcolor": shade(look.colour, 0.14), "x": array(np.append(x[known], x[known][::-1])),
            "y": array(np.append(high[known], low[known][::-1])), **group,
        }  # fmt: skip
    marker = {"color": look.colour, "symbol": _symbol(look.symbol, hollow=not look.filled), "size": _POINT * 4.5}
    if block.sizes is not None:
        marker["size"] = array(_POINT * block.sizes)
    mode = "+".join([*(["lines"] if block.width else []), *(["markers"] if block.marked else [])])
    trace: dict[str, Any] = {
        "type": "scatter", "mode": mode, "x": array(block.x), "y": array(block.y), "marker": marker,
        "line": {"color": look.colour, "shape": shape, "dash": look.dash, "width": _POINT * block.width},
        **_told(block), **group,
    }  # fmt: skip
    if block.filled:
        trace |= {"fill": "tozeroy", "fillcolor": shade(look.colour, 0.18)}
    if block.bars and block.low is not None and block.high is not None:
        trace["error_y"] = {"type": "data", "symmetric": False, "array": array(gap(block.high, block.y)),
                            "arrayminus": array(gap(block.y, block.low)), "thickness": 1.2}  # fmt: skip
    yield trace


def _points(block: Points, looks: Looks) -> dict[str, Any]:
    look = looks(block.of)
    hollow = block.hollow or not look.filled
    marker: dict[str, Any] = {"color": look.colour, "symbol": _symbol(look.symbol, hollow=hollow)}
    marker["size"] = _POINT * block.size * (1.35 if look.symbol == "star" else 1.0)
    if block.edged:
        marker["line"] = {"color": PAPER, "width": 0.8 if block.size < 6 else 1.4}
    trace: dict[str, Any] = {
        "type": "scatter", "mode": "markers", "x": array(block.places[:, 0]), "y": array(block.places[:, 1]),
        "marker": marker, **_told(block), **_group(block.of, looks, block.name),
    }  # fmt: skip
    if block.ends is not None:
        value, (low, high) = block.places[:, 0], block.ends
        trace["error_x"] = {"type": "data", "symmetric": False, "array": array(gap(high, value)),
                            "arrayminus": array(gap(value, low))}  # fmt: skip
    return trace


def _lines(block: Lines) -> dict[str, Any]:
    line = {"color": TONES[block.tone], "width": _POINT * block.width, "dash": "dash" if block.dashed else "solid"}
    trace: dict[str, Any] = {
        "type": "scatter", "mode": "lines", **broken(block.ends), "hoverinfo": "skip", "showlegend": False,
        "line": line,
    }  # fmt: skip
    if block.arrow:
        trace["mode"] = "lines+markers"
        trace["marker"] = {"symbol": "arrow", "angleref": "previous", "color": TONES[block.tone],
                           "size": [0, 8, 0] * len(block.ends)}  # fmt: skip
    return trace


def _regions(block: Regions, looks: Looks) -> Iterator[dict[str, Any]]:
    for k in sorted({label for label, _ in block.pieces}):
        colour = looks.palette.colours[k] if k >= 0 else PAPER
        rings = [np.vstack([v, v[:1], [[np.nan, np.nan]]]) for label, v in block.pieces if label == k]
        corners = np.concatenate(rings)
        yield {
            "type": "scatter", "mode": "lines", "fill": "toself", "hoverinfo": "skip", "showlegend": False,
            "x": array(corners[:, 0]), "y": array(corners[:, 1]),
            "fillcolor": colour if block.strong else shade(colour, 0.22),
            "line": {"width": 0.5 if block.strong else 0, "color": colour},
        }  # fmt: skip


def _cells(block: Cells) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "heatmap", "z": array(block.values), "zmin": block.low, "zmax": block.high,
        "colorscale": [[i / 4, colour] for i, colour in enumerate(SCALES[block.scale])],
        "showscale": bool(block.label),
    }  # fmt: skip
    if block.label:
        trace["colorbar"] = {"title": {"text": plain(block.label), "side": "right"}, "thickness": 14}
    if block.gaps:
        trace |= {"xgap": 2, "ygap": 2}
    if len(block.text):
        trace |= {"text": [[plain(one) for one in row] for row in block.text], "texttemplate": "%{text}"}
    if len(block.hover):
        trace |= {"hovertext": [[plain(one) for one in row] for row in block.hover], "hoverinfo": "text"}
    else:
        trace["hovertemplate"] = "row %{y}, column %{x}: %{z:.3f}<extra></extra>"
    return trace


def _key(key: Key, looks: Looks) -> dict[str, Any]:
    """An entry of the legend: a trace without points, which hides and shows what it stands for."""
    look, block = looks(key.of), key.block
    trace: dict[str, Any] = {
        "type": "scatter", "x": [None], "y": [None], "name": plain(key.name), "showlegend": True, "hoverinfo": "skip",
        "mode": "markers", "marker": {"color": look.colour, "symbol": _symbol(look.symbol, hollow=not look.filled),
                                      "size": 9},
        "legendgroup": key.name,
    }  # fmt: skip
    if isinstance(block, Lines):
        line = {"color": TONES[block.tone], "dash": "dash" if block.dashed else "solid", "width": 1.5}
        return trace | {"mode": "lines", "line": line}
    if isinstance(block, Series):
        trace["line"] = {"color": look.colour, "dash": look.dash, "width": 2}
        trace["mode"] = "+".join([*(["lines"] if block.width else []), *(["markers"] if block.marked else [])])
    elif isinstance(block, Regions | Bars) or (block is None and key.of.label >= 0):
        trace["marker"] |= {"symbol": "square", "size": 12, "color": look.colour if look.filled else PAPER,
                            "line": {"color": look.colour, "width": 1.5}}  # fmt: skip
    elif block is None:
        trace["marker"]["color"] = BEHIND
    if isinstance(block, Points) and block.hollow:
        trace["marker"] |= {"symbol": "circle-open", "color": BEHIND}
    return trace


def _group(of: Meaning, looks: Looks, name: str = "") -> dict[str, Any]:
    """What a trace is hidden and shown with: the entry of its class, or of all that it stands for."""
    whole = name or looks.name(Meaning(label=of.label) if of.label >= 0 and of.kind else of)
    return {"showlegend": False, "legendgroup": whole, "name": plain(whole)}


def _told(block: Series | Points) -> dict[str, Any]:
    """What is said under the pointer."""
    told: dict[str, Any] = {}
    if len(block.hover):
        told = {"hovertext": [plain(one) for one in block.hover], "hovertemplate": "%{hovertext}<extra></extra>"}
    elif isinstance(block, Points):
        told = {"hoverinfo": "skip"}
    if isinstance(block, Points) and block.images is not None:
        told |= {"customdata": block.images.tolist(), "meta": "thumbnails"}
    return told


def _axis(axis: Axis, *, y: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"zeroline": False, "showgrid": axis.grid and axis.shown, "automargin": True}
    if not axis.shown:
        made |= {"showticklabels": False, "ticks": "", "showline": False}
    if axis.title:
        made["title"] = {"text": plain(axis.title), "standoff": 8, "font": {"size": 13}}
    if axis.log:
        made |= {"type": "log", "dtick": 1}
    if axis.span is not None:
        made["range"] = [float(np.log10(end)) for end in axis.span] if axis.log else list(map(float, axis.span))
    if axis.ticks is not None:
        made |= {"tickvals": [at for at, _ in axis.ticks], "ticktext": [plain(name) for _, name in axis.ticks]}
    if axis.turned and not y:
        made["tickangle"] = -30
    return made


def _symbol(symbol: str, *, hollow: bool) -> str:
    return f"{symbol}-open" if hollow else symbol
