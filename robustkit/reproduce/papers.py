"""The published tables, figures and claims of the papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SOURCE, TARGET = "source", "target"

# What `Paper.flipped` counts, to stand wherever it is printed: our rates are of images that are classified correctly.
FLIPPED_MEANS = (
    "the published figure is of all images attacked, right or wrong, that flip under both trainings, and counts a "
    "wrong image whose predicted class is a target above 0.5 as flipped before any pixel changes"
)


@dataclass(frozen=True)
class Distance:
    """d_E between images and their perturbed versions, in the latent units of one network.

    Attributes:
        error: The standard error of the mean.
    """

    median: float
    mean: float
    error: float


@dataclass(frozen=True)
class Paper:
    """A paper.

    Attributes:
        name: Name on the command line.
        reference: The bibliographic reference.
        bibtex: The same as BibTeX.
        methods: Training methods; `source` is training without domain adaptation.
        domains: Its names for source and target.
        scores: By network, method and domain: scores on test images, as fractions.
        over_seeds: By network, method and domain: mean accuracy over seeds and its standard deviation.
        distances: By network, method and perturbation (`noisy` or `one pixel`): d_E.
        flipped: By network: images flipped with and without adaptation, and images attacked; see `FLIPPED_MEANS`.
        js: By network: the JS distance of d_E under one pixel, with adaptation and without.
        places: Table or figure numbers in the paper, by content and network.
    """

    name: str
    title: str
    reference: str
    bibtex: str
    networks: tuple[str, ...]
    methods: tuple[str, ...]
    domains: tuple[str, str]
    scores: Mapping[tuple[str, str, str], Mapping[str, float]]
    over_seeds: Mapping[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)
    distances: Mapping[tuple[str, str, str], Distance] = field(default_factory=dict)
    flipped: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    js: Mapping[str, float] = field(default_factory=dict)
    places: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def heading(self, what: str, network: str, text: str) -> str:
        """A heading that begins with the number in the paper, if there is one."""
        place = self.places.get((what, network))
        return f"{place}: {text}" if place else text


def _weighted(accuracy: float, precision: float, recall: float, f1: float) -> dict[str, float]:
    return {"accuracy": accuracy, "precision_weighted": precision, "recall_weighted": recall, "f1_weighted": f1}


# Tables 2 to 5, section 5.3 and Figure 6.
AD22 = Paper(
    name="ad22",
    title="DeepAdversaries: examining the robustness of deep learning models for galaxy morphology classification",
    reference="Ciprijanovic et al. 2022, Mach. Learn.: Sci. Technol. 3 035007",
    bibtex="""@article{Ciprijanovic2022,
  author  = {\\'Ciprijanovi\\'c, Aleksandra and Kafkes, Diana and Snyder, Gregory and S\\'anchez, F. Javier and
             Perdue, Gabriel Nathan and Pedro, Kevin and Nord, Brian and Madireddy, Sandeep and Wild, Stefan M.},
  title   = {{DeepAdversaries}: examining the robustness of deep learning models for galaxy morphology classification},
  journal = {Machine Learning: Science and Technology},
  volume  = {3},
  pages   = {035007},
  year    = {2022},
  doi     = {10.1088/2632-2153/ac7f1a}
}""",
    networks=("convnet", "resnet18"),
    methods=("source", "mmd"),
    domains=("Y10", "Y1"),
    scores={
        ("resnet18", "source", SOURCE): _weighted(0.72, 0.76, 0.72, 0.72),
        ("resnet18", "source", TARGET): _weighted(0.43, 0.61, 0.43, 0.36),
        ("resnet18", "mmd", SOURCE): _weighted(0.82, 0.82, 0.82, 0.82),
        ("resnet18", "mmd", TARGET): _weighted(0.66, 0.67, 0.66, 0.67),
        ("convnet", "source", SOURCE): _weighted(0.70, 0.72, 0.70, 0.70),
        ("convnet", "source", TARGET): _weighted(0.48, 0.67, 0.48, 0.42),
        ("convnet", "mmd", SOURCE): _weighted(0.69, 0.70, 0.69, 0.69),
        ("convnet", "mmd", TARGET): _weighted(0.57, 0.62, 0.57, 0.58),
    },
    distances={
        ("resnet18", "source", "noisy"): Distance(18.1, 20.2, 1.0),
        ("resnet18", "mmd", "noisy"): Distance(26.4, 29.7, 1.5),
        ("resnet18", "source", "one pixel"): Distance(16.0, 16.8, 0.4),
        ("resnet18", "mmd", "one pixel"): Distance(35.8, 38.1, 1.3),
        ("convnet", "source", "noisy"): Distance(6.3, 6.7, 0.2),
        ("convnet", "mmd", "noisy"): Distance(6.9, 8.3, 0.3),
        ("convnet", "source", "one pixel"): Distance(2.8, 3.1, 0.1),
        ("convnet", "mmd", "one pixel"): Distance(3.6, 4.1, 0.2),
    },
    flipped={"resnet18": (136, 150), "convnet": (134, 150)},
    js={"resnet18": 0.64},
    places={
        ("examples", "all"): "Figure 2",
        ("scores", "resnet18"): "Table 2",
        ("scores", "convnet"): "Table 4",
        ("distances", "resnet18"): "Table 3",
        ("distances", "convnet"): "Table 5",
        ("windows", "resnet18"): "Figures 3 and 5",
        ("map", "resnet18"): "Figure 3",
        ("space", "resnet18"): "Figure 4",
        ("histograms", "resnet18"): "Figure 6, bottom",
        ("histograms", "convnet"): "Figure 6, top",
    },
)

# Table 1 and section 5.
DA20 = Paper(
    name="da20",
    title="Domain adaptation techniques for improved cross-domain study of galaxy mergers",
    reference="Ciprijanovic et al. 2020, arXiv:2011.03591",
    bibtex="""@misc{Ciprijanovic2020,
  author = {\\'Ciprijanovi\\'c, Aleksandra and Kafkes, Diana and Jenkins, Sydney and Downey, Kathryn and
            Perdue, Gabriel Nathan and Madireddy, Sandeep and Johnston, Travis and Nord, Brian},
  title  = {Domain adaptation techniques for improved cross-domain study of galaxy mergers},
  year   = {2020},
  eprint = {2011.03591},
  archivePrefix = {arXiv}
}""",
    networks=("deepmerge", "resnet18"),
    methods=("source", "mmd", "dann"),
    domains=("source", "target"),
    scores={
        (network, method, domain): {"accuracy": value}
        for method, line in {
            "source": (0.848, 0.811, 0.520, 0.605),
            "mmd": (0.869, 0.904, 0.766, 0.738),
            "dann": (0.874, 0.923, 0.786, 0.716),
        }.items()
        for (domain, network), value in zip(
            [(domain, network) for domain in (SOURCE, TARGET) for network in ("deepmerge", "resnet18")],
            line,
            strict=True,
        )
    },
    over_seeds={
        ("deepmerge", "source", SOURCE): (0.836, 0.007),
        ("deepmerge", "source", TARGET): (0.570, 0.052),
        ("deepmerge", "mmd", SOURCE): (0.866, 0.013),
        ("deepmerge", "mmd", TARGET): (0.773, 0.006),
        ("deepmerge", "dann", SOURCE): (0.865, 0.009),
        ("deepmerge", "dann", TARGET): (0.789, 0.005),
    },
    places={
        ("scores", "deepmerge"): "Table 1",
        ("scores", "resnet18"): "Table 1",
        ("seeds", "deepmerge"): "Section 5",
        ("figure", "all"): "Figure 1",
    },
)

PAPERS = {paper.name: paper for paper in (AD22, DA20)}
