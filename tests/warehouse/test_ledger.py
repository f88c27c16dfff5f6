"""The ledger under contention, and what readers see meanwhile; on real Delta tables."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cleanplate.batch.publish import abort, publish
from cleanplate.batch.rollback import republish, roll_back
from cleanplate.errors import CleanplateError, ContractError
from cleanplate.warehouse.events import ActiveRun
from cleanplate.warehouse.ledger import Ledger


def together(calls):
    """Runs the calls at the same moment; their results, or the errors they raised."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            return call()
        except CleanplateError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_of_two_publishers_of_a_batch_one_wins_and_the_other_is_told(warehouse, add_run):
    run = add_run("b", ["x"], published=False)
    ledger = Ledger(warehouse)
    events = ledger.events("b")

    def publisher(who):
        active = (ActiveRun(run.run_id),)
        return lambda: ledger.record("b", run.run_id, "publish", events, who=who, active_runs=active)

    answers = together([publisher("ann"), publisher("bob")])
    won = [answer for answer in answers if not isinstance(answer, Exception)]
    lost = [answer for answer in answers if isinstance(answer, ContractError)]
    assert (len(won), len(lost)) == (1, 1), answers
    assert f"{won[0].who} did 'publish' on run b-r0001 (event 2)" in str(lost[0])
    assert [(event.seq, event.action) for event in ledger.events("b")] == [(1, "start"), (2, "publish")]


def test_publishers_of_different_batches_all_succeed_with_numbers_of_their_own(warehouse, add_run):
    batches = ["a", "b", "c"]
    runs = {batch: add_run(batch, ["x"], published=False).run_id for batch in batches}

    def publisher(batch):
        return lambda: Ledger(warehouse).record(batch, runs[batch], "publish", active_runs=(ActiveRun(runs[batch]),))

    events = together([publisher(batch) for batch in batches])
    assert not [event for event in events if isinstance(event, Exception)], events
    assert sorted(event.publish_seq for event in events) == [1, 2, 3]
    assert all(event.active_runs[0].publish_seq == event.publish_seq for event in events)
    written = {event.batch_id: event for event in Ledger(warehouse).events() if event.action == "publish"}
    assert {batch: event.publish_seq for batch, event in written.items()} == {e.batch_id: e.publish_seq for e in events}


def test_numbers_drawn_at_the_same_moment_are_inserted_once(warehouse, add_run):
    """Both writers read the ledger before either wrote: the MERGE itself must tell them apart."""
    runs = {batch: add_run(batch, ["x"], published=False).run_id for batch in ("a", "b")}
    ledger = Ledger(warehouse)
    drawn = {
        batch: ledger._numbered(
            replace(ledger.last(batch), action="publish", state="published", active_runs=(ActiveRun(run),)), 1
        )
        for batch, run in runs.items()
    }
    assert [event.publish_seq for event in drawn.values()] == [1, 1]
    assert ledger._insert(drawn["a"])
    assert not ledger._insert(drawn["a"]), "the same event again"
    assert not ledger._insert(drawn["b"]), "its publish_seq is taken"
    assert [(event.batch_id, event.seq) for event in ledger.events()] == [("a", 1), ("a", 2), ("b", 1)]


def test_a_stale_decision_is_refused_and_names_the_winner(warehouse, add_run):
    run = add_run("b", ["x"], published=False)
    ledger = Ledger(warehouse)
    stale = ledger.events("b")
    abort(warehouse, "b", who="ann")
    with pytest.raises(ContractError, match=r"ann did 'abort' on run b-r0001 \(event 2\)"):
        ledger.record("b", run.run_id, "hold", stale)
    with pytest.raises(ContractError, match="cannot hold run b-r0001, which is aborted: start a new run"):
        ledger.record("b", run.run_id, "hold")
    with pytest.raises(ContractError, match="cannot publish run b-r0099, which is unknown"):
        publish(warehouse, "b", "b-r0099")
    with pytest.raises(ContractError, match="use letters"):
        ledger.start_run("../b")
    with pytest.raises(TypeError, match="no colour"):
        ledger.record("b", run.run_id, "hold", colour="red")


def test_a_run_carries_what_it_was_started_with(warehouse):
    ledger = Ledger(warehouse)
    started = ledger.start_run(
        "b", manifest_version=3, config_hash="c", config_text="seed: 1\n", model_hashes={"m": "ff"}, scope="{}"
    )
    held = ledger.record("b", started.run_id, "hold", counts={"cleaned": 1})
    read = ledger.last("b")
    assert read.counts == {"cleaned": 1}
    for name in ("manifest_version", "config_hash", "config_text", "model_hashes", "scope", "code_version", "run_kind"):
        assert getattr(read, name) == getattr(held, name) == getattr(started, name), name
    assert read.at is not None


def test_readers_never_see_a_mixture(warehouse, add_run, query_without_spark):
    """Two readers, one through Spark and one without it, while a batch goes forth and back."""
    images = [f"image{number}" for number in range(20)]
    add_run("b", images, mark="first")
    add_run("b", images, mark="second")
    stop, seen, errors = threading.Event(), [], []

    def read(query):
        while not stop.is_set():
            try:
                rows = query()
            except Exception as error:
                errors.append(error)
                return
            seen.append((len(rows), frozenset(row["error_message"] for row in rows)))

    by_spark = lambda: warehouse.current("results").select("error_message").collect()  # noqa: E731
    readers = [
        threading.Thread(target=read, args=(query,))
        for query in (by_spark, lambda: query_without_spark("results_current"))
    ]
    for reader in readers:
        reader.start()
    roll_back(warehouse, "b")
    republish(warehouse, "b", "b-r0002")
    roll_back(warehouse, "b", originals=True)
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors, errors[0]
    whole = {(20, frozenset({"first"})), (20, frozenset({"second"})), (0, frozenset())}
    assert set(seen) <= whole, "a reader saw a mixture"
    assert len(set(seen)) >= 2, "the readers saw too little for the test to mean anything"
