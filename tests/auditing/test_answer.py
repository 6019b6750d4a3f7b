"""The first screen: the word follows the printed rule, and each sentence has its numbers."""

import pytest

from robustkit.auditing.answer import answer_of
from robustkit.findings.sweep.threshold import Threshold
from robustkit.report.section import Check
from robustkit.stats import Estimate

NUMBERS = {
    "accuracy": Estimate(0.83, 0.78, 0.87, 240),
    "accuracy.Y10": Estimate(0.83, 0.78, 0.87, 240),
    "accuracy.Y1": Estimate(0.79, 0.74, 0.84, 240),
    "flip_rate": Estimate(0.72, 0.64, 0.80, 123),
    "certified_rate": Estimate(0.12, 0.07, 0.2, 123),
    "random_extreme": Estimate(0.066, 0.05, 0.09, 123),
    "loss.sky-offset": Estimate(0.26, 0.18, 0.34, 150),
    "loss.exposure": Estimate(0.11, 0.04, 0.18, 150),
    "loss.hot-pixel": Estimate(0.01, -0.02, 0.03, 150),
}


def checks(*statuses):
    return [Check(f"c{i}", "It holds", "0.5", "at most 0.1", status, "clean") for i, status in enumerate(statuses)]


@pytest.mark.parametrize(
    ("statuses", "word", "status"),
    [
        (("pass", "warn", "fail"), "Not yet.", "fail"),
        (("pass", "warn"), "Cannot be said.", "warn"),
        (("not run",), "Cannot be said.", "warn"),
        (("pass", "not run"), "Yes.", "pass"),
    ],
)
def test_the_word_follows_the_rule(statuses, word, status):
    found = answer_of(["mmd"], checks(*statuses), NUMBERS)
    assert (found.word, found.status) == (word, status)


def test_the_sentences_say_how_good_what_breaks_it_and_what_an_adversary_does():
    found = answer_of(["mmd"], checks("fail", "pass"), NUMBERS)
    assert found.counts == "2 claims: 1 failed, 1 passed."
    assert found.sentences == (
        "How good: mmd classifies 83 % (78 to 87 %) of the Y10 images and 79 % (74 to 84 %) of the Y1 images "
        "correctly.",
        "By accident: of 3 simulated faults at moderate strength (s3), 2 reduce accuracy (95%, each by itself): "
        "sky-offset by 26 points (18 to 34); exposure by 11 points (4 to 18).",
        "On purpose: one pixel flips 72 % (64 to 80 %) of the images that it classifies correctly; for 12 % (7 to "
        "20 %) no such pixel exists, which is proved. The same extreme value at a random place flips 7 % (5 to 9 %).",
    )


@pytest.mark.parametrize(
    ("met", "said"),
    [
        ("typical", "5 points are lost at 28.7 mag/arcsec2, milder than what a survey typically has (28 mag/arcsec2)"),
        ("poor", "worse than typical (28 mag/arcsec2) but milder than the poorest that is released (27 mag/arcsec2)"),
        ("", "worse than the poorest that a survey releases (27 mag/arcsec2)"),
    ],
)
def test_the_level_that_costs_stands_beside_what_the_survey_has(met, said):
    fault = Threshold("sky-offset", 28.7, 28.9, 28.2, 1.0, False, "28.7 mag/arcsec2", "28 mag/arcsec2",
                      "27 mag/arcsec2", met)  # fmt: skip
    assert said in answer_of(["mmd"], checks("pass"), NUMBERS, faults=[fault]).sentences[1]


@pytest.mark.parametrize(
    ("at", "said"),
    [("27 mag/arcsec2", "27 mag/arcsec2, the poorest that a survey releases"),
     ("28 mag/arcsec2", "28 mag/arcsec2, which is typical of a survey")],
)  # fmt: skip
def test_a_level_that_is_the_survey_s_own_is_not_called_worse_than_itself(at, said):
    fault = Threshold("sky-offset", 28.0, 28.0, 28.0, 1.0, False, at, "28 mag/arcsec2", "27 mag/arcsec2", "typical")
    assert f"lost at {said}" in answer_of(["mmd"], checks("pass"), NUMBERS, faults=[fault]).sentences[1]


def test_a_fault_that_costs_nothing_for_sure_is_not_named():
    numbers = {"loss.psf": Estimate(0.03, -0.01, 0.07, 150)}
    assert answer_of(["a"], checks("pass"), numbers).sentences == (
        "By accident: of 1 simulated fault at moderate strength (s3), none is shown to reduce accuracy (95%, each by "
        "itself).",
    )


def test_what_was_not_run_is_not_said():
    assert answer_of(["a"], checks("pass"), {}).sentences == ("By accident: simulated faults were not run.",)
    changes = {"changes_per_million": Estimate(3210.4, 1000.0, 9000.0, 150, 0.95, "empirical likelihood")}
    said = answer_of(["a"], checks("pass"), changes).sentences[0]
    assert said.startswith(
        "By accident: of a million objects about 3,200 (1,000 to 9,000) change class through faults whose rate is known"
    )
    depths = {"Y10": (900, 100, 4000), "Y1": (300, 10, 2000), "visit": (20, 0, 800)}
    more = {f"changes_per_million.{name}": Estimate(*ends, 150) for name, ends in depths.items()}
    said = answer_of(["a"], checks("pass"), changes | more).sentences[0]
    assert "about 900 (100 to 4,000) in Y10 and 300 (10 to 2,000) in Y1 and 20 (0 to 800) in a single visit" in said


def test_domains_are_called_by_their_names():
    first = answer_of(["mmd"], checks("pass"), NUMBERS, domains={"Y10": "deep", "Y1": "shallow"}).sentences[0]
    assert "of the deep images and 79 % (74 to 84 %) of the shallow images" in first


def test_gains_and_losses_are_said_in_both_directions_and_only_where_they_are_shown():
    def row(name, change, p, better=True):
        return {"name": name, "difference": {"value": change}, "p": p, "better": better}

    rows = [row("accuracy", 0.19, 1e-6), row("accuracy under psf", -0.05, 0.001), row("flip rate", -0.1, 1e-5, False)]
    rows += [row("mpc", 0.01, 0.5), row("queries", 0.0, float("nan"))]
    last = answer_of(["mmd", "source"], checks("pass"), NUMBERS, rows).sentences[-1]
    assert last == (
        "Against source: gained accuracy (+19 points), flip rate (-10 points); lost accuracy under psf (-5 points) (4 "
        "paired questions, Holm)."
    )
    nothing = answer_of(["mmd", "source"], checks("pass"), NUMBERS, rows[3:4]).sentences[-1]
    assert nothing == ("Against source: no gain is shown; no loss is shown (1 paired question).")
