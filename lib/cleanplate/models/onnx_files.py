"""Reads ONNX files, without the numbers that a CPU is slow at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from cleanplate.errors import ModelError

_SMALLEST = np.finfo(np.float32).tiny  # the smallest normal float32


def read_onnx(path: Path, inner: Sequence[str] = ()) -> onnx.ModelProto:
    """A model whose denormal weights are zero.

    A tenth of the weights of PP-OCRv6's small detector are denormal (below 1.2e-38): training shrank them away. A CPU
    multiplies those in microcode, and two of its layers took six tenths of the time; the maps are the same to the bit.

    Args:
        path: ONNX file.
        inner: names of values inside the graph that become outputs after its own, float32.

    Raises:
        ModelError: the file is no ONNX model, or computes no value of such a name.
    """
    try:
        model = onnx.load(str(path))
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path} is not a readable ONNX model: {error}") from error
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(weight)
            denormal = (np.abs(values) < _SMALLEST) & (values != 0)
            if denormal.any():
                weight.CopyFrom(numpy_helper.from_array(np.where(denormal, np.float32(0), values), weight.name))
    missing = set(inner) - {name for node in model.graph.node for name in node.output}
    if missing:
        raise ModelError(f"{path} computes no {', '.join(sorted(missing))}; is it another model than models.yaml says?")
    for name in inner:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return model
