"""A plan as a file: what was written is read, and what is not as it was written is refused in one line."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.repair.plan import FORMAT, Added, Expected, Header
from worker.repair.plan_file import read_plan, write_plan
from worker.repair.summary import Booked, Step, Summary, Wallet

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
HEADER = Header(FORMAT, "ledger-1", "0.2.0", ["2026-07 4be1"], 17, NOON, NOON)
SUMMARY = Summary({"add": 2}, wallets=1, given=50, booked=[Booked("grant.registration", "registered", 1, 50)])
WALLETS = [Wallet("f-1", 0, 50, 50, [Step(1, NOON, "applied", "registered", 50, 50, "50 Connects for registering.")])]


def added(number: int) -> Added:
    expected = Expected("applied", "registered", {"f-1": 50} if number == 1 else {})
    return Added(number, "freelancer-registered", f"e-{number}", '{"event_id":"é"}', "hour.jsonl", number, expected)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "plan")


def written(path: Path, header: Header = HEADER, *triggers: Added) -> Path:
    with path.open("wb") as file:
        write_plan(file, header, triggers or (added(1), added(2)), WALLETS, SUMMARY)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as refused:
        read_plan(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_was_written_is_read(path: Path) -> None:
    plan = read_plan(path)
    assert plan.header == HEADER
    assert plan.summary == SUMMARY
    assert list(plan.triggers()) == [added(1), added(2)]
    assert list(plan.wallets()) == WALLETS


def test_the_name_of_a_plan_is_the_hash_of_every_byte_before_it(path: Path) -> None:
    *lines, last = path.read_bytes().splitlines(keepends=True)
    assert json.loads(last) == {"hash": sha256(b"".join(lines)).hexdigest()} == {"hash": read_plan(path).hash}
    assert list(json.loads(lines[-1])) == ["summary"]


def test_an_empty_plan_is_a_plan(tmp_path: Path) -> None:
    with (tmp_path / "plan").open("wb") as file:
        name = write_plan(file, HEADER, (), (), Summary({"add": 0}))
    plan = read_plan(tmp_path / "plan")
    assert (plan.hash, list(plan.triggers())) == (name, [])


def test_each_byte_that_is_changed_is_found(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert "Write the plan again" in refusal(path) or "Use the release that wrote it" in refusal(path)


def test_a_plan_that_was_cut_off_anywhere_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(1, len(whole), 5):
        path.write_bytes(whole[:length])
        assert "Write the plan again" in refusal(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PK\3\4", "is no plan"),
        (b"hello\n", "is no plan: its first line is not a plan's header"),
        (b'{"topic":"job-closed"}\n', "is no plan: its first line is not a plan's header"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "plan"
    path.write_bytes(content)
    assert words in refusal(path)


def test_something_behind_the_hash_is_found(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")
    assert "something follows" in refusal(path)


def test_a_plan_of_another_format_names_both(tmp_path: Path) -> None:
    path = written(tmp_path / "plan", Header(FORMAT + 1, *(getattr(HEADER, name) for name in _but_format())))
    assert f"has format {FORMAT + 1}, and this release reads format {FORMAT}" in refusal(path)


def test_an_unknown_field_is_named(path: Path) -> None:
    assert "unknown field `undo`" in refusal(rewritten(path, 2, undo=True))
    assert "unknown field `undo`" in refusal(rewritten(path, 1, undo=True))
    assert "unknown field `undo`" in refusal(rewritten(path, 5, undo=True))


def test_triggers_that_are_not_in_order_are_refused(tmp_path: Path) -> None:
    assert "trigger 2 is where 1 should be" in refusal(written(tmp_path / "plan", HEADER, added(2), added(1)))


def test_a_plan_that_is_changed_after_it_was_read_is_found(path: Path) -> None:
    plan = read_plan(path)
    path.unlink()
    written(path, HEADER, added(1))
    with pytest.raises(UsageError, match="was changed while it was read"):
        list(plan.triggers())


def rewritten(path: Path, number: int, **more: object) -> Path:
    """The plan with more fields in one line, under the hash of that."""
    lines = path.read_bytes().splitlines(keepends=True)[:-1]
    lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **more}, separators=(",", ":")).encode() + b"\n"
    whole = b"".join(lines)
    path.write_bytes(whole + json.dumps({"hash": sha256(whole).hexdigest()}, separators=(",", ":")).encode() + b"\n")
    return path


def _but_format() -> list[str]:
    return [name for name in Header.__struct_fields__ if name != "format"]


def test_a_line_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    steps = [Step(1, NOON, "applied", "registered", 50, 50, "x" * 1_000_000)] * 70
    with (tmp_path / "plan").open("wb") as file, pytest.raises(UsageError, match="a line of f-1 would have more than"):
        write_plan(file, HEADER, [added(1)], [Wallet("f-1", 0, 50, 50, steps)], SUMMARY)
