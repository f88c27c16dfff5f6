"""The sample: fixed, nested, in proportion, and no stratum left out."""

from collections import Counter

import numpy as np
import pandas as pd

from cleanplate.rollout.sample import Design, digest_of, sample_order, step_sizes, strata, usable_columns

CELLS = ["night"] * 60 + ["indoor"] * 400 + ["day"] * 1540
IDS = [f"i{number:04d}" for number in range(2000)]


def drawn(count, ids=IDS, cells=CELLS, key="spring", first=50):
    ranks = sample_order(ids, cells, key, first)
    return {ids[place] for place in np.flatnonzero(ranks < count)}


def test_every_step_holds_each_stratum_in_proportion_and_the_steps_before_it():
    first, second = drawn(50), drawn(200)
    assert first < second
    cell_of = dict(zip(IDS, CELLS, strict=True))
    for count, found in ((50, first), (200, second)):
        counts = Counter(cell_of[image_id] for image_id in found)
        for cell, size in Counter(CELLS).items():
            assert abs(counts[cell] - count * size / 2000) <= 1.5, (count, cell, counts)


def test_it_is_fixed_by_the_batch_and_not_by_the_order_of_its_rows():
    mixed = np.random.default_rng(1).permutation(2000)
    assert drawn(50) == drawn(50, [IDS[i] for i in mixed], [CELLS[i] for i in mixed])
    assert drawn(50) != drawn(50, key="autumn")


def test_no_stratum_is_left_out_unless_there_are_too_many():
    rare = ["one"] + ["two"] * 2 + ["rest"] * 1997
    assert {"i0000"} <= drawn(50, cells=rare)
    many = [f"cell{number % 1000}" for number in range(2000)]
    assert len(drawn(50, cells=many)) == 50


def test_steps_have_at_least_so_many_images_and_end_with_all():
    assert step_sizes(2000, [0.01, 0.1, 1.0], 50) == [50, 200, 2000]
    assert step_sizes(100_000, [0.01, 0.1, 1.0], 50) == [1000, 10_000, 100_000]
    assert step_sizes(400, [0.01, 0.1, 1.0], 50) == [50, 400]
    assert step_sizes(3, [0.01, 0.1, 1.0], 50) == [3]


def test_a_draw_in_proportion_is_closer_to_the_batch_than_a_simple_one():
    """What the strata are for: a defect of a stratum is found with less luck."""
    bad = np.array([cell == "night" for cell in CELLS])
    spread = [sum(bad[IDS.index(i)] for i in drawn(200, key=f"b{n}")) for n in range(20)]
    assert max(spread) - min(spread) <= 1  # a simple sample of 200 has a standard deviation of 2.3
    assert min(spread) >= 5


def test_strata_are_the_manifests_columns_and_two_probes():
    images = pd.DataFrame(
        {
            "strata": [{"device": "a", "name": "1"}, {"device": "b", "name": "2"}, None],
            "width": [100, 2000, None],
            "height": [100, 1000, None],
            "bytes": [30_000, 100_000, None],
        }
    )
    design = Design(("device",), (0.3, 1.0), (0.4,))
    found = strata(images, design)
    assert list(found["device"]) == ["a", "b", "none"]
    assert list(found["size"]) == ["under 0.3 MP", "1 MP and more", "none"]
    assert list(found["compression"]) == ["0.4 bytes per pixel and more", "under 0.4 bytes per pixel", "none"]
    assert Design.from_dict(__import__("json").loads(__import__("json").dumps(design.as_dict()))) == design


def test_a_column_that_names_each_image_is_no_stratum():
    notes = [{"device": "ab"[n % 2], "name": str(n), "constant": "x"} for n in range(50)]
    assert usable_columns([*notes, None]) == ("device",)
    assert usable_columns(notes, ["name", "unknown"]) == ("name",)


def test_a_set_of_ids_has_one_digest():
    assert digest_of(["b", "a"]) == digest_of(["a", "b", "a"]) != digest_of(["a"])
    assert digest_of([]) == ""
