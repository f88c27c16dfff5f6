"""Cleans what is pending in a batch and publishes it."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

from cleanplate.cli.common import (
    add_batch,
    add_config,
    add_note,
    add_warehouse,
    config_of,
    counts_text,
    open_warehouse,
    print_table,
    stop_for_config,
    who,
)
from cleanplate.config import Config
from cleanplate.errors import ConfigError, HeldError

if TYPE_CHECKING:
    from cleanplate.batch.estimate import Estimate
    from cleanplate.batch.run import RunReport
    from cleanplate.rollout.judgement import Judgement

EXAMPLE = "cleanplate clean --batch spring --warehouse wh --profile final --staged --auto-approve"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_batch(parser)
    add_warehouse(parser)
    add_config(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images, by a hash of their ids")
    parser.add_argument("--new-run", action="store_true", help="give up an open run, start anew from the originals")
    parser.add_argument("--dry-run", action="store_true", help="check, estimate time and cost, write nothing")
    parser.add_argument("--no-publish", action="store_true", help="hold the run for `cleanplate approve`")
    parser.add_argument("--staged", action="store_true", help="in steps (rollout.steps), the first a stratified sample")
    parser.add_argument("--auto-approve", action="store_true", help="go on by itself after a step whose gates passed")
    parser.add_argument("--arm-b", metavar="PROFILE", help="profile, or YAML file, of arm B")
    parser.add_argument("--arm-share", type=float, metavar="SHARE", help="share of the images in arm B (default 0.1)")
    add_note(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    _arms_into_settings(options)
    config = config_of(options)
    if stop_for_config(options, config):
        return 0
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"--limit {options.limit}: give a number of images, 1 or more")
    if options.dry_run:
        return _dry_run(options, config)
    from cleanplate.batch.run import RunOptions
    from cleanplate.rollout.steps import clean_batch_in_steps

    warehouse = open_warehouse(options).create()  # an older one is migrated before anything is written
    asked = RunOptions(
        options.new_run, options.limit, options.no_publish, who(), options.note, options.staged, options.auto_approve
    )
    with progress_bar() as bar:
        report = clean_batch_in_steps(warehouse, options.batch, config, asked, bar)
    code = _show(report, options.batch)
    if options.staged and report.state == "published":
        # A reviewer may have judged the sample while the run was held.
        from cleanplate.batch.apply import apply_verdicts

        print(f"reviews: {apply_verdicts(warehouse, options.batch, who()).in_words()}")
    return code


def _arms_into_settings(options: argparse.Namespace) -> None:
    if options.arm_share is not None and not options.arm_b:
        raise ConfigError("--arm-share goes with --arm-b PROFILE")
    if options.arm_b:
        share = 0.1 if options.arm_share is None else options.arm_share
        options.overrides += [f"rollout.arm_b_profile={options.arm_b}", f"rollout.arm_b_share={share}"]


def _show(report: RunReport, batch_id: str) -> int:
    """Prints what came of the call; returns the exit code."""
    from cleanplate.rollout.judgement import Judgement

    if report.nothing_to_do:
        print(f"batch {batch_id}: nothing to do, every image is published; --new-run cleans them again")
        return 0
    judgement = Judgement.from_json(report.gates) if report.gates else None
    if judgement is not None:
        show_judgement(judgement)
    print(f"run {report.run_id} {report.state}: {counts_text(report.counts)} ({report.cleaned_now} images now)")
    if report.state != "held":
        return 0
    is_last = judgement is None or judgement.step == judgement.steps
    also = " --despite-gates" if judgement and judgement.blocked else ""
    moves = "publishes it" if is_last else "and the same `clean` again go on with its next step"
    print(f"look at it in results_preview; `cleanplate approve --batch {batch_id}{also}` {moves}")
    return HeldError.exit_code if judgement is not None and not judgement.passed else 0


def show_judgement(judgement: Judgement) -> None:
    """Prints the gates of a step as a table, with causes and worst images below."""
    from cleanplate.rollout.judgement import COLUMNS, gate_rows, remarks

    print(judgement.note)
    print_table(COLUMNS, gate_rows(judgement))
    for line in remarks(judgement):
        print(line)


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
    if options.staged:
        _show_steps(found, config)
    for problem in found.problems:
        print(f"note: {problem}")
    print("nothing was written")
    return 0


def _show_steps(found: Estimate, config: Config) -> None:
    """What each step would draw, take, and be able to tell."""
    from cleanplate.rollout.gates import gates_file, load_gates
    from cleanplate.rollout.intervals import share_bounds
    from cleanplate.rollout.judge import share_text
    from cleanplate.rollout.sample import step_sizes

    minutes = found.hours * 60 / max(1, found.images)
    for number, size in enumerate(step_sizes(found.images, config.rollout.steps, config.rollout.min_images), 1):
        text = share_text(0, size, *share_bounds(0, size, found.images))
        print(f"step {number}: {size} images, {size * minutes:.1f} minutes in all; where nothing is wrong, {text}")
    print(f"gates: {', '.join(gate.name for gate in load_gates(gates_file(config)))}")
