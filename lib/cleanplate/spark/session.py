"""The Spark session: the platform's own where there is one, else a local one with the Delta jars."""

from __future__ import annotations

import argparse
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from cleanplate.config import conf_dir
from cleanplate.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

try:
    from py4j.protocol import Py4JError

    SPARK_ERRORS: tuple[type[Exception], ...] = (PySparkException, Py4JError)
except ImportError:  # a pure Spark Connect client has no py4j
    SPARK_ERRORS = (PySparkException,)

logger = logging.getLogger(__name__)

JAVA_VERSIONS = (17, 21)
JAR_NAMES = ("delta-spark_4.2_2.13-4.4.0.jar", "delta-storage-4.4.0.jar")
DELTA_SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.speculation": "false",
}


def get_session(
    app_name: str = "cleanplate", settings: Mapping[str, str] | None = None, master: str | None = None
) -> SparkSession:
    """The running session (Databricks, a notebook), else spark-submit's, else a new local one.

    Args:
        app_name: name of the application.
        settings: Spark settings that win over the defaults; of a session that already runs, only those that may
            change at run time (spark.sql.*, spark.databricks.*) are set.
        master: Spark master of a new session; local with as many threads as this process may use where None.

    Raises:
        ConfigError: no Java, or a version that Spark 4 does not run on.
        StorageError: the session did not start, such as when the Delta jars cannot be resolved.
    """
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        return _adjust(active, settings or {})
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ or "SPARK_REMOTE" in os.environ
    values = dict(DELTA_SETTINGS) if submitted else _local_settings(master)
    values |= s3a_settings(os.environ) | dict(settings or {})
    if not submitted:
        _prepare_process()
    builder = SparkSession.builder.appName(app_name)
    for key, value in values.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except SPARK_ERRORS as error:
        reason = str(error)[:500]
        raise StorageError(f"Spark did not start ({reason}); run `make setup` to fetch the Delta jars") from error


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def task_slots(session: SparkSession) -> int:
    """How many tasks run at a time, over all machines; this process' processors where Spark does not say."""
    try:
        return max(1, session.sparkContext.defaultParallelism)
    except SPARK_ERRORS:  # Spark Connect has no context
        return int(session.conf.get("spark.sql.shuffle.partitions", "") or cores())


def task_share() -> float:
    """Share of the tasks that are done of the stages running now, 0..1; 0.0 where no stage runs or none can be seen.

    A progress bar asks this from a thread of its own; through Spark Connect nothing can be seen.
    """
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession() or getattr(SparkSession, "_instantiatedSession", None)
    try:
        tracker = session.sparkContext.statusTracker() if session else None
        found = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()] if tracker else []
    except SPARK_ERRORS:
        return 0.0
    stages = [info for info in found if info is not None]
    tasks = sum(info.numTasks for info in stages)
    return sum(info.numCompletedTasks for info in stages) / tasks if tasks else 0.0


def s3a_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings for s3a:// by the usual AWS variables; {} where AWS_ENDPOINT_URL is not set.

    Without an endpoint S3A finds credentials and region by itself, as every AWS client does.
    """
    endpoint = environment.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return {}
    values = {
        "endpoint": endpoint,
        "endpoint.region": environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1",
        "path.style.access": "true",
        "connection.ssl.enabled": str(endpoint.startswith("https")).lower(),
    }
    if "AWS_ACCESS_KEY_ID" in environment and "AWS_SECRET_ACCESS_KEY" in environment:
        values["access.key"] = environment["AWS_ACCESS_KEY_ID"]
        values["secret.key"] = environment["AWS_SECRET_ACCESS_KEY"]
    return {f"spark.hadoop.fs.s3a.{key}": value for key, value in values.items()}


def jar_folder() -> Path:
    """Where the jars are kept: CLEANPLATE_JARS, else the checkout's .cache/jars, else ~/.cache/cleanplate/jars."""
    named = os.environ.get("CLEANPLATE_JARS")
    if named:
        return Path(named)
    checkout = Path(__file__).resolve().parents[3]
    home = Path.home() / ".cache" / "cleanplate" / "jars"
    if not (checkout / "setup.py").exists():
        return home
    local = checkout / ".cache" / "jars"
    return home if not _has_delta(local) and _has_delta(home) else local


def resolve_jars(target: Path, s3: bool = False) -> list[Path]:
    """Downloads the Delta jars (and S3A's on request) through Ivy into a folder, unless they are there.

    Args:
        target: the folder; it is made.
        s3: also the jars of conf/spark/s3.conf.

    Returns:
        All jars of the folder.

    Raises:
        ConfigError: no usable Java.
        StorageError: they could not be downloaded.
    """
    target.mkdir(parents=True, exist_ok=True)
    if not _has_delta(target):
        _download(target, read_conf("local.conf"))
    if s3 and not list(target.glob("hadoop-aws-*.jar")):
        _download(target, read_conf("s3.conf"))
    return sorted(target.glob("*.jar"))


def read_conf(name: str) -> dict[str, str]:
    """The settings of a file in conf/spark (Spark's properties format: key, blanks, value)."""
    lines = (conf_dir() / "spark" / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    return {key: value.strip() for key, value in pairs}


def check_java() -> int:
    """The major version of the Java that Spark will start.

    Raises:
        ConfigError: there is none, or Spark 4 does not run on it; says what to install.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    advice = (
        "install Java 17 or 21 (Debian, Ubuntu: apt-get install openjdk-17-jre-headless; "
        "macOS: brew install openjdk@17)"
    )
    if java is None or not Path(java).exists():
        where = f"JAVA_HOME={home} holds no bin/java" if home else "there is no java on the PATH"
        raise ConfigError(f"Spark needs Java, but {where}; {advice}")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    version = int(match.group(1)) if match else 0
    if version not in JAVA_VERSIONS:
        raise ConfigError(f"{java} is Java {version or 'of an unknown version'}, Spark 4 needs 17 or 21; {advice}")
    return version


def _local_settings(master: str | None) -> dict[str, str]:
    threads = str(cores())
    values = DELTA_SETTINGS | {
        # Four tries: with plain local[N] one killed Python worker fails the whole job.
        "spark.master": master or f"local[{threads},4]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Our queries are many and small: generating and compiling code for each costs more than it saves.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.shuffle.partitions": threads,
        "spark.default.parallelism": threads,
        # VACUUM of a tiny table starts a stage of 10,000 tasks otherwise.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": threads,
        # The pixels are Python's work, the JVM's are small queries: its second compiler would only take their cores.
        "spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=256m "
        f"-Dlog4j2.configurationFile={_log_configuration()}",
    }
    return values | _jar_settings()


def _log_configuration() -> str:
    return (conf_dir() / "spark" / "log4j2.properties").resolve().as_uri()


def _jar_settings() -> dict[str, str]:
    folder = jar_folder()
    if _has_delta(folder):
        return {"spark.jars": ",".join(str(path) for path in sorted(folder.glob("*.jar")))}
    logger.info("no Delta jars in %s: Spark resolves them now", folder)
    conf = read_conf("local.conf")
    return {key: conf[key] for key in ("spark.jars.packages", "spark.jars.excludes")}


def _prepare_process() -> None:
    """Java is checked, and the Python workers get this interpreter and find this package."""
    check_java()
    # PySpark logs every failed query with its Java stack, also those that are expected and handled.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    package_parent = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if package_parent not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([package_parent, *filter(None, known)])


def _adjust(session: SparkSession, settings: Mapping[str, str]) -> SparkSession:
    for key, value in settings.items():
        if key.startswith(("spark.sql.", "spark.databricks.")):
            session.conf.set(key, value)
        else:
            logger.warning("%s=%s has no effect: the session already runs", key, value)
    return session


def _has_delta(folder: Path) -> bool:
    return all((folder / name).exists() for name in JAR_NAMES)


def _download(target: Path, conf: Mapping[str, str]) -> None:
    """Lets spark-submit resolve the packages in a private Ivy folder, then moves the jars."""
    check_java()
    import pyspark

    with tempfile.TemporaryDirectory(prefix="cleanplate-ivy-") as scratch:
        script = Path(scratch, "nothing.py")
        script.write_text("", encoding="utf-8")
        submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
        settings = {key: conf[key] for key in ("spark.jars.packages", "spark.jars.excludes")}
        settings |= {"spark.jars.ivy": scratch, "spark.driver.bindAddress": "127.0.0.1", "spark.master": "local[1]"}
        flags = [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
        environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
        answer = subprocess.run(  # noqa: S603
            [str(submit), *flags, str(script)], capture_output=True, text=True, env=environment, check=False
        )
        if answer.returncode:
            raise StorageError(f"the jars could not be downloaded into {target}: {answer.stderr[-800:]}")
        for jar in Path(scratch, "jars").glob("*.jar"):
            # Ivy names them organisation_artifact-version.jar; Maven's own name tells what is there.
            shutil.move(jar, target / jar.name.partition("_")[2])


def main() -> None:
    """Resolves the jars and tells where they are: `python -m cleanplate.spark.session [--s3] [--target DIR]`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--s3", action="store_true", help="also the jars for s3a:// warehouses")
    parser.add_argument("--target", type=Path, default=jar_folder(), help="folder of the jars (default: %(default)s)")
    arguments = parser.parse_args()
    paths = resolve_jars(arguments.target, arguments.s3)
    sys.stdout.write("".join(f"{path}\n" for path in paths))


if __name__ == "__main__":
    main()
