"""What a signal is worth: fits in folds that know some of the terms only, and the rows made of them."""

import ablate_confidence as ablation
import numpy as np
import pytest
from fit_confidence import SPOILT, Sample

from cleanplate.confidence import SIGNALS, TERMS


@pytest.fixture
def samples():
    """Fills whose error follows the seam alone; each has a spoilt one with a larger seam."""
    rng, found = np.random.default_rng(5), []
    for photograph in range(20):
        for kind in ("overlay_text", "object"):
            for engine, more in (("flat", 0.0), (f"flat{SPOILT}", 2.0)):
                seen = {name: float(rng.uniform(0.5, 2)) for name in SIGNALS}
                seen["seam"] += more
                error = 0.05 * (seen["seam"] + 0.3) ** 2
                found.append(Sample(f"p{photograph:02d} {kind}", kind, engine, seen, error))
    return found


def figures_of(row):
    name, *figures = (cell.strip() for cell in row.strip("|").split("|"))
    return name, [float(figure) for figure in figures]


def test_every_term_belongs_to_a_signal():
    places = [place for own in ablation.signals_of().values() for place in own]
    assert sorted(places) == list(range(len(TERMS)))


def test_only_the_signal_that_errors_follow_is_missed(samples):
    rows = dict(figures_of(row) for row in ablation.table(samples, ablation.signals_of()))
    assert min(rows["all signals"][:3]) > 0.95
    assert min(rows["seam alone"][:3]) > 0.95
    assert rows["without seam"][0] < 0.5
    assert rows["without texture"][0] > 0.95
    assert rows["texture alone"][0] < 0.5


def test_fits_do_not_see_the_fold_that_they_judge():
    fold = np.array([0, 0, 0, 1, 1, 1])
    inputs, wanted = np.arange(6.0)[:, None], np.array([0.0, 1, 2, -3, -4, -5])
    found = ablation.expected(inputs, wanted, fold)
    assert np.all(np.diff(found[:3]) < 0)
    assert np.all(np.diff(found[3:]) > 0)


def test_what_expects_the_same_of_good_and_spoilt_tells_half(samples):
    of_case = np.array([float(sample.case[1:3]) for sample in samples])
    assert figures_of(ablation.row_of("blind", of_case, samples))[1][2] == 0.5
