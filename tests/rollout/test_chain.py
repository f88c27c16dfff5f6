"""The chain of one image, as text, as values and as a page, without Spark."""

import json
from datetime import datetime

import cv2
import numpy as np

from cleanplate.rollout.chain import Chain, chain_text
from cleanplate.rollout.chain_page import render_chain
from cleanplate.warehouse.events import Event

EVIL = '</pre><script>alert(1)</script>"onerror="x\' {{ 7*7 }}'
PLANE = cv2.imencode(".png", np.full((20, 40), 255, np.uint8))[1].tobytes()
REGION = {
    "region_id": 3, "kind": "overlay_text", "score": 0.93, "left": 10, "top": 20, "right": 50, "bottom": 40,
    "coverage": 0.4, "dilation_px": 2, "source": "ppocr", "transcript": EVIL, "mark_id": "m0",
    "decision": "filled", "engine": "network",
    "reason": "stroke_px 4 <= 30", "features": {"texture": 2.5, "ring_px": 120.0}, "confidence": 0.81,
    "alpha_png": PLANE, "core_png": PLANE, "confidence_png": PLANE,
    "attempts": [
        {"number": 1, "engine": "pde", "reason": "", "confidence": 0.4, "cost_units": 1.5, "scores": {"seam": 3.25},
         "failures": ["seam", "texture"]},
        {"number": 2, "engine": "network", "confidence": 0.81, "cost_units": 9.0, "scores": {}, "failures": []},
    ],
}  # fmt: skip
SOURCE = {
    "batch_id": "b", "image_id": "i", "uri": f"/photos/{EVIL}.jpg", "sha256": "ab" * 32, "bytes": 12345, "width": 120,
    "height": 80, "media_type": "image/jpeg", "rights": "owned", "regions": None, "mask_uri": None, "prompt": None,
    "arm": None, "strata": {"language": "de"},
}  # fmt: skip


def run_row(run, **values):
    known = {
        "batch_id": "b", "run_id": run, "wave": 0, "image_id": "i", "kind": "base", "state": "published",
        "status": "cleaned", "confidence": 0.81, "result_sha256": "cd" * 32, "source_sha256": "ab" * 32,
        "enhancements": [{"name": "upscale", "scale": 2, "synthetic": True, "reason": "asked for", "seconds": 1.5}],
        "enhance_reason": "no blur", "analysis": {"noise": 1.5}, "origin": "camera",
        "error_stage": None, "error_message": None, "publish_seq": 1, "shown": False,
    }  # fmt: skip
    return known | values


def chain(**values):
    before = np.full((80, 120, 3), 90, np.uint8)
    alpha = np.zeros((80, 120), np.float32)
    alpha[20:40, 10:50] = 1
    rows = [run_row("b-r0001"), run_row("b-r0002", kind="layer", publish_seq=2, shown=True, status="restored")]
    event = Event(
        "b", 1, 0, "start", "b-r0001", "running", who="ann", at=datetime(2026, 3, 1, 9), config_hash="c0ffee",
        config_text=f"seed: 4412\nremove: [{EVIL}]\n", model_hashes={"ppocr": "ef" * 32}, code_version="0.1",
    )  # fmt: skip
    known = {
        "image_id": f"i{EVIL}", "manifest": [SOURCE], "runs": rows, "detailed": rows[0], "regions": [REGION],
        "metrics": [{"region_id": 3, "name": "seam", "value": 0.5}, {"region_id": None, "name": "mask_coverage",
                     "value": 0.083}],
        "diff": {"kind": "local", "patch_bytes": 2048, "before_sha256": "11" * 32, "after_sha256": "22" * 32},
        "reviews": [{"verdict": "reject", "run_id": "b-r0001", "reviewer": "eve", "note": EVIL, "has_mask": True,
                     "at": datetime(2026, 3, 2)}],
        "events": [event], "before_rgb": before, "after_rgb": before + 20, "alpha": alpha,
    }  # fmt: skip
    return Chain(**known | values)


def test_the_text_tells_every_step():
    text = chain_text(chain())
    for words in (
        "run b-r0002 counts: restored, its original is shown", f"sha256 {'ab' * 32}", "strata: language=de",
        "3: overlay_text by ppocr, score 0.93, 40 × 20 px at 10, 20, mask covers 40 % of it, dilated by 2 px",
        "filled by network: stroke_px 4 <= 30", "features: ring_px 120, texture 2.5",
        "attempt 1: pde: confidence 0.4, cost 1.5, seam 3.25; failed: seam, texture",
        "attempt 2: network: confidence 0.81, cost 9; held up", "upscale ×2: asked for, 1.5 s, synthetic pixels",
        "source: camera; noise 1.5", "image: mask_coverage 0.083", "region 3: seam 0.5",
        "local, 2,048 bytes", "reject of run b-r0001 by eve", "with a corrected mask",
        "layer run b-r0002, wave 0, published: restored", "<- counts now", f"model ppocr: sha256 {'ef' * 32}",
        "configuration c0ffee:", "seed: 4412", "started by ann at 2026-03-01 09:00:00 UTC",
    ):  # fmt: skip
        assert words in text, words


def test_an_image_that_no_run_has_is_told_too(tmp_path):
    only = Chain("i", [SOURCE])
    text = chain_text(only)
    assert "no published run has it: its original is shown" in text
    assert "no run has the image yet" in text
    page = render_chain(only, tmp_path / "i.html").read_text()
    assert "The pictures cannot be read." in page
    assert "7 · Made with" not in page


def test_json_has_no_pictures():
    values = json.loads(json.dumps(chain().as_dict(), default=str))
    assert values["applied"]["config_text"].startswith("seed: 4412")
    assert values["regions"][0]["attempts"][0]["failures"] == ["seam", "texture"]
    assert "alpha_png" not in values["regions"][0]


def test_the_page_shows_the_pictures_and_nothing_active(tmp_path):
    text = render_chain(chain(), tmp_path / "i.html").read_text()
    assert "<script" not in text
    assert "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:;" in text
    assert text.count("<img src=\"data:image/webp;base64,") == 4 + 3, "four pictures, three cuts of the region"
    for words in ("reads “", "recurring mark m0", "attempt 2", "counts now", "2,048 bytes", "with a mask",
                  "language", "11" * 32):  # fmt: skip
        assert words in text, words
    lost = render_chain(chain(before_rgb=None, after_rgb=None), tmp_path / "lost.html").read_text()
    assert lost.count("<img src=\"data:image/webp;base64,") == 1, "the region's mask stands alone"
