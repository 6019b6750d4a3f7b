import pytest

from robustkit.cli.names import TAKES
from robustkit.errors import InputError
from robustkit.models.fronts import FRONTS


def test_the_command_line_knows_every_front_end() -> None:
    assert {name.partition(":")[0] for name in TAKES["--front"].names} == set(FRONTS)


@pytest.mark.parametrize(("option", "text"), [("--front", "joint:"), ("--front", "nan+detect:"), ("--values", "grid:")])
def test_a_name_that_ends_with_its_colon_is_not_answered_with_itself(option: str, text: str) -> None:
    with pytest.raises(InputError, match="needs something after its colon"):
        TAKES[option].convert(text, None, None)


def test_the_command_line_lets_values_at_the_edge_of_a_threshold_pass() -> None:
    assert TAKES["certify --values"].convert("corners+edge", None, None) == "corners+edge"
    with pytest.raises(InputError, match="unknown values 'corner"):
        TAKES["certify --values"].convert("corner+edge", None, None)
