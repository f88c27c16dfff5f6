"""From detections to regions with soft masks: strokes for text, silhouettes for objects, given masks as given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cleanplate.codec import is_lossy
from cleanplate.config import MaskConfig
from cleanplate.mask import dilation, hints, soft, strokes
from cleanplate.mask.colours import shared_colours
from cleanplate.mask.merge import tidy
from cleanplate.mask.segmenters import GrabCut, Segmenter
from cleanplate.records import Box, Detection, Job, Region
from cleanplate.ring import dilate
from cleanplate.windows import place, trim

TEXT_KINDS = frozenset({"overlay_text", "handwriting", "watermark", "stamp", "scene_text"})
BOX_SOURCE = "given_box"
MASK_SOURCE = "given_mask"
POINT_PX = 4  # a given object box no larger than this is a point on the object
BOX_SUFFIX = "/box"
_GATE_CONFIDENCE = 0.1
_GROW_PX = 3  # how far a less sure rim reaches beyond a sure stroke
_GATE_GROWTH_SHARE = 0.12  # of the text height
_STROKE_SHARE = 0.15  # of the text height: width of a usual stroke
_BLED_PX = 1  # how far compression carries the colour of strokes beyond them
_LEAST_MARGIN_PX, _MOST_MARGIN_PX = 3, 24
_MARGIN_SHARE = 0.7  # of the text height: surroundings that the segmentation compares with


def build_masks(
    jobs: Sequence[Job],
    detections: Sequence[Sequence[Detection]],
    config: MaskConfig,
    segmenter: Segmenter | None = None,
) -> list[list[Region]]:
    """Turns every detection into a region.

    Args:
        jobs: the images.
        detections: of each image.
        config: the section "mask".
        segmenter: finds objects; GrabCut where there is none.

    Returns:
        One list per job, in reading order, region_id counted from 0. Where no strokes could be told from the
        background the mask has the shape of the detector's map, and the region's source ends in "/box".
    """
    finder = segmenter or GrabCut()
    return [_image_regions(job, found, config, finder) for job, found in zip(jobs, detections, strict=True)]


def _image_regions(
    job: Job, detections: Sequence[Detection], config: MaskConfig, segmenter: Segmenter
) -> list[Region]:
    found = [detection for detection in detections if detection.box.area_px]
    drawn = [detection for detection in found if detection.strokes is not None]
    rest = [detection for detection in found if detection.strokes is None]
    lines = [detection for detection in rest if _has_strokes(detection, config)]
    others = [detection for detection in rest if not _has_strokes(detection, config)]
    regions = [
        *_drawn_regions(job, drawn, config),
        *_text_regions(job, lines, config),
        *(_shape(job, detection, config, segmenter) for detection in others),
    ]
    return tidy([region for region in regions if region is not None], config.merge_gap_px, job.image.rgb)


def _has_strokes(detection: Detection, config: MaskConfig) -> bool:
    if detection.source == MASK_SOURCE and config.given == "exact":
        return False
    return detection.kind in TEXT_KINDS


def _shape(job: Job, detection: Detection, config: MaskConfig, segmenter: Segmenter) -> Region | None:
    """A given mask, or the whole of an object."""
    if detection.source == MASK_SOURCE and config.given == "exact":
        alpha, box = _given(job, detection)
        return _finish(detection, alpha, box, 0, detection.source, config)
    sigma_px = _sigma_px(job, config)
    found = _silhouette(job, detection, config, segmenter)
    if found is not None:
        alpha, window = found
        margin_px = _object_margin_px(alpha, config)
        box = window.expand(margin_px + soft.reach_px(sigma_px), job.image.width, job.image.height)
        alpha = place(alpha, window, box)
        hard = dilate((alpha >= config.core_threshold).astype(np.uint8), margin_px)
        return _finish(
            detection, np.maximum(alpha, soft.feather(hard, sigma_px)), box, margin_px, detection.source, config
        )
    box = _around(job, detection, soft.reach_px(sigma_px))
    hard = (place(detection.confidence, detection.box, box) >= config.core_threshold).astype(np.uint8)
    return _finish(detection, soft.feather(hard, sigma_px), box, 0, detection.source, config)


def _silhouette(
    job: Job, detection: Detection, config: MaskConfig, segmenter: Segmenter
) -> tuple[NDArray[np.float32], Box] | None:
    """The outline of an object that a box, a point or a brush points out; None where the hint itself is the mask."""
    if detection.kind != "object" or not (_is_point(detection) or config.given == "refine"):
        return None
    hint, window = pointed_at(job.image.rgb, detection, config.core_threshold)
    alpha = segmenter.silhouette(job.image.rgb[window.slices], hint)
    return None if alpha is None or not (alpha >= config.core_threshold).any() else (alpha, window)


def _object_margin_px(alpha: NDArray[np.float32], config: MaskConfig) -> int:
    """How far a mask reaches beyond a silhouette: what is left of an object's rim, a fill continues as its ghost."""
    inside = Box.around((alpha >= config.core_threshold).astype(np.uint8))
    extent = max(inside.width, inside.height)
    if not config.object_margin_share:
        return 0
    return min(max(_LEAST_MARGIN_PX, round(config.object_margin_share * extent)), _MOST_MARGIN_PX)


def pointed_at(
    picture: NDArray[np.uint8], detection: Detection, threshold: float
) -> tuple[hints.Hint, Box]:
    """What a box, a point or a brush says of where an object is, and the window that is looked at.

    Args:
        picture: uint8 (H, W, 3), RGB.
        detection: as given.
        threshold: from which a pixel of a brush counts.
    """
    box, height, width = detection.box, *picture.shape[:2]
    if _is_point(detection):
        x, y = (box.left + box.right) // 2, (box.top + box.bottom) // 2
        window = hints.point_window(x, y, width, height)
        return hints.hint_of_point(picture[window.slices], x - window.left, y - window.top), window
    window = hints.window_of(box, width, height)
    if detection.source == BOX_SOURCE:
        return hints.hint_of_box(box, window), window
    brush = place(detection.confidence, box, window) >= threshold
    return hints.hint_of_brush(brush.astype(np.uint8)), window


def _is_point(detection: Detection) -> bool:
    return detection.source == BOX_SOURCE and max(detection.box.width, detection.box.height) <= POINT_PX


def _drawn_regions(job: Job, found: Sequence[Detection], config: MaskConfig) -> list[Region | None]:
    """Things whose very pixels the detector knows."""
    taken = np.zeros((job.image.height, job.image.width), np.uint8)
    for detection in found:
        taken[detection.box.slices] |= _strokes_of(detection, detection.box, config)
    return [_drawn(job, detection, taken, config) for detection in found]


def _drawn(job: Job, detection: Detection, taken: NDArray[np.uint8], config: MaskConfig) -> Region | None:
    sigma_px = _sigma_px(job, config)
    box = _around(job, detection, config.max_dilation_px + soft.reach_px(sigma_px))
    hard = _strokes_of(detection, box, config)
    others = taken[box.slices] * (1 - hard)
    texture = dilation.texture_level(job.image.rgb[box.slices], hard, others)
    radius_px = dilation.dilation_px(dilation.stroke_width_px(hard), texture, config)
    radius_px += _BLED_PX * is_lossy(job.image)
    alpha = soft.feather(dilate(hard, radius_px), sigma_px)
    return _finish(detection, alpha, box, radius_px, detection.source, config)


def _strokes_of(detection: Detection, box: Box, config: MaskConfig) -> NDArray[np.uint8]:
    """Hysteresis: what is sure, and what is less sure right beside it."""
    values = place(detection.confidence if detection.strokes is None else detection.strokes, detection.box, box)
    sure, weak = (values >= config.strokes_sure).astype(np.uint8), (values >= config.strokes_weak).astype(np.uint8)
    return strokes.grow(sure, weak, _GROW_PX)


def _text_regions(job: Job, lines: Sequence[Detection], config: MaskConfig) -> list[Region | None]:
    """All lines of an image: a colour that most of them have helps with those where it is hard to see."""
    text = _text_map(job, lines)
    boxes = [_around(job, line, _margin_px(job, line, config)) for line in lines]
    scenes = [
        strokes.Scene(job.image.rgb[box.slices], _gate(line, box), text[box.slices], max(line.height_px, 4.0))
        for line, box in zip(lines, boxes, strict=True)
    ]
    peaks = [scene.peaks() for scene in scenes]
    shared = shared_colours(peaks)
    masks = [strokes.segment(scene, own, shared) for scene, own in zip(scenes, peaks, strict=True)]
    return [
        _text(job, line, box, scene.whole, mask, config)
        for line, box, scene, mask in zip(lines, boxes, scenes, masks, strict=True)
    ]


def _text_map(job: Job, detections: Sequence[Detection]) -> NDArray[np.uint8]:
    """uint8 (H, W), 1 where any text was detected: a neighbouring line is no background."""
    text = np.zeros((job.image.height, job.image.width), np.uint8)
    for detection in detections:
        box = _around(job, detection, _gate_growth_px(detection))
        text[box.slices] |= _gate(detection, box)
    return text


def _text(
    job: Job, line: Detection, box: Box, whole: NDArray[np.uint8], found: NDArray[np.uint8] | None, config: MaskConfig
) -> Region | None:
    dilation_px = _dilation_px(line, config)
    source = line.source if found is not None else line.source + BOX_SUFFIX
    hard = dilate(whole if found is None else found, dilation_px)
    return _finish(line, soft.feather(hard, _sigma_px(job, config)), box, dilation_px, source, config)


def _margin_px(job: Job, line: Detection, config: MaskConfig) -> int:
    edge_px = _dilation_px(line, config) + soft.reach_px(_sigma_px(job, config))
    return max(round(_MARGIN_SHARE * line.height_px), edge_px, 4)


def _sigma_px(job: Job, config: MaskConfig) -> float:
    return config.feather_sigma_px if job.mask_sigma is None else job.mask_sigma


def _gate(detection: Detection, box: Box) -> NDArray[np.uint8]:
    """Where the detector saw this text, grown a little: its outline cuts off descenders and rims."""
    seen = (place(detection.confidence, detection.box, box) > _GATE_CONFIDENCE).astype(np.uint8)
    return dilate(seen, _gate_growth_px(detection))


def _gate_growth_px(detection: Detection) -> int:
    return max(1, round(_GATE_GROWTH_SHARE * detection.height_px))


def _dilation_px(detection: Detection, config: MaskConfig) -> int:
    return dilation.dilation_px(_STROKE_SHARE * detection.height_px, dilation.MIDDLING, config)


def _given(job: Job, detection: Detection) -> tuple[NDArray[np.float32], Box]:
    """A given mask as it is; feathered only where the manifest's row asks for it."""
    if not job.mask_sigma:
        return detection.confidence, detection.box
    box = _around(job, detection, soft.reach_px(job.mask_sigma))
    alpha = place(detection.confidence, detection.box, box)
    return np.maximum(alpha, soft.feather((alpha >= 1).astype(np.uint8), job.mask_sigma)), box


def _around(job: Job, detection: Detection, margin_px: int) -> Box:
    return detection.box.expand(margin_px, job.image.width, job.image.height)


def _finish(
    detection: Detection, alpha: NDArray[np.float32], box: Box, dilation_px: int, source: str, config: MaskConfig
) -> Region | None:
    trimmed = trim(alpha, box)
    if trimmed is None:
        return None
    alpha, tight = trimmed
    return Region(
        region_id=0,
        kind=detection.kind,
        score=detection.score,
        box=tight,
        alpha=np.ascontiguousarray(alpha, dtype=np.float32),
        core=(alpha >= config.core_threshold).astype(np.uint8),
        confidence=place(detection.confidence, detection.box, tight),
        dilation_px=dilation_px,
        height_px=detection.height_px,
        source=source,
        transcript=detection.transcript,
        known=detection.known,
    )
