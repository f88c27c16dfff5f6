"""PNGs of restored samples decode to the same samples."""

from __future__ import annotations

import numpy as np
import pytest

from cleanplate.batch.lossless import encode_png
from cleanplate.codec import decode
from cleanplate.config import SourceConfig
from cleanplate.errors import ContractError
from cleanplate.image import Carried

CARRIED = Carried("TIFF", "image/tiff", "RGB", dpi=(300.0, 300.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4)])
def test_samples_survive(dtype, shape):
    samples = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    if dtype == np.uint16 and shape[-1] == 2:
        with pytest.raises(ContractError, match="16-bit grey with alpha"):
            encode_png(samples, CARRIED)
        return
    image = decode(encode_png(samples, CARRIED), SourceConfig(guard="none"))
    assert image.native.dtype == dtype
    np.testing.assert_array_equal(image.native, samples[..., 0] if shape[-1] == 1 else samples)
