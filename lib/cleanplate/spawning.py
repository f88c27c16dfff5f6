"""Starts child processes from a fresh interpreter that never imports the parent's main module."""

from __future__ import annotations

import io
import os
from multiprocessing import context, popen_spawn_posix, process, reduction, resource_tracker, spawn, util
from typing import Any


class _LeanPopen(popen_spawn_posix.Popen):
    """multiprocessing's spawn without the main module.

    The usual spawn imports the parent's `__main__` again. In a PySpark worker that is pyspark.daemon (seconds, and a
    second daemon's imports), in a notebook or in a script without a main guard it runs the user's code. What these
    children run lives in importable modules only.
    """

    def _launch(self, process_obj: process.BaseProcess) -> None:  # as in CPython's popen_spawn_posix, 3.10 to 3.14
        tracker = resource_tracker.getfd()  # type: ignore[attr-defined]
        passed = self._fds  # type: ignore[attr-defined]
        passed.append(tracker)
        preparation = spawn.get_preparation_data(process_obj._name)  # type: ignore[attr-defined]
        preparation.pop("init_main_from_name", None)
        preparation.pop("init_main_from_path", None)
        message = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(preparation, message)
            reduction.dump(process_obj, message)
        finally:
            context.set_spawning_popen(None)
        parent_reads, child_writes = os.pipe()
        child_reads, parent_writes = os.pipe()
        try:
            command = spawn.get_command_line(tracker_fd=tracker, pipe_handle=child_reads)
            passed.extend([child_reads, child_writes])
            self.pid = util.spawnv_passfds(spawn.get_executable(), command, passed)  # type: ignore[arg-type]
            self.sentinel = parent_reads
            with open(parent_writes, "wb", closefd=False) as file:
                file.write(message.getbuffer())
        finally:
            ends = (parent_reads, parent_writes)
            self.finalizer = util.Finalize(self, util.close_fds, ends)  # type: ignore[attr-defined]
            os.close(child_reads)
            os.close(child_writes)


class _LeanProcess(context.SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 (multiprocessing's name)
        return _LeanPopen(process_obj)


class LeanSpawnContext(context.SpawnContext):
    """A multiprocessing context of start method "spawn" whose children do not import the parent's main module."""

    Process = _LeanProcess
