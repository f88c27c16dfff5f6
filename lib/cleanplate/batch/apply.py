"""Makes verdicts count: originals for what was rejected, results for what was accepted, each as a layer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812  (the name Spark's own documentation uses)

from cleanplate.batch.publish import publish
from cleanplate.batch.reviews import read_reviews
from cleanplate.batch.undo import undo
from cleanplate.batch.verdicts import ACCEPT, REJECT, Standing, standings
from cleanplate.warehouse.events import OPEN_STATES, Event, is_aside, last_of, run_state
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import RUN_TABLES, TABLES, where

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse


@dataclass(frozen=True)
class Applied:
    """What came of the verdicts of a batch; each a tuple of image_ids.

    Attributes:
        restored: rejected: their originals are shown again.
        shown: accepted though the verifier had not let them through: their results are shown now.
        corrected: accepted with a corrected mask: the layer's result is shown.
        dropped: cleaned again and rejected: the layer was given up.
        conflicts: reviewers disagree: nothing was done.
        waiting: their run is not published yet: they count after its publication.
    """

    restored: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    def in_words(self) -> str:
        """One line."""
        names = {
            "restored": "rejected, originals shown again", "shown": "accepted and shown now",
            "corrected": "shown with corrected masks", "dropped": "corrections given up",
            "conflicts": "in conflict between reviewers, left as they are",
            "waiting": "of a run that is not published yet",
        }  # fmt: skip
        said = [f"{len(getattr(self, name))} {words}" for name, words in names.items() if getattr(self, name)]
        return "; ".join(said) or "no verdict changes what is shown"


def apply_verdicts(warehouse: Warehouse, batch_id: str, who: str = "", note: str = "") -> Applied:
    """Brings what a batch shows in line with its reviewers' verdicts; doing it again changes nothing.

    Only verdicts on what is shown now count: those on a run that is held wait for its publication, those on a run
    that was taken back have nothing to do. Reviewers who disagree about a result leave it as it is.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        who: who publishes.
        note: for the ledger.

    Raises:
        ContractError: another writer of the batch came first, or an original cannot be brought back.
        StorageError: something cannot be read or written.
    """
    decided = standings(read_reviews(warehouse, batch_id))
    if not decided:
        return Applied()
    events = Ledger(warehouse).events(batch_id)
    corrected, dropped = _settle_asides(warehouse, batch_id, events, decided, who)
    open_runs = {run for run, _ in decided if run_state(events, batch_id, run) in OPEN_STATES}
    open_runs -= {event.run_id for event in events if is_aside(event)}
    shown = _shown_rows(warehouse, batch_id, {image for _, image in decided} - set(corrected))
    rejected = [image for image, row in shown.items() if _is(decided, row, REJECT) and row["status"] == "cleaned"]
    accepted = [image for image, row in shown.items() if _is(decided, row, ACCEPT) and _is_held_back(row)]
    if rejected:
        undo(warehouse, sorted(rejected), who=who, note=note or "rejected by review")
    if accepted:
        _show(warehouse, batch_id, [shown[image] for image in sorted(accepted)], who, note or "accepted by review")
    return Applied(
        restored=tuple(sorted(rejected)),
        shown=tuple(sorted(accepted)),
        corrected=tuple(corrected),
        dropped=tuple(dropped),
        conflicts=tuple(sorted({image for (_, image), found in decided.items() if found.decision == "conflict"})),
        waiting=tuple(sorted({image for run, image in decided if run in open_runs})),
    )


def _is(decided: Mapping[tuple[str, str], Standing], row: Mapping[str, Any], decision: str) -> bool:
    standing = decided.get((row["run_id"], row["image_id"]))
    return standing is not None and standing.decision == decision


def _is_held_back(row: Mapping[str, Any]) -> bool:
    """Whether a result was written that the verifier did not let through."""
    return row["status"] == "review" and row["result_uri"] not in (None, row["uri"])


def _shown_rows(warehouse: Warehouse, batch_id: str, image_ids: set[str]) -> dict[str, dict[str, Any]]:
    columns = ("image_id", "run_id", "wave", "status", "uri", "result_uri", "config_hash")
    rows = warehouse.current("results").where((F.col("batch_id") == batch_id) & F.col("image_id").isin(*image_ids))
    return {row["image_id"]: row.asDict() for row in rows.select(*columns).collect()} if image_ids else {}


def _settle_asides(
    warehouse: Warehouse,
    batch_id: str,
    events: Sequence[Event],
    decided: Mapping[tuple[str, str], Standing],
    who: str,
) -> tuple[list[str], list[str]]:
    """Publishes the accepted layers that wait for a verdict, and gives up those that were rejected or outlived."""
    shown, dropped = [], []
    for event in _waiting_layers(events):
        scope = json.loads(event.scope)
        standing = decided.get((event.run_id, scope["image_id"]), Standing())
        below = run_state(events, batch_id, scope["over"])
        if standing.decision == ACCEPT and below == "published":
            _publish_aside(warehouse, event, who)
            shown.append(scope["image_id"])
        elif standing.decision == REJECT or below not in ("published", *OPEN_STATES):
            note = "rejected by review" if standing.decision == REJECT else f"{scope['over']} is {below}"
            Ledger(warehouse).record(batch_id, event.run_id, "abort", who=who, note=note)
            dropped.append(scope["image_id"])
    return shown, dropped


def _waiting_layers(events: Sequence[Event]) -> list[Event]:
    runs = sorted({event.run_id for event in events if is_aside(event)})
    lasts = [last_of(events, events[0].batch_id, run) for run in runs]
    return [event for event in lasts if event is not None and event.state == "held"]


def _publish_aside(warehouse: Warehouse, event: Event, who: str) -> None:
    note = f"corrected mask of {json.loads(event.scope)['image_id']} accepted by review"
    Ledger(warehouse).record(event.batch_id, event.run_id, "approve", who=who, note=note, counts=event.counts)
    publish(warehouse, event.batch_id, event.run_id, who=who, note=note, counts=event.counts)


def _show(warehouse: Warehouse, batch_id: str, rows: Sequence[Mapping[str, Any]], who: str, note: str) -> Event:
    """Copies rows that were held back into a layer that shows them."""
    ledger = Ledger(warehouse)
    base = last_of(ledger.events(batch_id), batch_id, rows[0]["run_id"])
    started = ledger.start_run(
        batch_id, "layer", beside_open=True, who=who, note=note,
        manifest_version=base.manifest_version if base else None, config_hash=base.config_hash if base else "",
        config_text=base.config_text if base else "", model_hashes=base.model_hashes if base else {},
    )  # fmt: skip
    chosen = F.broadcast(warehouse.spark.createDataFrame(
        [(row["run_id"], row["wave"], row["image_id"]) for row in rows], "run_id string, wave int, image_id string"
    ))  # fmt: skip
    for table in RUN_TABLES:
        copied = warehouse.frame(table).where(where(batch_id=batch_id)).join(chosen, ["run_id", "wave", "image_id"])
        copied = copied.withColumn("run_id", F.lit(started.run_id)).withColumn("wave", F.lit(0))
        if table == "results":
            copied = copied.withColumn("status", F.lit("cleaned"))
        columns = TABLES[table].schema.fieldNames()
        warehouse.replace(copied.select(*columns), table, where(batch_id=batch_id, run_id=started.run_id, wave=0))
    return publish(warehouse, batch_id, started.run_id, who=who, note=note, counts={"cleaned": len(rows)})
