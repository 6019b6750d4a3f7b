"""Terms are explained where they first stand in a chapter, and names cannot become markup on the way."""

import re

from robustkit.report.glossary import TERMS, Explainer


def test_a_term_is_explained_once_in_a_chapter():
    explain = Explainer()
    assert str(explain("a cell")) == "a cell"
    first = str(explain("1,000 queries and more queries"))
    assert first.count("<dfn") == 1
    assert "<dfn" not in str(explain("queries"))
    explain.afresh()
    assert "<dfn" in str(explain("queries"))


def test_every_explanation_has_an_id_of_its_own_that_its_term_names():
    explain = Explainer()
    found = str(explain("Holm, Wilson and McNemar, d_E and t*"))
    ids = re.findall(r'role="tooltip" id="([^"]+)"', found)
    assert ids == re.findall(r'aria-describedby="([^"]+)"', found)
    assert len(set(ids)) == 5


def test_words_that_contain_a_term_and_names_that_are_markup_stay_text():
    explain = Explainer()
    assert "<dfn" not in str(explain("particular depart latently Holmes s30"))
    assert str(explain("<b>5 % & n = 3")) == "&lt;b&gt;5\u00a0% &amp; n\u00a0=\u00a03"


def test_no_explanation_uses_its_own_term():
    for term, meaning in TERMS.items():
        assert term not in meaning.removeprefix("A cell"), term
