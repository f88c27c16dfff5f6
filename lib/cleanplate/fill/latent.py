"""Fills with Stable Diffusion's inpainting pipelines (Rombach et al., CVPR 2022) from the user's weights."""

from __future__ import annotations

import contextlib
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from cleanplate import windows
from cleanplate.config import Config
from cleanplate.errors import ModelError
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.pde import diffuse
from cleanplate.models.cache import load_once
from cleanplate.models.registry import Registry
from cleanplate.models.weights import has_bfloat16

MODEL_ID = "latent"
_COST_UNITS_PER_MPX = 20_000.0
_BATCH_SQUARES = 4  # pictures of the native size that run together: about 10 GB with SDXL in float32
# What each pipeline is told besides: no checker that blackens a picture, no invisible watermark in a cleaned one.
_PIPELINES: dict[str, dict[str, Any]] = {
    "StableDiffusionInpaintPipeline": {
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    },
    "StableDiffusionXLInpaintPipeline": {"add_watermarker": False},
}


class LatentEngine:
    """An inpainting pipeline of diffusers, Stable Diffusion's or SDXL's.

    The registry's entry names one file, so that one digest covers all that decides the pixels:

    - a .zip or .tar of a pipeline's folder in diffusers' format (model_index.json, unet/, vae/, text_encoder/, ...,
      weights as safetensors), or
    - a single-file checkpoint (safetensors, the original layout) with `options.config`, the id of another entry: a
      .zip or .tar of the same folder without its weights (model_index.json, the config.json of each part, tokenizer).

    Archives are unpacked into a temporary folder (TMPDIR) while the pipeline loads, and nothing is ever downloaded.
    A crop larger than the pipeline's native size is scaled down to it and the fill scaled back; a smaller one is
    mirrored up to it, since these networks do badly at sizes that they were not trained at.
    """

    def __init__(
        self,
        registry: Registry,
        device: str = "cpu",
        model_id: str = MODEL_ID,
        steps: int = 25,
        guidance_scale: float = 7.5,
        scheduler: str = "DDIMScheduler",
        negative_prompt: str = "text, letters, caption, watermark, logo",
        autocast: bool | None = None,
    ) -> None:
        """Loads the pipeline, once per process.

        Args:
            registry: where the weights are.
            device: "cpu", "cuda:0", ...
            model_id: id in the registry.
            steps: of denoising, at strength 1.
            guidance_scale: weight of the prompts (Ho and Salimans, 2022); 1 or less = without guidance, half the time.
            scheduler: a class of diffusers that makes the steps.
            negative_prompt: what shall not appear: an empty prompt alone may bring lettering back.
            autocast: bfloat16 arithmetic around float32 weights; None = on CUDA devices that have it.

        Raises:
            ModelError: diffusers is not installed, or the weights are missing, tampered with, not permitted or not
                those of such a pipeline.
        """
        entry = registry.entry(model_id)
        config_id = str(entry.options.get("config", ""))
        variant = f"{scheduler} {registry.entry(config_id).sha256 if config_id else ''}"
        self._pipeline = load_once(
            registry, model_id, device,
            lambda path: load_pipeline(path, entry.options, registry, device, scheduler), variant,
        )  # fmt: skip
        self._device = torch.device(device)
        self._steps = steps
        self._guidance_scale = guidance_scale
        self._negative_prompt = negative_prompt
        self._autocast = has_bfloat16(self._device) if autocast is None else autocast
        self._cell_px = int(self._pipeline.vae_scale_factor)
        multiple = self._cell_px * 2 ** (len(self._pipeline.unet.config.block_out_channels) - 1)
        # Every level of the U-Net then halves without a remainder.
        self._side_px = -(-_sample_side(self._pipeline) * self._cell_px // multiple) * multiple
        self.spec = EngineSpec(
            "latent", entry.licence, _COST_UNITS_PER_MPX, size_multiple=multiple, minimum_px=self._side_px,
            batchable=True, generative=True, diffuses=True,
        )  # fmt: skip

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> LatentEngine:
        """Loads the registry's entry "latent".

        Raises:
            ModelError: see the constructor.
        """
        return cls(registry, device)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`; outside the hole (alpha > 0 or invalid) each result is the crop."""
        filled = [diffuse(request.crop, request.hole, "telea") for request in requests]
        groups: dict[float, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            if request.hole.any() and not request.hole.all():
                groups[_possible_strength(request.strength, self._steps)].append(index)
        for strength, members in groups.items():
            for start in range(0, len(members), _BATCH_SQUARES):
                part = members[start : start + _BATCH_SQUARES]
                found = self._run([requests[i] for i in part], [filled[i] for i in part], strength)
                for index, picture in zip(part, found, strict=True):
                    filled[index] = np.where(requests[index].hole[:, :, None] > 0, picture, requests[index].crop)
        return filled

    def _run(
        self, requests: Sequence[FillRequest], bases: Sequence[NDArray[np.uint8]], strength: float
    ) -> list[NDArray[np.uint8]]:
        """Pictures of the crops' own sizes, of requests of one strength.

        The pipeline is shown the fills `bases`, never the crops: at a strength below 1, and through the rim of a
        scaled-down hole, it would see what is to be removed.
        """
        views = [_view(base, request.hole, self._side_px, self._cell_px)
                 for request, base in zip(requests, bases, strict=True)]  # fmt: skip
        pictures = torch.from_numpy(np.stack([view.picture for view in views]))
        masks = torch.from_numpy(np.stack([view.mask for view in views]))
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast),
        ):
            found = self._pipeline(
                prompt=[request.prompt for request in requests],
                negative_prompt=[self._negative_prompt] * len(requests),
                image=pictures.permute(0, 3, 1, 2).float().div(255),
                mask_image=masks[:, None].float(),
                height=self._side_px,
                width=self._side_px,
                strength=strength,
                num_inference_steps=self._steps,
                guidance_scale=self._guidance_scale,
                # Noise from the CPU, for each picture its own: neither the device nor the batch decides it.
                generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
                output_type="pt",
            ).images
        values = found.float().clamp(0, 1).mul(255).permute(0, 2, 3, 1).cpu().numpy()
        return [_restored(value, view, request.hole.shape)
                for value, view, request in zip(values, views, requests, strict=True)]  # fmt: skip


@dataclass(frozen=True)
class _View:
    """What the pipeline is shown of a request.

    Attributes:
        picture: uint8 (S, S, 3), RGB: the pre-filled crop, scaled and mirrored to the native square.
        mask: uint8 (S, S), 1 = invent: the hole, grown to whole cells of the latent picture.
        height: rows of the square that are the crop.
        width: columns of the square that are the crop.
    """

    picture: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    height: int
    width: int


def _view(base: NDArray[np.uint8], hole: NDArray[np.uint8], side_px: int, cell_px: int) -> _View:
    height, width = hole.shape
    scale = min(1.0, side_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale < 1:
        base = np.asarray(cv2.resize(base, size, interpolation=cv2.INTER_AREA), np.uint8)
        hole = windows.shrink_mask(hole, size)
    margins = [(0, side_px - size[1]), (0, side_px - size[0])]
    picture = np.pad(base, [*margins, (0, 0)], mode="reflect")
    return _View(picture, _whole_cells(np.pad(hole, margins, mode="reflect"), cell_px), size[1], size[0])


def _whole_cells(mask: NDArray[np.uint8], cell_px: int) -> NDArray[np.uint8]:
    """Grows a mask to whole cells; the pipelines take the nearest pixel of each, so that thin strokes would vanish."""
    height, width = mask.shape
    cells = mask.reshape(height // cell_px, cell_px, width // cell_px, cell_px).max(axis=(1, 3))
    return cells.repeat(cell_px, axis=0).repeat(cell_px, axis=1)


def _restored(values: NDArray[np.float32], view: _View, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The crop's part of a square, float32 0..255, at the crop's size (height, width), as uint8."""
    part = values[: view.height, : view.width]
    if part.shape[:2] != shape:
        part = np.asarray(cv2.resize(part, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.clip(np.rint(part), 0, 255).astype(np.uint8)


def _possible_strength(strength: float, steps: int) -> float:
    """A strength of 0..1 that leaves the pipeline at least one step, without changing the number of larger ones."""
    return float(min(1.0, max(strength, 1.5 / steps)))


def _sample_side(pipeline: Any) -> int:
    side = pipeline.unet.config.sample_size
    return int(side if isinstance(side, int) else max(side))


def load_pipeline(
    path: Path, options: Mapping[str, Any], registry: Registry, device: str = "cpu", scheduler: str = "DDIMScheduler"
) -> Any:
    """Reads a pipeline from an archive of its folder or from a single-file checkpoint; see `LatentEngine`.

    Args:
        path: of the verified file; its name may have any suffix.
        options: "config": for a checkpoint, the id of the entry with the configurations.
        registry: where that entry is.
        device: "cpu", "cuda:0", ...
        scheduler: a class of diffusers.

    Returns:
        A diffusers pipeline, float32, on its device.

    Raises:
        ModelError: diffusers is not installed, or the file does not hold what it should.
    """
    diffusers = _import_diffusers()
    steps = getattr(diffusers, scheduler, None)
    if not scheduler.endswith("Scheduler") or steps is None:
        raise ModelError(f"diffusers {diffusers.__version__} has no scheduler {scheduler!r}; one is 'DDIMScheduler'")
    diffusers.utils.logging.disable_progress_bar()  # of the parts that load; an executor's log is no terminal
    with tempfile.TemporaryDirectory(prefix="cleanplate-") as folder, _named_errors(path):
        pipeline = _read(diffusers, path, _config_path(path, options, registry), Path(folder))
        pipeline.scheduler = steps.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.float()  # here, since versions of diffusers differ in how loading is told the type
    return pipeline.to(torch.device(device))


def _import_diffusers() -> Any:
    try:
        import diffusers
        import transformers  # noqa: F401  without it diffusers has placeholders in place of these pipelines
    except ImportError:
        raise ModelError(
            "the engine 'latent' needs diffusers and transformers: pip install 'cleanplate[engines]'"
        ) from None
    return diffusers


def _config_path(path: Path, options: Mapping[str, Any], registry: Registry) -> Path | None:
    """The verified archive of configurations of a single-file checkpoint; None where the file is an archive itself."""
    if _is_archive(path):
        return None
    if not options.get("config"):
        raise ModelError(
            f"{path} is no .zip or .tar of a pipeline's folder; for a single-file checkpoint its entry's "
            "options.config must name the entry of an archive with the configurations, since nothing is downloaded"
        )
    return registry.path(str(options["config"]))


def _read(diffusers: Any, path: Path, config_path: Path | None, work: Path) -> Any:
    folder = _unpacked(config_path or path, work / "unpacked")
    name = str(json.loads((folder / "model_index.json").read_text(encoding="utf-8")).get("_class_name"))
    if name not in _PIPELINES:
        raise ModelError(f"{path} holds a pipeline {name}; this engine runs {' and '.join(_PIPELINES)}")
    pipeline_class = getattr(diffusers, name)
    common = {"local_files_only": True, **_PIPELINES[name]}
    if config_path is None:
        # Without accelerate diffusers cannot spare the memory, and says so in a warning each time.
        sparing = find_spec("accelerate") is not None
        return pipeline_class.from_pretrained(str(folder), use_safetensors=True, low_cpu_mem_usage=sparing, **common)
    checkpoint = work / "checkpoint.safetensors"  # diffusers goes by the suffix; another would be unpickled
    checkpoint.symlink_to(path.resolve())
    return pipeline_class.from_single_file(str(checkpoint), config=str(folder), **common)


def _is_archive(path: Path) -> bool:
    """By content, not by suffix: weights fetched from remote storage are cached by their digest alone."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def _unpacked(path: Path, target: Path) -> Path:
    """Unpacks an archive; returns the folder in it that holds model_index.json."""
    if zipfile.is_zipfile(path):
        shutil.unpack_archive(path, target, "zip")  # passes over absolute names and ..
    else:
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")
    found = sorted(target.rglob("model_index.json"), key=lambda index: len(index.parts))
    if not found:
        raise ModelError(f"{path} holds no model_index.json: pack the folder of a pipeline in diffusers' format")
    return found[0].parent


@contextlib.contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turns what diffusers and the archives raise of wrong contents into a ModelError."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError, tarfile.TarError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise ModelError(
            f"{path} does not hold an inpainting pipeline that diffusers can load (weights as safetensors): "
            f"{type(error).__name__}: {str(error)[:300]}"
        ) from error
