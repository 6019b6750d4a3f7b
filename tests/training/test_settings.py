import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.training import Settings, preset
from robustkit.training.many import checkpoints
from tests.training.worlds import start


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"network": "vgg"}, "unknown network 'vgg'; known are convnet, deepmerge, resnet18"),
        ({"method": "can"}, "unknown method"),
        ({"fisher": "trace"}, "known are ratio, difference"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"weight": -1.0}, "weight must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"batch": 1}, "batch must be at least 2"),
        ({"method": "mmd", "epochs": 5}, "5 epochs of warm-up"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_words(wrong, words):
    with pytest.raises(InputError, match=words):
        Settings(**wrong)


def test_the_ramp_is_zero_in_the_warm_up_and_then_ganins():
    settings = Settings(method="mmd", epochs=25, warm_up=5)
    assert [settings.ramp_at(p) for p in (0, 4.9)] == [0, 0]
    assert settings.ramp_at(5) == 0
    assert settings.ramp_at(15) == pytest.approx(2 / (1 + np.exp(-5)) - 1)
    assert settings.ramp_at(25) == pytest.approx(1, abs=1e-4)
    assert Settings(method="mmd", ramp=False, warm_up=0).ramp_at(0) == 1


def test_the_presets_are_the_papers():
    regular, adapted = preset("ad22"), preset("ad22", method="mmd", network="resnet18")
    assert (regular.betas, regular.learning_rate, regular.weight_decay) == ((0.7, 0.8), 1e-5, 1e-3)
    assert (adapted.weight_decay, adapted.weight, adapted.kernels) == (1e-4, 0.05, "published")
    assert (adapted.epochs, adapted.batch, adapted.seed, adapted.schedule) == (100, 128, 0, "constant")
    merger = preset("da20", method="dann")
    assert (merger.schedule, merger.optimiser, merger.seed, merger.stretch) == ("one-cycle", "adam", 1, "meanstd")
    assert preset("ad22", method="mmd", weight_decay=0.5).weight_decay == 0.5
    assert preset(None, epochs=3) == Settings(epochs=3)
    with pytest.raises(InputError, match="ad22, da20"):
        preset("ad23")


def test_the_schedule_leaves_the_betas_alone_and_centres_move_faster():
    _, run, _ = start(Settings(method="dann", fisher="ratio", betas=(0.7, 0.8), batch=16))
    assert all(group["betas"] == (0.7, 0.8) for group in run.optimiser.param_groups)
    assert [group["max_lr"] for group in run.optimiser.param_groups] == pytest.approx([1e-3, 1e-3, 1e-2])


def test_seeds_get_their_own_checkpoint(tmp_path):
    made = checkpoints(tmp_path / "models", Settings(method="mmd", seed=3), 2)
    assert [path.name for path in made] == ["convnet-mmd-seed3.pt", "convnet-mmd-seed4.pt"]
    assert [settings.seed for settings in made.values()] == [3, 4]
    assert list(checkpoints(tmp_path / "a.pt", Settings(), 1)) == [tmp_path / "a.pt"]
    with pytest.raises(InputError, match="2 seeds need a folder"):
        checkpoints(tmp_path / "a.pt", Settings(), 2)
    with pytest.raises(InputError, match="--seeds must be at least 1, got 0"):
        checkpoints(tmp_path, Settings(), 0)
