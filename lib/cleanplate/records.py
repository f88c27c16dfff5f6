"""The frozen records that travel between the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cleanplate.image import Image

Kind = Literal["overlay_text", "handwriting", "stamp", "watermark", "scene_text", "object"]
KINDS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark", "scene_text", "object")
Rights = Literal["owned", "licensed", "public_domain", "unknown"]
Status = Literal["cleaned", "unchanged", "review", "refused", "failed", "restored"]
Decision = Literal["filled", "kept", "gated", "review"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in upright pixel coordinates, half open: left <= x < right, top <= y < bottom."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, mask: NDArray[Any]) -> Box:
        """The tightest box round what is not 0 in a mask (H, W); empty, at the origin, where all is."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return cls(0, 0, 0, 0)
        return cls(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.bottom - self.top

    @property
    def area_px(self) -> int:
        """Area in pixels; 0 for an empty or inverted box."""
        return max(0, self.width) * max(0, self.height)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices, to index an (H, W, ...) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def moved(self, right_px: int, down_px: int) -> Box:
        """The box somewhere else."""
        return Box(self.left + right_px, self.top + down_px, self.right + right_px, self.bottom + down_px)

    def expand(self, margin_px: int, width: int, height: int) -> Box:
        """The box grown by `margin_px` on every side and clipped to an image of width x height."""
        return Box(self.left - margin_px, self.top - margin_px, self.right + margin_px, self.bottom + margin_px).clip(
            width, height
        )

    def clip(self, width: int, height: int) -> Box:
        """The part of the box inside an image of width x height (possibly empty)."""
        left, top = min(max(self.left, 0), width), min(max(self.top, 0), height)
        return Box(left, top, max(left, min(self.right, width)), max(top, min(self.bottom, height)))

    def union(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def intersection(self, other: Box) -> Box:
        """What both have in common; of no area where that is nothing."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        return Box(left, top, max(left, min(self.right, other.right)), max(top, min(self.bottom, other.bottom)))

    def intersects(self, other: Box, gap_px: int = 0) -> bool:
        """Whether the boxes overlap, or lie at most `gap_px` apart."""
        return (
            self.left < other.right + gap_px
            and other.left < self.right + gap_px
            and self.top < other.bottom + gap_px
            and other.top < self.bottom + gap_px
        )


@dataclass(frozen=True)
class GivenRegion:
    """A box that the manifest names, with its kind."""

    box: Box
    kind: Kind = "object"


@dataclass(frozen=True)
class Job:
    """One image to clean with all that the manifest says of it.

    Attributes:
        image_id: identity of the image over all batches.
        image: the decoded picture.
        rights: what the owner of the batch may do; gates watermarks and stamps.
        regions: boxes given by the manifest, inside the image.
        mask: float32 (H, W), 0..1, 1 = replace, given by the manifest; None where none is given.
        remove: the kinds that are to go.
        seed: seed of the image; a region's seed is derived from it.
        prompt: words for engines that take a prompt.
        strength: 0..1, for engines that take a strength.
        mask_sigma: feather in pixels; None for the configuration's.
        upscale: 1, 2 or 4.
    """

    image_id: str
    image: Image
    rights: Rights = "unknown"
    regions: tuple[GivenRegion, ...] = ()
    mask: NDArray[np.float32] | None = None
    remove: frozenset[Kind] = frozenset({"overlay_text", "handwriting", "stamp", "watermark", "object"})
    seed: int = 0
    prompt: str = ""
    strength: float = 1.0
    mask_sigma: float | None = None
    upscale: int = 1


# What only those may remove who have the rights to it (`rights.py`).
GATED_KINDS: frozenset[Kind] = frozenset({"watermark", "stamp"})


@dataclass(frozen=True)
class Template:
    """A mark as all pictures show it that carry it: picture = (1 - alpha) * background + alpha * colour.

    Attributes:
        alpha: float32 (H, W), 0..1: its opacity; 0 where it is not.
        colour: float32 (H, W, 3), 0..255, RGB: its colour; of no meaning where alpha is 0.
        error: float32 (H, W), grey levels: how far off the background may be that comes of inverting it there, around
            the mark too.
    """

    alpha: NDArray[np.float32]
    colour: NDArray[np.float32]
    error: NDArray[np.float32]


@dataclass(frozen=True)
class KnownMark:
    """A recurring mark, and where it lies in an image.

    Attributes:
        mark_id: identity of the mark in its run.
        template: what it looks like.
        box: its place in the image, of the template's size; it may stick out of the image.
    """

    mark_id: str
    template: Template
    box: Box

    def within(self, window: Box) -> Template:
        """The template as a window of the image shows it, of the window's size."""
        shape = (window.height, window.width)
        cut = Template(np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32))
        inside = self.box.intersection(window)
        if inside.area_px:
            source = inside.moved(-self.box.left, -self.box.top).slices
            target = inside.moved(-window.left, -window.top).slices
            for name in ("alpha", "colour", "error"):
                getattr(cut, name)[target] = getattr(self.template, name)[source]
        return cut


@dataclass(frozen=True)
class Detection:
    """One thing found (or given) that may have to go.

    Attributes:
        kind: what it is.
        score: 0..1, how sure the detector is.
        box: its place in the image.
        confidence: float32 (box.height, box.width), 0..1, the detector's confidence per pixel, not thresholded.
        source: name of the detector: "ppocr", "given_box", "given_mask", ...
        polygon: float32 (N, 2), x and y of its outline where the detector knows one; else None.
        height_px: height of a line of text across its reading direction, 0 where it is no text.
        transcript: what it reads, where it was read.
        strokes: float32 (box.height, box.width), 0..1, which pixels are the thing itself, where the detector can
            tell; None where the mask has to find out.
        known: the recurring mark that it is; None for anything else.
    """

    kind: Kind
    score: float
    box: Box
    confidence: NDArray[np.float32]
    source: str
    polygon: NDArray[np.float32] | None = None
    height_px: float = 0.0
    transcript: str = ""
    strokes: NDArray[np.float32] | None = None
    known: KnownMark | None = None


@dataclass(frozen=True)
class Region:
    """A detection with its mask: the unit that is routed, filled and verified.

    Attributes:
        region_id: number within the image, in reading order, from 0.
        kind: what it is.
        score: 0..1, from the detection.
        box: tight around alpha > 0.
        alpha: float32 (box.height, box.width), 0..1, 1 = replace; the soft mask.
        core: uint8 (box.height, box.width), 0 or 1; the hard mask for engines that need one.
        confidence: float32 (box.height, box.width), 0..1, the detector's confidence map.
        dilation_px: by how much the mask was dilated beyond the strokes.
        height_px: height of the text line, 0 where it is no text.
        source: name of the detector.
        transcript: what it reads, where it was read.
        known: the recurring mark that it is; None for anything else.
    """

    region_id: int
    kind: Kind
    score: float
    box: Box
    alpha: NDArray[np.float32]
    core: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    dilation_px: int = 0
    height_px: float = 0.0
    source: str = ""
    transcript: str = ""
    known: KnownMark | None = None


@dataclass(frozen=True)
class Route:
    """Which engine fills a region, and why, in words and numbers; the rival, if any, is tried beside it."""

    engine: str
    reason: str
    features: Mapping[str, float] = field(default_factory=dict)
    rival: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the verifier says of one filled region.

    Attributes:
        confidence: 0..1 that the fill holds up.
        scores: the signals behind it, by name (residual_text, seam, ...).
        failures: names of the signals that failed, worst first.
    """

    confidence: float
    scores: Mapping[str, float]
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """One round of route, fill, blend, regrain and verify over a region."""

    number: int
    engine: str
    reason: str
    confidence: float
    cost_units: float
    scores: Mapping[str, float] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegionOutcome:
    """What became of a region.

    `decision` is "filled" (new pixels), "kept" (a kind that stays), "gated" (no rights to remove it) or "review"
    (no attempt held up, so the original pixels stay).
    """

    region: Region
    decision: Decision
    confidence: float = 0.0
    route: Route | None = None
    attempts: tuple[Attempt, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EnhanceStep:
    """One enhancer that ran over the whole image.

    Attributes:
        name: of the enhancer.
        reason: why it ran, in words and numbers.
        scale: 1, or the factor of an upscaler.
        synthetic: whether it invents pixels.
        seconds: how long it took.
    """

    name: str
    reason: str
    scale: int = 1
    synthetic: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Enhancement:
    """What was decided about an image's enhancement, and what was done.

    Attributes:
        steps: what ran, in order; () where the image needs nothing.
        reason: why each step that may run did or did not, in words and numbers.
        origin: what kind of source it is: "camera", "social_jpeg", "scan", "screenshot".
        analysis: the measured numbers by name.
        rgb: uint8 (H, W, 3), RGB, of the enhanced size; None where nothing ran.
    """

    steps: tuple[EnhanceStep, ...] = ()
    reason: str = ""
    origin: str = ""
    analysis: Mapping[str, float] = field(default_factory=dict)
    rgb: NDArray[np.uint8] | None = field(default=None, repr=False)

    @property
    def synthetic(self) -> bool:
        """Whether any pixel is invented."""
        return any(step.synthetic for step in self.steps)


@dataclass(frozen=True)
class WholeDiff:
    """What stands for the difference of two pictures that differ everywhere, or in size; no way back leads over it.

    Attributes:
        before_sha256: of the source's samples.
        after_sha256: of the result's samples.
        picture: the difference, amplified and small, as a file of a lossy format.
    """

    before_sha256: str
    after_sha256: str
    picture: bytes


@dataclass(frozen=True)
class ErrorInfo:
    """Why an image has no result: the stage, the error's class and its message."""

    stage: str
    error_class: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
        image_id: identity of the image.
        status: one of Status.
        data: bytes of the result file where it differs from the source, else None.
        media_type: of the result.
        regions: what became of each region.
        confidence: the lowest confidence of a filled region; 1.0 where nothing was filled.
        metrics: whole-image metrics by name, measured on the re-decoded result.
        diff: lossless patch between source and result samples (see `diff.py`), what stands for it where the whole
            image changed, or None.
        error: why it failed, was refused or went to review; None otherwise.
        timings: seconds by stage.
        seed: the image's seed.
        width: of the result, in pixels.
        height: of the result, in pixels.
        enhancement: what was decided about the whole image; None where nothing was asked for.
    """

    image_id: str
    status: Status
    data: bytes | None = None
    media_type: str = ""
    regions: tuple[RegionOutcome, ...] = ()
    confidence: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    diff: bytes | WholeDiff | None = None
    error: ErrorInfo | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    width: int = 0
    height: int = 0
    enhancement: Enhancement | None = None
