"""One table of colours, markers and dashes: what stands for the same thing looks the same in every drawing.

A mark has a `Meaning` (a class, a model, clean or noisy or attacked, a search, a domain) and never a colour of its own;
`Looks` gives each meaning its look, in both painters, light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import cycle, islice

from robustkit.errors import InputError
from robustkit.words import no_such

KINDS = ("clean", "noisy", "attacked")
BASELINE = "random"  # the search that others are held against

# Of light to dark, so that they stay apart in grey: P. Tol's high-contrast and medium-contrast schemes, which are told
# apart with any colour vision (SRON/EPS/TN/09-002, issue 3.2).
_TWO = ("#DDAA33", "#004488")
_THREE = ("#DDAA33", "#BB5566", "#004488")
_SIX = ("#EECC66", "#EE99AA", "#6699CC", "#997700", "#994455", "#004488")
# More classes: as far apart as a greedy search in OKLab finds them, with normal, red-blind and green-blind sight.
_MANY = ("#084A8F", "#ADB416", "#9E2418", "#E17CF0", "#1A856C", "#540D51", "#A87438", "#264640", "#745981", "#86B99A",
         "#1A89C5", "#5B1A04", "#28088F", "#0F5C0D", "#952360", "#40B764", "#695342", "#2F2863", "#C15C67", "#9B1DAC",
         "#8B8BA6", "#C9A37B", "#5E3381", "#AB61A5")  # fmt: skip
# The published figures: spiral, elliptical, merger.
_PAPER = ("#ffa600", "#bc5090", "#003f5c")
# Models and searches are never coloured as classes are. The first two are Okabe & Ito's.
_MODELS = ("#0072B2", "#D55E00", "#44AA99", "#882255", "#E69F00", "#332288", "#CC79A7", "#56B4E9")
_SEARCHES = ("#7B3294", "#117733", "#8C510A", "#01665E", "#C51B7D", "#4D4D9F")
_KINDS = {"clean": "#222222", "noisy": "#0F8B8D", "attacked": "#C2185B"}

INK, GREY, EDGE, PAPER, BEHIND = "#111111", "#7F7F7F", "#3D3D3D", "#FEFEFE", "#555555"
BRIGHT = "#FDFDFD"  # on pictures and maps that are dark on every ground
RING = "#FF4F8B"  # around a changed pixel: that of attacked, bright enough for the night sky

# What each colour becomes on the page's dark ground, where it has a contrast of 4.5 at least.
DARK = {
    "#DDAA33": "#E9BC55", "#BB5566": "#EE8A9A", "#004488": "#6FA8F5", "#EECC66": "#F3DA8C", "#EE99AA": "#F4B4C1",
    "#6699CC": "#A5C8EC", "#997700": "#C79F2C", "#994455": "#CF7687", "#ffa600": "#ffb733",
    "#bc5090": "#e283bb", "#003f5c": "#58a6cc",
    **dict(zip(_MANY, (
        "#64A1EE", "#E3EC62", "#FC7C69", "#FAD1FF", "#70D0B4", "#B86DB1", "#F0B87C", "#7B9E96", "#C2A4D0", "#BBF0CF",
        "#88CDFD", "#C0765F", "#747AFC", "#6CB366", "#F279B1", "#82F59E", "#BBA28F", "#8683C7", "#FFA9AF", "#EE7BFE",
        "#CACBE8", "#FFDAB4", "#B487DD", "#F4A5EC"), strict=True)),
    "#0072B2": "#55B4F0", "#D55E00": "#FF8B3D", "#44AA99": "#6FD6C4", "#882255": "#D973A6", "#E69F00": "#FFC04D",
    "#332288": "#9389F0", "#CC79A7": "#E3A3C6", "#56B4E9": "#9AD6F7",
    "#7B3294": "#C58BDD", "#117733": "#5FC483", "#8C510A": "#D6A05E", "#01665E": "#4FB8AE", "#C51B7D": "#F07AB6",
    "#4D4D9F": "#A3A3F2", "#666666": "#A0A9B2",
    "#222222": "#E6E9EC", "#0F8B8D": "#45C9CB", "#C2185B": "#FF7EAE",
    INK: "#F2F4F6", GREY: "#98A2AC", EDGE: "#C3CAD1", PAPER: "#14181D", BEHIND: "#B4BCC4",
}  # fmt: skip

# Colours of cells, from the first value to the last.
SCALES = {
    "share": ("#F7FBFF", "#C6DBEF", "#6BAED6", "#2171B5", "#08306B"),
    "change": ("#67001F", "#D6604D", "#F7F7F7", "#4393C3", "#053061"),
    "heat": ("#000004", "#51127C", "#B73779", "#FC8961", "#FCFDBF"),
}
# On a dark ground; heat is the same there.
DARK_SCALES = {
    "share": ("#1A222B", "#22405C", "#2F6BA0", "#6FB0E6", "#DCEEFF"),
    "change": ("#FF9A86", "#B4483C", "#252B32", "#33719E", "#8FCBF2"),
}

# Of each marker: matplotlib's name, plotly's, and the letter that stands for it in space.
_KIND_MARKERS = {"clean": ("X", "x", "✖"), "noisy": ("*", "star", "★"), "attacked": ("^", "triangle-up", "▲")}
_MARKERS = (("o", "circle", "●"), ("s", "square", "■"), ("D", "diamond", "◆"), ("P", "cross", "✚"),
            ("v", "triangle-down", "▼"), ("h", "hexagon", "⬢"), ("p", "pentagon", "⬟"), ("d", "diamond-tall", "♦"),
            ("<", "triangle-left", "◀"), (">", "triangle-right", "▶"))  # fmt: skip
# Of each dash: plotly's name and matplotlib's.
_DASHES = (("solid", "-"), ("dash", "--"), ("dashdot", "-."), ("longdash", (0, (8, 3))),
           ("longdashdot", (0, (8, 2, 1, 2))))  # fmt: skip
_DOTTED = ("dot", ":")

PALETTES = ("safe", "paper")


@dataclass(frozen=True)
class Meaning:
    """What a mark stands for; several at once where it is, say, a noisy image of a class.

    Attributes:
        label: A class, by its place; -1 for none.
        model: A model, or a method that trains one.
        kind: One of `KINDS`.
        search: A search.
        domain: Where images come from.
    """

    label: int = -1
    model: str = ""
    kind: str = ""
    search: str = ""
    domain: str = ""


@dataclass(frozen=True)
class Look:
    """How a meaning is drawn.

    Attributes:
        colour: On a light ground; `DARK` has its twin.
        marker: Matplotlib's marker.
        symbol: Plotly's.
        glyph: The letter that is drawn in space.
        line: Matplotlib's dash.
        dash: Plotly's.
        filled: Whether its markers are filled.
    """

    colour: str
    marker: str
    symbol: str
    glyph: str
    line: str | tuple[int, tuple[int, ...]]
    dash: str
    filled: bool = True


@dataclass(frozen=True)
class Palette:
    """A colour for each class.

    Attributes:
        name: `safe` or `paper`.
        colours: Of the K classes, in their order.
        class_names: The K classes.
    """

    name: str
    colours: tuple[str, ...]
    class_names: tuple[str, ...]

    def ink(self, label: int) -> str:
        """Black or white: which of them can be read on the colour of a class."""
        return "black" if lightness(self.colours[label]) > 0.5 else "white"


def make_palette(class_names: Sequence[str], name: str = "safe") -> Palette:
    """The palette of some classes.

    Args:
        class_names: The K classes; above 24 colours come again, with other markers.
        name: `safe`, told apart in grey and with any colour vision up to six classes, or `paper`, those of the
            published figures.

    Raises:
        InputError: If the name is unknown, or the paper has no colour for so many classes.

    Examples:
        >>> make_palette(["spiral", "elliptical", "merger"], "paper").colours
        ('#ffa600', '#bc5090', '#003f5c')
    """
    if name not in PALETTES:
        raise InputError(no_such("colours", name, PALETTES))
    count = len(class_names)
    if name == "paper" and count > len(_PAPER):
        raise InputError(f"the paper has {len(_PAPER)} colours and there are {count} classes; use the colours safe")
    schemes = ((2, _TWO), (3, _THREE), (6, _SIX))
    chosen = _PAPER if name == "paper" else next((one for most, one in schemes if count <= most), _MANY)
    return Palette(name, tuple(islice(cycle(chosen), count)), tuple(class_names))


@dataclass(frozen=True)
class Looks:
    """The look of everything that the drawings of one page, or of one folder, show.

    Attributes:
        palette: Of the classes.
        models: Models in the order in which they take their colours; likewise the others.
        searches: Searches.
        domains: Domains; the first is drawn filled and solid.
    """

    palette: Palette = Palette("safe", (), ())
    models: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    def including(self, meanings: Iterable[Meaning], palette: Palette | None = None) -> Looks:
        """The same with looks for whatever else is shown, in the order in which it comes.

        Args:
            meanings: What is shown.
            palette: Of the classes, where none is known yet.
        """
        found = list(meanings)
        chosen = self.palette if self.palette.class_names or palette is None else palette
        most = max((one.label for one in found), default=-1) + 1
        if most > len(chosen.class_names):
            chosen = make_palette([f"class {k}" for k in range(most)])
        added = {
            many: tuple(dict.fromkeys([*getattr(self, many), *(getattr(m, one) for m in found if getattr(m, one))]))
            for one, many in (("model", "models"), ("search", "searches"), ("domain", "domains"))
        }
        return replace(self, palette=chosen, **added)

    def __call__(self, meaning: Meaning) -> Look:
        """The look of a meaning.

        Its colour is that of the class, else of the model, else of the kind, else of the search; its marker that of
        the kind, else of the class, else of the model.
        """
        colour, marker, line, filled = INK, _MARKERS[0], _DASHES[0], True
        if meaning.search:
            others = [name for name in self.searches if name != BASELINE]
            baseline = meaning.search == BASELINE
            place = 0 if baseline else others.index(meaning.search)
            colour = "#666666" if baseline else _SEARCHES[place % len(_SEARCHES)]
            line = _DOTTED if baseline else _DASHES[place % len(_DASHES)]
            marker = _marker(place, len(_SEARCHES))
        if meaning.kind:
            colour = _KINDS[meaning.kind]
        if meaning.model:
            place = self.models.index(meaning.model)
            colour, marker = _MODELS[place % len(_MODELS)], _marker(place, len(_MODELS))
            line = line if meaning.search else _DASHES[place % len(_DASHES)]
        if meaning.label >= 0:
            colour = self.palette.colours[meaning.label]
            marker = _marker(meaning.label, len(set(self.palette.colours)))
        if meaning.kind:
            marker = _KIND_MARKERS[meaning.kind]
        if meaning.domain:
            place = self.domains.index(meaning.domain)
            line, filled = _DASHES[place % len(_DASHES)], place % 2 == 0
        return Look(colour, *marker, line[1], line[0], filled)

    def name(self, meaning: Meaning) -> str:
        """A meaning in a legend.

        Examples:
            >>> Looks().name(Meaning(model="mmd", search="de"))
            'mmd, de'
        """
        parts = [self.palette.class_names[meaning.label]] if meaning.label >= 0 else []
        parts += [meaning.model, meaning.kind, meaning.search and _search(meaning.search)]
        said = ", ".join(part for part in parts if part)
        return f"{said} on {meaning.domain}" if said and meaning.domain else said or meaning.domain


def parts_of(meaning: Meaning) -> list[Meaning]:
    """A meaning of several things, one by one.

    Examples:
        >>> parts_of(Meaning(label=1, kind="noisy"))
        [Meaning(label=1, model='', kind='', search='', domain=''), Meaning(label=-1, model='', kind='noisy', search='', domain='')]
    """  # noqa: E501
    values = ((field.name, getattr(meaning, field.name), field.default) for field in fields(meaning))
    return [Meaning(**{name: value}) for name, value, default in values if value != default]


def lightness(colour: str) -> float:
    """How light a colour is in grey, in [0, 1].

    Examples:
        >>> lightness("#ffffff")
        1.0
    """
    red, green, blue = channels(colour)
    return round((0.299 * red + 0.587 * green + 0.114 * blue) / 255, 6)


def contrast(colour: str, ground: str) -> float:
    """The contrast of two colours, from 1 to 21.

    Source: WCAG 2.2, relative luminance.

    Examples:
        >>> round(contrast("#000000", "#ffffff"))
        21
    """

    def luminance(one: str) -> float:
        values = (c / 255 for c in channels(one))
        linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in values)
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(colour), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour like `#0072B2`, each from 0 to 255."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def tint(colour: str, share: float) -> str:
    """A colour mixed with white.

    Examples:
        >>> tint("#000000", 0.2)
        '#cccccc'
    """
    return "#" + "".join(f"{round(share * value + 255 * (1 - share)):02x}" for value in channels(colour))


def _marker(place: int, colours: int) -> tuple[str, str, str]:
    """A marker of its own for each of the first colours, and another one each time that a colour comes again."""
    again, first = divmod(place, max(colours, 1))
    return _MARKERS[(first + again) % len(_MARKERS)]


def _search(name: str) -> str:
    return "random (baseline)" if name == BASELINE else name
