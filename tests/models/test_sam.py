"""A SAM by URI: tiny random weights in the real file format, prompts, and what is said of weights that do not fit."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from transformers import SamConfig, SamModel

from cleanplate.config import load_config
from cleanplate.errors import ModelError
from cleanplate.image import Carried, Image
from cleanplate.mask import build_masks
from cleanplate.mask.segmenters import ByModel, GrabCut
from cleanplate.models.registry import Registry
from cleanplate.models.sam import SamSegmenter, build_sam, load_sam
from cleanplate.pipeline import Plan
from cleanplate.records import Box, Detection, Job

TINY = {
    "vision_config": {
        "hidden_size": 32, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64,
        "patch_size": 8, "window_size": 4, "global_attn_indexes": [1], "num_pos_feats": 8, "mlp_dim": 64,
    },
    "prompt_encoder_config": {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4},
    "mask_decoder_config": {
        "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("sam") / "model.safetensors"
    network = SamModel(SamConfig(**TINY))
    save_file({name: value.contiguous().clone() for name, value in network.state_dict().items()}, path)
    return path


@pytest.fixture
def config(weights, tmp_path):
    entry = {
        "uri": str(weights), "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "licence": "Apache-2.0",
        "commercial": True, "options": {"config": TINY},
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"models": {"my_sam": entry}}))
    return load_config(overrides=[f"models.registry_files=[{tmp_path / 'mine.yaml'}]", "mask.segmenter=my_sam"])


def noise(height=50, width=90):
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_registry_s_model_is_built_once_and_answers_boxes_and_points(config):
    registry = Registry.load(config.models)
    segmenter = build_sam("my_sam", registry, "cpu")
    assert build_sam("my_sam", registry, "cpu") is segmenter
    for hint in (Box(10, 5, 60, 40), Box(30, 20, 31, 21)):
        alpha = segmenter.segment(noise(), hint)
        assert alpha.shape == (50, 90)
        assert alpha.dtype == np.float32
        assert 0 <= alpha.min() < alpha.max() <= 1
        assert np.array_equal(alpha, segmenter.segment(noise(), hint))


def test_coordinates_and_picture_are_those_of_transformers_own_processor(weights):
    """A picture of the model's own size and no more steps: the same logits as the network asked directly."""
    segmenter = load_sam(weights, {"config": TINY})
    picture = noise(64, 64)
    alpha = segmenter.segment(picture, Box(8, 16, 40, 56))
    network = SamModel(SamConfig(**TINY)).eval()
    network.load_state_dict(segmenter._network.state_dict())
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = torch.from_numpy(((picture / 255 - mean) / deviation).transpose(2, 0, 1)[None]).float()
    with torch.inference_mode():
        answer = network(pixel_values=pixels, input_boxes=torch.tensor([[[8.0, 16.0, 40.0, 56.0]]]))
        best = answer.iou_scores[0, 0].argmax()
        logits = torch.nn.functional.interpolate(answer.pred_masks[:, 0], 64, mode="bilinear")[0, best]
    assert np.allclose(alpha, torch.sigmoid(logits).numpy(), atol=2e-3)


class Left:
    """Says that the object is the left half of its box."""

    def segment(self, crop, hint):
        alpha = np.zeros(crop.shape[:2], np.float32)
        alpha[hint.top : hint.bottom, hint.left : (hint.left + hint.right) // 2] = 1
        return alpha


def test_masks_of_objects_come_from_the_model():
    box = Box(20, 20, 60, 44)
    detection = Detection("object", 1.0, box, np.ones((24, 40), np.float32), "given_box")
    config = load_config(overrides=["mask.given=refine", "mask.feather_sigma_px=0", "mask.object_margin_share=0"])
    flat = np.full((80, 100, 3), 120, np.uint8)
    job = Job("a", Image(flat, flat, Carried("PNG", "image/png", "RGB"), b""))
    (region,) = build_masks([job], [[detection]], config.mask, ByModel(Left()))[0]
    assert region.box == Box(20, 20, 40, 44)


def test_the_plan_loads_it_where_the_configuration_names_it(config):
    found = Plan.load(config).segmenter
    assert isinstance(found, ByModel)
    assert isinstance(found.model, SamSegmenter)
    assert isinstance(Plan.load(load_config(overrides=["mask.segmenter=''"])).segmenter, GrabCut)


def test_weights_of_another_size_are_named(weights):
    with pytest.raises(ModelError, match=r"options\.config must say what differs"):
        load_sam(weights, {})
    with pytest.raises(ModelError, match="does not hold the weights"):
        load_sam(Path(__file__), {"config": TINY})
