"""An audit opens and hashes each model and each image set once, and hands them on."""

from collections import Counter

from robustkit.auditing.audit import run_audit
from robustkit.auditing.request import AttackPart, AuditRequest, CertifyPart, SweepPart
from tests.attacks import silent
from tests.audits import make_audit


def test_an_audit_opens_each_model_and_each_image_set_once(tmp_path, monkeypatch):
    from robustkit.models import checkpoint as checkpoints
    from robustkit.models.foreign import opening as models
    from robustkit.runs import draw, opening

    first, data = make_audit(tmp_path / "one")
    second, _ = make_audit(tmp_path / "two")
    opened = Counter()

    def counted(what, real):
        def call(path, *arguments, **options):
            opened[what, str(path)] += 1
            return real(path, *arguments, **options)

        return call

    monkeypatch.setattr(opening, "open_images", counted("images", opening.open_images))
    monkeypatch.setattr(draw, "open_images", counted("images", draw.open_images))
    monkeypatch.setattr(opening, "open_model", counted("model", opening.open_model))
    monkeypatch.setattr(models, "checkpoint_of", counted("weights", checkpoints.checkpoint_of))
    request = AuditRequest(
        model=str(first), base=str(second), data=str(data), part="all", n=6,
        attack=AttackPart(searches=("random",), budget=30), sweep=SweepPart(perturbations=("gaussian",)),
        certify=CertifyPart(seconds=1.0),
    )  # fmt: skip
    report = run_audit(request, out=tmp_path / "audit", say=silent)
    assert report.page.exists()
    assert {key: count for key, count in opened.items() if key[0] == "model"} == {
        ("model", str(first)): 1,
        ("model", str(second)): 1,
    }
    assert {key: count for key, count in opened.items() if key[0] == "images"} == {("images", str(data)): 1}
    assert sum(count for key, count in opened.items() if key[0] == "weights") == 2
