"""The card holds what the audit knows, names what only people know, and shows names as they are."""

import pytest

from robustkit.auditing.model_card import model_card
from robustkit.report.section import Answer, Check
from robustkit.stats import Estimate

INDEX = '---\nmodel-index:\n- name: "net"\n  results: []\n---\n'


def test_a_card_is_yaml_and_markdown_with_what_is_open():
    yaml = pytest.importorskip("yaml")
    about = {
        "model": "a|b*.pt", "network": "convnet", "class_names": ["<b>spiral"], "ids": ["1", "2"], "data": "galaxies",
        "part": "test",
    }  # fmt: skip
    checks = [
        Check("a", "It is calm", "0.4", "at most 0.1", "fail", "x", "Do so."),
        Check("b", "It is fast", "0.1", "at most 0.1", "warn", "x"),
        Check("c", "It is small", "0.1", "at most 0.1", "pass", "x"),
    ]
    answer = Answer("fail", "Not yet.", "3 claims: 1 failed.", ("It is right.",), "rule")
    text = model_card(INDEX, about, answer, checks, {"accuracy": Estimate(0.8, 0.7, 0.9, 20)})
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["pipeline_tag"] == "image-classification"
    assert yaml.safe_load(front)["model-index"][0]["name"] == "net"
    assert "# a&#124;b&#42;.pt" in body
    assert "<b>" not in body
    assert body.count("To be written by a person") == 3
    assert "- It is calm: **no** (0.4). Do so." in body
    assert "- It is fast: not shown (0.1)." in body
    assert "It is small" not in body
    assert "| accuracy | 0.8 | 0.7 | 0.9 | 20 |" in body
