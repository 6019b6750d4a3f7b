import numpy as np
import pytest

from robustkit.auditing.plan import plan, plan_text
from robustkit.auditing.request import Thresholds
from robustkit.errors import InputError
from robustkit.stats import claim_of_means


def test_a_tighter_margin_and_a_larger_family_need_more_images():
    wide, tight = (
        {one.name: one for one in plan(Thresholds(flip_rate=rate, exposure_loss=loss), 150)}
        for rate, loss in ((0.2, 0.1), (0.1, 0.05))
    )
    for name in ("flip_rate", "exposure_loss"):
        assert wide[name].needed < tight[name].needed
    few, many = (
        {one.name: one for one in plan(Thresholds(), 150, perturbations=count)}["fault_loss"] for count in (1, 26)
    )
    assert few.needed < many.needed


def test_what_is_planned_is_enough_four_times_in_five():
    rng = np.random.default_rng(0)
    planned = {one.name: one for one in plan(Thresholds(), 150)}
    n = round(planned["flip_rate"].needed * 0.8)  # of which 80% are right
    passed = [claim_of_means("a", rng.random(n) < 0.05, 0.1).holds <= 0.05 / 7 for _ in range(500)]
    assert 0.76 < np.mean(passed) < 0.92


def test_what_so_many_images_can_settle_is_said():
    small, large = ({one.name: one for one in plan(Thresholds(), n)} for n in (150, 2000))
    assert small["exposure_loss"].passes is None
    assert 0 < large["exposure_loss"].passes < 0.05 < large["exposure_loss"].fails < small["exposure_loss"].fails
    text = plan_text(list(small.values()), 150)
    assert "150 images would probably leave undecided: " in text
    assert "exposure_loss" in text.splitlines()[-1]
    assert "undecided" not in plan_text(list(large.values()), 2000)
    edge = plan_text(plan(Thresholds(flip_rate=0.0), 150), 150)
    assert "no number" in edge


def test_no_image_is_refused():
    with pytest.raises(InputError, match="--n must be at least 1, got 0"):
        plan(Thresholds(), 0)
