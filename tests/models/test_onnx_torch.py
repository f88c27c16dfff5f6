"""ONNX graphs in torch against onnxruntime: PP-OCR's own network, uneven padding, and what is not known."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from cleanplate.config import ModelsConfig
from cleanplate.errors import ModelError
from cleanplate.models.onnx_torch import OnnxGraph, load_onnx
from cleanplate.models.registry import Registry


def small_graph(nodes, weights=(), output_rank=4):
    """A model of a few nodes from "x" to "y"."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, None, None])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * output_rank)]
    kept = [numpy_helper.from_array(value, name) for name, value in weights]
    graph = helper.make_graph(nodes, "g", inputs, outputs, kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)


def both(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": inputs})[0]
    with torch.inference_mode():
        return OnnxGraph(model)(torch.from_numpy(inputs))[0].numpy(), wanted


@pytest.mark.parametrize("shape", [(1, 3, 160, 224), (2, 3, 96, 320)])
def test_the_text_detector_says_the_same_as_in_onnxruntime(shape):
    path = Registry.load(ModelsConfig()).path("ppocr_det")
    inputs = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    with torch.inference_mode():
        (found,) = load_onnx(path)(torch.from_numpy(inputs))
    assert found.shape == wanted.shape
    assert np.abs(found.numpy() - wanted).max() < 1e-4


def test_inner_values_come_out_after_the_graphs_own(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["inner"]), helper.make_node("Mul", ["inner", "inner"], ["y"])]
    onnx.save(small_graph(nodes), tmp_path / "x.onnx")
    given = torch.tensor([-2.0, 3.0]).reshape(1, 1, 1, 2)
    whole, inner = load_onnx(tmp_path / "x.onnx", inner=["inner"])(given)
    assert whole.flatten().tolist() == [0, 9]
    assert inner.flatten().tolist() == [0, 3]


@pytest.mark.parametrize("padding", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_automatic_padding(padding, stride):
    weight = np.random.default_rng(2).normal(size=(4, 3, 2, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=padding, strides=[stride, stride])
    inputs = np.random.default_rng(3).normal(size=(1, 3, 11, 14)).astype(np.float32)
    found, wanted = both(small_graph([node], [("w", weight)]), inputs)
    assert np.allclose(found, wanted, atol=1e-5)


def test_pooling_ignores_its_padding():
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], auto_pad="SAME_UPPER")
    inputs = -1 - np.random.default_rng(4).random((1, 3, 6, 7)).astype(np.float32)
    found, wanted = both(small_graph([node]), inputs)
    assert np.array_equal(found, wanted)


def test_an_unknown_operator_and_a_broken_file_are_named(tmp_path):
    with pytest.raises(ModelError, match="operator Sin"):
        OnnxGraph(small_graph([helper.make_node("Sin", ["x"], ["y"])]))
    (tmp_path / "x.onnx").write_bytes(b"\xff no model")
    with pytest.raises(ModelError, match="not a readable ONNX model"):
        load_onnx(tmp_path / "x.onnx")
    onnx.save(small_graph([helper.make_node("Relu", ["x"], ["y"])]), tmp_path / "good.onnx")
    assert load_onnx(tmp_path / "good.onnx")(-torch.ones(1, 3, 2, 2))[0].abs().sum() == 0
