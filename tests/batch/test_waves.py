"""Waves: shares that get smaller, and a fan-out that runs beside the next wave without losing a row or an error."""

from __future__ import annotations

import random

import pytest

from cleanplate.batch import waves
from cleanplate.batch.run import RunOptions, clean_batch
from cleanplate.batch.waves import guided_shares
from cleanplate.errors import StorageError


class Silent:
    def begin(self, images):
        pass

    def finish(self):
        pass


def end_of(loads, slots):
    """When each slot is done if the next load always goes to the first free one, as Spark does."""
    ends = [0.0] * slots
    for load in loads:
        first = ends.index(min(ends))
        ends[first] += load
    return ends


@pytest.mark.parametrize("slots", [1, 2, 16])
def test_every_image_has_one_share_and_shares_get_smaller(slots):
    costs = {f"i{n}": random.Random(n).randint(50_000, 4_000_000) for n in range(300)}
    shares = guided_shares(costs, slots, 64)
    assert sorted(name for share in shares for name in share) == sorted(costs)
    assert max(map(len, shares)) <= 64
    loads = [sum(costs[name] for name in share) for share in shares]
    assert loads[0] >= max(loads[-slots:])


def test_slots_end_together_even_where_costs_were_guessed_badly():
    chance = random.Random(7)
    costs = dict.fromkeys((f"i{n}" for n in range(200)), 500_000)
    real = {name: cost * chance.uniform(0.5, 2) for name, cost in costs.items()}
    ends = end_of([sum(real[name] for name in share) for share in guided_shares(costs, 2, 64)], 2)
    assert max(ends) - min(ends) < 0.01 * sum(ends)


def test_an_empty_wave_has_no_shares_and_a_huge_image_stands_alone():
    assert guided_shares({}, 4, 64) == []
    assert guided_shares({"huge": 10**9, "a": 10, "b": 10}, 2, 64)[0] == ["huge"]


@pytest.mark.slow
def test_an_error_of_the_fan_out_is_raised_though_it_runs_aside(warehouse, ingested, config, monkeypatch):
    def broken(*_):
        raise StorageError("disk full")

    monkeypatch.setattr(waves, "fan_out", broken)
    several = config.model_copy(update={"run": config.run.model_copy(update={"wave_images": 2})})
    with pytest.raises(StorageError, match="disk full"):
        clean_batch(warehouse, "b", several, RunOptions(), Silent())
    monkeypatch.undo()
    report = clean_batch(warehouse, "b", several, RunOptions(), Silent())
    assert report.state == "published"
    assert sum(report.counts.values()) == 6
    assert warehouse.frame("staging").count() == 0
