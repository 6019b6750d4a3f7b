"""No feature is lost: every command, option, name and key that there was is still there. Additions are welcome.

What goes on purpose is taken out of `inventory.json` in the commit that removes it, so that a reader of the history
sees it go.
"""

import pytest

from tests.inventory import FILE, commands, kept, missing, offered

KEPT = kept()


@pytest.mark.parametrize("command", KEPT["commands"])
def test_every_command_has_the_options_that_it_had(command):
    now = commands()
    assert command in now, f"the command {command} is gone"
    assert missing(KEPT["commands"][command], now[command]) == []


@pytest.mark.parametrize("kind", KEPT["names"])
def test_every_name_is_still_offered(kind):
    assert missing(KEPT["names"][kind], offered()[kind]) == []


@pytest.mark.parametrize("name", KEPT["names"]["searches"])
def test_every_search_can_be_made(name):
    from robustkit.perturb.search.registry import make_search

    assert make_search(name)


@pytest.mark.parametrize("name", [name for name in KEPT["names"]["perturbations"] if "," not in name])
def test_every_perturbation_has_five_levels_and_takes_its_name(name):
    from robustkit.perturb.faults.naming import read_name

    assert len(read_name(name).kind.levels) == 5


def test_what_is_gone_is_found():
    assert missing(["attack", "certify"], ["certify", "audit"]) == ["attack"]


def test_the_inventory_is_whole():
    """An inventory that somebody emptied would prove nothing."""
    counts = {kind: len(names) for kind, names in KEPT["names"].items()}
    assert len(KEPT["commands"]) >= 18, FILE
    assert counts["perturbations"] >= 26
    assert counts["searches"] >= 9
    assert counts["training methods"] >= 10
    assert len(KEPT["page"]["chapters"]) >= 15
    assert len(KEPT["page"]["sections"]) >= 39
