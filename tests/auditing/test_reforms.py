"""The checklist has its 32 items once, fills in what an audit knows, and shows names as they are."""

import re

from robustkit.auditing.reforms import reforms
from robustkit.report.section import Answer, Check
from robustkit.stats import Estimate

ABOUT = {
    "class_names": ["<b>spiral", "merger"], "true": [0, 0, 1], "data_sha256": {"images.npy": "ab" * 32},
    "data": "g|Y10", "model_sha256": "cd" * 32, "device": "cpu", "versions": {"torch": "2.13"}, "ids": ["a", "b", "c"],
    "available": 80, "part": "test", "stretch": {"name": "lupton"}, "units": "electron", "network": "convnet",
    "input_shape": [3, 48, 48], "bands": ["g", "r", "i"], "seed": 0, "split_sha256": "ef" * 32, "repeats": 0,
}  # fmt: skip
ANSWER = Answer("fail", "Not yet.", "1 failed.", (), "rule")
CHECKS = [Check("a", "It is calm", "0.4", "at most 0.1", "fail", "x")]


def _items(about=ABOUT, **numbers):
    text = reforms(
        about, ANSWER, CHECKS, numbers, [{"name": "weights", "text": "odd", "verdict": "warning"}], "robustkit audit"
    )
    return dict(re.findall(r"- \*\*(\d\w)\*\* [^:]*: (.*)", text)), text


def test_every_item_is_there_once_and_what_is_known_is_filled_in():
    items, text = _items(accuracy=Estimate(0.8, 0.7, 0.9, 20), domain_gap=Estimate(0.1, 0.0, 0.2, 20))
    assert len(items) == len(re.findall(r"- \*\*\d\w\*\*", text)) == 32
    filled = [item for item, said in items.items() if "To be written by a person" not in said]
    assert text.splitlines()[2].startswith(f"{len(filled)} of 32 items")
    assert items["3d"] == "one of 2 classes; of the images drawn: &#60;b&#62;spiral 2, merger 1"
    assert items["4b"].endswith("weights (odd)")
    assert items["6b"] == "no object is drawn twice"
    assert items["8a"].startswith("accuracy on the source minus that on the target: 0.1")
    assert items["8b"] == "It is calm (failed)"
    assert "<b>" not in text


def test_what_an_audit_does_not_know_is_left_to_people():
    items, _ = _items({**ABOUT, "split_sha256": None, "repeats": 3, "stretch": None})
    assert {item for item in ("6a", "6b", "8a", "1a", "5f") if "person" in items[item]} == {
        "6a",
        "6b",
        "8a",
        "1a",
        "5f",
    }
    assert "stretch none" in items["4c"]
