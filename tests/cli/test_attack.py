import pytest

from robustkit.files import read_json
from tests.audits import make_audit


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_audit(tmp_path_factory.mktemp("audit"))[0]


@pytest.fixture(autouse=True)
def _work_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_attack_from_the_command_line(robustkit, model, tmp_path):
    arguments = ["--n", 8, "--budget", 200, "--search", "random", "--single-band", "--seed", 1, "--device", "cpu"]
    code, said, wrong = robustkit("attack", "--model", model, *arguments)
    assert (code, wrong) == (0, "")
    assert "8 of 20 images" in said
    assert "single-band: 6 options" in said
    summary = read_json(tmp_path / "runs" / "attack-net-8-1" / "summary.json")
    assert summary["settings"]["values"]["name"] == "single-band"
    assert list(summary["searches"]) == ["random"]
    code, said, wrong = robustkit("attack", "--model", model, *arguments)
    assert (code, wrong) == (0, "")
    assert "1 of 1 groups were finished before and are kept" in said
    folder = tmp_path / "runs" / "attack-net-8-1"
    code, said, wrong = robustkit("attack", "--model", model, *arguments[:-4], "--seed", 2, "--out", folder)
    assert (code, said) == (2, "")
    assert "was started with other inputs: settings.seed was 1 and is 2" in wrong
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    assert "already holds files" in robustkit("attack", "--model", model, *arguments, "--out", tmp_path / "mine")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n", "500"], "has 20 images and 500 were asked for; ask for --n 20, or add --all"),
        (["--n", "5", "--values", "hots"], "unknown values 'hots'"),
        (["--n", "5", "--search", "luck"], "unknown search 'luck'"),
        (["--n", "5", "--targeted", "all"], "--targeted takes in-turn"),
        (["--n", "5", "--preset", "paper", "--targeted"], "fixes what --targeted would change"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(robustkit, model, tmp_path, arguments, words):
    code, said, wrong = robustkit("attack", "--model", model, *arguments)
    assert (code, said) == (2, "")
    assert words in wrong
    assert wrong.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_checkpoint_is_one_line(robustkit):
    code, said, wrong = robustkit("attack", "--model", "nowhere.pt")
    assert (code, said) == (2, "")
    assert wrong == "robustkit: expected a checkpoint file at nowhere.pt, but it does not exist\n"
