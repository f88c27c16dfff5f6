"""Cleans what is pending in a batch and publishes it."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from cleanplate.cli.common import (
    add_batch,
    add_config,
    add_note,
    add_warehouse,
    config_of,
    counts_text,
    open_warehouse,
    stop_for_config,
    who,
)
from cleanplate.config import Config
from cleanplate.errors import ConfigError

EXAMPLE = "cleanplate clean --batch spring --warehouse wh --profile final --set mask.feather_sigma_px=1.5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_batch(parser)
    add_warehouse(parser)
    add_config(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images, by a hash of their ids")
    parser.add_argument("--new-run", action="store_true", help="give up an open run, start anew from the originals")
    parser.add_argument("--dry-run", action="store_true", help="check, estimate time and cost, write nothing")
    parser.add_argument("--no-publish", action="store_true", help="hold the run for `cleanplate approve`")
    add_note(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    config = config_of(options)
    if stop_for_config(options, config):
        return 0
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit {options.limit}: give a number of images, 1 or more")
    if options.dry_run:
        return _dry_run(options, config)
    from cleanplate.batch.run import RunOptions, clean_batch

    warehouse = open_warehouse(options)
    asked = RunOptions(options.new_run, options.limit, options.no_publish, who(), options.note)
    with progress_bar() as bar:
        report = clean_batch(warehouse, options.batch, config, asked, bar)
    if report.nothing_to_do:
        print(f"batch {options.batch}: nothing to do, every image is published; --new-run cleans them again")
        return 0
    print(f"run {report.run_id} {report.state}: {counts_text(report.counts)} ({report.cleaned_now} images now)")
    if report.state == "held":
        print(f"look at it in results_preview; `cleanplate approve --batch {options.batch}` publishes it")
    return 0


class ProgressBar:
    """A bar over the images of a call; it moves with Spark's tasks while a wave is under way."""

    def __init__(self, bar: tqdm) -> None:
        self._bar = bar
        self._done = 0
        self._wave = 0

    def begin(self, images: int) -> None:
        """A wave of so many images starts."""
        self._wave = images
        self._bar.total = (self._bar.total or 0) + images
        self._bar.refresh()

    def finish(self) -> None:
        """The wave is in the tables."""
        self._done += self._wave
        self._wave = 0
        self._show(self._done)

    def poll(self, share: float) -> None:
        """The wave's tasks are done to this share."""
        self._show(self._done + int(self._wave * share))

    def _show(self, images: int) -> None:
        if images > self._bar.n:
            self._bar.update(images - self._bar.n)


@contextmanager
def progress_bar() -> Iterator[ProgressBar]:
    """A bar on standard error that follows Spark's tasks from a thread of its own."""
    from cleanplate.spark.session import task_share

    stop = threading.Event()
    with tqdm(total=0, unit="image", desc="cleaning", mininterval=0.5, leave=True) as bar:
        progress = ProgressBar(bar)

        def follow() -> None:
            while not stop.wait(0.5):
                progress.poll(task_share())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield progress
        finally:
            stop.set()
            thread.join()


def _dry_run(options: argparse.Namespace, config: Config) -> int:
    from cleanplate.batch.estimate import estimate

    found = estimate(open_warehouse(options), options.batch, config, options.limit)
    print(f"batch {options.batch}: {found.images} images, {found.megapixels:.1f} megapixels, {found.waves} waves")
    print(f"models: {', '.join(found.models)} (all digests verified)")
    if found.sample_images:
        print(
            f"a sample of {found.sample_images} images took {found.seconds_per_megapixel:.2f} s per megapixel on "
            f"one worker: about {found.hours * 60:.1f} minutes on {found.workers} workers, "
            f"{found.cost_units:.0f} cost units"
        )
    for problem in found.problems:
        print(f"note: {problem}")
    print("nothing was written")
    return 0
