"""The warehouse as a review sees it: read once by Spark, then answered from memory."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.batch.apply import apply_verdicts
from cleanplate.batch.rerun import Correction, run_again
from cleanplate.batch.reviews import append_reviews, read_reviews
from cleanplate.batch.verdicts import Review
from cleanplate.config import Config
from cleanplate.errors import CleanplateError, ContractError
from cleanplate.guard import make_codec
from cleanplate.rollout.judgement import Judgement
from cleanplate.rollout.preference import strata_of
from cleanplate.rollout.queue import SAMPLE_DIGITS, Facts, QueueEntry, build_queue, worst_of_gates
from cleanplate.rollout.review_store import Candidate, ReviewItem
from cleanplate.rollout.sample import always_ids, sample_order
from cleanplate.rollout.views import TOUCHED
from cleanplate.warehouse.events import OPEN_STATES, Event, is_aside, last_of
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.sources import read_source
from cleanplate.warehouse.tables import Warehouse

logger = logging.getLogger(__name__)
_KEY = ("batch_id", "run_id", "wave", "image_id")
_COLUMNS = (*_KEY, "status", "confidence", "uri", "result_uri", "result_sha256", "width", "height", "error_stage",
            "error_message")  # fmt: skip


class WarehouseStore:
    """The queue of one batch or of all, over a warehouse."""

    def __init__(self, warehouse: Warehouse, config: Config, batch_id: str | None = None) -> None:
        """Names the place; `load_queue` or `load_pair` reads it.

        Args:
            warehouse: the warehouse.
            config: its sections "review" and "source" count.
            batch_id: the batch; None for all.
        """
        self._warehouse, self._config, self._batch_id = warehouse, config, batch_id
        self._limits = config.source.model_copy(update={"allowed_roots": ()})
        self._codec = make_codec(self._limits, 2)
        self._items: list[ReviewItem] = []
        self._places: dict[tuple[str, str | None], str] = {}

    def load_queue(self) -> WarehouseStore:
        """Reads what waits for a person: results that are shown, and those of a run that is open.

        Raises:
            ContractError: there is no such batch, or nothing of it was cleaned yet.
        """
        events = Ledger(self._warehouse).events(self._batch_id)
        asides = [event.run_id for event in _last_events(events) if is_aside(event) and event.state in OPEN_STATES]
        if not events:
            raise ContractError(f"nothing was cleaned of {self._batch_id or self._warehouse.location} yet")
        results, masks = self._under_review(asides)
        worst = _worst(events)
        drifting = _drifting(events)
        rows = self._qualifying(results, masks, worst, drifting)
        facts = [_facts(row, scores, row["run_id"] in drifting) for row, scores in rows]
        entries = build_queue(facts, self._config.review, worst, self._config.rollout.drift_confidence)
        first = {row["image_id"]: row for row, _ in rows}
        self._items = self._with_candidates(entries, first, self._rows_of(asides))
        return self

    def load_pair(self, run_a: str, run_b: str) -> WarehouseStore:
        """Reads the sample of an A/B comparison: images whose results differ between two runs, by strata.

        The labelled images of rollout.always come first, as far as their results differ, also beyond review.ab_images.

        Raises:
            ConfigError: rollout.always cannot be read.
            ContractError: the runs have no image in common whose results differ.
        """
        pairs = {run: {row["image_id"]: row for row in self._rows_of([run])} for run in (run_a, run_b)}
        both = [
            image for image, row in pairs[run_a].items()
            if image in pairs[run_b] and row["result_sha256"] != pairs[run_b][image]["result_sha256"]
        ]  # fmt: skip
        if not both:
            raise ContractError(f"no image has different results in {run_a} and {run_b}: there is nothing to compare")
        strata = strata_of(self._strata_rows(run_a, both))
        labelled, most = always_ids(self._config.rollout.always), self._config.review.ab_images
        ranks = sample_order(both, [strata[image] for image in both], f"{run_a}/{run_b}", most)
        drawn = [both[place] for place in np.argsort(ranks)]
        always = [image for image in drawn if image in labelled]
        chosen = always + [image for image in drawn if image not in labelled][: max(0, most - len(always))]
        self._items = [
            self._item(pairs[run_a][image], ("A/B",), [pairs[run_a][image], pairs[run_b][image]], {}, {})
            for image in chosen
        ]
        return self

    def items(self) -> Sequence[ReviewItem]:
        """The queue, in its order."""
        return self._items

    def picture(self, item: ReviewItem, run_id: str | None) -> NDArray[np.uint8] | None:
        """Pixels (H, W, 3), RGB, upright, of a run's result or of the original; None where they cannot be read."""
        uri = self._places.get((item.key, run_id))
        try:
            return self._codec.decode(read_source(uri, self._limits)).rgb if uri else None
        except CleanplateError as error:
            logger.warning("%s of %s: %s", run_id or "the original", item.image_id, error)
            return None

    def reviews(self) -> Sequence[Review]:
        """All verdicts so far, without their masks."""
        return read_reviews(self._warehouse, self._batch_id)

    def add(self, reviews: Sequence[Review]) -> int:
        """Appends verdicts; those that are there already are not added again."""
        return append_reviews(self._warehouse, reviews)

    def run_again(self, item: ReviewItem, mask_png: bytes, reviewer: str) -> Candidate:
        """Cleans the image as a layer that is held until a verdict on it is published."""
        over = item.candidates[0].run_id
        event = run_again(self._warehouse, Correction(item.batch_id, item.image_id, over, mask_png, reviewer))
        rows = self._rows_of([event.run_id])
        return self._item(rows[0], (), rows, *self._details(rows)).candidates[0]

    def publish(self, who: str) -> str:
        """Makes the verdicts of all batches of the queue count."""
        batches = [self._batch_id] if self._batch_id else sorted({item.batch_id for item in self._items})
        done = {batch: apply_verdicts(self._warehouse, batch, who).in_words() for batch in batches}
        return "; ".join(words if self._batch_id else f"{batch}: {words}" for batch, words in done.items())

    def close(self) -> None:
        """Ends the codec's processes."""
        self._codec.close()

    def _under_review(self, asides: Sequence[str]) -> tuple[DataFrame, DataFrame]:
        """Results and masks: of an image in an open run that one's, else what is shown."""
        tables = {}
        for table in ("results", "masks"):
            preview = self._mine(self._warehouse.preview(table)).where(~F.col("run_id").isin(*asides))
            tables[table] = (preview, self._mine(self._warehouse.current(table)))
        results, current = tables["results"]
        fresh = results.select("image_id").distinct()
        shown = [frame.join(F.broadcast(fresh), "image_id", "left_anti") for frame in (current, tables["masks"][1])]
        both = results.select(*_COLUMNS).unionByName(shown[0].select(*_COLUMNS))
        light = (*_KEY, "kind", "score", "decision")
        return both, tables["masks"][0].select(*light).unionByName(shown[1].select(*light))

    def _qualifying(
        self, results: DataFrame, masks: DataFrame, worst: Mapping[str, str], drifting: Collection[str]
    ) -> list[tuple[dict[str, Any], list[tuple[str, float]]]]:
        """The rows that may belong to the queue, each with its ambiguous scores; the rest stays in the tables."""
        config, more = self._config.review, self._config.rollout.drift_confidence
        asked = F.lit(config.below_confidence) + F.when(F.col("run_id").isin(*drifting), more).otherwise(0.0)
        inside = F.col("score").between(config.ambiguous_from, config.ambiguous_to) & F.col("decision").isin(*TOUCHED)
        found = masks.where(inside).groupBy(*_KEY).agg(F.collect_list(F.struct("kind", "score")).alias("scores"))
        chosen = (
            (F.col("status") == "review")
            | ((F.col("status") == "refused") & (F.col("error_stage") == "rights"))
            | ((F.col("status") == "cleaned") & (F.col("confidence") < asked))
            | F.col("scores").isNotNull()
            | F.col("image_id").isin(*worst)
            | _sampled(config.sample_share)
        )
        rows = results.join(found, list(_KEY), "left").where(chosen).collect()
        return [(row.asDict(), [(pair["kind"], pair["score"]) for pair in row["scores"] or ()]) for row in rows]

    def _rows_of(self, runs: Sequence[str]) -> list[dict[str, Any]]:
        """The last results of some runs."""
        if not runs:
            return []
        rows = self._mine(self._warehouse.frame("results")).where(F.col("run_id").isin(*runs)).select(*_COLUMNS)
        last = {(row["run_id"], row["image_id"]): row.asDict() for row in sorted(rows.collect(), key=_wave)}
        return [last[key] for key in sorted(last)]

    def _strata_rows(self, run_id: str, image_ids: Sequence[str]) -> list[dict[str, Any]]:
        manifest = self._mine(self._warehouse.frame("manifest")).where(F.col("image_id").isin(*image_ids))
        kinds = self._mine(self._warehouse.frame("masks")).where(F.col("run_id") == run_id)
        kinds = kinds.groupBy("image_id").agg(F.collect_set("kind").alias("kinds"))
        rows = manifest.join(kinds, "image_id", "left").select("image_id", "strata", "kinds").collect()
        return [row.asDict(recursive=True) for row in rows]

    def _with_candidates(
        self, entries: Sequence[QueueEntry], first: Mapping[str, dict[str, Any]], asides: Sequence[dict[str, Any]]
    ) -> list[ReviewItem]:
        again = _grouped(asides)
        chosen = [[first[entry.facts.image_id], *again[entry.facts.image_id]] for entry in entries]
        masks, metrics = self._details([row for rows in chosen for row in rows])
        return [
            self._item(rows[0], entry.reasons, rows, masks, metrics)
            for entry, rows in zip(entries, chosen, strict=True)
        ]

    def _details(self, rows: Sequence[Mapping[str, Any]]) -> tuple[dict[Any, list[Any]], dict[Any, list[Any]]]:
        """The masks and the metrics of results, by their keys."""
        keys = [tuple(row[name] for name in _KEY) for row in rows]
        if not keys:
            return {}, {}
        wanted = F.broadcast(
            self._warehouse.spark.createDataFrame(keys, "batch_id string, run_id string, wave int, image_id string")
        )
        masks = self._warehouse.frame("masks").join(wanted, list(_KEY)).orderBy("region_id")
        metrics = self._warehouse.frame("metrics").join(wanted, list(_KEY)).where("region_id IS NULL")
        return _by_key(masks), _by_key(metrics)

    def _item(
        self,
        row: Mapping[str, Any],
        reasons: tuple[str, ...],
        rows: Sequence[Mapping[str, Any]],
        masks: Mapping[Any, list[Any]],
        metrics: Mapping[Any, list[Any]],
    ) -> ReviewItem:
        candidates = tuple(_candidate(found, masks, metrics) for found in rows)
        item = ReviewItem(row["batch_id"], row["image_id"], reasons, candidates)
        self._places[(item.key, None)] = row["uri"]
        for found in rows:
            self._places[(item.key, found["run_id"])] = found["result_uri"] or found["uri"]
        return item

    def _mine(self, frame: DataFrame) -> DataFrame:
        return frame if self._batch_id is None else frame.where(F.col("batch_id") == self._batch_id)


def _sampled(share: float) -> Column:
    """The same draw as `queue.is_sampled`, in the tables' own language."""
    digest = F.sha2(F.concat_ws("/", "batch_id", "image_id"), 256)
    number = F.conv(F.substring(digest, 1, SAMPLE_DIGITS), 16, 10).cast("long")
    return number < F.lit(share * 16**SAMPLE_DIGITS)


def _last_events(events: Sequence[Event]) -> list[Event]:
    runs = sorted({(event.batch_id, event.run_id) for event in events})
    found = [last_of(events, batch, run) for batch, run in runs]
    return [event for event in found if event is not None]


def _worst(events: Sequence[Event]) -> dict[str, str]:
    """The worst images of the gates that failed in runs that are open or shown."""
    found: dict[str, str] = {}
    for gates in _last_gates(events).values():
        found |= worst_of_gates(gates)
    return found


def _drifting(events: Sequence[Event]) -> set[str]:
    """The runs that are open or shown and whose last judgement found a drift."""
    return {run_id for run_id, gates in _last_gates(events).items() if Judgement.from_json(gates).drift}


def _last_gates(events: Sequence[Event]) -> dict[str, str]:
    """What was judged last of each run that is open or shown, by run."""
    open_runs = [event.run_id for event in _last_events(events) if event.state in ("running", "held", "published")]
    judged = {event.run_id: event.gates for event in events if event.gates}
    return {run_id: judged[run_id] for run_id in open_runs if run_id in judged}


def _facts(row: Mapping[str, Any], scores: Sequence[tuple[str, float]], drifts: bool) -> Facts:
    return Facts(
        batch_id=row["batch_id"],
        image_id=row["image_id"],
        run_id=row["run_id"],
        status=row["status"],
        confidence=1.0 if row["confidence"] is None else row["confidence"],
        message=row["error_message"] or "",
        is_gated=row["status"] == "refused" and row["error_stage"] == "rights",
        scores=scores,
        drifts=drifts,
    )


def _candidate(
    row: Mapping[str, Any], masks: Mapping[Any, list[Any]], metrics: Mapping[Any, list[Any]]
) -> Candidate:
    key = tuple(row[name] for name in _KEY)
    return Candidate(
        run_id=row["run_id"],
        status=row["status"],
        confidence=1.0 if row["confidence"] is None else row["confidence"],
        width=row["width"] or 0,
        height=row["height"] or 0,
        reason=": ".join(str(row[name]) for name in ("error_stage", "error_message") if row[name]),
        is_edited=row["result_uri"] not in (None, row["uri"]),
        regions=tuple(masks.get(key, ())),
        metrics={metric["name"]: metric["value"] for metric in metrics.get(key, ())},
    )


def _by_key(frame: DataFrame) -> dict[Any, list[dict[str, Any]]]:
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in frame.collect():
        found[tuple(row[name] for name in _KEY)].append(row.asDict(recursive=True))
    return found


def _grouped(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["image_id"]].append(row)
    return found


def _wave(row: Any) -> int:
    return int(row["wave"])
