"""The embedded frames, as masks, compare with IDD's: benchmarks/RESULTS.md has the figures of both."""

import numpy as np
import pytest

from benchmarks.synthetic_frames import STREETS, intraclass_correlation, measure
from datamodules.files.masks import polygon_mask
from datamodules.synthetic.generate import ensure

# mIoU on the official val of IDD-Lite; its train taught the tables.
REAL = {"position_prior": 0.237, "colour_table": 0.256, "colour_row": 0.338}


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    return measure(ensure(tmp_path_factory.mktemp("streets")), STREETS, polygon_mask)


def test_the_correlation_is_the_one_of_shrout_and_fleiss():
    """Table 2 of their paper, six targets and four judges: ICC(1, 1) is .17."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    correlation = intraclass_correlation(ratings.reshape(-1, 1).astype(float), np.repeat(np.arange(6), 4))
    assert correlation == pytest.approx([0.17], abs=0.005)


def test_the_correlation_of_groups_that_differ_in_size_is_the_one_they_were_drawn_with():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(1500), rng.integers(1, 9, 1500))
    for truth in (0.0, 0.3, 0.7):
        drawn = np.sqrt(truth) * rng.normal(size=1500)[groups] + np.sqrt(1 - truth) * rng.normal(size=len(groups))
        assert intraclass_correlation(drawn[:, None], groups) == pytest.approx([truth], abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("baseline", "off"), {"position_prior": 0.11, "colour_table": 0.08, "colour_row": 0.08}.items()
)
def test_what_needs_no_network_tells_about_as_much_as_of_real_frames(figures, baseline, off):
    assert figures.baselines[baseline] == pytest.approx(REAL[baseline], abs=off)


@pytest.mark.slow
def test_drives_differ(figures):
    assert np.count_nonzero(figures.correlations >= 0.25) >= 5
