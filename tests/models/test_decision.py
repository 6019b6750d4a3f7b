"""What a network decides, held against the plain rule that each decision stands for."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from robustkit.errors import InputError
from robustkit.latent import find_head
from robustkit.models import AuditedClassifier
from robustkit.models.decision import Cut, band_of, cut_at, labels_of, parse_question
from robustkit.models.outputs import Output
from robustkit.perturb.decision import UNTARGETED, decide, flips, margin
from robustkit.records import BAND

GALAXY = ("smooth", "featured", "artifact", "bar", "no-bar")
LOGITS = torch.randn(400, 5, generator=torch.Generator().manual_seed(0)).double() * 3


def names_of(decision, logits):
    return [decision.names[k] for k in decide(decision.scores(logits)).tolist()]


@pytest.mark.parametrize("threshold", [0.01, 0.5, 0.808, 0.999])
def test_a_threshold_is_the_score_above_it(threshold):
    decision = cut_at(threshold, ("bogus", "real"))
    logits = LOGITS[:, :2]
    expected = ["real" if p > threshold else "bogus" for p in logits.softmax(1)[:, 1].tolist()]
    assert names_of(decision, logits) == expected


def test_a_cut_is_the_share_of_its_question():
    share = LOGITS[:, :3].softmax(1)[:, 0]
    decision = parse_question("smooth,featured,artifact: smooth>0.4; ...", GALAXY)
    assert decision.names == ("not smooth", "smooth")
    assert names_of(decision, LOGITS) == ["smooth" if p > 0.4 else "not smooth" for p in share.tolist()]
    of_all = parse_question("bar>0.3", GALAXY)
    assert names_of(of_all, LOGITS) == ["bar" if p > 0.3 else "not bar" for p in LOGITS.softmax(1)[:, 3].tolist()]
    two = parse_question("bar,no-bar: bar>0.9; ...", GALAXY)
    assert two.names == ("no-bar", "bar")


def test_questions_are_the_largest_answer_to_each():
    decision = parse_question("smooth,featured,artifact; bar,no-bar", GALAXY)
    first = [GALAXY[k] for k in LOGITS[:, :3].argmax(1).tolist()]
    second = [GALAXY[3 + k] for k in LOGITS[:, 3:].argmax(1).tolist()]
    assert names_of(decision, LOGITS) == [f"{a}+{b}" for a, b in zip(first, second, strict=True)]
    both = decision.scores(LOGITS).softmax(1)
    product = LOGITS[:, :3].softmax(1)[:, :, None] * LOGITS[:, 3:].softmax(1)[:, None]
    torch.testing.assert_close(both, product.flatten(1))


def test_labels_are_there_where_their_logits_are_above_0():
    decision = labels_of(("ring", "tail", "dust"))
    logits = LOGITS[:, :3]
    expected = [
        "+".join(n for n, z in zip(("ring", "tail", "dust"), row, strict=True) if z > 0) or "none"
        for row in logits.tolist()
    ]
    assert names_of(decision, logits) == expected
    torch.testing.assert_close(decision.scores(logits).softmax(1)[:, 0], (1 - logits.sigmoid()).prod(1))


@pytest.mark.parametrize(
    "decision",
    [
        cut_at(0.808, ("a", "b")),
        labels_of(("a", "b")),
        parse_question("a,b", ("a", "b")),
        parse_question("a>0.2", ("a", "b")),
    ],
    ids=["threshold", "labels", "question", "cut"],
)
def test_the_margin_has_the_sign_of_the_flip(decision):
    logits = LOGITS[:, :2]
    scores = decision.scores(logits)
    labels, targets = decide(scores[:200]), torch.full((200,), UNTARGETED)
    signed = margin(scores[200:, None], labels, targets)
    changed = flips(scores[200:, None], labels, targets)
    assert bool(changed.any())
    assert not bool(changed.all())
    assert torch.equal(signed > 0, changed)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cut_at(1.0, ("a", "b")), "a threshold must be between 0 and 1, as the scores are, got 1"),
        (lambda: cut_at(-2.0, ("a", "b")), "got -2; a logit z is the score"),
        (lambda: cut_at(0.8, ("a", "b", "c")), "there are 3; name the one to cut with --question 'c>0.8'"),
        (lambda: parse_question("smooth,featured; featured,bar; ...", GALAXY), "names 'featured' twice"),
        (lambda: parse_question("smooth,featured", GALAXY), "leaves out the outputs artifact, bar, no-bar; name"),
        (lambda: parse_question("smooth; bar,no-bar; ...", GALAXY), "a question 1 answers; it needs two or more"),
        (lambda: parse_question("round,flat", GALAXY), "'round', which is no output of the network; they are smooth"),
        (lambda: parse_question("smooth>high", GALAXY), "expected a cut as 'name>0.5'"),
        (lambda: parse_question("smooth>2", GALAXY), "must be between 0 and 1"),
        (lambda: parse_question("bar,no-bar: smooth>0.5; ...", GALAXY), "cuts 'smooth', which is none of two or more"),
        (lambda: parse_question("smooth,featured,artifact: smooth>0.5; bar,no-bar", GALAXY), "one cut, or for answers"),
        (lambda: parse_question(" ; ", GALAXY), "expected --question as 'a,b,c' or 'a>0.5'"),
        (lambda: labels_of([f"l{k}" for k in range(14)]), "takes 2 to 6 labels.*there are 14"),
        (lambda: labels_of(GALAXY).scores(LOGITS[:, :4]), "of 5 outputs and the network has 4"),
        (lambda: Cut(("a", "b"), 1, (0, 1), 2, float("nan")), "must be between 0 and 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    ("columns", "kind", "decision"),
    [
        (1, "logits", cut_at(0.7, ("bogus", "real"))),
        (5, "logits", parse_question("smooth,featured,artifact; bar,no-bar", GALAXY)),
        (3, "logits", labels_of(("ring", "tail", "dust"))),
    ],
    ids=["threshold", "questions", "labels"],
)
def test_a_classifier_of_a_decision_keeps_its_affine_head(columns, kind, decision):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, columns))
    output = Output(kind=kind, decision=decision)
    classifier = AuditedClassifier(network.eval(), input_shape=(3, 8, 8), class_names=decision.names, output=output)
    images = torch.rand(20, 3, 8, 8)
    with torch.no_grad():
        plain = network(images)
        plain = torch.cat([torch.zeros_like(plain), plain], 1) if columns == 1 else plain
        torch.testing.assert_close(classifier(images), decision.scores(plain))
        head = find_head(classifier, classifier.embed(images).numpy())
    assert head is not None


def test_votes_are_shares_of_what_is_above_0():
    counts = torch.rand(10, 5) * 100 + 1
    decision = parse_question("smooth,featured,artifact: smooth>0.5; ...", GALAXY)
    decided = decide(Output(kind="votes", decision=decision).logits(counts))
    assert torch.equal(decided == 1, counts[:, 0] / counts[:, :3].sum(1) > 0.5)


@pytest.mark.parametrize(
    ("text", "value", "half"), [("0.1", 2.0, 0.1), ("0.15(1+z)", 0.5, 0.225), ("0.1 * (1 + z)", 1, 0.2)]
)
def test_a_number_flips_where_it_leaves_its_band(text, value, half):
    band = replace(band_of(text), value=value)
    predicted = torch.linspace(value - 1, value + 1, 801).double()[:, None]
    said = decide(band.scores(predicted))
    inside = (predicted[:, 0] - value).abs() <= half + 1e-9
    near = ((predicted[:, 0] - value).abs() - half).abs() < 1e-9
    assert torch.equal((said == 0) | near, inside | near)
    assert torch.equal(said == 1, (predicted[:, 0] < value) & ~inside)
    labels, targets = torch.zeros(1, dtype=torch.int64), torch.full((1,), UNTARGETED)
    signed = margin(band.scores(predicted)[None], labels, targets)[0]
    torch.testing.assert_close(signed, (predicted[:, 0] - value).abs() - half)  # as far past the band as it is


def test_each_image_is_asked_about_its_own_number():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).eval()
    classifier = AuditedClassifier(
        network, input_shape=(3, 2, 2), class_names=BAND, output=Output(decision=band_of(0.2))
    )  # fmt: skip
    assert "a band of its own" in classifier.why_no_latent
    images = torch.rand(5, 3, 2, 2)
    for value in (-1.0, 0.0, 0.7):
        torch.testing.assert_close(classifier.about(value)(images)[:, 2], network(images)[:, 0] - value - 0.2)
    torch.testing.assert_close(classifier(images)[:, 2], network(images)[:, 0] - 0.2)
    plain = AuditedClassifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval(), input_shape=(3, 2, 2))
    assert plain.about(1.0) is plain
