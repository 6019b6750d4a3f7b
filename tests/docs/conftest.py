import sys
from contextlib import nullcontext

import pytest

from tests.docs.world import give, make_world

EMPTY = b'<svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt" viewBox="0 0 1 1"></svg>'


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """What the pages take for granted, made once."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch)
        return make_world(folder)


@pytest.fixture
def reader_folder(tmp_path, monkeypatch):
    """An empty folder to follow a page in; figures are blank, because drawing them is most of the time of an audit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)
    make_quick(monkeypatch)
    yield tmp_path
    for name in set(sys.modules) - known:  # files of the page; the next page may have others of the same name
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def given_folder(world, reader_folder):
    """The same, with what the pages take for granted."""
    give(world, reader_folder)
    return reader_folder


def make_quick(patch):
    """An audit sweeps less, and figures are saved without what is drawn in them; other tests look at both."""
    from matplotlib.figure import Figure

    import robustkit.report.page  # noqa: F401  # before what it imports from `saving` is replaced

    def blank(figure, folder, name, kinds):
        for kind in kinds:
            Figure(figsize=(0.2, 0.2)).savefig(folder / f"{name}.{kind}")

    patch.setattr("robustkit.findings.sweep.finding.QUICK", ("exposure", "psf"))
    patch.setattr("robustkit.report.saving.lay_out", lambda figure: None)
    patch.setattr("robustkit.report.saving.save_print", blank)
    patch.setattr("robustkit.auditing.report._drawing", lambda workers: nullcontext())  # processes would draw as ever
    patch.setattr("robustkit.report.page.lay_out", lambda figure: None)
    patch.setattr("robustkit.report.page.save_print", lambda *figure: blank(*figure, kinds=("png",)) or EMPTY)
