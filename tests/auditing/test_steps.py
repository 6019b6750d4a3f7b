import pytest

from robustkit.auditing.steps import Steps
from robustkit.errors import InputError, RunInterrupted
from robustkit.files import read_json
from robustkit.runs.trouble import FileTrouble


def _steps(folder):
    said = []
    return Steps(folder, said.append), said


def test_a_step_is_made_once_and_again_only_when_its_inputs_change(tmp_path):
    made = []

    def make(folder, resume):
        folder.mkdir()
        (folder / "number").write_text(str(len(made)))
        made.append(resume)

    for inputs, times in (({"n": (1, 2)}, 1), ({"n": (1, 2)}, 1), ({"n": (1, 3)}, 2)):
        steps, _ = _steps(tmp_path)
        step = steps.run("count", inputs, make)
        assert len(made) == times
        assert step.folder == tmp_path / "count"
    assert made == [False, False]
    assert (tmp_path / "count" / "number").read_text() == "1"


def test_a_step_that_was_stopped_goes_on_and_one_of_other_inputs_starts_anew(tmp_path):
    def stop(folder, resume):
        folder.mkdir(exist_ok=True)
        (folder / "half").write_text("")
        raise RunInterrupted("stopped")

    seen = []

    def see(folder, resume):
        seen.append((resume, (folder / "half").exists()))

    with pytest.raises(RunInterrupted):
        _steps(tmp_path)[0].run("slow", {"seed": 1}, stop)
    _steps(tmp_path)[0].run("slow", {"seed": 1}, see)
    with pytest.raises(RunInterrupted):
        _steps(tmp_path)[0].run("slow", {"seed": 2}, stop)
    _steps(tmp_path)[0].run("slow", {"seed": 3}, see)
    assert seen == [(True, True), (False, False)]


def test_a_refused_step_is_kept_with_its_reason(tmp_path):
    def refuse(folder, resume):
        raise InputError("no units\nhere")

    steps, _ = _steps(tmp_path)
    assert steps.run("sweep", {}, refuse).refused == "no units here"
    steps, said = _steps(tmp_path)
    again = steps.run("sweep", {}, refuse)
    assert (again.reused, again.refused) == (True, "no units here")
    assert read_json(tmp_path / "sweep.json")["finished"] is True
    assert "refused before" in said[0]


def test_a_note_that_was_cut_short_is_no_note(tmp_path):
    steps, _ = _steps(tmp_path)
    (tmp_path / "clean.json").write_text('{"inputs"')
    assert not steps.run("clean", {}, lambda folder, resume: None).reused


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2\ncannot be multiplied"), MemoryError(), KeyError("d")])
def test_a_step_that_fails_in_any_way_is_not_run_and_is_made_again_by_the_next_audit(tmp_path, error):
    def fail(folder, resume):
        folder.mkdir()
        raise error

    steps, said = _steps(tmp_path)
    step = steps.run("sweep", {}, fail)
    assert step.refused.startswith(f"it failed unexpectedly ({type(error).__name__}: ")
    assert "\n" not in step.refused
    assert said[-1].endswith(step.refused)
    assert "in fail" in (tmp_path / "sweep-failed.txt").read_text()
    steps, said = _steps(tmp_path)
    assert not steps.run("sweep", {}, lambda folder, resume: None).refused
    assert said == [f"{tmp_path.name}/sweep: going on"]
    assert not (tmp_path / "sweep-failed.txt").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), FileTrouble("the disk is full")])
def test_trouble_with_files_ends_the_audit(tmp_path, error):
    def fail(folder, resume):
        raise error

    with pytest.raises(type(error)):
        _steps(tmp_path)[0].run("sweep", {}, fail)


def test_a_step_whose_folder_is_gone_is_made_again(tmp_path):
    for _ in range(2):
        step = _steps(tmp_path)[0].run("clean", {}, lambda folder, resume: folder.mkdir())
        assert not step.reused
        step.folder.rmdir()


@pytest.mark.parametrize("error", [InputError("made by another version"), OSError("not a zip file")])
def test_a_finished_step_whose_record_cannot_be_read_is_made_again(tmp_path, error):
    made = []

    def make(folder, resume):
        folder.mkdir()
        made.append(resume)

    def read(folder):
        if len(made) == 1:
            raise error

    for times in (1, 2, 2):
        steps, said = _steps(tmp_path)
        steps.run("count", {}, make, read)
        assert len(made) == times
        assert any(str(error) in line for line in said) == (times == 2 and "made again" in " ".join(said))
    assert made == [False, False]
