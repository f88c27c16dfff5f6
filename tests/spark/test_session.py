"""The session: settings, Java, jars."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cleanplate.errors import ConfigError, StorageError
from cleanplate.spark import session as session_module
from cleanplate.spark.session import check_java, cores, get_session, jar_folder, read_conf, resolve_jars, s3a_settings


def java_saying(folder: Path, text: str) -> None:
    (folder / "bin").mkdir()
    (folder / "bin" / "java").write_text(f"#!/bin/sh\necho '{text}' >&2\n")
    (folder / "bin" / "java").chmod(0o755)


@pytest.mark.parametrize(
    ("answer", "version"),
    [('openjdk version "17.0.15" 2025-04-15', 17), ('java version "21" 2023', 21), ('java version "1.8.0_392"', None),
     ('openjdk version "25.0.1"', None), ("something else", None)],
)  # fmt: skip
def test_java_must_be_17_or_21(tmp_path, monkeypatch, answer, version):
    java_saying(tmp_path, answer)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if version:
        assert check_java() == version
        return
    with pytest.raises(ConfigError, match=r"needs 17 or 21; install .*apt-get install openjdk-17-jre-headless"):
        check_java()


def test_missing_java_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no java on the PATH; install Java 17 or 21"):
        check_java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="holds no bin/java"):
        check_java()


def test_jars_that_are_there_are_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("CLEANPLATE_JARS", str(tmp_path))
    monkeypatch.setattr(session_module, "_download", lambda *_: pytest.fail("it downloads"))
    for name in session_module.JAR_NAMES:
        (tmp_path / name).touch()
    assert jar_folder() == tmp_path
    assert [path.name for path in resolve_jars(tmp_path)] == sorted(session_module.JAR_NAMES)
    settings = session_module._local_settings(None)
    assert settings["spark.jars"].count(".jar") == 2
    assert "spark.jars.packages" not in settings


def test_without_jars_spark_resolves_exactly_two(tmp_path, monkeypatch):
    monkeypatch.setenv("CLEANPLATE_JARS", str(tmp_path))
    settings = session_module._local_settings(None)
    assert settings["spark.jars.packages"].count(",") == 1
    assert "io.delta:delta-kernel-*" in settings["spark.jars.excludes"]
    assert settings["spark.master"] == f"local[{cores()},4]", "four tries: a killed worker must not fail the job"


def test_a_failed_download_is_a_clear_error(tmp_path, monkeypatch):
    folder = tmp_path / "pyspark"
    (folder / "bin").mkdir(parents=True)
    submit = folder / "bin" / "spark-submit"
    submit.write_text("#!/bin/sh\necho 'unresolved dependency' >&2\nexit 1\n")
    submit.chmod(0o755)
    import pyspark

    monkeypatch.setattr(pyspark, "__file__", str(folder / "__init__.py"))
    with pytest.raises(StorageError, match=r"could not be downloaded into .*: unresolved dependency"):
        resolve_jars(tmp_path / "jars")


def test_conf_files_name_the_jars_that_the_session_uses():
    wanted = read_conf("local.conf")["spark.jars.packages"]
    assert wanted == read_conf("cluster.conf")["spark.jars.packages"]
    names = [f"{part.split(':')[1]}-{part.split(':')[2]}.jar" for part in wanted.split(",")]
    assert tuple(names) == session_module.JAR_NAMES
    assert read_conf("cluster.conf")["spark.speculation"] == "false"


def test_s3a_settings_follow_the_aws_variables():
    assert s3a_settings({}) == {}
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    found = s3a_settings({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"} | keys)
    assert found["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:9"
    assert found["spark.hadoop.fs.s3a.connection.ssl.enabled"] == "false"
    assert found["spark.hadoop.fs.s3a.secret.key"] == "s"


def test_the_running_session_is_taken_and_adjusted(spark):
    assert get_session("other", {"spark.sql.shuffle.partitions": "3", "spark.master": "local[9]"}) is spark
    assert spark.conf.get("spark.sql.shuffle.partitions") == "3"
    spark.conf.set("spark.sql.shuffle.partitions", str(cores()))
    assert spark.conf.get("spark.master").startswith("local[")
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert spark.conf.get("spark.databricks.delta.snapshotPartitions") == "1"


def test_workers_run_this_python_and_find_the_package(spark):
    def where(frames):
        import cleanplate

        for frame in frames:
            yield frame.assign(python=sys.executable, package=str(cleanplate.__file__))

    row = spark.range(1).mapInPandas(where, "id long, python string, package string").first()
    assert os.path.realpath(row["python"]) == os.path.realpath(sys.executable)
    assert row["package"].endswith("lib/cleanplate/__init__.py")
    assert session_module.task_share() == 0.0
