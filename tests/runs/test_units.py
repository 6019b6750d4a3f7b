import os
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from robustkit.errors import InputError, RobustkitError
from robustkit.runs import Shard, make_units, units_of
from robustkit.runs.local import assigned_device, local_workers


def square(unit):
    return unit * unit


def failing(unit):
    raise InputError(f"unit {unit} cannot be")


def broken(unit):
    raise KeyError(unit)


def dying_once(folder, unit):
    """Kills its worker the first time that it is asked for unit 3."""
    mark = Path(folder) / "died"
    if unit == 3 and not mark.exists():
        mark.touch()
        os._exit(1)
    return unit * unit


def always_dying(unit):
    os._exit(1)


def where(unit):
    time.sleep(0.2)
    return assigned_device(), os.getpid()


def made(units, work, executor=None):
    kept = {}

    def keep(unit, result):
        assert unit not in kept
        kept[unit] = result

    make_units(units, work, keep, executor)
    return kept


def test_units_are_made_here_in_order():
    assert list(made(range(5), square).items()) == [(k, k * k) for k in range(5)]


def test_an_executor_makes_each_unit_once():
    with ProcessPoolExecutor(2) as executor:
        assert made(range(50), square, executor) == {k: k * k for k in range(50)}


def test_what_a_unit_refuses_is_refused_as_it_was_said():
    with local_workers(["cpu"]) as executor:
        with pytest.raises(InputError, match="unit 0 cannot be"):
            made(range(3), failing, executor)
        with pytest.raises(RobustkitError, match=r"unit 0 failed in process \d+ on .*: KeyError: 0"):
            made(range(3), broken, executor)


def test_units_of_workers_that_died_are_made_again(tmp_path):
    found = made(range(8), partial(dying_once, str(tmp_path)), partial(local_workers, ["cpu", "cpu"]))
    assert found == {k: k * k for k in range(8)}
    assert (tmp_path / "died").exists()


def test_workers_that_always_die_are_given_up():
    with pytest.raises(RobustkitError, match="broke down 3 times in a row"):
        made(range(2), always_dying, partial(local_workers, ["cpu"]))


class Losing(Executor):
    """An engine that loses the worker of unit 2, as Dask and Parsl say it: by an error of their own."""

    def __init__(self, times):
        self.times = times

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        if args[1] == 2 and self.times:
            self.times -= 1
            future.set_exception(OSError("the worker is gone"))
        else:
            future.set_result(function(*args))
        return future


def test_a_unit_whose_worker_was_lost_is_submitted_again():
    assert made(range(5), square, Losing(4)) == {k: k * k for k in range(5)}
    with pytest.raises(RobustkitError, match=r"unit 2 lost its worker 5 times \(the worker is gone\)"):
        made(range(5), square, Losing(5))


def test_each_worker_has_a_device_of_its_own():
    with local_workers(["cpu:0", "cpu:1"]) as executor:
        found = set(made(range(8), where, executor).values())
    assert {device for device, _ in found} == {"cpu:0", "cpu:1"}
    for _, pid in found:
        for _ in range(100):
            if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("a worker is still there")
    assert assigned_device() is None


def test_shards_are_all_units_and_none_twice():
    for of in (1, 2, 7):
        shards = [Shard(index, of).units(7) for index in range(1, of + 1)]
        assert sorted(unit for shard in shards for unit in shard) == list(range(7))
    assert units_of(None, 3) == range(3)
    assert str(Shard.parse(" 3/64 ")) == "3/64"
    with pytest.raises(InputError, match="ask for at most 7"):
        units_of("1/8", 7)
