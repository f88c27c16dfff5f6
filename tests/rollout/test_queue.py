"""Which images a person looks at, and why."""

from __future__ import annotations

import json

from cleanplate.config import ReviewConfig
from cleanplate.rollout.queue import Facts, build_queue, is_sampled, worst_of_gates

NONE = ReviewConfig(sample_share=0.0)


def facts(image_id, status="cleaned", confidence=0.95, **values):
    return Facts("b", image_id, "b-r0001", status, confidence, **values)


def test_every_reason_and_the_order():
    found = build_queue(
        [
            facts("sure"),
            facts("failed", "failed", 0.0),
            facts("ambiguous", scores=[("stamp", 0.6), ("overlay_text", 0.99)]),
            facts("low", confidence=0.74),
            facts("lower", confidence=0.71),
            facts("held back", "review", 0.4, message="1 of 2 regions did not hold up"),
            facts("gated", "refused", 1.0, message="watermark kept", is_gated=True),
            facts("broken", "refused", 1.0, message="16-bit palette"),
            facts("gate", confidence=0.7),
            facts("below but unchanged", "unchanged", 0.1),
        ],
        NONE,
        {"gate": "residual_text"},
    )
    assert {entry.facts.image_id: entry.reasons for entry in found} == {
        "gate": ("gate residual_text names it among the worst", "confidence 0.70 is below 0.80"),
        "gated": ("refused for want of rights: watermark kept",),
        "held back": ("1 of 2 regions did not hold up",),
        "lower": ("confidence 0.71 is below 0.80",),
        "low": ("confidence 0.74 is below 0.80",),
        "ambiguous": ("stamp? found with score 0.60",),
    }
    assert [entry.facts.image_id for entry in found] == ["gate", "gated", "held back", "lower", "low", "ambiguous"]


def test_a_queue_has_an_end_and_keeps_the_most_urgent():
    images = [facts(f"{number:03d}", confidence=0.2 + number / 1000) for number in range(50)]
    found = build_queue(reversed(images), ReviewConfig(max_images=5, sample_share=0.0))
    assert [entry.facts.image_id for entry in found] == ["000", "001", "002", "003", "004"]


def test_the_sample_is_the_same_always_and_of_the_right_size():
    images = [f"image-{number}" for number in range(4000)]
    drawn = {image for image in images if is_sampled("b", image, 0.05)}
    assert 150 < len(drawn) < 250
    assert drawn <= {image for image in images if is_sampled("b", image, 0.1)}, "a larger share holds the smaller one"
    assert drawn != {image for image in images if is_sampled("c", image, 0.05)}
    assert not any(is_sampled("b", image, 0.0) for image in images)
    assert all(is_sampled("b", image, 1.0) for image in images)
    (entry,) = build_queue([facts(min(drawn))], ReviewConfig(sample_share=0.05))
    assert entry.reasons == ("random sample for quality (5 %)",)


def test_the_worst_images_of_failed_gates_are_read_from_the_ledger():
    results = [
        {"gate": "failed_share", "verdict": "passed", "worst": [["fine", 0.1]]},
        {"gate": "residual_text", "verdict": "failed", "worst": [["a", 0.5], ["b", 0.4]]},
        {"gate": "size", "verdict": "failed", "worst": [["a", 3.0]]},
        {"gate": "cost", "verdict": "missing", "worst": []},
    ]
    assert worst_of_gates(json.dumps({"results": results})) == {"a": "residual_text", "b": "residual_text"}
    assert worst_of_gates("") == {}


def test_more_is_asked_of_a_run_that_drifts():
    images = [facts("drifts", confidence=0.85, drifts=True), facts("steady", confidence=0.85)]
    (entry,) = build_queue(images, NONE, drift_confidence=0.1)
    assert entry.reasons == ("confidence 0.85 is below 0.90, raised while the batch drifts",)
    assert build_queue(images, NONE) == []
