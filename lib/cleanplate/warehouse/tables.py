"""The warehouse: the Delta tables at one location, and the objects beside them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from cleanplate.errors import ConfigError, ContractError, StorageError
from cleanplate.spark.session import SPARK_ERRORS
from cleanplate.warehouse import schemas, views
from cleanplate.warehouse.objects import ObjectStore
from cleanplate.warehouse.schemas import SCHEMA_VERSION, TABLES, VERSION_PROPERTY, TableSpec

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

logger = logging.getLogger(__name__)

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")


class Warehouse:
    """All tables of one place.

    Attributes:
        spark: the session.
        location: a folder or URI (DIR, s3a://…, abfss://…, /Volumes/…), or "catalog.schema".
        by_catalog: whether the tables live in a catalog instead of under a path.
    """

    def __init__(self, spark: SparkSession, location: str | Path) -> None:
        """Names the place; nothing is read or written.

        Args:
            spark: the session.
            location: a path or URI; two plain words with a dot are "catalog.schema", unless such a folder exists.

        Raises:
            ConfigError: the location is empty or holds a character that cannot stand in a table's name.
        """
        text = str(location)
        if not text.strip() or "`" in text or "'" in text:
            raise ConfigError(f"warehouse {text!r}: give a folder, a URI (s3a://bucket/folder), or catalog.schema")
        self.spark = spark
        self.by_catalog = bool(_IDENTIFIER.fullmatch(text)) and not Path(text).exists()
        self.location = text if self.by_catalog else _absolute(text)

    def name(self, table: str) -> str:
        """SQL identifier of a table: delta.`path` or catalog.schema.table."""
        if table not in TABLES:
            raise ContractError(f"there is no table {table!r}; there are: {', '.join(TABLES)}")
        return f"{self.location}.{table}" if self.by_catalog else f"delta.`{self.location}/{table}`"

    @property
    def objects(self) -> ObjectStore:
        """The store of the result files."""
        return ObjectStore(self._object_root())

    def exists(self) -> bool:
        """Whether the tables have been created here."""
        return self.schema_version() is not None

    def schema_version(self) -> int | None:
        """Schema version of the tables, None where there are none (or not all: it is written last)."""
        try:
            found = self.properties("ledger").get(VERSION_PROPERTY)
        except SPARK_ERRORS as error:
            if _is_missing(error):
                return None
            raise StorageError(f"cannot read the warehouse {self.location}: {reason_of(error)}") from error
        return None if found is None else int(found)

    def create(self) -> Warehouse:
        """Makes the tables that are missing and migrates older ones; does nothing on a current warehouse.

        Raises:
            ContractError: a newer version of cleanplate made these tables.
            StorageError: the place cannot be written.
        """
        version = self.schema_version()
        if version == SCHEMA_VERSION:
            return self
        if version is not None and version > SCHEMA_VERSION:
            raise ContractError(
                f"warehouse {self.location} has schema version {version}, this cleanplate knows {SCHEMA_VERSION}: "
                "upgrade cleanplate"
            )
        try:
            self._create_all() if version is None else self._migrate(version)
        except SPARK_ERRORS as error:
            raise StorageError(f"cannot create the warehouse {self.location}: {reason_of(error)}") from error
        return self

    def require(self) -> Warehouse:
        """The warehouse itself, if its tables are there and of this version.

        Raises:
            ContractError: it does not exist, or needs `create` to migrate it.
        """
        version = self.schema_version()
        if version is None:
            raise ContractError(f"there is no warehouse at {self.location}: `cleanplate ingest` makes one")
        if version != SCHEMA_VERSION:
            raise ContractError(f"warehouse {self.location} has schema version {version}, needed is {SCHEMA_VERSION}")
        return self

    def frame(self, table: str, version: int | None = None) -> DataFrame:
        """A table as a lazy frame, at a version or as it is now."""
        return self.spark.sql(f"SELECT * FROM {self.relation(table, version)}")  # noqa: S608  (names cannot be parameters)

    def relation(self, table: str, version: int | None = None) -> str:
        """A table as it stands in a FROM clause, at a version or as it is now."""
        return self.name(table) if version is None else f"{self.name(table)} VERSION AS OF {version}"

    def append(self, frame: DataFrame, table: str, options: Mapping[str, str] | None = None) -> None:
        """Appends rows in one commit.

        Args:
            frame: the rows; evaluated exactly once.
            table: where to.
            options: of Delta's writer, such as txnAppId with txnVersion: a pair (or a lower version) that was
                committed before is skipped silently.
        """
        self._save(frame.write.format("delta").mode("append").options(**dict(options or {})), table)

    def replace(self, frame: DataFrame, table: str, predicate: str) -> None:
        """Replaces the rows that meet `predicate` by the frame's, in one commit; an empty frame deletes them.

        Raises:
            StorageError: the write failed, such as when a row of the frame does not meet the predicate.
        """
        writer = frame.write.format("delta").mode("overwrite").option("replaceWhere", predicate)
        self._save(writer, table)

    def delete(self, table: str, predicate: str) -> None:
        """Deletes the rows that meet `predicate`, in one commit."""
        try:
            self.spark.sql(f"DELETE FROM {self.name(table)} WHERE {predicate}")  # noqa: S608
        except SPARK_ERRORS as error:
            raise StorageError(f"rows of {self.name(table)} were not deleted: {reason_of(error)}") from error

    def properties(self, table: str) -> dict[str, str]:
        """The table's properties, such as delta.deletedFileRetentionDuration."""
        rows = self.spark.sql(f"SHOW TBLPROPERTIES {self.name(table)}").collect()
        return {row["key"]: row["value"] for row in rows}

    def version(self, table: str) -> int:
        """Number of the table's last commit."""
        return int(self.spark.sql(f"DESCRIBE HISTORY {self.name(table)} LIMIT 1").first()["version"])  # type: ignore[index]

    def versions(self, tables: tuple[str, ...] = schemas.RUN_TABLES) -> dict[str, int]:
        """Numbers of the last commits of several tables."""
        with ThreadPoolExecutor(len(tables)) as pool:
            return dict(zip(tables, pool.map(self.version, tables), strict=True))

    def current(self, table: str, pins: Mapping[str, int] | None = None, ledger: str | None = None) -> DataFrame:
        """The published rows of results, masks, diffs or metrics, by the ledger.

        Args:
            table: one of them.
            pins: versions to read tables at.
            ledger: a view that stands for the ledger, such as one with an event that is only thought of.
        """
        relations = self._relations(pins) | ({"ledger": ledger} if ledger else {})
        return self.spark.sql(views.select(f"{table}_current", relations)).drop("place")

    def preview(self, table: str, pins: Mapping[str, int] | None = None) -> DataFrame:
        """The rows of runs that are running or held."""
        return self.spark.sql(views.select(f"{table}_preview", self._relations(pins))).drop("place")

    def register_views(self, pins: Mapping[str, int] | None = None) -> list[str]:
        """Creates results_current, results_preview, …: in the catalog, or as temporary views where a path is used.

        Args:
            pins: versions to read tables at, such as an event's table_versions plus the ledger's; for readers that
                issue several queries. Not for a catalog, whose views are for everyone.

        Returns:
            The views' names.
        """
        temporary = not self.by_catalog or bool(pins)
        names = []
        for view in views.names():
            name = view if temporary else f"{self.location}.{view}"
            kind = "TEMPORARY VIEW" if temporary else "VIEW"
            self.spark.sql(f"CREATE OR REPLACE {kind} {name} AS {views.select(view, self._relations(pins))}")
            names.append(name)
        return names

    def _relations(self, pins: Mapping[str, int] | None) -> dict[str, str]:
        return {table: self.relation(table, (pins or {}).get(table)) for table in views.TABLES_READ}

    def _save(self, writer: object, table: str) -> None:
        try:
            if self.by_catalog:
                writer.saveAsTable(self.name(table))  # type: ignore[attr-defined]
            else:
                writer.save(f"{self.location}/{table}")  # type: ignore[attr-defined]
        except SPARK_ERRORS as error:
            raise StorageError(f"cannot write to {self.name(table)}: {reason_of(error)}") from error

    def _create_all(self) -> None:
        if self.by_catalog:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.location}")
            if not self.location.startswith("spark_catalog."):
                self.spark.sql(f"CREATE VOLUME IF NOT EXISTS {self.location}.objects")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._create_one, (spec for spec in TABLES.values() if spec.name != "ledger")))
        # The ledger comes last: its version says that all tables are there.
        self._create_one(TABLES["ledger"])

    def _create_one(self, spec: TableSpec) -> None:
        self.spark.sql(schemas.create_statement(spec, self.name(spec.name)))

    def _migrate(self, version: int) -> None:
        for step in sorted(schemas.MIGRATIONS, key=lambda migration: migration.version):
            if step.version > version:
                logger.info("migrating %s of %s to schema version %d", step.table, self.location, step.version)
                self._run_step(step)
                self._set_property("ledger", VERSION_PROPERTY, str(step.version - 1))
        self._set_property("ledger", VERSION_PROPERTY, str(SCHEMA_VERSION))

    def _run_step(self, step: schemas.Migration) -> None:
        try:
            self.spark.sql(step.statement.format(name=self.name(step.table)))
        except SPARK_ERRORS as error:
            if "FIELD_ALREADY_EXISTS" not in str(error) and "FIELDS_ALREADY_EXISTS" not in str(error):
                raise
            logger.info("%s has the columns of schema version %d already", step.table, step.version)

    def _set_property(self, table: str, key: str, value: str) -> None:
        self.spark.sql(f"ALTER TABLE {self.name(table)} SET TBLPROPERTIES ('{key}' = '{value}')")

    def _object_root(self) -> str:
        if not self.by_catalog:
            return self.location
        catalog, schema = self.location.split(".")
        if catalog != "spark_catalog":
            return f"/Volumes/{catalog}/{schema}/objects"
        rows = self.spark.sql(f"DESCRIBE SCHEMA {self.location}").collect()
        return str({row[0]: row[1] for row in rows}["Location"]).removeprefix("file:")


def reason_of(error: BaseException) -> str:
    """What an error of Spark says in one line, without Java's stack: the cause with an error class, if it has one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"\[[A-Z][A-Z0-9_.]+\] ", line)]
    told = [line for line in lines if not line.startswith(("An error occurred while calling", "at "))]
    found = (named[-1:] or told or [type(error).__name__])[0]
    return re.sub(r"^(Caused by:|:)\s*([\w.$]+:\s*)*", "", found)[:500]


def _absolute(text: str) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return text.rstrip("/").replace("s3://", "s3a://", 1)
    return str(Path(text.removeprefix("file:")).expanduser().absolute())


def _is_missing(error: BaseException) -> bool:
    marks = ("TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE", "SCHEMA_NOT_FOUND",
             "is not a Delta table", "DELTA_PATH_DOES_NOT_EXIST", "PATH_NOT_FOUND", "DELTA_MISSING_TABLE")  # fmt: skip
    return any(mark in str(error) for mark in marks)
