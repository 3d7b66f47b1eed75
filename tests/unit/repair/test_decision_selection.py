"""Selections of what is voided: files that name events or decisions; what they cannot mean is one line."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from tests.kit.deciding import deciding
from tests.kit.overlays import MemorySnapshot
from tests.kit.policies import policies
from tests.kit.replaying import Came, bought, event, registered
from worker.errors import UsageError
from worker.ledger.memory_store import MemoryStore
from worker.queries.log_query import LogQuery
from worker.queries.selection import Selected, SelectionHeader
from worker.repair.decision_selection import DecisionSelection
from worker.repair.voiding import UNKNOWN

LEDGER = UUID(int=7)
HEADER = SelectionHeader(LEDGER, LogQuery(), datetime(2026, 4, 1, tzinfo=UTC), 9)


@pytest.fixture
async def selection() -> AsyncIterator[DecisionSelection]:
    """Of a ledger with a registration, two purchases and a badge that has the event id of one of them."""
    store, book = MemoryStore(), policies()
    async with deciding(store, book) as decides:
        decides.add_policies()
        badge = event("badge-earned", "e-b-1", "2026-03-03T10:00:00Z", freelancer_id="f-1", badge="rising-talent")
        await Came(decides)(registered("f-1"), bought("f-1", "b-1"), bought("f-1", "b-2"), badge)
        yield DecisionSelection(MemorySnapshot(store), LEDGER)


def file(folder: Path, text: str) -> Path:
    path = folder / "resent.txt"
    path.write_text(text, encoding="utf-8")
    return path


async def test_a_file_names_events_with_or_without_their_topic(selection: DecisionSelection, tmp_path: Path) -> None:
    text = "# the second day\nconnects-purchased/e-b-1\n\ne-b-2\nconnects-purchased/e-b-1\nbadge-earned/e-b-1\ne-none\n"
    await selection.add_file(file(tmp_path, text))
    chosen = [(one.row.seq, one.row.topic, one.line) for one in selection.in_order()]
    assert chosen == [(4, "badge-earned", 6), (3, "connects-purchased", 4), (2, "connects-purchased", 2)]
    assert selection.left == {UNKNOWN: 1}


async def test_a_selection_of_log_find_names_decisions(selection: DecisionSelection, tmp_path: Path) -> None:
    nothing = (None,) * 3
    found = [Selected(seq, "t", "e", "first", *nothing, None, None, None) for seq in (2, 1, 2)]
    lines = b"\n".join(map(msgspec.json.encode, (HEADER, *found))).decode()
    await selection.add_file(file(tmp_path, lines))
    assert [(one.row.seq, one.line) for one in selection.in_order()] == [(2, 2), (1, 3)]
    assert not selection.left


@pytest.mark.parametrize("option", ["--void", "--shifted"])
async def test_a_file_that_is_not_there_is_named_with_its_option(option: str, tmp_path: Path) -> None:
    selection = DecisionSelection(MemorySnapshot(MemoryStore()), LEDGER, option=option)
    with pytest.raises(UsageError, match=f"^{option}: .*no-such.txt cannot be read: No such file or directory"):
        await selection.add_file(tmp_path / "no-such.txt")


async def test_an_id_that_was_sent_again_is_refused_unless_the_first_event_is_meant(tmp_path: Path) -> None:
    """A list of what was sent again would void what was right."""
    store, book = MemoryStore(), policies()
    async with deciding(store, book) as decides:
        decides.add_policies()
        await Came(decides)(registered("f-1"), bought("f-1", "b-1"), bought("f-1", "b-2"), bought("f-1", "b-1"))
        path = file(tmp_path, "e-b-2\nconnects-purchased/e-b-1\n")
        with pytest.raises(UsageError, match=r"line 2: connects-purchased/e-b-1 was sent again .* add --first"):
            await DecisionSelection(MemorySnapshot(store), LEDGER).add_file(path)
        first = DecisionSelection(MemorySnapshot(store), LEDGER, first=True)
        await first.add_file(path)
        assert [one.row.seq for one in first.in_order()] == [3, 2]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "e-b-1\n",
            "line 1: events of badge-earned and connects-purchased have the id e-b-1: name one of them, as ",
        ),
        ("e-b-2\npurchases/e-b-1\n", "line 2: no topic is called purchases; write topic/event_id"),
        ('{"seq": 1}\n', "the first line is no header of a selection: "),
        (
            msgspec.json.encode(HEADER).decode() + '\n{"topic": 1}\n',
            "line 2: it is no decision of a selection: ",
        ),
        (
            msgspec.json.encode(msgspec.structs.replace(HEADER, ledger_id=UUID(int=8))).decode(),
            "the selection is of another ledger, 00000000-0000-0000-0000-000000000008; select in this ledger",
        ),
    ],
)
async def test_what_a_file_cannot_mean_is_one_line(
    selection: DecisionSelection, tmp_path: Path, text: str, why: str
) -> None:
    with pytest.raises(UsageError) as refused:
        await selection.add_file(file(tmp_path, text))
    assert why in str(refused.value)
    assert "resent.txt" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_file_that_cannot_be_read_is_one_line(selection: DecisionSelection, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    for name, why in (("none", "No such file or directory"), ("latin", "it is not text in UTF-8")):
        with pytest.raises(UsageError, match=why) as refused:
            await selection.add_file(tmp_path / name)
        assert str(refused.value).startswith("--void: ")
