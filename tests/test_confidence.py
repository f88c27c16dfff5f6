"""The calibrated confidence: a probability by a fitted error, and signals that say how hard a hole is."""

import numpy as np
import pytest
from scipy.stats import logistic

from cleanplate.confidence import SIGNALS, TERMS, ErrorModel, hole_signals, load_error_model, log_error, terms
from cleanplate.errors import ModelError
from cleanplate.ring import dilate


def _signals(**changed):
    return dict.fromkeys(SIGNALS, 1.0) | changed


def test_the_confidence_is_the_logistic_probability_of_the_fitted_error():
    model = ErrorModel({"share": 1.0, "texture": 0.5}, bias=-2.0, slope=2.5, depth=-0.3, offset=0.4)
    seen = _signals(share=0.2, texture=7.0, depth_px=4.0)
    mean = -2.0 + np.log(0.201) + 0.5 * np.log(8.0)
    odds = 0.4 - 0.3 * np.log(4.5)
    assert model.confidence(seen, 0.1) == pytest.approx(logistic.cdf(2.5 * (log_error(0.1) - mean) + odds))
    assert model.expected_error(seen) == pytest.approx(np.exp(mean) - 0.005)
    assert model.confidence(seen, model.expected_error(seen)) == pytest.approx(logistic.cdf(odds))


def test_terms_stand_in_their_order():
    seen = _signals(edges=0.25)
    values = terms(seen)
    assert values.shape == (len(TERMS),)
    assert values[TERMS.index("edges")] == 0.5
    assert np.isfinite(terms(dict.fromkeys(SIGNALS, 0.0))).all()


def test_the_shipped_model_knows_easy_from_hard():
    model = load_error_model()
    easy = _signals(share=0.05, depth_px=1.5, texture=1.0, edges=0.01, seam=0.8, disagreement=1.0, colour_drift=1.0)
    hard = _signals(share=0.6, depth_px=25.0, texture=30.0, edges=0.5, seam=1.6, disagreement=12.0, colour_drift=9.0)
    assert model.confidence(easy, 0.2) > 0.95
    assert model.confidence(hard, 0.1) < 0.2


def test_a_deeper_hole_in_richer_surroundings_is_harder():
    y, x = np.mgrid[0:90, 0:120]
    rich = np.repeat((120 + 80 * np.sin(x / 4.0) * np.cos(y / 5.0)).astype(np.uint8)[..., None], 3, 2)
    thin = np.zeros((90, 120), np.uint8)
    thin[44:46, 20:100] = 1
    thick = dilate(thin, 9)
    first, second = (hole_signals(rich, hole, hole) for hole in (thin, thick))
    assert all(second[name] > first[name] for name in ("share", "depth_px", "disagreement"))
    flat = hole_signals(np.full_like(rich, 90), thick, thick)
    assert flat["disagreement"] < 1  # both round, one of them down
    assert hole_signals(rich, np.zeros_like(thin), thin)["share"] == 0


def test_a_file_that_is_no_model_is_named(tmp_path):
    path = tmp_path / "confidence.yaml"
    with pytest.raises(ModelError, match="is not a fitted confidence"):
        load_error_model(path)
    path.write_text("weights: {luck: 1}\nbias: 0\nslope: 1\ndepth: 0\noffset: 0\n")
    with pytest.raises(ModelError, match=r"unknown terms \['luck'\]"):
        load_error_model(path)
