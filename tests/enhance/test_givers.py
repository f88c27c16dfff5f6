"""Tests of the places that lend a fill their noise."""

from __future__ import annotations

import numpy as np
import pytest

from cleanplate.enhance.givers import drawn, texture_from


def test_noise_of_one_strength_is_no_texture() -> None:
    energy = np.full(200, 9.0, np.float32)

    assert texture_from(energy) > 9.0


def test_a_few_places_of_texture_stay_out() -> None:
    energy = np.concatenate([np.full(95, 4.0), np.full(5, 400.0)]).astype(np.float32)

    limit = texture_from(energy)

    assert 4.0 < limit < 400.0


def test_where_most_has_texture_the_usual_energy_is_allowed() -> None:
    energy = np.concatenate([np.full(60, 1.0), np.full(40, 50.0)]).astype(np.float32)

    assert texture_from(energy) == pytest.approx(np.percentile(energy, 85))


def test_the_giver_is_one_of_the_nearest() -> None:
    rng = np.random.default_rng(3)
    givers, takers = rng.uniform(0, 100, (300, 3)), rng.uniform(0, 100, (40, 3))

    numbers = drawn(givers, takers, 5, rng)

    distances = np.linalg.norm(takers[:, None] - givers[None], axis=2)
    nearest = np.argsort(distances, axis=1)[:, :5]
    assert all(number in row for number, row in zip(numbers, nearest, strict=True))
    assert len(set((nearest == numbers[:, None]).argmax(axis=1))) == 5  # not always the same of them


def test_fewer_givers_than_the_choice_are_enough() -> None:
    givers = np.array([[0.0, 0.0], [10.0, 10.0]])

    numbers = drawn(givers, np.zeros((20, 2)), 8, np.random.default_rng(0))

    assert set(numbers) == {0, 1}


def test_the_same_chance_draws_the_same_givers() -> None:
    givers, takers = np.random.default_rng(1).uniform(0, 9, (50, 2)), np.zeros((10, 2))

    first, second = (drawn(givers, takers, 6, np.random.default_rng(7)) for _ in range(2))

    np.testing.assert_array_equal(first, second)
