import warnings

from tests.fuzz_models import fuzz


def test_damaged_files_are_refused_in_words(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about what was damaged
        counts = fuzz(tmp_path, seconds=4, seed=1, most=150)
    assert counts.total() >= 12  # every kind of file, at least once
    assert not [kind for kind in counts if kind.startswith("FAILED")]
    assert sum(count for kind, count in counts.items() if kind.endswith("refused")) > counts.total() / 2
