import pytest
import torch
from torch import nn

from robustkit.engine import paint
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier, ConvNet, ResNet18
from robustkit.perturb.search.cells import Cells
from robustkit.perturb.search.gradient import Gradient
from robustkit.perturb.search.lattice import find_lattice, lattice_change
from robustkit.perturb.search.ranking import has_gradients, rank_cells
from tests.oracles import MeanClassifier
from tests.perturb.searching import Hill, corners, make_problem, pursue


def images_of(n, *shape, seed=0):
    return 0.1 + 0.8 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def convnet(shape, seed=0):
    torch.manual_seed(seed)
    network = ConvNet(shape[0], 3, shape[1:])
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def test_on_a_linear_network_the_first_order_is_the_order():
    network = Hill((3, 10, 12), row=3, column=8, width=2.0)
    problem = make_problem(network, images_of(3, 3, 10, 12))
    cells = Cells(problem)
    ranked = rank_cells(cells, cells.count)
    candidates = cells.candidates(torch.arange(3), ranked)
    change = (
        candidates.value[:, :, 0]
        - problem.images[torch.arange(3)[:, None], :, candidates.row[..., 0], candidates.column[..., 0]]
    )
    weight = network.look.weight.view(3, 10, 12)[:, candidates.row[..., 0], candidates.column[..., 0]]
    gain = (change * weight.permute(1, 2, 0)).sum(2)
    # Class 0 is the label or class 1 is, so the margin rises or falls with the gain.
    gain = torch.where((problem.labels == 0)[:, None], gain, -gain)
    assert (gain[:, 1:] <= gain[:, :-1] + 1e-6).all()


def test_a_targeted_attack_is_ranked_by_the_target():
    network = Hill((1, 8, 8), row=2, column=5, width=1.5)
    problem = make_problem(network, torch.full((2, 1, 8, 8), 0.5))
    to_one = make_problem(network, problem.images, labels=torch.zeros(2).long(), targets=torch.ones(2).long())
    to_zero = make_problem(network, problem.images, labels=torch.ones(2).long(), targets=torch.zeros(2).long())
    up, down = rank_cells(Cells(to_one), 64 * 2), rank_cells(Cells(to_zero), 64 * 2)
    assert up[:, 0].tolist() == [(2 * 8 + 5) * 2 + 1] * 2  # the top of the hill, at its highest value
    assert down[:, 0].tolist() == [(2 * 8 + 5) * 2] * 2


@pytest.mark.parametrize(
    ("shape", "effort", "layer"), [((2, 21, 18), 150, "features.3"), ((1, 30, 27), 400, "features.7")]
)
def test_lattices_give_the_exact_change_of_the_layer_for_every_cell(shape, effort, layer):
    network = convnet(shape)
    classifier = AuditedClassifier(network, input_shape=shape)
    images, values = images_of(2, *shape), corners(shape[0])
    lattice = find_lattice(classifier, images[:1], values.size, effort)
    assert lattice is not None
    assert lattice.layer is network.get_submodule(layer)
    head = network.features[: int(layer.split(".")[1]) + 1]
    with torch.no_grad():
        before = head(images)
        slope = torch.randn(2, 2, *before.shape[1:], generator=torch.Generator().manual_seed(1))
        change = lattice_change(classifier, images, values, slope, lattice).flatten(2)
        generator = torch.Generator().manual_seed(2)
        for cell in torch.randint(0, change.shape[2], (60,), generator=generator).tolist():
            pixel, option = divmod(cell, values.size)
            place = torch.tensor(divmod(pixel, shape[2]))
            value = values.option(images[:, :, *place], torch.full((2,), option))
            painted = paint(images, place[0].expand(2, 1), place[1].expand(2, 1), value[:, None])
            expected = ((head(painted) - before)[:, None] * slope).flatten(2).sum(2)
            torch.testing.assert_close(change[..., cell], expected, atol=2e-4, rtol=1e-4)


def test_corner_and_border_pixels_have_their_whole_window():
    shape = (1, 19, 23)
    classifier = AuditedClassifier(convnet(shape), input_shape=shape)
    lattice = find_lattice(classifier, images_of(1, *shape), 2, 40)
    assert lattice is not None
    assert lattice.rows[:, 0].tolist() == [0, 2]  # a 5 x 5 kernel and a pool of 2 from the first row
    assert lattice.columns[:, -1].tolist() == [10, 11]
    assert lattice.rows.shape == (2, 19)
    assert lattice.columns.shape == (2, 23)


def test_a_residual_network_is_cut_before_its_shortcuts():
    torch.manual_seed(0)
    network = ResNet18(1, 3, (48, 48)).eval()
    classifier = AuditedClassifier(network, input_shape=(1, 48, 48))
    lattice = find_lattice(classifier, images_of(1, 1, 48, 48), 2, 40)
    assert lattice is not None
    assert lattice.layer is network.maxpool


def test_without_a_local_layer_the_ranking_is_of_first_order():
    class Centred(nn.Module):
        latent = "flatten"

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)
            self.flatten = nn.Flatten()
            self.fc = nn.Linear(4 * 64, 3)

        def forward(self, images):
            return self.fc(self.flatten(self.conv(images - images.mean((1, 2, 3), keepdim=True)).relu()))

    torch.manual_seed(0)
    problem = make_problem(Centred(), images_of(2, 1, 8, 8))
    assert find_lattice(problem.classifier, problem.images[:1], 2, 1e9) is None
    assert rank_cells(Cells(problem), 5, effort=1e9).tolist() == rank_cells(Cells(problem), 5).tolist()


def test_exact_layers_rank_better_where_a_relu_bends():
    class Bent(nn.Module):
        """Only a pixel above 0.9 is seen at all, so that gradients at the clean image know nothing of it."""

        latent = "flatten"

        def __init__(self):
            super().__init__()
            self.look = nn.Conv2d(1, 1, 1)
            self.bend = nn.ReLU()
            self.flatten = nn.Flatten()
            self.fc = nn.Linear(100, 2)
            with torch.no_grad():
                self.look.weight.fill_(1.0)
                self.look.bias.fill_(-0.9)
                self.fc.weight.zero_()
                self.fc.weight[1, 37] = 1.0
                self.fc.bias.copy_(torch.tensor([0.05, 0.0]))

        def forward(self, images):
            return self.fc(self.flatten(self.bend(self.look(images))))

    problem = make_problem(Bent(), 0.5 * images_of(2, 1, 10, 10))
    exact = pursue(Gradient(top=200, effort=1e9), problem, problem.classifier)
    assert exact.first_flip == [1, 1]


def test_searching_by_gradients_needs_gradients():
    problem = make_problem(MeanClassifier(), images_of(1, 1, 8, 8), gradients=False)
    assert not has_gradients(problem.classifier)
    with pytest.raises(InputError, match="can be differentiated; use best-first"):
        Gradient().start(problem)


def test_gradients_are_taken_in_inference_mode_too():
    problem = make_problem(convnet((1, 16, 16)), images_of(2, 1, 16, 16))
    outside = rank_cells(Cells(problem), 9, effort=100)
    with torch.inference_mode():
        inside = rank_cells(Cells(problem), 9, effort=100)
    assert inside.tolist() == outside.tolist()


def test_no_gradient_is_left_on_the_network():
    network = convnet((1, 16, 16))
    problem = make_problem(network, images_of(2, 1, 16, 16))
    rank_cells(Cells(problem), 9, effort=100)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
