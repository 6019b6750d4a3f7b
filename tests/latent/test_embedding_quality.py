"""What a map keeps, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr
from sklearn import manifold
from sklearn.neighbors import KNeighborsClassifier

from robustkit.errors import InputError
from robustkit.latent import embedding_quality
from robustkit.latent.embedding_quality import (
    continuity,
    evaluate_map,
    neighbourhood_hit,
    residual_variance,
    trustworthiness,
)
from robustkit.latent.neighbour_graph import neighbour_graph


@pytest.fixture
def cloud():
    return np.random.default_rng(3).normal(size=(180, 7))


def test_trustworthiness_is_that_of_scikit_learn(cloud):
    low = cloud[:, :2]
    expected = manifold.trustworthiness(cloud, low, n_neighbors=6)
    assert 0.5 < expected < 0.95
    assert trustworthiness(cloud, low, neighbours=6) == pytest.approx(expected, abs=1e-12)
    assert continuity(cloud, low, neighbours=6) == pytest.approx(manifold.trustworthiness(low, cloud, n_neighbors=6))
    assert trustworthiness(cloud, 3 * cloud[:, ::-1], neighbours=6) == 1.0


def test_slices_change_nothing_and_a_sample_comes_close(cloud, monkeypatch):
    low = cloud[:, :2]
    whole = trustworthiness(cloud, low, neighbours=6)
    monkeypatch.setattr(embedding_quality, "_CELLS", 1000)
    assert trustworthiness(cloud, low, neighbours=6) == whole
    monkeypatch.setattr(embedding_quality, "_SOURCES", 90)
    assert trustworthiness(cloud, low, neighbours=6) == pytest.approx(whole, abs=0.02)


def test_residual_variance_is_one_minus_the_squared_correlation(cloud, monkeypatch):
    graph = neighbour_graph(cloud, 8)
    above = np.triu_indices(len(cloud), 1)
    along = graph.geodesics(np.arange(len(cloud)))[above]
    expected = 1 - pearsonr(along, pdist(cloud[:, :3])).statistic ** 2
    assert residual_variance(graph, cloud[:, :3]) == pytest.approx(expected)
    monkeypatch.setattr(embedding_quality, "_PATHS", 60)
    assert residual_variance(graph, cloud[:, :3]) == pytest.approx(expected, abs=0.05)


def test_a_neighbourhood_hit_is_counted(cloud):
    labels = (cloud[:, 0] > 0).astype(int)
    apart = squareform(pdist(cloud))
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argsort(axis=1)[:, :1]
    leave_one_out = (labels[nearest[:, 0]] == labels).mean()
    assert neighbourhood_hit(cloud, labels, neighbours=1) == leave_one_out
    seen = KNeighborsClassifier(2).fit(cloud, labels).kneighbors(cloud)[1][:, 1]
    assert leave_one_out == (labels[seen] == labels).mean()


def test_all_numbers_of_a_map(cloud):
    labels = np.arange(len(cloud)) % 3
    quality = evaluate_map(cloud, cloud[:, :2], neighbour_graph(cloud, 8), labels=labels, neighbours=6)
    assert quality.trustworthiness == trustworthiness(cloud, cloud[:, :2], neighbours=6)
    assert quality.neighbourhood_hit == pytest.approx(1 / 3, abs=0.05)
    few = evaluate_map(cloud[:13], cloud[:13, :2], neighbour_graph(cloud[:13], 3))
    assert few.neighbours == 4
    assert np.isnan(few.neighbourhood_hit)


def test_what_cannot_be_compared_is_refused(cloud):
    graph = neighbour_graph(cloud, 8)
    with pytest.raises(InputError, match="180 and 10"):
        trustworthiness(cloud, cloud[:10])
    with pytest.raises(InputError, match="more than twice as many"):
        trustworthiness(cloud[:12], cloud[:12], neighbours=6)
    with pytest.raises(InputError, match="one place on the map"):
        residual_variance(graph, np.ones((180, 2)))
    with pytest.raises(InputError, match="180 points needs a place"):
        residual_variance(graph, cloud[:10])
