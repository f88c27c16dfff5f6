"""Pasted objects: exact truth, shadows beside them, hints as users give them."""

import numpy as np
import pytest

from cleanplate.errors import ConfigError
from cleanplate.evaluation import objects
from cleanplate.mask import BOX_SOURCE, MASK_SOURCE


@pytest.fixture
def ground():
    return np.random.default_rng(1).integers(60, 120, (200, 260, 3), dtype=np.uint8)


@pytest.fixture
def other():
    return np.random.default_rng(2).integers(180, 250, (200, 260, 3), dtype=np.uint8)


def test_what_is_neither_object_nor_shadow_is_the_ground(ground, other):
    for seed in range(12):
        pasted = objects.paste(ground, other, np.random.default_rng(seed))
        far = ~(pasted.truth | pasted.shadow)
        assert (np.abs(pasted.picture[far].astype(int) - ground[far]) > 16).mean() < 0.02  # soft rims
        assert pasted.picture[pasted.truth].mean() > 180
        assert not (pasted.truth & pasted.shadow).any()
        inside = np.zeros_like(pasted.truth)
        inside[pasted.box.slices] = True
        assert not (pasted.truth & ~inside).any()


def test_shadows_are_darker_than_their_ground_and_some_objects_have_none(ground, other):
    made = [objects.paste(ground, other, np.random.default_rng(seed)) for seed in range(20)]
    with_shadow = [pasted for pasted in made if pasted.shadow.any()]
    assert 6 <= len(with_shadow) <= 18
    for pasted in with_shadow:
        assert pasted.picture[pasted.shadow].mean() < 0.95 * ground[pasted.shadow].mean()


def test_an_outline_keeps_its_proportions(ground, other):
    wide = np.ones((20, 60), np.float32)
    pasted = objects.paste(ground, other, np.random.default_rng(3), wide)
    assert pasted.box.width / pasted.box.height == pytest.approx(3, rel=0.2)
    assert pasted.truth[pasted.box.slices].mean() > 0.95


def test_hints_are_near_the_object(ground, other):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        pasted = objects.paste(ground, other, rng)
        box, brush, point = (objects.hint_at(pasted, kind, rng) for kind in objects.HINTS)
        assert box.source == point.source == BOX_SOURCE
        assert brush.source == MASK_SOURCE
        overlap = pasted.truth[box.box.slices].sum() / pasted.truth.sum()
        assert overlap > 0.95
        assert pasted.truth[point.box.slices].all()
        drawn = np.zeros_like(pasted.truth)
        drawn[brush.box.slices] = brush.confidence > 0
        assert (drawn & pasted.truth).sum() > 0.8 * pasted.truth.sum()


def test_pictographs_are_cut_out_and_split():
    if not objects.PICTOGRAPHS.exists():
        pytest.skip(f"{objects.PACKAGE} is not installed")
    train, heldout = (objects.pictographs(split) for split in ("train", "heldout"))
    assert len(train) > 3 * len(heldout) > 200
    for thing in heldout:
        assert thing.shape[2] == 4
        solid = thing[..., 3] > 127
        assert all(edge.any() for edge in (solid[0], solid[-1], solid[:, 0], solid[:, -1]))
    known = {thing.tobytes() for thing in train}
    assert not any(thing.tobytes() in known for thing in heldout)


def test_a_font_that_is_missing_is_named_with_its_package(tmp_path):
    with pytest.raises(ConfigError, match="apt-get install fonts-noto-color-emoji"):
        objects.pictographs("train", tmp_path / "none.ttf")
