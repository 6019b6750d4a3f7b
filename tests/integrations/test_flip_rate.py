"""The flip rate in a loop: the same number as the attack, whatever the batches, and the network left as it was."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

import robustkit as rk

torchmetrics = pytest.importorskip("torchmetrics")


@pytest.fixture(scope="module")
def loop():
    """A network that looks at the brightest pixel, and images of which one pixel changes the answer."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3)
    )
    images = torch.rand(12, 1, 8, 8)
    with torch.no_grad():
        labels = network.eval()(images).argmax(1)
    labels[:3] = (labels[:3] + 1) % 3
    return network, images, labels


def test_it_is_the_rate_of_the_attack_whatever_the_batches(loop):
    from robustkit.integrations.flip_rate import FlipRate

    network, images, labels = loop
    found = rk.attack(network.eval(), images, labels, search="auto", budget=60, values="paper")
    rates = []
    for size in (12, 5):
        metric = FlipRate(budget=60, values="paper")
        for start in range(0, 12, size):
            metric.update(network, images[start : start + size], labels[start : start + size])
        rates.append((float(metric.compute()), metric.estimate().n))
    assert rates == [(pytest.approx(float(found.flip_rate.value)), 9)] * 2


def test_the_network_is_left_in_the_mode_of_each_part(loop):
    from robustkit.integrations.flip_rate import FlipRate

    network, images, labels = loop
    network.train()
    network[1].eval()  # a frozen batch norm inside a network in training
    before = {name: value.clone() for name, value in network.state_dict().items()}
    FlipRate(budget=5, values="paper").update(network, images[:4], labels[:4])
    assert [part.training for part in network] == [True, False, True, True, True, True]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_it_resets_and_adds_up_over_processes(loop):
    from robustkit.integrations.flip_rate import FlipRate

    network, images, labels = loop
    metric = FlipRate(budget=20, values="paper")
    metric.update(network, images, labels)
    assert int(metric.attacked) == 9
    metric.reset()
    assert [int(metric.flipped), int(metric.attacked), int(metric.seen)] == [0, 0, 0]
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert metric.compute().isnan()
    assert set(metric._reductions) == {"flipped", "attacked", "seen"}
    assert all(add is torchmetrics.utilities.dim_zero_sum for add in metric._reductions.values())


@pytest.fixture
def lightning(monkeypatch):
    """Lightning, or a module with the one name that the callback takes of it."""
    monkeypatch.delitem(sys.modules, "robustkit.integrations.lightning", raising=False)
    try:
        import pytorch_lightning as library
    except ImportError:
        library = ModuleType("pytorch_lightning")
        library.Callback = object
        monkeypatch.setitem(sys.modules, "pytorch_lightning", library)
    from robustkit.integrations.lightning import FlipRateCallback

    return library, FlipRateCallback


def test_the_callback_logs_after_validations_and_not_before_training(lightning, loop):
    _, callback_of = lightning
    network, images, labels = loop
    logged = {}
    module = nn.Sequential(network)
    module.device, module.log = torch.device("cpu"), logged.__setitem__
    callback = callback_of(images, labels, every=2, budget=60, values="paper")
    callback.on_validation_epoch_end(SimpleNamespace(sanity_checking=True), module)
    callback.on_validation_epoch_end(SimpleNamespace(sanity_checking=False), module)
    assert logged == {}
    callback.on_validation_epoch_end(SimpleNamespace(sanity_checking=False), module)
    assert 0 <= logged["flip_rate"] <= 1


def test_a_trainer_of_lightning_takes_the_callback(lightning, loop, tmp_path):
    library, callback_of = lightning
    if not hasattr(library, "Trainer"):
        pytest.skip("Lightning is not installed")
    network, images, labels = loop

    class Module(library.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x)

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch, _):
            pass

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 1e-3)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=6)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    callback = callback_of(images, labels, budget=20, values="paper")
    trainer = library.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, callbacks=[callback], **quiet)
    trainer.fit(Module(), data, data)
    assert 0 <= float(trainer.callback_metrics["flip_rate"]) <= 1
