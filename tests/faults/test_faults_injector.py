"""The injector on a real database: journal first, undone by identity, and safe from death at any instant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from lab.core.clock import TimeScale
from lab.core.fault import FaultState, FaultTarget, JournalEntry
from lab.core.fault_plan import Plan
from lab.errors import ConfigError, NotReadyError, UsageError
from lab.faults.fault import QUEUE
from lab.faults.injector import Injector
from lab.faults.journal import KEPT, FileStore, Journal
from lab.faults.medium import NoVictimError
from lab.faults.queue_medium import QueueMedium
from lab.faults.registry import FAULTS, SPECS
from lab.faults.scheduler import PATIENCE_SECONDS, TOIL_MOST_AT_ONCE, Scheduler
from lab.faults.shop_queue import HolderVictims, ShopQueue
from lab.shop.database import connect


class HandClock:
    """Time moves when somebody sleeps or the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class FullDisk(FileStore):
    """A store whose writes fail from the given one on (0 is the first)."""

    def __init__(self, path: Path, good: int) -> None:
        super().__init__(path)
        self.good = good

    async def save(self, document: bytes) -> None:
        if self.good <= 0:
            raise OSError("no space left on device")
        self.good -= 1
        await super().save(document)


class Bench:
    """A queue with eight holders, a journal file, and injectors that come and go."""

    def __init__(self, url: str, path: Path) -> None:
        self.url, self.path, self.clock = url, path, HandClock()
        self.queue = ShopQueue(url)
        self.database = connect(url, "test")
        self.hold("worker")

    def hold(self, prefix: str) -> None:
        self.database.execute(
            "UPDATE shop.partitions SET holder = %s || partition, lease_expires = 'infinity'", (prefix,)
        )

    def directives(self) -> list[tuple[object, ...]]:
        return self.database.execute("SELECT id, pod, partition FROM chaos.directives ORDER BY id").fetchall()

    def new(self, store: FileStore | None = None, seed: int = 5) -> Injector:
        return Injector(
            {QUEUE: QueueMedium(self.queue, HolderVictims(self.queue), FAULTS, TimeScale(60), self.clock)},
            store or FileStore(self.path),
            seed=seed,
            scale=TimeScale(60),
            clock=self.clock,
            registry=CollectorRegistry(),
        )

    async def started(self, store: FileStore | None = None, seed: int = 5) -> Injector:
        injector = self.new(store, seed)
        await injector.start()
        return injector

    def on_disk(self) -> Journal:
        return Journal.from_bytes(self.path.read_bytes(), SPECS)


@pytest.fixture
async def bench(database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(database_url, tmp_path / "journal.json")
    yield made
    await made.queue.close()
    made.database.close()


async def test_a_fault_bites_only_after_the_journal_has_it(bench: Bench) -> None:
    injector = await bench.started(FullDisk(bench.path, good=0))
    with pytest.raises(NotReadyError, match="no space left"):
        await injector.inject("hung-workers")
    assert bench.directives() == []
    assert injector.journal.open() == []


async def test_a_fault_whose_second_write_is_lost_is_taken_back(bench: Bench) -> None:
    injector = await bench.started(FullDisk(bench.path, good=1))
    with pytest.raises(NotReadyError):
        await injector.inject("hung-workers")
    assert len(bench.directives()) == 1
    assert [entry.state for entry in bench.on_disk().entries.values()] == [FaultState.PLANNED]
    successor = await bench.started()
    await successor.tick()
    assert bench.directives() == []
    [entry] = bench.on_disk().entries.values()
    assert (entry.state, entry.error) == (FaultState.FAILED, "the injector was interrupted")


async def test_an_undo_whose_write_is_lost_is_not_an_undo(bench: Bench) -> None:
    injector = await bench.started(FullDisk(bench.path, good=2))
    entries = await injector.inject("hung-workers")
    with pytest.raises(NotReadyError):
        await injector.undo(entries, "heal")
    assert bench.directives() == []
    successor = await bench.started()
    await successor.tick()
    assert [row[0] for row in bench.directives()] == [entries[0].id]
    assert (await successor.undo(successor.journal.open(), "heal"))[0].undone_by == "heal"
    assert bench.directives() == []


async def test_a_successor_goes_on_where_the_journal_ends(bench: Bench) -> None:
    first = await bench.started()
    [entry] = await first.inject("hung-workers", 30)
    successor = await bench.started()
    await successor.tick()
    assert [row[0] for row in bench.directives()] == [entry.id]
    bench.clock.seconds += 31
    await successor.tick()
    assert bench.directives() == []
    assert bench.on_disk().entries[entry.id].undone_by == "lease"
    [another] = await successor.inject("hung-workers")
    assert another.id > entry.id


async def test_undoing_twice_changes_nothing(bench: Bench) -> None:
    injector = await bench.started()
    entries = await injector.inject("hung-workers", parameters={"count": 3})
    assert len(bench.directives()) == 3
    first = await injector.undo(entries, "heal")
    bench.clock.seconds += 5
    assert await injector.undo(entries, "lease") == []
    assert [injector.journal.entries[entry.id] for entry in entries] == first


async def test_healing_takes_along_what_is_just_being_applied(bench: Bench) -> None:
    injector = await bench.started()
    entries, healed = await asyncio.gather(injector.inject("hung-workers"), injector.heal())
    assert [entry.id for entry in healed] == [entry.id for entry in entries]
    assert bench.directives() == []
    await injector.inject("slow-worker")
    assert await injector.heal("hung-workers") == []
    assert len(await injector.heal("slow-worker")) == 1


async def test_a_replaced_pod_ends_its_hang_but_not_a_recurring_one(bench: Bench) -> None:
    injector = await bench.started()
    [once] = await injector.inject("hung-workers", parameters={"partition": 1})
    [again] = await injector.inject("hung-workers", parameters={"partition": 2, "recurring": True})
    bench.hold("replacement")
    await injector.tick()
    assert injector.journal.entries[once.id].undone_by == "restart"
    assert bench.directives() == [(again.id, None, 2)]


async def test_a_database_that_lost_its_rows_gets_them_again(bench: Bench) -> None:
    injector = await bench.started()
    [entry] = await injector.inject("hung-workers")
    bench.database.execute("DELETE FROM chaos.directives")
    bench.database.execute("INSERT INTO chaos.directives (id, mode, pod) VALUES ('stray', 'hang', 'worker1')")
    await injector.tick()
    assert [row[0] for row in bench.directives()] == [entry.id]


async def test_the_same_seed_hits_the_same_partitions_whatever_the_pods_are_called(
    bench: Bench, tmp_path: Path
) -> None:
    seen = []
    for number, prefix in enumerate(("a", "b")):
        bench.hold(prefix)
        injector = await bench.started(FileStore(tmp_path / f"{number}.json"))
        entries = [*await injector.inject("hung-workers"), *await injector.inject("slow-worker")]
        await injector.undo(entries, "heal")
        seen.append([entry.target.partition for entry in entries])
    assert seen[0] == seen[1]


async def test_a_partition_without_a_worker_is_waited_for_and_then_refused(bench: Bench) -> None:
    injector = await bench.started()
    bench.database.execute("UPDATE shop.partitions SET lease_expires = '-infinity' WHERE partition = 3")
    with pytest.raises(NoVictimError, match="no worker holds partition 3"):
        await injector.inject("hung-workers", parameters={"partition": 3})
    assert bench.clock.seconds >= 3
    assert injector.journal.entries == {}


async def test_nothing_is_written_before_the_journal_was_read(bench: Bench) -> None:
    with pytest.raises(NotReadyError, match="not been read yet"):
        await bench.new().inject("hung-workers")
    assert not bench.path.exists()


async def test_an_unready_database_makes_the_injector_unready(bench: Bench) -> None:
    injector = await bench.started()
    await injector.tick()
    assert injector.ready
    bench.database.execute("DROP SCHEMA chaos CASCADE")
    await injector.tick()
    assert not injector.ready


async def test_an_unknown_fault_is_refused_with_those_there_are(bench: Bench) -> None:
    injector = await bench.started()
    with pytest.raises(UsageError, match="no fault 'flood'") as caught:
        await injector.inject("flood")
    assert {"hung-workers", "slow-worker"} <= set(caught.value.hint.removeprefix("known: ").split(", "))


async def test_a_schedule_takes_each_step_once_even_across_a_restart(bench: Bench) -> None:
    steps = [
        {"atSeconds": 1, "fault": "hung-workers"},
        {"atSeconds": 1, "fault": "slow-worker", "forSeconds": 2},
        {"atSeconds": 5, "fault": "hung-workers"},
    ]
    injector = await bench.started()
    scheduler = Scheduler(injector, toil=True)
    await scheduler.post(Plan.from_dict({"seed": 9, "steps": steps}, SPECS))
    await scheduler.tick()
    assert bench.directives() == []
    bench.clock.seconds += 1.1
    await scheduler.tick()
    assert [row[0] for row in bench.directives()] == ["hung-workers-0001", "slow-worker-0002"]
    successor = await bench.started()
    again = Scheduler(successor, toil=True)
    await again.tick()
    assert len(bench.directives()) == 2
    bench.clock.seconds += 4
    await again.tick()
    assert len(successor.journal.entries) == 3
    assert await again.remove()
    assert not await again.remove()


async def test_a_step_that_never_finds_a_victim_is_written_down_as_failed(bench: Bench) -> None:
    injector = await bench.started()
    scheduler = Scheduler(injector, toil=False)
    bench.database.execute("UPDATE shop.partitions SET lease_expires = '-infinity'")
    await scheduler.post(Plan.from_dict({"steps": [{"fault": "hung-workers"}]}, SPECS))
    with pytest.raises(NoVictimError):
        await scheduler.tick()
    bench.clock.seconds += PATIENCE_SECONDS
    await scheduler.tick()
    [entry] = bench.on_disk().entries.values()
    assert entry.state is FaultState.FAILED
    assert "no worker holds partition" in entry.error
    await scheduler.tick()
    assert len(injector.journal.entries) == 1


async def test_recurring_toil_hangs_different_partitions_and_knows_a_limit(bench: Bench) -> None:
    injector = await bench.started()
    await injector.tick()
    scheduler = Scheduler(injector, toil=True)
    for _ in range(3000):
        bench.clock.seconds += 0.1
        await scheduler.tick()
    partitions = [entry.target.partition for entry in injector.journal.open()]
    assert len(partitions) == len(set(partitions)) == TOIL_MOST_AT_ONCE
    assert injector.journal.toil == TOIL_MOST_AT_ONCE


async def test_without_toil_nothing_comes_by_itself(bench: Bench) -> None:
    injector = await bench.started()
    await injector.tick()
    scheduler = Scheduler(injector, toil=False)
    bench.clock.seconds += 3600
    await scheduler.tick()
    assert injector.journal.entries == {}


def test_the_journal_stays_small_and_keeps_what_is_open() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    journal = Journal()
    for number in range(KEPT + 100):
        entry = JournalEntry(
            journal.next_id("f"), "f", FaultTarget("Pod", "shop", "w" * 60, 1), False, {"count": 1}, now
        )
        journal.put(entry.applied(now, None) if number == 0 else entry.undone(now, "restart"))
    assert len(journal.entries) == KEPT + 1
    assert [entry.id for entry in journal.open()] == ["f-0001"]
    assert len(journal.as_bytes()) < 500_000
    assert Journal.from_bytes(journal.as_bytes(), SPECS) == journal


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"entries": [{}], "count": 1, "toil": 0}', b"null"]
)
def test_a_foreign_journal_is_refused_with_the_way_out(document: bytes) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        Journal.from_bytes(document, SPECS)
    assert "delete ConfigMap" in caught.value.hint
