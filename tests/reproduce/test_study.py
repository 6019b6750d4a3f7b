"""Papers redone at a size whose numbers mean nothing: what is made, kept, refused, and written."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest

from robustkit.cli import main
from robustkit.data import ImageSet
from robustkit.errors import InputError
from robustkit.files import read_json
from robustkit.reproduce.papers import AD22, DA20, PAPERS
from robustkit.reproduce.plan import SCALES, AttackPlan, NetworkPlan, PaperPlan, plan_paper
from robustkit.reproduce.study import run_reproduction

pytest.importorskip("galsim")

_SHORT = {"epochs": 2, "warm_up": 1, "batch": 32}
_SHARES = {"spiral": 0.4, "elliptical": 0.3, "merger": 0.3}


def small_plan(paper):
    if paper is AD22:
        part = NetworkPlan("convnet", 120, None, _SHORT, {"source": 1, "mmd": 1, "adabn": 1}, AttackPlan(12, 1, 120))
        return PaperPlan(paper, "tiny", 32, _SHARES, (part,), draws=99)
    part = NetworkPlan("deepmerge", 90, None, _SHORT, dict.fromkeys((*paper.methods, "adabn"), 1))
    return PaperPlan(paper, "tiny", 32, _SHARES, (part,), binary=True, draws=99)


def redo(paper, folder):
    said = []
    how = {"scale": "tiny", "out": folder, "device": "cpu", "workers": 1, "plan": small_plan(paper)}
    return run_reproduction(paper.name, **how, say=said.append), said


@pytest.fixture(scope="module")
def ad22(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers") / "ad22"
    return folder, *redo(AD22, folder)


def tables_of(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "tables").glob("*.csv"))}


def test_every_table_and_figure_is_made(ad22):
    folder, found, said = ad22
    assert found.page == folder / "report.html"
    names = {"claims", "done-table", "scores-convnet", "flips-convnet", "distances-convnet", "methods-convnet"}
    assert names <= {name.removesuffix(".csv") for name in tables_of(folder)}
    for picture in ("examples.png", "scores.png", "scores.pdf", "all-methods-convnet.svg", "histograms-convnet.png"):
        assert (folder / "figures" / picture).stat().st_size > 1000
    assert any(line.startswith("Of 10 claims") for line in said)
    numbers = read_json(folder / "reproduction.json")
    assert numbers["command"] == "robustkit reproduce ad22 --scale tiny"
    assert [claim["network"] for claim in numbers["claims"]] == ["convnet"] * 10


def test_the_published_range_is_set_beside_the_pixels_that_there_are(ad22):
    folder, *_ = ad22
    said = re.search(
        r"Inputs 0 and 1 are (\S+) and (\S+) electrons at the extreme band, .*not physical",
        (folder / "index.md").read_text(),
    )
    assert said
    low, high = (float(said[k].replace(",", "")) for k in (1, 2))
    images = ImageSet.load(folder / "galaxies-120" / "Y10").images
    assert low < 10 * images.min()
    assert high > 0.5 * images.max()


def test_the_page_and_its_markdown_say_the_same(ad22):
    folder, found, _ = ad22
    page, text = (folder / "report.html").read_text(), (folder / "index.md").read_text()
    for claim in found.claims:
        assert claim.found in page
    assert text.count("| convnet | ") >= len(found.claims)
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(pictures) >= 3
    assert all((folder / picture).is_file() for picture in pictures)
    assert str(folder) not in text


def test_a_second_run_only_draws(ad22):
    folder, *_ = ad22
    before = tables_of(folder)
    models = {path.name: path.stat().st_mtime_ns for path in (folder / "convnet" / "models").glob("*.pt")}
    _, said = redo(AD22, folder)
    made = [line for line in said if line.endswith(("reused", "refused before", ": running"))]
    assert len(made) >= 5
    assert not [line for line in made if line.endswith(": running")]
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "convnet" / "models").glob("*.pt")} == models
    assert tables_of(folder) == before


def test_the_attack_counts_agree_with_its_record(ad22):
    folder, found, _ = ad22
    network = found.study.networks[0]
    record = network.attacks["complete", "source", 0]
    line = [row.split(",") for row in (folder / "tables" / "flips-convnet.csv").read_text().splitlines()[1:]]
    mine = next(row for row in line if row[0] == "source only" and row[2] == "complete")
    right = record.true == record.clean_class
    assert [int(mine[3]), int(mine[4])] == [len(record.ids), int(right.sum())]
    assert int(mine[5]) == len(set(record.image[record.flipped & (record.search == 1)].tolist()))


def test_the_examples_are_the_first_of_each_class_in_both_domains(ad22):
    folder, found, _ = ad22
    shown = found.study.networks[0].examples
    assert shown is not None
    deep = ImageSet.load(folder / "galaxies-120" / "Y10")
    first = [str(deep.ids[int(np.argmax(deep.labels == k))]) for k in range(3)]
    assert shown.ids.tolist() == [first, first]
    assert shown.pictures.shape == (2, 3, 32, 32, 3)
    assert (shown.pictures[0] != shown.pictures[1]).any()


def test_flips_stand_beside_the_published_number(ad22):
    with open(ad22[0] / "tables" / "flips-convnet.csv") as file:
        rows = list(csv.DictReader(file))
    column = "published (of all drawn, right or wrong, flipped in both)"
    assert {row[column] for row in rows if row["search"] == "published"} == {"134 of 150"}
    assert {row[column] for row in rows if row["search"] != "published"} == {""}


def test_another_reproduction_does_not_overwrite_it(ad22):
    folder, *_ = ad22
    with pytest.raises(InputError, match="holds another reproduction: its paper is ad22"):
        run_reproduction("da20", scale="tiny", out=folder)
    plan = PaperPlan(AD22, "tiny", 40, _SHARES, small_plan(AD22).parts)
    with pytest.raises(InputError, match="holds other galaxies: size is 32 and 40 is expected"):
        run_reproduction("ad22", scale="tiny", out=folder, plan=plan)


def test_mergers_against_the_rest(tmp_path):
    found, _ = redo(DA20, tmp_path / "da20")
    row = found.study.networks[0].row("dann", "target")
    assert row is not None
    assert row.predictions[0].class_names == ["non-merger", "merger"]
    tables = tables_of(tmp_path / "da20")
    assert {"scores-deepmerge.csv", "seeds-deepmerge.csv", "scores.csv", "methods-deepmerge.csv"} <= set(tables)
    assert b"flipped" not in tables["methods-deepmerge.csv"]
    assert b"adabn" in tables["methods-deepmerge.csv"]
    assert tables["seeds-deepmerge.csv"].count(b"cannot be compared (other data)") == 6
    assert (tmp_path / "da20" / "figures" / "scores.png").is_file()


def published(folder, sizes=(60, 20, 30)):
    """The files of AD22 under their own names, a disc brighter for each class."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n in zip(("train", "valid", "test"), sizes, strict=True):
        labels = np.arange(n) % 3
        for domain in ("Y10", "Y1"):
            images = rng.normal(0, 0.1, (n, 3, 32, 32)) + labels[:, None, None, None] / 3
            np.save(folder / f"images_{domain}_{part}.npy", images.astype(np.float32))
        np.save(folder / f"labels_{part}.npy", np.eye(3)[labels])
    return folder


def test_published_images_keep_their_own_split(tmp_path):
    data = published(tmp_path / "zenodo")
    part = NetworkPlan("convnet", 0, None, {**_SHORT, "dihedral": False}, {"source": 1, "mmd": 1}, None)
    plan = PaperPlan(AD22, "tiny", 32, {}, (part,), draws=99)
    found = run_reproduction(
        "ad22", scale="tiny", data=data, out=tmp_path / "out", plan=plan, workers=1, device="cpu", say=lambda line: None
    )
    row = found.study.networks[0].row("source", "target")
    assert row is not None
    assert len(row.predictions[0].ids) == 30
    assert all(name.startswith("test-") for name in row.predictions[0].ids.tolist())
    assert found.study.published
    text = (tmp_path / "out" / "index.md").read_text()
    assert "published images" in text
    assert "other data" not in text
    (data / "images_Y1_valid.npy").unlink()
    with pytest.raises(InputError, match=r"lacks images_Y1_valid\.npy; expected the files that the paper published"):
        run_reproduction("ad22", scale="tiny", data=data, out=tmp_path / "other", plan=plan)


def test_published_mergers_are_opened_under_their_own_names(tmp_path):
    data, rng = tmp_path / "archive", np.random.default_rng(0)
    data.mkdir()
    labels = np.arange(90) % 2
    for domain, kind in (("SOURCE", "pristine"), ("TARGET", "noisy")):
        images = rng.normal(0, 0.1, (90, 3, 32, 32)) + labels[:, None, None, None] / 3
        np.save(data / f"SimSim_{domain}_X_Illustris2_{kind}.npy", images.astype(np.float32))
        np.save(data / f"SimSim_{domain}_y_Illustris2_{kind}.npy", labels)
    part = NetworkPlan("deepmerge", 0, None, {**_SHORT, "dihedral": False}, {"source": 1, "mmd": 1}, None)
    plan = PaperPlan(DA20, "tiny", 32, {}, (part,), binary=True, draws=99)
    how = {"scale": "tiny", "data": data, "plan": plan, "workers": 1, "device": "cpu", "say": lambda line: None}
    found = run_reproduction("da20", **how, out=tmp_path / "out")
    row = found.study.networks[0].row("mmd", "target")
    assert row is not None
    assert len(row.predictions[0].ids) == 18
    assert found.study.networks[0].examples.class_names == ["non-merger", "merger"]
    (data / "SimSim_TARGET_X_Illustris2_noisy.npy").unlink()
    with pytest.raises(InputError, match=r"lacks SimSim_TARGET_X_Illustris2_noisy\.npy"):
        run_reproduction("da20", **how, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.parametrize("paper", list(PAPERS))
def test_the_command_redoes_a_paper_and_the_second_time_only_draws(paper, tmp_path):
    command = [sys.executable, "-m", "robustkit", "reproduce", paper, "--scale", "tiny", "--out", "redone"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the page is redone/report.html" in done.stdout
    before = tables_of(tmp_path / "redone")
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert ": running" not in again.stdout
    assert tables_of(tmp_path / "redone") == before


@pytest.mark.parametrize("paper", list(PAPERS))
@pytest.mark.parametrize("scale", SCALES)
def test_every_plan_fits_its_paper(paper, scale):
    plan = plan_paper(paper, scale)
    assert [part.network for part in plan.parts] == list(plan.paper.networks)
    for part in plan.parts:
        assert set(plan.paper.methods) <= set(part.seeds)
        for method in part.seeds:
            assert part.settings(method, 3).seed == 3
    if scale == "paper":
        assert all(part.recipe == paper for part in plan.parts)


def test_the_recipe_of_the_paper_is_taken_at_its_scale():
    settings = plan_paper("ad22", "paper").parts[0].settings("mmd", 0)
    assert (settings.epochs, settings.learning_rate, settings.kernels, settings.weight) == (
        100,
        1e-5,
        "published",
        0.05,
    )
    assert settings.weight_decay == 1e-4
    assert plan_paper("ad22", "paper").parts[0].settings("source", 0).weight_decay == 1e-3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ad23"], "unknown paper 'ad23'; did you mean 'ad22'? Known are ad22, da20"),
        (["ad22", "--scale", "big"], "unknown scale 'big'; known are tiny, small, paper"),
        (["ad22", "--workers", "0"], "--workers must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["reproduce", *words])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"robustkit: {said}\n"
    assert not list(tmp_path.iterdir())
