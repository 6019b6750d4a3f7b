import pytest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["audit"], "name a checkpoint with --model, or give an audit.toml"),
        (["audit", "nowhere.toml"], "cannot read nowhere.toml as an audit file in TOML"),
        (["audit", "--model", "nowhere.pt"], "nowhere.pt"),
        (["audit", "--model", "a.pt", "--fail-under", "flips"], "expected a gate such as"),
        (["audit", "--model", "a.pt", "--fail-under", "flips<1"], "unknown number 'flips'"),
        (["report", "nowhere"], "expected the folder of an audit"),
        (["compare", "here", "there"], "expected the folder of an audit"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(robustkit, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, said, wrong = robustkit(*arguments)
    assert (code, said) == (2, "")
    assert words in wrong
    assert wrong.count("\n") == 1
    assert not list(tmp_path.iterdir())
