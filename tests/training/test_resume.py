import os
import signal
from dataclasses import replace

import pytest
import torch

from robustkit.errors import InputError, RunInterrupted
from robustkit.training import Settings, keeping, train
from robustkit.training.keeping import Keeper
from tests.training.worlds import noisier, squares

DANN = Settings(method="dann", fisher="ratio", entropy=0.05, epochs=3, batch=16, warm_up=1)  # 4 steps an epoch


class Killed(BaseException):
    """The process is gone: nothing of ours catches this."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    source = squares()
    out = tmp_path_factory.mktemp("whole") / "a.pt"
    return train(source, noisier(source), out=out, settings=DANN)


def assert_same(one, other):
    assert one.history == other.history
    for ours, theirs in zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    for suffix in (".jsonl", ".csv"):
        ours, theirs = (each.checkpoint.with_suffix(suffix).read_text() for each in (one, other))
        assert ours == theirs


def kill_at(monkeypatch, method, count):
    """Lets a method of the keeper work `count` times and dies the next time, before or after its work."""
    real, calls = getattr(Keeper, method), []

    def dying(self, *args):
        calls.append(1)
        if len(calls) > count:
            raise Killed
        return real(self, *args)

    monkeypatch.setattr(Keeper, method, dying)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 11])
def test_a_run_that_is_killed_at_a_step_ends_as_if_it_had_not_been(whole, count, tmp_path, monkeypatch):
    source = squares()
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "SAVE_EVERY", -1.0)  # a state after every step
        kill_at(patch, "after_step", count)
        with pytest.raises(Killed):
            train(source, noisier(source), out=tmp_path / "a.pt", settings=DANN)
    assert (tmp_path / "a.state").exists() == (count > 0)
    assert_same(train(source, noisier(source), out=tmp_path / "a.pt", settings=DANN, resume=True), whole)
    assert not (tmp_path / "a.state").exists()


@pytest.mark.parametrize(("method", "count"), [("after_epoch", 0), ("after_epoch", 2), ("complete", 0)])
def test_a_run_that_is_killed_between_its_files_ends_as_if_it_had_not_been(whole, method, count, tmp_path, monkeypatch):
    source = squares()
    with monkeypatch.context() as patch:
        kill_at(patch, method, count)
        with pytest.raises(Killed):
            train(source, noisier(source), out=tmp_path / "a.pt", settings=DANN)
    assert_same(train(source, noisier(source), out=tmp_path / "a.pt", settings=DANN, resume=True), whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_and_it_goes_on(whole, number, tmp_path, monkeypatch):
    source = squares()
    real, calls = Keeper.after_step, []

    def signalled(self, run):
        calls.append(1)
        if len(calls) == 6:
            os.kill(os.getpid(), number)
        real(self, run)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "after_step", signalled)
        with pytest.raises(RunInterrupted, match="epoch 2 after step 2"):
            train(source, noisier(source), out=tmp_path / "a.pt", settings=DANN)
    assert signal.getsignal(number) is before
    assert_same(train(source, noisier(source), out=tmp_path / "a.pt", settings=DANN, resume=True), whole)


def test_other_settings_or_data_are_refused_with_what_differs(tmp_path, monkeypatch):
    source = squares()
    with monkeypatch.context() as patch:
        kill_at(patch, "after_step", 5)
        with pytest.raises(Killed):
            train(source, noisier(source), out=tmp_path / "a.pt", settings=DANN)
    changed = replace(DANN, weight=2.0, learning_rate=0.01)
    with pytest.raises(InputError, match=r"learning_rate: 0.001 -> 0.01; weight: 1.0 -> 2.0"):
        train(source, noisier(source), out=tmp_path / "a.pt", settings=changed, resume=True)
    with pytest.raises(InputError, match="source split"):
        train(squares(93), noisier(squares(93)), out=tmp_path / "a.pt", settings=DANN, resume=True)
    with pytest.raises(InputError, match="--resume"):
        train(source, noisier(source), out=tmp_path / "a.pt", settings=DANN)


def test_a_complete_run_is_returned_and_never_overwritten(whole):
    source = squares()
    again = train(source, noisier(source), out=whole.checkpoint, settings=DANN, resume=True)
    assert_same(again, whole)
    with pytest.raises(InputError, match="already exists"):
        train(source, noisier(source), out=whole.checkpoint, settings=DANN)
    with pytest.raises(InputError, match="method: dann -> mmd"):
        train(source, noisier(source), out=whole.checkpoint, settings=replace(DANN, method="mmd"), resume=True)


@pytest.mark.parametrize("content", [b"", b"not a state", None])
def test_a_damaged_state_is_refused(content, tmp_path):
    state = tmp_path / "a.state"
    if content is None:
        torch.save({"format": "another"}, state)
    else:
        state.write_bytes(content)
    with pytest.raises(InputError, match="delete it"):
        train(squares(), out=tmp_path / "a.pt", settings=Settings(epochs=1, batch=16), resume=True)


def test_a_state_that_would_run_code_is_not_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    torch.save({"format": keeping.FORMAT, "run": Bomb()}, tmp_path / "a.state")
    with pytest.raises(InputError, match="not a readable training state"):
        keeping.read_state(tmp_path / "a.state")
    assert not (tmp_path / "exploded").exists()


def _cut(path, content):
    path.write_bytes(path.read_bytes()[:-500])


def _without_a_run(path, content):
    del content["run"]
    torch.save(content, path)


def _one_weight_moved(path, content):
    next(iter(content["run"]["network"].values())).add_(1)
    torch.save(content, path)


@pytest.mark.parametrize("change", [_cut, _without_a_run, _one_weight_moved])
def test_a_state_that_was_changed_is_refused_and_not_trained_on(change, tmp_path, monkeypatch):
    source, settings = squares(60), Settings(epochs=2, batch=12)
    with monkeypatch.context() as patch:
        kill_at(patch, "after_epoch", 1)
        with pytest.raises(Killed):
            train(source, out=tmp_path / "a.pt", settings=settings, device="cpu")
    change(tmp_path / "a.state", torch.load(tmp_path / "a.state", weights_only=True))
    with pytest.raises(InputError, match="delete it to start afresh"):
        train(source, out=tmp_path / "a.pt", settings=settings, resume=True, device="cpu")
