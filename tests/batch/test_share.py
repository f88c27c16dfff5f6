"""The worst share of a batch: decided once, kept in the run, the same for every partition."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest

from cleanplate.batch.run import RunOptions, clean_batch
from cleanplate.batch.share import score_frames
from cleanplate.metrics.no_reference import no_reference
from cleanplate.warehouse.ledger import Ledger


@pytest.mark.slow
def test_the_worst_share_of_a_batch_is_enhanced_and_a_continued_run_decides_alike(
    warehouse, ingested, pictures, config, steps
):
    folder, _ = pictures
    rng = np.random.default_rng(4)
    for number in range(6):  # ever noisier
        path = folder / f"{number}.png"
        grain = rng.normal(0, 6 + 6 * number, (48, 64, 3))
        cv2.imwrite(str(path), np.clip(cv2.imread(str(path)) + grain, 0, 255).astype(np.uint8))
    warehouse.delete("manifest", "batch_id = 'b'")
    ingested(*sorted(path.name for path in folder.glob("*.png")))
    restricted = config.model_copy(
        update={"enhance": config.enhance.model_copy(update={"steps": ("denoise",), "worst_share": 0.5})}
    )
    report = clean_batch(warehouse, "b", restricted, RunOptions(), steps)
    assert report.counts == {"cleaned": 3, "unchanged": 3}
    scores = {n: no_reference(cv2.imread(str(folder / f"{n}.png"))[..., ::-1].copy()) for n in range(6)}
    worst = sorted(scores, key=scores.get)[:3]
    rows = {row.image_id: row for row in warehouse.current("results").collect()}
    assert {int(name) for name, row in rows.items() if row.status == "cleaned"} == set(worst)
    below = json.loads(Ledger(warehouse).events("b")[0].scope)["score_below"]
    assert sum(score < below for score in scores.values()) == 3
    assert all(f">= {below:.1f}" in row.enhance_reason for row in rows.values() if row.status == "unchanged")
    assert {row.kind for row in warehouse.current("diffs").collect()} == {"whole"}


def test_a_picture_that_cannot_be_read_does_not_count(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((16, 16, 3), 90, np.uint8))
    frame = pd.DataFrame({"uri": [str(tmp_path / "none.png"), str(tmp_path / "a.png")]})
    (found,) = score_frames({"guard": "none"}, iter([frame]))
    assert len(found) == 1
