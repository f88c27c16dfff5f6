"""Drift: what differs for sure is named, what may be chance is not."""

import json

import numpy as np
import pandas as pd
import pytest

from cleanplate.rollout.drift import (
    Portrait,
    compare,
    last_means,
    profile_as_dict,
    profile_from_dict,
    profile_of,
)
from cleanplate.rollout.facts import typed
from cleanplate.rollout.gates import Gate
from cleanplate.rollout.intervals import Moments

RISE = Gate(name="error", mean="seam", of="filled > 0", rise=0.12)
METRICS = ("perceptual_error",)


def facts_of(seed, count=400, found=0.8, network=0.2, error=1.0):
    rng = np.random.default_rng(seed)
    has = rng.random(count) < found
    by_network = rng.random(count) < network
    return typed(
        pd.DataFrame(
            {
                "image_id": [f"{seed}-{n}" for n in range(count)],
                "drawn": True,
                "found": has.astype(int),
                "filled": has.astype(int),
                "engines": [["network"] if net else ["pde"] for net in by_network],
                "perceptual_error": error * rng.gamma(9, 0.1, count),
                "seam": rng.gamma(9, 0.1, count),
                "stratum.device": ["night" if n % 4 == 0 else "day" for n in range(count)],
            }
        )
    )


def profile(seed, **values):
    return profile_of(facts_of(seed, **values), [RISE], METRICS)


EARLIER = [profile(seed) for seed in range(3)]


def test_the_same_again_does_not_drift():
    assert sum(bool(compare(profile(seed), EARLIER, 0.12, METRICS)) for seed in range(10, 40)) <= 2
    assert compare(profile(10), [], 0.12, METRICS) == []


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"error": 1.4}, "perceptual_error"),
        ({"found": 0.5}, "detection rate"),
        ({"network": 0.6}, "route network"),
        ({"network": 0.0}, "route network"),
    ],
)
def test_what_moved_is_named(values, what):
    found = compare(profile(10, **values), EARLIER, 0.12, METRICS)
    assert what in {drift.what for drift in found}
    drift = next(drift for drift in found if drift.what == what and not drift.stratum)
    assert drift.low > 0.12 or drift.high < -0.12


def test_a_stratum_that_moves_alone_is_named():
    usual, strange = facts_of(10), facts_of(11, error=2.0)
    night = usual["stratum.device"].eq("night")
    usual.loc[night, "perceptual_error"] = strange.loc[night, "perceptual_error"]
    found = compare(profile_of(usual, [RISE], METRICS), EARLIER, 0.12, METRICS)
    assert {(drift.what, drift.stratum) for drift in found} >= {("perceptual_error", "device=night")}
    assert ("perceptual_error", "device=day") not in {(drift.what, drift.stratum) for drift in found}


def test_a_small_sample_is_not_blamed():
    assert compare(profile(10, count=12, network=0.5), EARLIER, 0.12, METRICS) == []


def test_profiles_join_as_if_they_had_been_one_and_stand_in_json():
    both = pd.concat([facts_of(0), facts_of(1)], ignore_index=True)
    whole = profile_of(both, [RISE], METRICS)[""]
    joined = EARLIER[0][""].joined(EARLIER[1][""])
    assert (joined.images, joined.found, joined.engines) == (whole.images, whole.found, whole.engines)
    for name, moments in whole.means.items():
        assert joined.means[name].count == moments.count
        assert joined.means[name].mean == pytest.approx(moments.mean)
        assert joined.means[name].variance == pytest.approx(moments.variance)
    assert profile_from_dict(json.loads(json.dumps(profile_as_dict(EARLIER[0])))) == EARLIER[0]


def test_the_last_run_of_a_stratum_counts():
    old = {"": Portrait(means={"a": Moments(2, 1.0, 0.1)}), "x": Portrait(means={"a": Moments(2, 5.0, 0.1)})}
    new = {"": Portrait(means={"a": Moments(2, 2.0, 0.1)})}
    found = last_means([new, old])
    assert (found[""]["a"].mean, found["x"]["a"].mean) == (2.0, 5.0)
