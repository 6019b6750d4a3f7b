from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from robustkit.training import alignment
from robustkit.training.alignment import (
    ALIGNMENTS,
    Adversarial,
    Conditional,
    Confusion,
    Coral,
    Fisher,
    MedianMMD,
    Outputs,
    PublishedMMD,
    Sinkhorn,
    information_loss,
    reverse_gradient,
)
from robustkit.training.alignment.mmd import PUBLISHED
from robustkit.training.alignment.sinkhorn import sinkhorn_divergence
from robustkit.training.settings import Settings

ALL = {name: kind.of(Settings(method=name), 6, 3) for name, kind in ALIGNMENTS.items()}


def rows(n, d=6, *, seed=0, shift=0.0, dtype=torch.float32):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype) + shift


def reference_mmd(x, y):
    """Gretton et al. 2012, equation 3, with loops over nothing but kernels."""
    z = np.concatenate([x, y])
    d = cdist(z, z, "sqeuclidean")
    off = d[~np.eye(len(z), dtype=bool)]
    median = np.sort(off)[(len(off) - 1) // 2]
    n, m, values = len(x), len(y), []
    for factor in (0.25, 0.5, 1, 2, 4):
        k = np.exp(-d / (2 * factor * median))
        within = (k[:n, :n].sum() - n) / (n * (n - 1)) + (k[n:, n:].sum() - m) / (m * (m - 1))
        values.append(within - 2 * k[:n, n:].mean())
    return np.mean(values)


@pytest.mark.parametrize("sizes", [(20, 20), (17, 31)])
def test_mmd_is_the_numpy_reference(sizes):
    x, y = rows(sizes[0], dtype=torch.float64), rows(sizes[1], seed=1, shift=0.4, dtype=torch.float64)
    assert float(MedianMMD()(x, y)) == pytest.approx(reference_mmd(x.numpy(), y.numpy()), abs=1e-12)


@pytest.mark.parametrize("n", [32, 128])
def test_mmd_of_one_distribution_is_zero_on_average(n):
    generator = torch.Generator().manual_seed(n)
    draws = [float(MedianMMD()(*torch.randn(2, n, 32, generator=generator))) for _ in range(150)]
    assert abs(np.mean(draws)) < 3 * np.std(draws, ddof=1) / np.sqrt(len(draws))


def test_mmd_does_not_depend_on_the_scale_or_place_of_the_latents():
    x, y = rows(40), rows(40, seed=1, shift=0.5)
    value = float(MedianMMD()(x, y))
    assert value > 0.05
    assert float(MedianMMD()(1e3 * x, 1e3 * y)) == pytest.approx(value, rel=1e-4)
    assert float(MedianMMD()(x + 1e3, y + 1e3)) == pytest.approx(value, rel=1e-2)


def test_mmd_of_equal_rows_is_finite_with_finite_gradients():
    x = torch.ones(8, 4, requires_grad=True)
    MedianMMD()(x, torch.ones(8, 4)).backward()
    assert torch.isfinite(x.grad).all()


def test_published_mmd_is_its_numpy_reference_and_not_zero_for_one_distribution():
    x, y = torch.randn(2, 128, 256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = torch.cat([x, y]).numpy()
    k = sum(np.exp(-cdist(z, z, "sqeuclidean") / (2 * s)) for s in PUBLISHED)
    value = float(PublishedMMD()(x, y))
    assert value == pytest.approx(k[:128, :128].mean() + k[128:, 128:].mean() - 2 * k[:128, 128:].mean(), rel=1e-7)
    assert value == pytest.approx(0.237, abs=0.01)
    assert len(PUBLISHED) == 19


def published_code(x, y):
    """The loss as the published code writes it, with a difference for each pair of rows."""
    rows = torch.cat([x, y])
    distances = ((rows[None] - rows[:, None]) ** 2).sum(2)
    kernel = sum(torch.exp(-distances / (2 * s)) for s in PUBLISHED)
    n = len(x)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def value_and_gradient(loss, x, y):
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    value = loss(x, y)
    value.backward()
    return float(value.detach()), torch.cat([x.grad, y.grad]).double().flatten()


@pytest.mark.parametrize("equal", [1, 9])  # rows of each domain that are one and the same
@pytest.mark.parametrize("sigma", [1, 5, 20])
def test_published_mmd_in_float32_is_the_published_loss_with_its_gradient(sigma, equal):
    x, y = sigma * torch.randn(2, 128, 256, generator=torch.Generator().manual_seed(sigma))
    if equal > 1:
        x[:equal] = y[:equal] = x[0].clone()
    value, gradient = value_and_gradient(PublishedMMD(), x, y)
    expected, published = value_and_gradient(published_code, x.double(), y.double())
    assert value == pytest.approx(expected, rel=1e-5)
    assert float(torch.cosine_similarity(gradient, published, dim=0)) > 0.9999
    assert float(gradient.norm() / published.norm()) == pytest.approx(1, abs=1e-4)


def test_coral_is_the_squared_distance_of_the_covariances():
    x, y = rows(30, dtype=torch.float64), rows(45, seed=1, dtype=torch.float64) * 2
    expected = ((np.cov(x.numpy().T) - np.cov(y.numpy().T)) ** 2).sum() / (4 * 6**2)
    assert float(Coral()(x, y)) == pytest.approx(expected, rel=1e-12)
    assert float(Coral()(x, x + 5)) == pytest.approx(0, abs=1e-20)


def test_reversed_gradient_has_the_other_sign_and_the_given_strength():
    x = rows(5).requires_grad_()
    plain = torch.autograd.grad((x**3).sum(), x)[0]
    reversed_ = torch.autograd.grad((reverse_gradient(x, 0.3) ** 3).sum(), x)[0]
    torch.testing.assert_close(reversed_, -0.3 * plain)
    assert torch.equal(reverse_gradient(x, 0.3), x)


def test_a_discriminator_that_knows_nothing_loses_log_2_and_tells_half():
    dann = Adversarial(6)
    torch.nn.init.zeros_(dann.discriminator[-1].weight)
    torch.nn.init.zeros_(dann.discriminator[-1].bias)
    assert float(dann(rows(8), rows(9, seed=1)).detach()) == pytest.approx(np.log(2))
    assert dann.figures() == {"source_told": 0.0, "target_told": 1.0}


def test_the_loss_of_the_discriminator_is_binary_cross_entropy_with_equal_domains():
    dann = Adversarial(6).eval()
    x, y = rows(4), rows(12, seed=1)
    p = [torch.sigmoid(dann.discriminator(z / torch.cat([x, y]).square().mean().sqrt()))[:, 0] for z in (x, y)]
    expected = -(p[0].log().mean() + (1 - p[1]).log().mean()) / 2
    assert float(dann(x, y).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_a_trained_discriminator_tells_separated_domains_apart():
    torch.manual_seed(0)
    dann = Adversarial(6)
    optimiser = torch.optim.Adam(dann.parameters(), 1e-3)
    for step in range(20):
        optimiser.zero_grad()
        dann(rows(32, seed=step), rows(32, seed=100 + step, shift=2.0)).backward()
        optimiser.step()
    assert min(dann.figures().values()) > 0.9


def test_the_conditional_view_is_every_probability_times_every_latent():
    latents, logits = rows(3, 4).requires_grad_(), rows(3, 2, seed=1).requires_grad_()
    view = Conditional(8).view(Outputs(latents, logits))
    expected = torch.einsum("nk,nd->nkd", torch.softmax(logits, 1), latents).flatten(1)
    torch.testing.assert_close(view, expected)
    view.sum().backward()
    assert logits.grad is None
    torch.testing.assert_close(latents.grad, torch.ones(3, 4))


def test_sinkhorn_divergence_of_a_shift_is_half_its_square():
    x = rows(25, 3, dtype=torch.float64)
    shift = torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64, requires_grad=True)
    value = sinkhorn_divergence(x, x + shift, blur=0.1, scaling=0.95)
    assert float(value.detach()) == pytest.approx(float(shift.detach().square().sum() / 2), rel=5e-3)
    value.backward()
    torch.testing.assert_close(shift.grad, shift.detach(), rtol=2e-2, atol=1e-3)


def test_sinkhorn_divergence_without_blur_is_the_cost_of_the_best_assignment():
    x, y = rows(20, 3, dtype=torch.float64), rows(20, 3, seed=1, shift=0.5, dtype=torch.float64)
    cost = cdist(x.numpy(), y.numpy(), "sqeuclidean") / 2
    exact = cost[linear_sum_assignment(cost)].mean()
    assert float(sinkhorn_divergence(x, y, blur=0.01, scaling=0.97)) == pytest.approx(exact, rel=0.02)
    assert float(sinkhorn_divergence(x, x, blur=0.1)) == pytest.approx(0, abs=1e-9)


def test_sinkhorn_gains_nothing_by_shrinking_the_latents():
    x, y = rows(20, dtype=torch.float64).requires_grad_(), rows(20, seed=1, shift=0.5, dtype=torch.float64)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    Sinkhorn()(scale * x, scale * y).backward()
    assert abs(float(scale.grad)) < 1e-9


def test_confusion_of_certain_and_of_clueless_predictions():
    certain = 100 * torch.eye(3).repeat(4, 1)
    assert float(Confusion()(certain, certain)) == pytest.approx(0, abs=1e-6)
    assert float(Confusion()(certain, torch.zeros(9, 3))) == pytest.approx(2 / 3)


def test_confusion_counts_certain_predictions_more():
    p = torch.softmax(torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.5, 0.0]], dtype=torch.float64) / 2.5, 1)
    weight = 1 + torch.exp((p * p.log()).sum(1))
    weight = 3 * weight / weight.sum()
    c = torch.einsum("n,nj,nk->jk", weight, p, p)
    c = c / c.sum(1, keepdim=True)
    logits = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.5, 0.0]], dtype=torch.float64)
    assert float(Confusion()(logits, logits)) == pytest.approx(float((c[0, 1] + c[1, 0]) / 2), rel=1e-12)


@pytest.mark.parametrize(("form", "expected"), [("ratio", 0.01 * 320 / 8), ("difference", 0.01 * 320 - 8)])
def test_fisher_loss_of_known_scatter(form, expected):
    fisher = Fisher(2, 2, form=form)
    with torch.no_grad():
        fisher.centres.copy_(torch.tensor([[2.0, 0.0], [-2.0, 0.0]]))
    latents = torch.tensor([[3.0, 0.0], [2.0, 2.0], [-2.0, 0.0], [-2.0, 2.0], [-3.0, 0.0], [2.0, 5**0.5]])
    labels = torch.tensor([0, 0, 1, 1, 1, 0])  # squared distances 1, 4, 0, 4, 1, 5
    assert float(fisher(latents, labels).detach()) == pytest.approx(expected, rel=1e-6)
    fisher(latents, labels).backward()
    assert (fisher.centres.grad != 0).any(1).all()


def published_fisher(latents, centres, labels, form):
    """The loss as the published code writes it: sums over the images of the batch and over the classes."""
    squares = (latents**2).sum(1, keepdim=True) + (centres**2).sum(1) - 2 * latents @ centres.T
    intra = torch.cat([row[labels[k] : labels[k] + 1].clamp(1e-12, 1e12) for k, row in enumerate(squares)]).sum()
    inter = (torch.norm(centres - centres.mean(0), p=2, dim=1) ** 2).sum()
    return 0.01 * intra / (1.0 * inter) if form == "ratio" else 0.01 * intra - 1.0 * inter


@pytest.mark.parametrize("form", ["ratio", "difference"])
@pytest.mark.parametrize("n", [128, 32])  # the published batch, and one of another size repeated to be as large
def test_fisher_loss_is_the_published_one_with_its_gradients(form, n):
    fisher = Fisher(3, 16, form=form)
    latents = (5 * torch.randn(n, 16, generator=torch.Generator().manual_seed(0))).requires_grad_()
    labels = torch.arange(n) % 3
    value = fisher(latents, labels)
    gradients = torch.autograd.grad(value, (latents, fisher.centres))
    again, centres = latents.detach().double().requires_grad_(), fisher.centres.detach().double().requires_grad_()
    repeat = 128 // n
    expected = published_fisher(again.repeat(repeat, 1), centres, labels.repeat(repeat), form)
    published = torch.autograd.grad(expected, (again, centres))
    assert float(value.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for own, other in zip(gradients, published, strict=True):
        torch.testing.assert_close(own.double(), other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_information_loss_wants_certain_and_varied_predictions():
    varied = 100 * torch.eye(3).repeat(2, 1)
    assert float(information_loss(varied)) == pytest.approx(-np.log(3), rel=1e-5)
    assert float(information_loss(torch.zeros(6, 3))) == pytest.approx(0, abs=1e-6)
    one_class = 100 * torch.eye(3)[torch.zeros(6, dtype=torch.int64)]
    assert float(information_loss(one_class)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_every_alignment_is_a_scalar_that_sends_gradients_to_the_target(name):
    made = ALL[name]
    source, target = (
        Outputs(rows(9, seed=k).requires_grad_(), rows(9, 3, seed=k + 5).requires_grad_()) for k in (0, 1)
    )
    penalty = made(made.view(source), made.view(target))
    assert penalty.shape == ()
    penalty.backward()
    gradient = target.logits.grad if name == "mcc" else target.latents.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("name", ALL)
def test_a_penalty_stays_where_its_rows_are(name, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise AssertionError("a penalty moved its rows or made them double")

    for method in ("cuda", "double"):
        monkeypatch.setattr(torch.Tensor, method, refuse)
    source, target = (Outputs(rows(9, seed=k), rows(9, 3, seed=k + 5)) for k in (0, 1))
    penalty = ALL[name](ALL[name].view(source), ALL[name].view(target))
    assert (penalty.dtype, penalty.device) == (torch.float32, torch.device("cpu"))


def test_an_alignment_fits_on_a_page():
    folder = Path(alignment.__file__).parent
    assert {path.name: n for path in folder.glob("*.py") if (n := path.read_text().count("\n")) >= 120} == {}


@pytest.mark.parametrize("name", ["mmd", "coral", "sinkhorn"])
def test_descending_a_penalty_brings_the_domains_together(name):
    target = rows(24, shift=1.0).requires_grad_()
    source, penalty = rows(24, seed=3), ALL[name]
    before = float(penalty(source, target).detach())
    optimiser = torch.optim.Adam([target], 0.05)
    for _ in range(30):
        optimiser.zero_grad()
        penalty(source, target).backward()
        optimiser.step()
    assert float(penalty(source, target).detach()) < 0.5 * before
