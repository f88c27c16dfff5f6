"""Collects the figures of an audit report: Spark aggregates where the rows are, only small tables come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses
from pyspark.sql.window import Window

from cleanplate.batch.limits import limits_of
from cleanplate.batch.recurring import template_of
from cleanplate.errors import ContractError
from cleanplate.records import Template
from cleanplate.rollout.arms import ArmDifference, arms_of_run
from cleanplate.rollout.audit import (
    ACCEPT,
    REJECT,
    Audit,
    KindRow,
    MarkRow,
    RouteRow,
    Share,
    TrendPoint,
    drift_lines,
    gate_rows,
)
from cleanplate.rollout.gather import entries_of
from cleanplate.rollout.page import PageEntry
from cleanplate.warehouse.events import Event, last_of, open_run_of
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.tables import Warehouse

WORST_IMAGES = 12
MOST_TRENDS = 50
KEYS = ["run_id", "wave", "image_id"]
_COST = "aggregate(attempts, 0D, (total, attempt) -> total + coalesce(attempt.cost_units, 0D))"
_UNSURE = ("review", "failed")


@dataclass(frozen=True)
class _Scope:
    """What a report is about: the runs of a batch, and of each image the row that counts among them."""

    warehouse: Warehouse
    batch_id: str
    runs: tuple[str, ...]

    def rows(self) -> DataFrame:
        """One row per image: of the topmost run, a settled one before one that failed, as `current.sql` does."""
        place = Window.partitionBy("image_id").orderBy(
            F.col("status").isin(*_UNSURE), self._position().desc(), F.col("wave").desc()
        )
        mine = self.of("results").withColumn("place", F.row_number().over(place))
        return mine.where("place = 1").drop("place")

    def of(self, table: str) -> DataFrame:
        """Rows of a table of these runs."""
        mine = (F.col("batch_id") == self.batch_id) & F.col("run_id").isin(*self.runs)
        return self.warehouse.frame(table).where(mine)

    def beside(self, table: str) -> DataFrame:
        """Rows of masks or metrics of the rows that count."""
        return self.of(table).join(self.rows().select(*KEYS), KEYS, "left_semi")

    def _position(self) -> Column:
        return F.array_position(F.array(*[F.lit(run) for run in self.runs]), F.col("run_id"))


def gather_audit(warehouse: Warehouse, batch_id: str) -> Audit:
    """All figures of a batch.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.

    Raises:
        ContractError: nothing was run on the batch.
    """
    events = Ledger(warehouse).events()
    mine = [event for event in events if event.batch_id == batch_id]
    runs, standing = _subject(mine, batch_id)
    scope = _Scope(warehouse, batch_id, runs)
    with ThreadPoolExecutor(4) as pool:  # each is a query of its own

        def later(function: Callable[[_Scope], Any]) -> Callable[[], Any]:
            return pool.submit(function, scope).result

        images, statuses, touched = later(_images), later(_statuses), later(_touched)
        enhanced, synthetic = later(_enhanced), later(_synthetic)
        kinds, marks, routes, seconds = later(_kinds), later(_marks), later(_routes), later(_seconds)
        reviews, arms, trends, worst = later(_reviews), later(_arms), later(_trends), later(_worst_rows)
        accepted, verdicts = reviews()
        return Audit(
            batch_id=batch_id,
            runs=runs,
            standing=standing,
            images=images(),
            statuses=statuses(),
            touched=touched()[0],
            coverage=touched()[1],
            enhanced=enhanced(),
            synthetic=synthetic(),
            kinds=kinds(),
            marks=marks(),
            routes=routes(),
            seconds=seconds(),
            accepted=accepted,
            verdicts=verdicts,
            gates=gate_rows(mine),
            drift=drift_lines(mine),
            arms=arms(),
            trends=trends(),
            worst=_worst(scope, worst(), mine),
            events=mine,
        )


def _subject(events: Sequence[Event], batch_id: str) -> tuple[tuple[str, ...], str]:
    """The runs that the report is about, and how they stand."""
    last, opened = last_of(events, batch_id), open_run_of(events, batch_id)
    if last is None:
        raise ContractError(f"nothing was run on batch {batch_id!r}: `cleanplate clean --batch {batch_id}` first")
    if last.active_runs:
        runs = tuple(run.run_id for run in last.active_runs)
        beside = f"; run {opened.run_id} is {opened.state}" if opened else ""
        return runs, f"published: {', '.join(runs)} {'is' if len(runs) == 1 else 'are'} shown{beside}"
    if opened is not None:
        return (opened.run_id,), f"run {opened.run_id} is {opened.state}; nothing of the batch is shown yet"
    return (last.run_id,), f"run {last.run_id} is {last.state.replace('_', ' ')}; the originals are shown"


def _images(scope: _Scope) -> int:
    return scope.warehouse.frame("manifest").where(F.col("batch_id") == scope.batch_id).count()


def _statuses(scope: _Scope) -> dict[str, int]:
    return {row["status"]: row["count"] for row in scope.rows().groupBy("status").count().collect()}


def _touched(scope: _Scope) -> tuple[int, float | None]:
    """Images whose shown pixels were changed, and the mean share of their pixels under the masks."""
    cleaned = scope.rows().where("status = 'cleaned'").select(*KEYS)
    coverage = scope.of("metrics").where("name = 'mask_coverage' AND region_id IS NULL").select(*KEYS, "value")
    row = cleaned.join(coverage, KEYS, "left").agg(F.count("*").alias("images"), F.avg("value").alias("share")).first()
    return (int(row["images"]), row["share"]) if row else (0, None)


def _enhanced(scope: _Scope) -> dict[str, int]:
    """Images by the step that ran over the whole of them."""
    steps = scope.rows().select("image_id", F.explode("enhancements.name").alias("step")).distinct()
    return {row["step"]: row["count"] for row in steps.groupBy("step").count().orderBy("step").collect()}


def _synthetic(scope: _Scope) -> int:
    return scope.rows().where("synthetic").count()


def _kinds(scope: _Scope) -> list[KindRow]:
    """Regions by kind, the most frequent first."""
    masks = scope.beside("masks")
    grouped = masks.groupBy("kind", "decision").count().collect()
    facts = masks.groupBy("kind").agg(
        F.count_distinct("image_id").alias("images"), F.count("*").alias("regions"), _confidence()
    )
    rows = [
        KindRow(
            row["kind"], row["images"], row["regions"],
            {part["decision"]: part["count"] for part in grouped if part["kind"] == row["kind"]}, row["confidence"],
        )
        for row in facts.collect()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row.regions, row.kind))


def _marks(scope: _Scope) -> list[MarkRow]:
    """The recurring marks of these runs, those on the most images first."""
    key = ["run_id", "mark_id"]
    carried = scope.beside("masks").where("mark_id IS NOT NULL")
    grouped = carried.groupBy(*key, "decision").count().collect()
    facts = {
        (row["run_id"], row["mark_id"]): row
        for row in carried.groupBy(*key).agg(F.count_distinct("image_id").alias("images"), _confidence()).collect()
    }
    rows = []
    for row in scope.of("marks").collect():
        own = (row["run_id"], row["mark_id"])
        found = facts.get(own)
        rows.append(
            MarkRow(
                row["mark_id"], row["run_id"], row["kind"], _template(row),
                row["support"], len(row["images"] or ()), found["images"] if found else 0,
                {part["decision"]: part["count"] for part in grouped if (part["run_id"], part["mark_id"]) == own},
                found["confidence"] if found else None,
            )
        )  # fmt: skip
    return sorted(rows, key=lambda row: (-row.images, row.run_id, row.mark_id))


def _template(row: Row) -> Template | None:
    try:
        return template_of(row.asDict())
    except ContractError:  # a report about it is still one
        return None


def _routes(scope: _Scope) -> list[RouteRow]:
    """Regions by engine, the most frequent first."""
    tried = scope.beside("masks").where("engine IS NOT NULL AND decision IN ('filled', 'review')")
    grouped = tried.withColumn("cost", F.expr(_COST)).groupBy("engine").agg(
        F.count("*").alias("regions"),
        F.count_if(F.col("decision") == "review").alias("review"),
        _confidence(),
        F.avg(F.size("attempts")).alias("attempts"),
        F.sum("cost").alias("cost"),
    )
    rows = [
        RouteRow(r["engine"], r["regions"], r["review"], r["confidence"], r["attempts"], r["cost"] or 0.0)
        for r in grouped.collect()
    ]
    return sorted(rows, key=lambda row: (-row.regions, row.engine))


def _confidence() -> Column:
    return F.avg(F.when(F.col("decision").isin("filled", "review"), F.col("confidence"))).alias("confidence")


def _seconds(scope: _Scope) -> dict[str, float]:
    """Seconds by stage, the longest first."""
    stages = scope.rows().select(F.explode("timings").alias("stage", "seconds"))
    rows = stages.groupBy("stage").agg(F.sum("seconds").alias("seconds")).collect()
    return dict(sorted(((row["stage"], row["seconds"]) for row in rows), key=lambda pair: (-pair[1], pair[0])))


def _reviews(scope: _Scope) -> tuple[Share, dict[str, int]]:
    """Accepted images of those with a decision, by the last one of each reviewer; and all verdicts by name."""
    rows = scope.of("reviews")
    verdicts = {row["verdict"]: row["count"] for row in rows.groupBy("verdict").count().collect()}
    decided = rows.where(F.col("verdict").isin(ACCEPT, REJECT))
    last = decided.groupBy("run_id", "image_id", "reviewer").agg(F.max_by("verdict", "at").alias("verdict"))
    images = last.groupBy("image_id").agg(F.bool_or(F.col("verdict") == REJECT).alias("rejected"))
    row = images.agg(F.count("*").alias("all"), F.count_if(~F.col("rejected")).alias("good")).first()
    return (Share(int(row["good"]), int(row["all"])) if row else Share(0, 0)), dict(sorted(verdicts.items()))


def _arms(scope: _Scope) -> list[ArmDifference]:
    """B against A in the topmost run that has both; [] where none has."""
    found = (arms_of_run(scope.warehouse, scope.batch_id, run) for run in reversed(scope.runs))
    return next((differences for differences in found if differences), [])


def _trends(scope: _Scope) -> list[TrendPoint]:
    """The batches of the warehouse that show something, in the order of their publication; the last fifty."""
    results = scope.warehouse.current("results")
    judged = F.col("status").isin("cleaned", "review")
    shown = results.groupBy("batch_id").agg(
        F.max("publish_seq").alias("publish_seq"), F.count("*").alias("images"),
        F.avg((F.col("status") == "cleaned").cast("double")).alias("touched"),
        F.avg((F.col("status") == "review").cast("double")).alias("in review"),
        F.avg((F.col("status") == "failed").cast("double")).alias("failed"),
        F.avg(F.when(judged, F.col("confidence"))).alias("confidence"),
    )  # fmt: skip
    text = scope.warehouse.current("metrics").where("name = 'residual_text' AND region_id IS NULL")
    costs = scope.warehouse.current("masks").withColumn("cost", F.expr(_COST))
    whole = (
        shown.join(text.groupBy("batch_id").agg(F.avg("value").alias("residual text")), "batch_id", "left")
        .join(costs.groupBy("batch_id").agg(F.sum("cost").alias("cost")), "batch_id", "left")
        .withColumn("cost per 1,000 images", 1000 * F.col("cost") / F.col("images"))
    )
    names = ("touched", "in review", "failed", "confidence", "residual text", "cost per 1,000 images")
    rows = whole.orderBy(F.desc("publish_seq")).limit(MOST_TRENDS).collect()
    return [_point(row, names) for row in reversed(rows)]


def _point(row: Row, names: Sequence[str]) -> TrendPoint:
    return TrendPoint(row["batch_id"], row["publish_seq"], row["images"], {name: row[name] for name in names})


def _worst_rows(scope: _Scope) -> list[Row]:
    tried = scope.rows().where("status IN ('cleaned', 'review', 'failed')")
    return tried.orderBy(F.col("status") == "failed", "confidence", "image_id").limit(WORST_IMAGES).collect()


def _worst(scope: _Scope, rows: Sequence[Row], events: Sequence[Event]) -> list[PageEntry]:
    """The least sure images with their pictures."""
    chosen = [row["image_id"] for row in rows]
    masks = scope.beside("masks").where(F.col("image_id").isin(*chosen)).orderBy("region_id").collect() if rows else []
    limits = limits_of(last_of(events, scope.batch_id, scope.runs[0]))
    plain: list[Mapping[str, Any]] = [row.asDict(recursive=True) for row in rows]
    return entries_of(plain, masks, (), limits)
