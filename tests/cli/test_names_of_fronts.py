from robustkit.cli.names import TAKES
from robustkit.models.fronts import FRONTS


def test_the_command_line_knows_every_front_end() -> None:
    assert {name.partition(":")[0] for name in TAKES["--front"].names} == set(FRONTS)
