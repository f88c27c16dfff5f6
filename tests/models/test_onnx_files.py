"""ONNX files as they are read: denormal weights are zero, all others as they were, and the answers the same."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from cleanplate.config import ModelsConfig
from cleanplate.errors import ModelError
from cleanplate.models.onnx_files import read_onnx
from cleanplate.models.registry import Registry


def weights_of(model):
    return {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}


def answers(model, inputs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


def test_denormal_weights_are_zero_and_the_rest_is_as_it_was(tmp_path):
    values = np.array([[1e-39, -3e-40], [1.2e-38, -0.5]], np.float32)
    counts = np.array([3, 4], np.int64)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(values, "w"), numpy_helper.from_array(counts, "n")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "m.onnx")
    found = weights_of(read_onnx(tmp_path / "m.onnx"))
    assert np.array_equal(found["w"], np.array([[0, 0], [1.2e-38, -0.5]], np.float32))
    assert np.array_equal(found["n"], counts)


def test_the_text_detector_answers_as_its_file_does():
    path = Registry.load(ModelsConfig()).path("ppocr_det")
    model = read_onnx(path)
    floats = [values for values in weights_of(model).values() if values.dtype == np.float32]
    assert not any(((values != 0) & (np.abs(values) < 1.17e-38)).any() for values in floats)
    inputs = np.random.default_rng(4).normal(0, 1, (1, 3, 64, 96)).astype(np.float32)
    assert np.array_equal(answers(model.SerializeToString(), inputs), answers(str(path), inputs))


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"x\.onnx is not a readable ONNX model"):
        read_onnx(tmp_path / "x.onnx")


def test_inner_values_of_the_text_detector_become_outputs():
    path = Registry.load(ModelsConfig()).path("ppocr_det")
    model = read_onnx(path, ["Add.33"])
    inputs = np.random.default_rng(4).normal(0, 1, (1, 3, 64, 96)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    probability, inner = session.run(None, {session.get_inputs()[0].name: inputs})
    assert np.allclose(probability, answers(str(path), inputs), atol=1e-6)
    assert inner.shape == (1, 48, 16, 24)


def test_an_inner_value_that_there_is_not_is_named():
    path = Registry.load(ModelsConfig()).path("ppocr_det")
    with pytest.raises(ModelError, match=r"computes no Nothing\.1; is it another model"):
        read_onnx(path, ["Add.33", "Nothing.1"])
