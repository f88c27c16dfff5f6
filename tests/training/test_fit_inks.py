"""The fit of ink by network and colour: known odds are found, what they are worth is said, of the right pixels."""

import fit_inks
import numpy as np
import pytest
from fit_screen import make_sample
from scipy.special import expit

from cleanplate.config import load_config
from cleanplate.evaluation.photographs import list_photographs


def test_the_weights_of_known_odds_are_found():
    rng = np.random.default_rng(2)
    inputs = rng.normal(0, 2, (20_000, 2))
    truth = rng.random(20_000) < expit(0.6 * inputs[:, 0] + 0.9 * inputs[:, 1] - 1)
    weights, offset = fit_inks.fit(np.column_stack([inputs, truth]))
    assert weights == pytest.approx([0.6, 0.9], abs=0.06)
    assert offset == pytest.approx(-1, abs=0.06)


def test_what_scores_are_worth():
    truth = np.arange(1000) >= 500
    assert "curve 1.0000, false pixels 0.000 at 0.98" in fit_inks.describe(np.arange(1000.0), truth)
    assert "false pixels 1.000 at 0.98" in fit_inks.describe(-np.arange(1000.0), truth)


def test_pixels_are_those_of_groups_that_are_right(library, photos):
    eyes = fit_inks.Eyes(load_config(overrides=["models.threads=1", "models.device=cpu"]))
    rng = np.random.default_rng(0)
    path = list_photographs([photos])[0]
    samples = [make_sample(path, number, library, "overlay_text") for number in range(4)]
    rows = [row for sample in samples for row in fit_inks.rows_of(eyes, sample, rng)]
    assert rows
    assert all(row.shape[1] == 3 and np.isfinite(row).all() and len(row) <= 2500 for row in rows)
    every = np.concatenate(rows)
    ink, ground = every[every[:, 2] > 0], every[every[:, 2] == 0]
    assert (ink[:, :2].mean(axis=0) > ground[:, :2].mean(axis=0)).all()
    assert not list(fit_inks.rows_of(eyes, make_sample(path, 9, library, None), rng))
