import numpy as np
from scipy import stats

from robustkit.seeds import Streams, stream


def test_streams_do_not_depend_on_the_batch():
    together = Streams(3, ["a", "b", "c"]).uniform(5)
    alone = np.concatenate([Streams(3, [name]).uniform(5) for name in "cab"])
    np.testing.assert_array_equal(together, alone[[1, 2, 0]])


def test_streams_go_on_after_other_images_have_left():
    full = Streams(0, "abc")
    full.normal(4)
    rest = full.select([0, 2])
    np.testing.assert_array_equal(rest.normal(4), Streams(0, "abc").normal(8).reshape(3, 8)[[0, 2], 4:])


def test_seed_id_and_purpose_each_change_the_numbers():
    draws = {stream(seed, name, purpose).random() for seed in (0, 1) for name in "ab" for purpose in ("", "x")}
    assert len(draws) == 8


def test_first_numbers_of_many_images_are_uniform():
    first = Streams(0, map(str, range(4000))).uniform(1)[:, 0]
    assert stats.kstest(first, "uniform").pvalue > 0.001


def test_integers_cover_their_range_and_no_more():
    drawn = Streams(0, ["a"]).integers(3, 300)
    assert set(drawn.ravel()) == {0, 1, 2}


def test_one_number_an_image_needs_no_shape():
    streams = Streams(0, "ab")
    assert streams.integers(5).shape == streams.uniform().shape == streams.normal().shape == (2,)
