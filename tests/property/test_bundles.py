"""Bundles of random histories: nothing is found in what was exported, and something in whatever was taken out of it."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from tests.kit.bundles import Lines, checked, exported, tampered
from tests.kit.histories import Record, listed
from tests.property.test_deciding_again import decided
from tests.property.test_deciding_again_after_trouble import Trouble, live_through, troubles
from tests.property.test_writer_against_reference import Running, running
from tests.property.variety import POLICIES, any_histories, looking
from worker.ledger.memory_store import MemoryStore
from worker.proof.heads import Head


def named_in(store: MemoryStore, column: str) -> list[str]:
    return sorted({name for row in store.tables.decisions if (name := getattr(row, column)) is not None})


@looking(examples=40)
@given(
    records=any_histories(),
    policy=st.sampled_from(sorted(POLICIES)),
    how=running,
    data=st.data(),
)
def test_what_was_exported_is_whole_and_what_lacks_a_decision_is_not(
    records: list[Record], policy: str, how: Running, data: st.DataObject
) -> None:
    store = asyncio.run(decided(records, policy, how))
    batches = list(store.tables.batches)
    old = data.draw(st.sampled_from(batches), label="older batch")
    since, told = Head(old.log_size or 0, old.chain_head), f"policy {policy!r}, {how}\n{listed(records)}"
    with TemporaryDirectory() as folder:
        for freelancer in named_in(store, "freelancer_id"):
            path = Path(folder, f"{freelancer}.bundle")
            bundle = asyncio.run(exported(store, path, since, freelancer=freelancer))
            for head in (bundle.head, str(since)):
                found = checked(path, head)
                assert not found.findings, f"{freelancer}: {found.findings}\n{told}"
            assert found.proved == found.decisions == bundle.decisions, told
            decisions = [row for row in store.tables.decisions if row.freelancer_id == freelancer]
            linked = [row.previous_seq for row in decisions if row.previous_seq]
            if linked:
                seq = data.draw(st.sampled_from(linked))
                details = [one.detail for one in checked(without(path, seq)).findings]
                assert any(detail.startswith(f"decision {seq} is missing") for detail in details), told
        events = named_in(store, "event_id")
        for number, event in enumerate(data.draw(st.lists(st.sampled_from(events), max_size=3)) if events else []):
            path = Path(folder, f"{number}.bundle")
            bundle = asyncio.run(exported(store, path, event=event))
            assert not (found := checked(path, bundle.head)).findings, f"{event}: {found.findings}\n{told}"
        for job in named_in(store, "job_id")[:2]:
            path = Path(folder, f"{job}.bundle")
            bundle = asyncio.run(exported(store, path, job=job))
            assert not (found := checked(path, bundle.head)).findings, f"{job}: {found.findings}\n{told}"


def without(path: Path, seq: int) -> Path:
    """A bundle that lacks a decision, with the page and the counts that belong to it."""

    def leave_out(lines: Lines) -> None:
        lines["decisions.jsonl"] = [one for one in lines["decisions.jsonl"] if one["decision"]["seq"] != seq]

    return tampered(path, leave_out, consistent=True)


@looking(examples=40)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), trouble=troubles)
def test_what_was_exported_after_trouble_is_whole(records: list[Record], policy: str, trouble: Trouble) -> None:
    """Parked and released, decided by several settings: the bundle has what another wallet's released events need."""
    store = MemoryStore()
    asyncio.run(live_through(store, records, policy, trouble))
    with TemporaryDirectory() as folder:
        for freelancer in named_in(store, "freelancer_id"):
            path = Path(folder, f"{freelancer}.bundle")
            bundle = asyncio.run(exported(store, path, freelancer=freelancer))
            found = checked(path, bundle.head)
            told = f"{freelancer}: {found.findings}\npolicy {policy!r}, {trouble}\n{listed(records)}"
            assert (found.findings, found.proved) == ([], bundle.decisions), told
