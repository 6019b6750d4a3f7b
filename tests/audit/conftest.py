import pytest

from robustkit.audit.attack import run_attack
from tests.attacks import SMALL, silent
from tests.audits import make_audit


@pytest.fixture(scope="session")
def attacks(tmp_path_factory):
    """A checkpoint `net.pt`, and the attack `SMALL` on it, to which nothing happened, as `whole`; not to be changed."""
    folder = tmp_path_factory.mktemp("attacks")
    model, _ = make_audit(folder)
    run_attack(model, SMALL, out=folder / "whole", say=silent)
    return folder
