"""Which device a worker computes on."""

from __future__ import annotations

import os
import sys

import torch

from cleanplate.config import Config, ModelsConfig


def pick_device(config: ModelsConfig) -> str:
    """The device of this process.

    `models.device` where it is not "auto"; in a Spark task the GPU that Spark assigned; else a GPU by the number
    of the partition; else the CPU. Spark does not set CUDA_VISIBLE_DEVICES, so the address is the driver's own.
    """
    if config.device != "auto":
        return config.device
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{_assigned_gpu()}"


def limit_threads(config: ModelsConfig, workers: int) -> int:
    """Shares the cores between the workers of a machine; returns the threads of this one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = config.threads or max(1, cores // max(1, workers))
    torch.set_num_threads(threads)
    return threads


def share_cores(config: Config, workers: int) -> Config:
    """The configuration with this worker's own threads (see `limit_threads`)."""
    models = config.models.model_copy(update={"threads": limit_threads(config.models, workers)})
    return config.model_copy(update={"models": models})


def _assigned_gpu() -> int:
    if "pyspark" not in sys.modules:  # one process, no Spark: `cleanplate preview`
        return 0
    from pyspark import TaskContext

    context = TaskContext.get()
    if context is None:
        return 0
    resources = context.resources()
    if "gpu" in resources:
        return int(resources["gpu"].addresses[0])
    return int(context.partitionId()) % torch.cuda.device_count()
