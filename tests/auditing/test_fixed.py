from robustkit.auditing.fixed import fix_claims, fixed_of, said_of
from robustkit.auditing.request import Thresholds


def test_what_was_written_before_the_first_image_stays(tmp_path):
    assert said_of(fixed_of(tmp_path, Thresholds())) == ""
    fix_claims(tmp_path, Thresholds())
    kept = fixed_of(tmp_path, Thresholds())
    assert kept["before_scoring_sha256"] == kept["sha256"]
    assert said_of(kept).startswith("The thresholds were written down before any image was scored")
    moved = Thresholds(flip_rate=0.9)
    fix_claims(tmp_path, moved)  # a second run does not write it again
    found = fixed_of(tmp_path, moved)
    assert found["changed"] == {"flip_rate": [0.1, 0.9]}
    assert found["sha256"] != found["before_scoring_sha256"]
    assert "flip_rate from 0.1 to 0.9" in said_of(found)
