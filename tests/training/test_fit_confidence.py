"""The fit of the confidence: it finds a known error, says what holds up, and leaves the spoilt fills out of that."""

import json
import sys

import fit_confidence
import numpy as np
import pytest
import yaml
from scipy.special import expit

from cleanplate.confidence import SIGNALS, TERMS, load_error_model, log_error


def sample_of(rng, number, engine="network", worse=0.0):
    signals = dict.fromkeys(SIGNALS, 0.5) | {"share": float(rng.uniform(0.05, 0.9)), "seam": float(rng.uniform(0.2, 3))}
    error = np.exp(1.2 * np.log(signals["share"] + 1e-3) + 0.5 * np.log(signals["seam"] + 0.3) - 0.6 + worse)
    error *= np.exp(rng.normal(0, 0.3))
    return fit_confidence.Sample(f"photo{number % 10} text", "overlay_text", engine, signals, float(error))


def test_the_weights_of_a_known_error_are_found():
    rng = np.random.default_rng(1)
    weights, bias = fit_confidence.fit([sample_of(rng, number) for number in range(600)])
    assert weights[TERMS.index("share")] == pytest.approx(1.2, abs=0.15)
    assert weights[TERMS.index("seam")] == pytest.approx(0.5, abs=0.08)
    assert np.isfinite(bias)


def test_the_odds_are_those_of_what_held_up():
    rng = np.random.default_rng(2)
    expected = rng.normal(log_error(0.35), 1.0, 20_000)
    deep = rng.normal(1.0, 1.0, 20_000)
    held = rng.random(20_000) < expit(1.5 * (log_error(0.35) - expected) - 0.4 * deep + 0.7)
    found = fit_confidence.calibrate(expected, deep, held, 0.35)
    assert found == pytest.approx({"slope": 1.5, "depth": -0.4, "offset": 0.7}, abs=0.08)


def test_spoilt_fills_do_not_lower_the_odds(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    made = [sample_of(rng, number) for number in range(300)]
    spoilt = [sample_of(rng, number, "network, spoilt", worse=2.0) for number in range(100)]
    confidences = []
    for name, found in (("made", made), ("both", made + spoilt)):
        samples, out = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.yaml"
        samples.write_text("".join(json.dumps(vars(sample)) + "\n" for sample in found))
        monkeypatch.setattr(sys, "argv", ["fit", "--photos", "x", "--samples", str(samples), "--out", str(out)])
        fit_confidence.main()
        assert set(yaml.safe_load(out.read_text())) == {"fitted", "weights", "bias", "slope", "depth", "offset"}
        model = load_error_model(out)
        confidences.append(np.mean([model.confidence(sample.signals, 0.35) for sample in made]))
    share = np.mean([sample.lpips <= 0.35 for sample in made])
    assert confidences == pytest.approx([share, share], abs=0.03)
