"""The footprint: what the file's tables leave of the noise is what the blocks around have."""

import numpy as np
import pytest

from cleanplate import codec
from cleanplate.config import RegrainConfig, SourceConfig
from cleanplate.enhance.blocks import cut, dct, to_ycc
from cleanplate.enhance.footprint import footprint_of
from cleanplate.enhance.regrain import regrain
from cleanplate.records import Box

_WHOLE = Box(0, 0, 192, 160)


def _scene(jpeg_bytes, quality, sigma, subsampling=2):
    """A noisy slope as a JPEG, and a smooth fill of its middle."""
    smooth = np.full((160, 192, 3), 100.0) + np.linspace(0, 25, 192)[None, :, None]
    noisy = np.clip(np.rint(smooth + np.random.default_rng(2).normal(0, sigma, smooth.shape)), 0, 255).astype(np.uint8)
    image = codec.decode(jpeg_bytes(noisy, quality, subsampling), SourceConfig())
    mask = np.zeros((160, 192), np.uint8)
    mask[44:116, 52:140] = 1
    filled = np.where(mask[..., None] > 0, np.rint(smooth).astype(np.uint8), image.rgb)
    return image, filled, mask


def _written(image, picture, mask):
    return codec.decode(codec.encode(image, picture, mask > 0), SourceConfig()).rgb


def _power(rgb, mask, channel=0):
    """Mean power of a component's waves in the blocks inside, and in those outside."""
    plane = np.ascontiguousarray(to_ycc(rgb)[..., channel])
    share = cut(mask.astype(np.float32)).mean(axis=(1, 2))
    waves = dct(cut(plane)) ** 2
    waves[:, 0, 0] = 0
    return waves[share == 1].mean(), waves[share == 0].mean()


@pytest.mark.parametrize(("quality", "sigma"), [(85, 8.0), (70, 8.0), (92, 4.0)])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_the_written_fill_has_the_power_of_its_surroundings(jpeg_bytes, quality, sigma, subsampling):
    image, filled, mask = _scene(jpeg_bytes, quality, sigma, subsampling)
    footprint = footprint_of(image, _WHOLE)
    grained = regrain(filled, mask.astype(np.float32), mask, 7, RegrainConfig(), footprint)
    inside, outside = _power(_written(image, grained, mask), mask)
    assert inside == pytest.approx(outside, rel=0.25)
    assert _power(_written(image, filled, mask), mask)[0] < 0.3 * outside
    assert np.array_equal(grained[mask == 0], filled[mask == 0])


def test_the_same_seed_gives_the_same_noise(jpeg_bytes):
    image, filled, mask = _scene(jpeg_bytes, 80, 6.0)
    alpha, footprint = mask.astype(np.float32), footprint_of(image, _WHOLE)
    first, again, other = (regrain(filled, alpha, mask, seed, RegrainConfig(), footprint) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_clean_jpeg_gets_no_noise(jpeg_bytes):
    image, filled, mask = _scene(jpeg_bytes, 80, 0.0)
    grained = regrain(filled, mask.astype(np.float32), mask, 7, RegrainConfig(), footprint_of(image, _WHOLE))
    assert np.abs(grained.astype(int) - filled).max() <= 3


def test_the_footprint_is_the_files(jpeg_bytes, photo, as_image):
    found = footprint_of(codec.decode(jpeg_bytes(photo, 60), SourceConfig()), Box(9, 21, 100, 100))
    assert (found.luma[0, 0], found.chroma[0, 0]) == (13, 14)
    assert (found.subsampling, found.origin) == ((2, 2), (9, 21))
    assert footprint_of(as_image(photo), _WHOLE) is None


def test_a_part_off_the_grid_is_measured_on_the_files_blocks(jpeg_bytes):
    image, filled, mask = _scene(jpeg_bytes, 70, 8.0)
    part = Box(13, 5, 190, 157)
    footprint = footprint_of(image, part)
    alpha = mask.astype(np.float32)
    cut_out = regrain(filled[part.slices], alpha[part.slices], mask[part.slices], 7, RegrainConfig(), footprint)
    picture = filled.copy()
    picture[part.slices] = cut_out
    inside, outside = _power(_written(image, picture, mask), mask)
    assert inside == pytest.approx(outside, rel=0.25)


def test_a_filled_block_has_the_steps_of_a_block_around_it(jpeg_bytes):
    """Which waves stand together is no chance: each pattern is one that the file knows, mirrored."""
    image, _, mask = _scene(jpeg_bytes, 75, 8.0)
    smooth = np.where(mask[..., None] > 0, np.uint8(110), image.rgb)
    footprint = footprint_of(image, _WHOLE)
    grained = regrain(smooth, mask.astype(np.float32), mask, 7, RegrainConfig(), footprint)
    share = cut(mask.astype(np.float32)).mean(axis=(1, 2))
    luma = np.ascontiguousarray(to_ycc(_written(image, grained, mask))[..., 0])
    steps = np.abs(np.rint(dct(cut(luma)) / footprint.luma))
    steps[:, 0, 0] = 0
    known = {block.tobytes() for block in steps[share == 0]}
    made = [block.tobytes() in known for block in steps[share == 1]]
    assert np.mean(made) > 0.9
    assert len({block.tobytes() for block in steps[share == 1]}) > len(made) // 4


def test_a_fill_with_texture_of_its_own_gets_less_of_the_textures_noise(jpeg_bytes):
    rng = np.random.default_rng(4)
    picture = np.clip(110 + rng.normal(0, 1.5, (160, 192, 3)), 0, 255)
    picture[:, :150] = np.clip(110 + rng.normal(0, 20, (160, 150, 3)), 0, 255)
    image = codec.decode(jpeg_bytes(np.rint(picture).astype(np.uint8), 90), SourceConfig())
    mask = np.zeros((160, 192), np.uint8)
    mask[44:116, 40:110] = 1
    filled = np.where(mask[..., None] > 0, np.uint8(110), image.rgb)
    alpha, footprint = mask.astype(np.float32), footprint_of(image, _WHOLE)
    for_smooth, for_textured = (
        regrain(filled, alpha, mask, 7, RegrainConfig(), footprint, smooth)[mask > 0].std() for smooth in (True, False)
    )
    assert for_smooth > 8
    assert 0.5 < for_textured < 0.5 * for_smooth
