"""The model cards of the networks that are trained here."""

# ruff: noqa: E501 - rows of tables are one line

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What the cards say of the photographs; "further" are those that some of the networks alone were shown.
_SOURCES = {
    "photographs": (
        "photographs of CID22 (CC BY-SA 4.0, Cloudinary), CLIC 2025 validation (Unsplash licence), wallpapers of Debian 12"
        " packages (CC0, CC BY 4.0, CC BY-SA 3.0 and 4.0)"
    ),
    "further": '; FURTHER: training/README.md, "Further photographs"',
    "listed": '; PHOTOS: sets of `training/photographs.csv` (training/README.md, "Listed photographs")',
}
_STROKE_TEXT = """# strokes

The stroke network (`cleanplate/models/stroke_net.py`): per pixel, how sure it is of any overlay, of printed text,
handwriting, stamps and watermarks, of writing that belongs to the scene, and of plates. It is given the picture and
PP-OCR's map of lines and the features of its trunk. {parameters:,} parameters.

| | |
|---|---|
| weights | `strokes.safetensors`, sha256 `{digest}` |
| Data | {photographs}{further}{listed}; overlays drawn by `cleanplate.evaluation.overlays` with free fonts of Debian packages |
| held out | the photographs of `training/heldout_photos.txt` (they choose the step, with training fonts), the fonts marked `heldout` in `fonts.yaml`, all of Kodak |
| Licence | Apache-2.0, as the package |
| Commercial use | yes |
| Training | `{command}` |
| seen | {steps} batches in {minutes:.0f} minutes, crops of 256 px |

## Measured at the chosen step

Soft Dice over all pixels of crops of held-out photographs, at the best step:

| {names} |
|{rules}|
| {values} |

Held-out fonts on photographs never trained on: docs/results.md, by `benchmarks/see.py`.

## Curve

| step | loss since the last | mean soft Dice |
|---|---|---|
{curve}
"""


def write_stroke_card(weights: Path, progress: Mapping[str, Any], parameters: int, dice: Mapping[str, float]) -> None:
    """Writes the stroke network's card beside its weights.

    Args:
        weights: the file that was written.
        progress: see train_strokes.BestProgress.
        parameters: how many the network has.
        dice: held-out soft Dice by channel.
    """
    known = {
        "names": " | ".join(dice),
        "rules": "|".join("---" for _ in dice),
        "values": " | ".join(f"{value:.3f}" for value in dice.values()),
    }
    _write_card(_STROKE_TEXT, weights, progress, parameters, (".3f",), known)


_FILL_TEXT = """# fill

The fill network (`cleanplate/models/fill_net.py`): given three cheap fills of a hole (Telea, Navier-Stokes, biharmonic under
tension), which of them to believe at each pixel, and what they all miss. {parameters:,} parameters, stored as float16.

| | |
|---|---|
| weights | `{name}`, sha256 `{digest}` |
| Data | {photographs}{further}; holes of overlays drawn by `cleanplate.evaluation.overlays` with free fonts of Debian packages, free-form strokes, solid shapes |
| Loss | mean log of each crop's squared error in its hole{perceptual} |
| held out | the photographs of `training/heldout_photos.txt`, the fonts marked `heldout` in `fonts.yaml`, all of Kodak |
| Licence | Apache-2.0, as the package |
| Commercial use | yes |
| Training | `{command}` |
| seen | {steps} batches in {minutes:.0f} minutes, crops of 96 px |

Against the other engines on photographs never trained on: docs/results.md, by `benchmarks/fill.py`.

## Measured as it learned

PSNR in the hole, 256 crops of held-out photographs.

| step | loss since the last | gain over the mean of the fills, dB | over the best of them, dB |
|---|---|---|---|
{curve}
"""


def write_fill_card(weights: Path, progress: Mapping[str, Any], parameters: int) -> None:
    """Writes the fill network's card beside its weights.

    Args:
        weights: the file that was written.
        progress: see loop.Progress and train_fill.FillTrainer.
        parameters: how many the network has.
    """
    _write_card(_FILL_TEXT, weights, progress, parameters, ("+.2f", "+.2f"))


_UNBLEND_TEXT = """# unblend

The un-blending network (`cleanplate/models/unblend_net.py`): how opaque a mark is at each pixel, given an estimate of its
colour and opacity and a fill, and whether the picture is to be had back there. It invents nothing. {parameters:,}
parameters.

| | |
|---|---|
| weights | `{name}`, sha256 `{digest}` |
| Data | {photographs}{further} |
| Marks | one overlay of `cleanplate/evaluation/overlays` on each, training fonts, opacity 15 to 100 %; half of the masks grown by 1 to 5 px, half as a detector makes them; two in five JPEGs of quality 30 to 96 |
| Guess | the fill network's fill; in one of five the mean of three diffusion fills |
| Loss | logarithm of each crop's squared error where the mark may be; mean error of the opacity, and of what inverting gives where it shines through |
| held out | the photographs of `training/heldout_photos.txt`, all of Kodak, the fonts that `fonts.yaml` keeps apart |
| Licence | Apache-2.0, as the package |
| Commercial use | yes |
| Training | `{command}` |
| seen | {steps} batches in {minutes:.0f} minutes |

Against the other engines on photographs and fonts never trained on: docs/results.md, by `benchmarks/fill.py`.

## Measured as it learned

PSNR where a mark may be, 192 crops of held-out photographs, training fonts.

| step | loss since the last | guess, dB | estimate as it is, dB | network, dB |
|---|---|---|---|---|
{curve}
"""


def write_unblend_card(weights: Path, progress: Mapping[str, Any], parameters: int) -> None:
    """Writes the un-blending network's card beside its weights.

    Args:
        weights: the file that was written.
        progress: see loop.Progress and train_unblend.UnblendTrainer.
        parameters: how many the network has.
    """
    _write_card(_UNBLEND_TEXT, weights, progress, parameters, (".2f",) * 3)


_OBJECT_TEXT = """# objects

The object network (`cleanplate/models/object_net.py`): which pixels belong to the thing that a box, a brush or a point is
about, and which to its shadow. It is given the picture, the hint and what GrabCut finds. {parameters:,} parameters,
stored as float16.

| | |
|---|---|
| weights | `{name}`, sha256 `{digest}` |
| Data | {photographs}{further} |
| Objects | parts of these photographs in random shapes and in the outlines of pictographs (Noto Color Emoji, Google, OFL 1.1), some in their colours; 3 in 5 with a shadow moved aside, laid on the ground or under them; half JPEGs of quality 45 to 95 |
| Hints | boxes up to 12 % of the object off (55 %), rough brushes (25 %), points (20 %) |
| Loss | binary cross-entropy and soft overlap of the object, half of the same of its shadow |
| held out | the photographs of `training/heldout_photos.txt`, all of Kodak, every fifth pictograph |
| Licence | Apache-2.0, as the package |
| Commercial use | yes |
| Training | `{command}` |
| seen | {steps} batches in {minutes:.0f} minutes, windows of 192 px |

On photographs and pictographs never trained on: docs/results.md, by `benchmarks/objects.py`.

## Measured as it learned

Mean intersection over union, windows of held-out photographs, training pictographs, all hints.

| step | loss since the last | GrabCut, object | network, object | network, with shadow |
|---|---|---|---|---|
{curve}
"""


def write_object_card(weights: Path, progress: Mapping[str, Any], parameters: int) -> None:
    """Writes the object network's card beside its weights.

    Args:
        weights: the file that was written.
        progress: see loop.Progress and train_objects.ObjectTrainer.
        parameters: how many the network has.
    """
    _write_card(_OBJECT_TEXT, weights, progress, parameters, (".3f",) * 3)


_DEARTIFACT_TEXT = """# deartifact

The deartifact network (`cleanplate/models/deartifact_net.py`): takes away what JPEG's rounding added. It is told the
JPEG's quality and where its blocks lie, both of which may be unknown. {parameters:,} parameters.

| | |
|---|---|
| weights | `{name}`, sha256 `{digest}` |
| Data | {photographs}; the lossily stored ones at half their size or less |
| Degradation | JPEG at quality 5 to 95, 4:2:0, 4:2:2 and 4:4:4; some compressed before, on a shifted grid or at a larger size |
| Start | FFDNet's weights (`ffdnet_color.safetensors`, MIT), noise levels as JPEG's error measures on 40 patches |
| Loss | absolute error (Charbonnier) over the JPEG's own, crop by crop{perceptual} |
| held out | the photographs of `training/heldout_photos.txt`, all of Kodak |
| Licence | Apache-2.0, as the package |
| Commercial use | yes |
| Training | `{command}` |
| seen | {steps} batches in {minutes:.0f} minutes |

Against other filters on photographs never trained on: docs/results.md, by `benchmarks/deartifact.py`.

## Measured as it learned

Colour PSNR over the JPEG's (4:2:0), dB, and LPIPS less the JPEG's, 14 patches of 192 px of held-out photographs.

| step | loss since the last | quality 10 | 20 | 40 | 20, nothing told | LPIPS at 10 | 20 | 40 |
|---|---|---|---|---|---|---|---|---|
{curve}
"""


def write_deartifact_card(weights: Path, progress: Mapping[str, Any], parameters: int) -> None:
    """Writes the deartifact network's card beside its weights.

    Args:
        weights: the file that was written.
        progress: see loop.Progress and train_deartifact.DeartifactTrainer.
        parameters: how many the network has.
    """
    _write_card(_DEARTIFACT_TEXT, weights, progress, parameters, ("+.2f",) * 4 + ("+.4f",) * 3)


_UPSCALE_TEXT = """# upscale

The faithful upscaler (`cleanplate/models/upscale_net.py`): twice the size, true to what is there. {parameters:,}
parameters. Four times is twice in turn.

| | |
|---|---|
| weights | `{name}`, sha256 `{digest}` |
| Data | {photographs}; pages drawn by `training/pages.py` with free fonts of Debian packages |
| Degradation | half the size by antialiased bicubic resampling; one in five then a JPEG of quality 70 to 96, one in seven with noise of up to 4 grey levels |
| Loss | absolute error (Charbonnier) over that of bicubic interpolation, crop by crop; no adversary, no features |
| held out | the photographs of `training/heldout_photos.txt`, all of Kodak |
| Licence | Apache-2.0, as the package |
| Commercial use | yes |
| Training | `{command}` |
| seen | {steps} batches in {minutes:.0f} minutes |

Against bicubic and Lanczos interpolation on photographs never trained on: docs/results.md, by `benchmarks/deartifact.py`.

## Measured as it learned

PSNR over bicubic interpolation's, dB: 16 patches of 256 px of held-out photographs, 6 pages.

| step | loss since the last | photographs | pages |
|---|---|---|---|
{curve}
"""


def write_upscale_card(weights: Path, progress: Mapping[str, Any], parameters: int) -> None:
    """Writes the upscale network's card beside its weights.

    Args:
        weights: the file that was written.
        progress: see loop.Progress and train_upscale.UpscaleTrainer.
        parameters: how many the network has.
    """
    _write_card(_UPSCALE_TEXT, weights, progress, parameters, ("+.2f", "+.2f"))


_RESIDUAL_TEXT = """# residual

The residual network (`cleanplate/models/residual_net.py`): a conditional diffusion model of the detail that the fill
network's answer lacks inside a hole. {parameters:,} parameters, stored as float16.

| | |
|---|---|
| weights | `{name}`, sha256 `{digest}` |
| Data | {photographs}{further}; holes as the fill network's, which fills them first (fill.md) |
| Loss | squared error of the velocity in the hole, times drawn evenly, cosine schedule |
| held out | the photographs of `training/heldout_photos.txt`, the fonts marked `heldout` in `fonts.yaml`, all of Kodak |
| Licence | Apache-2.0, as the package |
| Commercial use | yes |
| Training | `{command}` |
| seen | {steps} batches in {minutes:.0f} minutes, crops of 96 px |

Against the other engines on photographs never trained on: docs/results.md, by `benchmarks/fill.py`.

## Measured as it learned

Loss on 256 crops of held-out photographs, at four times in turn; 1 is what a network that knows nothing reaches where the
detail in the hole is as strong as outside.

| step | loss since the last | held out |
|---|---|---|
{curve}
"""


def write_residual_card(weights: Path, progress: Mapping[str, Any], parameters: int) -> None:
    """Writes the residual network's card beside its weights.

    Args:
        weights: the file that was written.
        progress: see loop.Progress and train_residual.ResidualTrainer.
        parameters: how many the network has.
    """
    _write_card(_RESIDUAL_TEXT, weights, progress, parameters, (".4f",))


_SCREEN_TEXT = """# screen

Two forests of boosted trees (`cleanplate/detect/screen.py`): whether a line of text lies on the picture or
in it, and whether strokes that are no line are a mark or the photograph's own. With that of lines a logistic regression on
AlexNet's features (`cleanplate/detect/appearance.py`), which is asked where the forest thinks it likely. They belong to the
stroke network's weights: with others, fit them again.

| | |
|---|---|
| weights | `{name}`, sha256 `{digest}` |
| Data | {photographs}{further}{listed}; overlays drawn by `cleanplate.evaluation.overlays` with free fonts of Debian packages; the real signs of `training/real_signs.csv` |
| held out | the photographs of `training/heldout_photos.txt`, the fonts marked `heldout` in `fonts.yaml`, all of Kodak |
| Licence | Apache-2.0, as the package |
| Commercial use | yes |
| Fitted | `{command}`: {counts} |

## On held-out photographs

{heldout}

## On the training photographs, by judges that have not seen the photograph

The network knows these photographs: in others precision is less. What thresholds are chosen by: training/README.md.

{folds}
"""


def write_screen_card(weights: Path, called: str, counts: str, figures: Mapping[str, Sequence[str]]) -> None:
    """Writes the forests' card beside them.

    Args:
        weights: the file that was written.
        called: the command.
        counts: how many lines and marks they were fitted on.
        figures: lines of what holds on photographs that were "held out", and in "folds".
    """
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    heldout, folds = ("\n".join(f"- {line}" for line in figures[side]) for side in ("held out", "folds"))
    text = _SCREEN_TEXT.format(
        name=weights.name, digest=digest, command=called, counts=counts, heldout=heldout, folds=folds, **_SOURCES
    )
    weights.with_suffix(".md").write_text(text, encoding="utf-8")


def _write_card(
    template: str,
    weights: Path,
    progress: Mapping[str, Any],
    parameters: int,
    formats: Sequence[str],
    known: Mapping[str, str] | None = None,
) -> None:
    """Writes a card with a row per validation, its scores in `formats`; `known` is what else the template asks for."""
    rows = [
        f"| {step} | {loss:.4f} | " + " | ".join(format(*each) for each in zip(scores, formats, strict=True)) + " |"
        for (step, *scores), loss in zip(progress["scores"], progress["losses"], strict=True)
    ]
    text = template.format(
        parameters=parameters,
        name=weights.name,
        digest=hashlib.sha256(weights.read_bytes()).hexdigest(),
        perceptual=", and the distance of VGG16's first features" if "--perceptual" in progress["command"] else "",
        command=progress["command"],
        steps=progress["steps"],
        minutes=progress["seconds"] / 60,
        curve="\n".join(rows),
        **_SOURCES,
        **(known or {}),
    )
    weights.with_suffix(".md").write_text(text, encoding="utf-8")
