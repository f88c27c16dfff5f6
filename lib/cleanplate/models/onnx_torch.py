"""An ONNX graph as a torch module: the same outputs on a GPU without a second runtime.

Knows the operators of convolutional text detectors (PP-OCR's among them); opset 11 and later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.errors import ModelError
from cleanplate.models.onnx_files import read_onnx

Attributes = Mapping[str, Any]


class OnnxGraph(nn.Module):
    """Runs the nodes of a graph in their order; weights are buffers, so that `.to(device)` moves them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Reads the graph.

        Args:
            model: one input, any outputs, no control flow.

        Raises:
            ModelError: an operator that is not known here.
        """
        super().__init__()
        graph = model.graph
        self._names: dict[str, str] = {}
        for number, weight in enumerate(graph.initializer):
            self._keep(weight.name, numpy_helper.to_array(weight), number)
        self._nodes: list[tuple[str, list[str], str, Attributes]] = []
        for number, node in enumerate(graph.node):
            values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
            if node.op_type == "Constant":
                self._keep(node.output[0], numpy_helper.to_array(values["value"]), len(graph.initializer) + number)
                continue
            if node.op_type not in _OPERATORS:
                raise ModelError(f"the ONNX operator {node.op_type} is not known; use the CPU (models.device=cpu)")
            self._nodes.append((node.op_type, list(node.input), node.output[0], values))
        self._input = next(value.name for value in graph.input if value.name not in self._names)
        self._outputs = [value.name for value in graph.output]

    def _keep(self, name: str, value: np.ndarray, number: int) -> None:
        self._names[name] = f"weight_{number}"
        self.register_buffer(f"weight_{number}", torch.from_numpy(np.array(value)), persistent=False)

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The graph's outputs for a batch, on the device of its weights."""
        values: dict[str, Tensor] = {name: getattr(self, kept) for name, kept in self._names.items()}
        values[self._input] = inputs
        for operator, names, output, attributes in self._nodes:
            arguments = [values[name] if name else None for name in names]
            values[output] = _OPERATORS[operator](arguments, attributes)
        return tuple(values[name] for name in self._outputs)


def load_onnx(path: Path, device: str = "cpu", inner: Sequence[str] = ()) -> OnnxGraph:
    """Reads a graph and moves it to a device; `inner` values become outputs after its own.

    Raises:
        ModelError: the file is no ONNX model, has no such value, or holds an operator that is not known here.
    """
    return OnnxGraph(read_onnx(path, inner)).eval().to(torch.device(device))


def _padded(inputs: Tensor, attributes: Attributes, kernel: Sequence[int], value: float = 0.0) -> Tensor:
    """The input with the padding that the node asks for; torch's own knows no uneven one."""
    automatic = attributes.get("auto_pad", b"NOTSET").decode()
    dimensions = len(kernel)
    strides = attributes.get("strides", [1] * dimensions)
    dilations = attributes.get("dilations", [1] * dimensions)
    if automatic in ("NOTSET", ""):
        pads = list(attributes.get("pads", [0] * 2 * dimensions))
    elif automatic == "VALID":
        pads = [0] * 2 * dimensions
    else:
        before, after = [], []
        for size, side, stride, dilation in zip(inputs.shape[2:], kernel, strides, dilations, strict=True):
            reach = (side - 1) * dilation + 1
            total = max(0, (-(-size // stride) - 1) * stride + reach - size)
            small = total // 2
            before.append(small if automatic == "SAME_UPPER" else total - small)
            after.append(total - before[-1])
        pads = before + after
    # torch names the last dimension first, and its start before its end.
    order = [side for axis in reversed(range(dimensions)) for side in (pads[axis], pads[axis + dimensions])]
    return functional.pad(inputs, order, value=value) if any(order) else inputs


def _convolve(arguments: list[Any], attributes: Attributes) -> Tensor:
    inputs, weight = arguments[:2]
    bias = arguments[2] if len(arguments) > 2 else None
    padded = _padded(inputs, attributes, weight.shape[2:])
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    return functional.conv2d(padded, weight, bias, strides, 0, dilations, attributes.get("group", 1))


def _transposed(arguments: list[Any], attributes: Attributes) -> Tensor:
    pads = attributes.get("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:] or attributes.get("output_padding"):
        raise ModelError("a transposed convolution with uneven padding is not known; use models.device=cpu")
    inputs, weight = arguments[:2]
    bias = arguments[2] if len(arguments) > 2 else None
    strides, groups = attributes.get("strides", [1, 1]), attributes.get("group", 1)
    return functional.conv_transpose2d(inputs, weight, bias, strides, list(pads[:2]), 0, groups)


def _largest(arguments: list[Any], attributes: Attributes) -> Tensor:
    kernel = attributes["kernel_shape"]
    padded = _padded(arguments[0], attributes, kernel, float("-inf"))
    return functional.max_pool2d(padded, kernel, attributes.get("strides", [1, 1]))


def _mean(arguments: list[Any], attributes: Attributes) -> Tensor:
    axes = attributes.get("axes") or arguments[1].tolist()
    mean: Tensor = arguments[0].mean(dim=list(axes), keepdim=bool(attributes.get("keepdims", 1)))
    return mean


def _resized(arguments: list[Any], attributes: Attributes) -> Tensor:
    if attributes["mode"] != b"nearest" or attributes.get("coordinate_transformation_mode") != b"asymmetric":
        raise ModelError("only nearest, asymmetric resizing is known; use models.device=cpu")
    inputs = arguments[0]
    if len(arguments) > 3 and arguments[3] is not None:
        size = [int(side) for side in arguments[3].tolist()[2:]]
    else:
        scales = arguments[2].tolist()[2:]
        size = [int(side * scale) for side, scale in zip(inputs.shape[2:], scales, strict=True)]
    return functional.interpolate(inputs, size=size, mode="nearest")


def _hard_sigmoid(arguments: list[Any], attributes: Attributes) -> Tensor:
    slope, offset = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    return torch.clamp(arguments[0] * slope + offset, 0, 1)


_OPERATORS: dict[str, Callable[[list[Any], Attributes], Tensor]] = {
    "Add": lambda a, _: a[0] + a[1],
    "Concat": lambda a, attributes: torch.cat(a, dim=attributes["axis"]),
    "Conv": _convolve,
    "ConvTranspose": _transposed,
    "Div": lambda a, _: a[0] / a[1],
    "Erf": lambda a, _: torch.erf(a[0]),
    "GlobalAveragePool": lambda a, _: a[0].mean(dim=(2, 3), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "Identity": lambda a, _: a[0],
    "MaxPool": _largest,
    "Mul": lambda a, _: a[0] * a[1],
    "ReduceMean": _mean,
    "Relu": lambda a, _: torch.relu(a[0]),
    "Resize": _resized,
    "Sigmoid": lambda a, _: torch.sigmoid(a[0]),
}
