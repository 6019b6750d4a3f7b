"""A folder full of code that leaves a marker when it runs."""

import sys

import pytest


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """The folder one stands in, full of modules that leave a marker; what is returned says whether one ran."""
    folder = tmp_path / "download"
    (folder / "pkg").mkdir(parents=True)
    marker = tmp_path / "marker"
    code = f"open({str(marker)!r}, 'w').close()\n"
    for name in ("evil", "keras", "timm", "torchvision", "zoobot", "transformers", "pkg/__init__", "pkg/evil",
                 "timm:evil", "timm:net", "robustkit:evil"):  # fmt: skip
        (folder / f"{name}.py").write_text(code)
    monkeypatch.chdir(folder)
    for name in ("evil", "keras", "pkg", "pkg.evil"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder, marker
