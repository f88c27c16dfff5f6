"""Watermarks and stamps go only with rights; what lies on them stays with them."""

import numpy as np
import pytest

from cleanplate.image import Carried, Image
from cleanplate.records import Box, Job, Region
from cleanplate.rights import gate


def make_job(rights: str, **fields) -> Job:
    rgb = np.zeros((40, 60, 3), np.uint8)
    return Job("a", Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b""), rights=rights, **fields)


def make_region(number: int, kind: str, box: Box) -> Region:
    alpha = np.ones((box.height, box.width), np.float32)
    return Region(number, kind, 1.0, box, alpha, alpha.astype(np.uint8), alpha)


MARK = make_region(0, "watermark", Box(0, 0, 30, 20))
LETTERS = make_region(1, "overlay_text", Box(5, 5, 25, 15))
BESIDE = make_region(2, "overlay_text", Box(26, 15, 56, 35))


@pytest.mark.parametrize("rights", ["owned", "licensed", "public_domain"])
def test_with_rights_everything_goes(rights):
    (work,) = gate([make_job(rights)], [[MARK, LETTERS, BESIDE]])
    assert [region.region_id for region in work.regions] == [0, 1, 2]
    assert work.settled == ()


def test_without_rights_the_mark_and_its_letters_stay_and_the_rest_goes():
    (work,) = gate([make_job("unknown")], [[MARK, LETTERS, BESIDE]])
    assert [region.region_id for region in work.regions] == [2]
    assert [(outcome.region.region_id, outcome.decision) for outcome in work.settled] == [(0, "gated"), (1, "gated")]
    assert "rights are 'unknown'" in work.settled[0].route.reason


def test_stamps_are_gated_as_well():
    (work,) = gate([make_job("unknown")], [[make_region(0, "stamp", Box(0, 0, 9, 9))]])
    assert work.settled[0].decision == "gated"


def test_kinds_that_are_not_removed_are_kept_with_a_reason():
    sign = make_region(0, "scene_text", Box(0, 0, 9, 9))
    (work,) = gate([make_job("owned")], [[sign, BESIDE]])
    assert work.settled[0].decision == "kept"
    assert "scene_text is kept" in work.settled[0].route.reason
    assert work.regions == (BESIDE,)


def test_remove_may_name_other_kinds():
    sign = make_region(0, "scene_text", Box(0, 0, 9, 9))
    (work,) = gate([make_job("owned", remove=frozenset({"scene_text"}))], [[sign, BESIDE]])
    assert work.regions == (sign,)
