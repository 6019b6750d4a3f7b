"""The verdict drawn: on which side of its margin each claim lies, in the order in which one reads."""

import numpy as np
import pytest

from robustkit.report.page import Page, write_page
from robustkit.report.section import Chapter, Check
from robustkit.report.verdict import bars_of, draw_verdict, in_order
from robustkit.stats import Decision


def check(name, status, value=0.5, low=0.4, high=0.6, margin=0.1, most=True):
    decision = None if status == "not run" else Decision(
        name, "undecided" if status == "warn" else status, value, low, high, 50, margin, most, 0.01, 3, 0.95, "pass"
    )  # fmt: skip
    return Check(name, f"claim {name}", "said", "at most 10 %", status, "one", decision=decision, number="50 %")


CHECKS = [
    check("a", "pass", 0.02, 0.01, 0.05),
    check("b", "not run"),
    check("c", "fail"),
    check("d", "warn", 0.05, -0.1, 0.2, 0.0, most=False),
]


def test_what_failed_comes_first_and_what_was_not_run_last():
    assert [one.name for one in in_order(CHECKS)] == ["c", "d", "a", "b"]


def test_right_of_the_margin_a_claim_holds_whatever_its_direction():
    bars = bars_of(CHECKS)
    failed, open_, held, idle = bars.rows
    assert failed.low < failed.value < failed.high < bars.zero
    assert open_.low < bars.zero < open_.value < open_.high
    assert bars.zero < held.low < held.value < held.high
    assert not idle.drawn
    assert [CHECKS[2].spare(end) for end in ("low", "value", "high")] == pytest.approx([-50, -40, -30])
    assert {name: place for place, name in bars.ticks}["0"] == bars.zero


def test_the_printed_drawing_has_the_same_numbers_and_marks_what_is_undecided():
    drawing = draw_verdict(CHECKS)
    decided, undecided = [block for block in drawing.panels[0].blocks if hasattr(block, "hollow")]
    np.testing.assert_allclose(decided.places[:, 0], [-40, 8])
    assert undecided.hollow
    assert not decided.hollow
    assert draw_verdict([CHECKS[1]]) is None


def test_each_row_leads_to_its_evidence_and_the_drawing_lies_beside_the_page(tmp_path):
    page = Page("Title", "Lead.", CHECKS, (), (Chapter("one", "One"),), command="robustkit audit --model 'a<b>.pt'")
    html = write_page(page, tmp_path).read_text()
    assert html.count('<a href="#one">claim') == 4
    assert "robustkit audit --model &#39;a&lt;b&gt;.pt&#39;" in html
    assert (tmp_path / "figures" / "verdict.pdf").is_file()
