"""Whatever is altered in a bundle is found and named, also by somebody who makes the checksum right again."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kit.bundles import Lines, checked, exported, lines_of, tampered
from tests.unit.bundle.conftest import Exported, written

PATHS: Final = ("freelancer", "event", "job")
Place = tuple[str, int, tuple[Any, ...]]
"""A value in a bundle: entry, line from 0, and the names and numbers that lead to it."""


@pytest.mark.parametrize("what", PATHS)
def test_what_was_exported_is_whole(bundles: Exported, what: str) -> None:
    found = checked(getattr(bundles, what), bundles.bundles[what].head)
    assert (found.findings, found.count) == ([], 0)
    assert found.proved == found.decisions == bundles.bundles[what].decisions > 5
    assert (found.decided_again > 5) == (what != "job")


def test_any_byte_that_is_changed_is_found(bundles: Exported, tmp_path: Path) -> None:
    whole, path = bundles.job.read_bytes(), tmp_path / "changed.bundle"
    end = len(whole) - 600
    for place in (*range(0, end, end // 150), *range(end, len(whole))):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert checked(path).count, f"byte {place} of {len(whole)}"


def test_a_changed_byte_of_an_entry_is_placed_there(bundles: Exported, tmp_path: Path) -> None:
    whole, path = bundles.freelancer.read_bytes(), tmp_path / "changed.bundle"
    for entry, text in (
        ("decisions.jsonl", b'"outcome":"applied"'),
        ("others.jsonl", b'"outcome":"applied"'),
        ("batches.jsonl", b'"skew_seconds"'),
        ("page.txt", b"What it does not show"),
        ("bundle.json", b'"exported_by"'),
    ):
        place = whole.index(text, whole.index(b"PK\x03\x04" if entry == "decisions.jsonl" else entry.encode())) + 3
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert entry in {one.entry for one in checked(path).findings}, checked(path)


def values(lines: Lines) -> Iterator[Place]:
    """Every value but `null` of the first line of its kind: each column of each table once, with each kind of value."""
    seen = set()
    for entry in ("decisions.jsonl", "others.jsonl", "batches.jsonl", "bundle.json"):
        for number, line in enumerate(lines[entry]):
            for names in inside(line):
                kind = (entry, *(name for name in names if isinstance(name, str)))
                if kind not in seen:
                    seen.add(kind)
                    yield entry, number, names


def inside(value: Any) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    if isinstance(value, dict | list):
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((name, *rest) for rest in inside(one))
    elif value is not None:
        yield ()


def another(value: Any) -> Any:  # noqa: ANN401
    """A value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if value.endswith("Z"):  # an instant
        return value.replace("2", "1", 1)
    return value[:-1] + ("1" if value[-1:] != "1" else "2")


PRODUCERS_WORD: Final = {("bundle.json", "exported_by")}
"""What nothing proves: the page is compared only with the release that wrote it."""


@pytest.mark.parametrize("what", PATHS)
def test_any_value_that_is_altered_is_found(bundles: Exported, what: str) -> None:
    lines = lines_of(getattr(bundles, what))
    places = [*values(lines)]
    assert len(places) > 70
    not_found = []
    for entry, number, names in places:
        altered = tampered(getattr(bundles, what), put(entry, number, names))
        if (entry, *names) == ("bundle.json", "format"):
            continue  # a later format is wrong use: test_what_cannot_be_checked.py
        if not checked(altered).count and (entry, *names) not in PRODUCERS_WORD:
            not_found.append((entry, number, names))
    assert not_found == []


def put(entry: str, number: int, names: tuple[Any, ...]) -> Callable[[Lines], None]:
    def alter(lines: Lines) -> None:
        value = lines[entry][number]
        for name in names[:-1]:
            value = value[name]
        value[names[-1]] = another(value[names[-1]])

    return alter


@pytest.mark.parametrize("what", PATHS)
@pytest.mark.parametrize("entry", ["decisions.jsonl", "others.jsonl", "batches.jsonl"])
def test_a_line_that_is_dropped_doubled_or_exchanged_is_found(bundles: Exported, what: str, entry: str) -> None:
    path = getattr(bundles, what)
    count = len(lines_of(path)[entry])
    for number in range(count):
        # The last decision is named by none after it: its producer may leave it out, and the page says so.
        is_last = entry == "decisions.jsonl" and number == count - 1
        assert checked(tampered(path, drop(entry, number))).count, f"line {number + 1} dropped"
        if not is_last and (what != "job" or entry != "decisions.jsonl"):
            left_out = tampered(path, drop(entry, number), consistent=True)
            assert checked(left_out).count, f"line {number + 1} left out"
        assert checked(tampered(path, double(entry, number))).count, f"line {number + 1} doubled"
        if number and entry == "decisions.jsonl":
            exchanged = tampered(path, exchange(entry, number), consistent=True)
            assert checked(exchanged).count, f"line {number + 1} exchanged with the one before"


def drop(entry: str, number: int) -> Callable[[Lines], None]:
    def alter(lines: Lines) -> None:
        del lines[entry][number]

    return alter


def double(entry: str, number: int) -> Callable[[Lines], None]:
    def alter(lines: Lines) -> None:
        lines[entry].insert(number, lines[entry][number])

    return alter


def exchange(entry: str, number: int) -> Callable[[Lines], None]:
    def alter(lines: Lines) -> None:
        these = lines[entry]
        these[number - 1], these[number] = these[number], these[number - 1]

    return alter


def test_a_decision_left_out_in_the_middle_is_named(bundles: Exported) -> None:
    decisions = lines_of(bundles.freelancer)["decisions.jsonl"]
    number = next(at for at, line in enumerate(decisions) if line["decision"]["reason"] == "no-boost")
    found = checked(tampered(bundles.freelancer, drop("decisions.jsonl", number), consistent=True))
    seq = decisions[number]["decision"]["seq"]
    assert f"decision {seq} is missing: this one names it as the one before it" in [
        one.detail for one in found.findings
    ]
    number = next(at for at, line in enumerate(decisions) if line["decision"]["topic"] == "hire-made")
    found = checked(tampered(bundles.freelancer, drop("decisions.jsonl", number), consistent=True))
    assert any("version 6 of the wallet comes after version 4" in one.detail for one in found.findings), found


def test_that_the_newest_is_left_out_is_not_noticed_and_said_to_be_the_producers_word(bundles: Exported) -> None:
    last = len(lines_of(bundles.freelancer)["decisions.jsonl"]) - 1
    found = checked(tampered(bundles.freelancer, drop("decisions.jsonl", last), consistent=True))
    assert found.findings == []
    assert any("producer's word" in remark for remark in found.remarks)
    assert any("only the word of the" in line for line in lines_of(bundles.freelancer)["page.txt"])


def test_a_decision_of_another_bundle_is_not_taken(bundles: Exported) -> None:
    """It is in the log, but is not about the freelancer."""
    others = lines_of(bundles.freelancer)["others.jsonl"]

    def add(lines: Lines) -> None:
        lines["decisions.jsonl"] = sorted([*lines["decisions.jsonl"], others[0]], key=lambda one: one["index"])

    found = checked(tampered(bundles.freelancer, add))
    assert "it is not about freelancer f-1" in [one.detail for one in found.findings]
    job = lines_of(bundles.job)["decisions.jsonl"]
    found = checked(tampered(bundles.job, lambda lines: lines.update({"decisions.jsonl": [*others[:1], *job]})))
    assert "it is not about job j-1" in [one.detail for one in found.findings]


def test_a_decision_without_its_proof_is_not_taken_for_an_older_one(bundles: Exported) -> None:
    def strip(lines: Lines) -> None:
        for line in lines["decisions.jsonl"]:
            line |= {"index": None, "salt": None, "proof": []}

    found = checked(tampered(bundles.freelancer, strip))
    assert "it has no proof, and is not older than the log" in [one.detail for one in found.findings]


def test_another_history_with_hashes_of_its_own_has_another_head(bundles: Exported, tmp_path: Path) -> None:
    """A bundle of a ledger that was written again is whole: only its head is another one."""
    path, head = tmp_path / "again.bundle", bundles.bundles["freelancer"].head
    again = asyncio.run(exported(asyncio.run(written()), path, freelancer="f-1"))
    assert checked(path, again.head).findings == []
    (finding,) = checked(path, head).findings
    words = "it is of another ledger, or of one that was rewritten"
    assert finding.detail == f"its head is {again.head}, not {head}: {words}"
