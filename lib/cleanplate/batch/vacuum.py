"""Removes files that nothing needs: objects that no run owns, table files older than the retention."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cleanplate.errors import ContractError, StorageError
from cleanplate.spark.session import SPARK_ERRORS
from cleanplate.warehouse.events import Event, run_state
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import ROLLBACK_DAYS, TABLES
from cleanplate.warehouse.tables import reason_of

if TYPE_CHECKING:
    from cleanplate.warehouse.objects import StoredObject
    from cleanplate.warehouse.tables import Warehouse

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VacuumReport:
    """What went, or would go.

    Attributes:
        objects: URIs of the objects, in order.
        size_bytes: of the objects together.
        tables: the tables that Delta's VACUUM ran on.
    """

    objects: tuple[str, ...]
    size_bytes: int
    tables: tuple[str, ...]


def vacuum(
    warehouse: Warehouse,
    retention_days: float | None = None,
    dry_run: bool = False,
    tables: Sequence[str] = tuple(TABLES),
) -> VacuumReport:
    """Removes objects of runs that the ledger does not know or has purged, and outdated files of the tables.

    Objects of any other run stay, also of aborted and rolled back ones (a purge removes those). Of an unknown run
    only what is older than the retention goes, so that nothing being written is lost.

    Args:
        warehouse: the warehouse.
        retention_days: how long files are kept; the rollback window where None.
        dry_run: only report.
        tables: which tables.

    Raises:
        ContractError: the retention is shorter than the rollback window.
        StorageError: something cannot be listed or deleted.
    """
    days = ROLLBACK_DAYS if retention_days is None else retention_days
    if days < ROLLBACK_DAYS:
        raise ContractError(
            f"a retention of {days:g} days would break the rollback window of {ROLLBACK_DAYS} days: give "
            f"{ROLLBACK_DAYS} or more"
        )
    # Listed before the ledger is read: a run's first event is older than its first object.
    stored = warehouse.objects.list()
    orphans = _orphans(stored, Ledger(warehouse).events(), datetime.now(timezone.utc) - timedelta(days=days))
    if not dry_run:
        for item in orphans:
            warehouse.objects.delete(item)
        for table in tables:
            _vacuum_table(warehouse, table, days)
    names = () if dry_run else tuple(tables)
    return VacuumReport(tuple(item.uri for item in orphans), sum(item.size_bytes for item in orphans), names)


def _orphans(stored: Sequence[StoredObject], events: Sequence[Event], before: datetime) -> list[StoredObject]:
    states = {(e.batch_id, e.run_id): run_state(events, e.batch_id, e.run_id) for e in events}

    def is_orphan(item: StoredObject) -> bool:
        state = states.get((item.batch, item.run))
        return state == "purged" or (state is None and item.modified < before)

    return [item for item in stored if is_orphan(item)]


def _vacuum_table(warehouse: Warehouse, table: str, days: float) -> None:
    name = warehouse.name(table)
    try:
        if table == "ledger":
            _compact(warehouse, name)
        warehouse.spark.sql(f"VACUUM {name} RETAIN {round(days * 24)} HOURS").collect()
    except SPARK_ERRORS as error:
        raise StorageError(f"cannot vacuum {name}: {reason_of(error)}") from error


def _compact(warehouse: Warehouse, name: str) -> None:
    """The ledger grows by one small file per event; many are slow to read."""
    try:
        warehouse.spark.sql(f"OPTIMIZE {name}").collect()
    except SPARK_ERRORS as error:
        logger.info("%s was not compacted, the next vacuum tries again: %s", name, reason_of(error))
