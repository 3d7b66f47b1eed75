"""Refusals of every store: a write without the epoch, a second effect under a natural key, a rewritten past."""

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.contract.conftest import Kept
from tests.kit.deciding import wipe
from tests.kit.story import GRACE, Story
from worker.domain.model import FreelancerId
from worker.errors import BatchRefused, LeadershipLost
from worker.ledger import at_once
from worker.ledger.batch import Batch
from worker.ledger.migrate import migrate
from worker.ledger.postgres import PostgresStore
from worker.ledger.tables import AwaitingRow, ChangeRow, LotRow, ParkedRow, ReplayedRow, SeenRow


def a_little_of_everything(story: Story) -> Story:
    """Decisions of the kinds first, added, settlement and clock, with changes."""
    story.registered("f-1")
    story.proposed("p-1", by="f-1", on="j-1", connects=3)
    story.closed("j-1")
    story.settled()
    story.proposed("p-2", by="f-1", on="j-2", connects=3)
    story.added("job-closed", job_id="j-2", client_id="c-1", closure="closed-by-client")
    story.settled()
    story.passes(days=400)
    return story


async def the_same_is_there(kept: Kept, before: object) -> None:
    assert [await kept.store.tail(), await kept.store.appointments(100, GRACE)] == before
    assert await kept.store.wallets([FreelancerId("f-2")], None) == {}


# Leadership.


async def test_a_commit_under_an_epoch_that_is_over_writes_nothing(kept: Kept, story: Story) -> None:
    await kept.keep(a_little_of_everything(story))
    before = [await kept.store.tail(), await kept.store.appointments(100, GRACE)]
    await kept.lead()
    story.registered("f-2")
    batch = await kept.open_batch(story)
    with pytest.raises(LeadershipLost):
        await kept.store.commit(batch, kept.epoch)
    await the_same_is_there(kept, before)
    await kept.store.commit(batch, kept.epoch + 1)
    assert (await kept.store.tail()).last_seq == batch.last_seq


async def test_a_commit_under_an_epoch_that_has_not_come_writes_nothing(kept: Kept, story: Story) -> None:
    story.registered("f-1")
    batch = await kept.open_batch(story)
    with pytest.raises(LeadershipLost):
        await kept.store.commit(batch, kept.epoch + 1)
    assert (await kept.store.tail()).batch_no == 0


# Natural keys.

Again = Callable[[Batch, Batch], None]


def a_decision_again(kind: str) -> Again:
    def add(first: Batch, batch: Batch) -> None:
        row = next(row for row in first.decisions if row.kind == kind)
        batch.last_seq += 1
        batch.decisions.append(row._replace(seq=batch.last_seq, batch_no=batch.batch_no))

    return add


def a_settlement_of_an_added_closure_again(first: Batch, batch: Batch) -> None:
    row = next(row for row in first.decisions if row.kind == "settlement" and row.offset is None)
    batch.last_seq += 1
    batch.decisions.append(row._replace(seq=batch.last_seq, batch_no=batch.batch_no))


def a_trigger_again(first: Batch, batch: Batch) -> None:
    """The same trigger of a plan has an answer."""
    named = ("connects-purchased", "e-1", None, None, "hour.jsonl", 1)
    one = ReplayedRow("ab" * 32, 1, "add", "left-out", "parked", None, None, *named)
    assert not first.replayed
    batch.replayed += [one, one._replace(reason="takes")]


def a_grant_again(first: Batch, batch: Batch) -> None:
    """The same rule and natural key, in another version and by another decision."""
    change = first.changes[0]
    place = {"decision_seq": batch.last_seq, "ordinal": change.ordinal + 7}
    batch.changes.append(change._replace(version=change.version + 70, **place))


def a_version_again(first: Batch, batch: Batch) -> None:
    change = first.changes[0]
    place = {"decision_seq": batch.last_seq, "ordinal": change.ordinal + 7}
    batch.changes.append(change._replace(natural_key=None, **place))


AGAIN: dict[str, Again] = {
    "a grant": a_grant_again,
    "a spend": lambda first, batch: batch.new_spends.append(first.new_spends[0]),
    "a settlement": a_decision_again("settlement"),
    "a decision about a record": a_decision_again("first"),
    "an added event": a_decision_again("added"),
    "a settlement of an added closure": a_settlement_of_an_added_closure_again,
    "a trigger of a plan": a_trigger_again,
    "an instant of the clock": a_decision_again("clock"),
    "a change's version": a_version_again,
    "an event id": lambda first, batch: batch.seen_events.append(SeenRow(first.seen_events[0].key, batch.last_seq)),
    "a batch": lambda first, batch: setattr(batch, "batch_no", first.batch_no),
    "a place in ledger order": lambda first, batch: batch.decisions.append(first.decisions[0]),
    "an outbox row": lambda first, batch: setattr(batch, "outbox_seq", first.outbox_seq),
}


@pytest.mark.parametrize("what", AGAIN)
async def test_the_same_again_is_refused_even_if_the_code_lets_it_through(kept: Kept, story: Story, what: str) -> None:
    first = await kept.keep(a_little_of_everything(story))
    before = [await kept.store.tail(), await kept.store.appointments(100, GRACE)]
    story.registered("f-2")
    batch = await kept.open_batch(story)
    innocent = replace(
        batch,
        decisions=[*batch.decisions],
        changes=[*batch.changes],
        seen_events=[*batch.seen_events],
        new_spends=[*batch.new_spends],
        replayed=[*batch.replayed],
    )
    AGAIN[what](first, batch)
    with pytest.raises(BatchRefused, match=f"^{kept.refuses} refused batch {batch.batch_no} .* already exists"):
        await kept.commit(batch)
    await the_same_is_there(kept, before)
    await kept.commit(innocent)
    assert (await kept.store.tail()).last_seq == innocent.last_seq


# In which words.

Broken = Callable[[Batch], None]


def a_purchase(freelancer_id: str, batch: Batch) -> ChangeRow:
    """A change that says that this freelancer bought 10 Connects as purchase b-1."""
    place = (FreelancerId(freelancer_id), 70, batch.last_seq, 7, batch.recorded_at, batch.recorded_at)
    return ChangeRow(*place, "grant.purchase", "purchased", "v", 10, 0, 10, "", "b-1", "[]")


REFUSED: dict[str, tuple[Broken, str]] = {
    "a grant of before": (
        lambda batch: batch.changes.append(a_purchase("f-2", batch)),
        "table changes, constraint changes_one_grant: Key (rule, natural_key)=(grant.purchase, b-1) already exists.",
    ),
    "a lot that holds more than entered it": (
        lambda batch: batch.lots.append(
            LotRow("f-2:9", "f-2", "x", batch.recorded_at, batch.recorded_at, 1, 2, True, None)
        ),
        "table lots, constraint lots_check: Failing row contains (f-2:9, f-2, x,",
    ),
    "an event that waits for nothing": (
        lambda batch: batch.awaiting.append(AwaitingRow(None, batch.last_seq)),
        "table awaiting, column proposal_id: Failing row contains (null, 3).",
    ),
}


async def a_refusal(kept: Kept, story: Story, what: str) -> BatchRefused:
    """Of a batch of two decisions, the second one of its ledger."""
    story.bought("f-1", 10, "b-1")
    await kept.keep(story)
    story.registered("f-2")
    story.registered("f-3")
    batch = await kept.open_batch(story)
    REFUSED[what][0](batch)
    with pytest.raises(BatchRefused) as refused:
        await kept.commit(batch)
    return refused.value


@pytest.mark.parametrize("what", REFUSED)
async def test_a_refusal_names_table_constraint_and_row_and_nothing_is_written(
    kept: Kept, story: Story, what: str
) -> None:
    refusal, shown = await a_refusal(kept, story, what), REFUSED[what][1]
    assert str(refusal).startswith(f"{kept.refuses} refused batch 2 (decisions 2 to 3): {shown}")
    assert refusal.why.startswith(shown)
    assert (await kept.store.tail()).batch_no == 1
    assert await kept.store.wallets([FreelancerId("f-2"), FreelancerId("f-3")], None) == {}


@pytest.mark.postgresql_only("how the server's error is worded, by whichever statement it comes")
@pytest.mark.parametrize("small_rows", [0, 2_000], ids=["by copy", "in one statement"])
@pytest.mark.parametrize("what", REFUSED)
async def test_a_refused_batch_is_told_to_the_operator(
    kept: Kept, story: Story, monkeypatch: pytest.MonkeyPatch, what: str, small_rows: int
) -> None:
    """Table, constraint, what PostgreSQL says of it, the batch and its decisions, and what to do: in one line."""
    monkeypatch.setattr(at_once, "SMALL_ROWS", small_rows)
    refusal = await a_refusal(kept, story, what)
    words = str(refusal)
    assert words.startswith(f"PostgreSQL refused batch 2 (decisions 2 to 3): {REFUSED[what][1]}")
    assert "Nothing of it was written, and the worker stopped, so that nothing is granted twice." in words
    assert "connects run" in words
    assert "connects explain" in words
    assert words.isprintable()
    assert isinstance(refusal.__cause__, asyncpg.IntegrityConstraintViolationError)
    assert (await kept.store.tail()).batch_no == 1


def a_change_that_says(words: str, balance: int = 10) -> Broken:
    def add(batch: Batch) -> None:
        said = {"balance_after": balance, "explanation": words, "natural_key": "b-1-2"}
        batch.changes.append(a_purchase("f-2", batch)._replace(**said))

    return add


UNSTORABLE: dict[str, tuple[Broken, str]] = {
    "a NUL": (a_change_that_says("a\0b"), "invalid byte sequence for encoding"),
    "half of a pair of surrogates": (a_change_that_says("\ud83d"), "surrogates not allowed"),
    "a number that is too large": (a_change_that_says("", 2**63), "int64"),
}
"""No event leads to this, because it is refused before; if it happened, it would cost that event only."""


@pytest.mark.postgresql_only("values that Python has and the server has not")
@pytest.mark.parametrize("small_rows", [0, 2_000], ids=["by copy", "in one statement"])
@pytest.mark.parametrize("what", UNSTORABLE)
async def test_a_value_that_cannot_be_stored_refuses_the_batch_in_words_that_can_be_stored(
    kept: Kept, story: Story, monkeypatch: pytest.MonkeyPatch, what: str, small_rows: int
) -> None:
    monkeypatch.setattr(at_once, "SMALL_ROWS", small_rows)
    story.bought("f-1", 10, "b-1")
    await kept.keep(story)
    story.registered("f-2")
    batch = await kept.open_batch(story)
    breaks, shown = UNSTORABLE[what]
    breaks(batch)
    with pytest.raises(BatchRefused, match=r"^PostgreSQL refused batch 2 ") as refused:
        await kept.commit(batch)
    assert shown in refused.value.why
    assert refused.value.why.isascii()
    assert refused.value.why.isprintable()
    assert (await kept.store.tail()).batch_no == 1


async def test_a_refused_batch_that_decides_nothing_names_no_decisions(kept: Kept, story: Story) -> None:
    story.bought("f-1", 10, "b-1")
    await kept.keep(story)
    batch = await kept.open_batch(story)
    batch.changes.append(a_purchase("f-2", batch))
    with pytest.raises(BatchRefused, match=rf"^{kept.refuses} refused batch 2 \(no decisions\): table changes"):
        await kept.commit(batch)


@pytest.mark.postgresql_only("the words of the server, which repeat the row")
async def test_what_would_steer_a_terminal_is_not_shown(kept: Kept, story: Story) -> None:
    story.registered("f-1")
    batch = await kept.open_batch(story)
    batch.parked.append(ParkedRow("nobody", "f-1", 1, "one\ntwo\x1b[2J", batch.recorded_at))
    with pytest.raises(BatchRefused, match=r"constraint parked_scope_check: .*one two") as refused:
        await kept.commit(batch)
    assert str(refused.value).isprintable()


# The past.

HISTORY = ("decisions", "changes")
REWRITES = ("UPDATE {} SET {} = {}", "DELETE FROM {}", "DELETE FROM {} WHERE false", "TRUNCATE {}")
COLUMNS = {"decisions": "reason", "changes": "explanation"}


@pytest.fixture
async def written(ledger_url: str, story: Story) -> str:
    """The URL of a ledger with something in it."""
    store = PostgresStore(ledger_url, "a test")
    connection = await asyncpg.connect(ledger_url)
    epoch = await connection.fetchval("SELECT epoch FROM leader")
    await connection.close()
    await Kept(store, kept_by_nobody, epoch).keep(a_little_of_everything(story))
    await store.close()
    return ledger_url


async def kept_by_nobody() -> int:
    raise AssertionError


@pytest.mark.postgresql_only("triggers that refuse statements")
@pytest.mark.parametrize("table", HISTORY)
@pytest.mark.parametrize("rewrite", REWRITES)
async def test_the_past_cannot_be_rewritten_not_even_by_its_owner(written: str, table: str, rewrite: str) -> None:
    connection = await asyncpg.connect(written)
    before = await connection.fetch(f"TABLE {table}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="the ledger is append-only"):
        await connection.execute(rewrite.format(table, COLUMNS[table], COLUMNS[table]))
    assert before
    assert await connection.fetch(f"TABLE {table}") == before
    await connection.close()


ROLE = "worker_of_the_contract_suite"


@pytest.mark.postgresql_only("rights of database roles")
async def test_the_workers_role_writes_batches_and_rewrites_nothing(ledger_url: str, story: Story) -> None:
    owner = await asyncpg.connect(ledger_url)
    await owner.execute(f"CREATE ROLE {ROLE} LOGIN")
    parts = urlsplit(ledger_url)
    as_worker = parts._replace(netloc=f"{ROLE}@{parts.hostname}:{parts.port}").geturl()
    try:
        await migrate(ledger_url, worker_url=as_worker)
        store = PostgresStore(as_worker, "a test")
        kept = Kept(store, kept_by_nobody, await owner.fetchval("SELECT epoch FROM leader"))
        await kept.keep(a_little_of_everything(story))
        story.registered("f-2")
        batch = await kept.open_batch(story)
        batch.drop_outbox_through = 1
        await kept.commit(batch)
        assert await store.outbox_rows(0, 10**9) != []
        await store.close()
        worker = await asyncpg.connect(as_worker)
        for table in HISTORY:
            for rewrite in REWRITES:
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                    await worker.execute(rewrite.format(table, COLUMNS[table], COLUMNS[table]))
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="must be owner"):
                await worker.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await worker.execute("SET session_replication_role = replica")
        await worker.close()
    finally:
        await wipe(ledger_url)
        await owner.execute(f"DROP OWNED BY {ROLE}")
        await owner.execute(f"DROP ROLE {ROLE}")
        await owner.close()
