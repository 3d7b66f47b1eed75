"""Archives of events: each form of a line, each compression, and whatever is wrong with one."""

import gzip
import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import cramjam
import pytest

from schemas.reading import canonical_json, read_event
from worker.errors import UsageError
from worker.repair import archives
from worker.repair.archives import BadLine, BrokenArchive, Line, read_archive

TOPIC = "connects-purchased"
EVENT = {
    "event_id": "e-1",
    "occurred_at": "2026-03-14T09:00:00Z",
    "freelancer_id": "f-1",
    "purchase_id": "b-1",
    "connects": 40,
}
VALUE = json.dumps(EVENT).encode()


def lines_of(path: Path, content: bytes, topic: str | None = None) -> list[Line | BadLine]:
    path.write_bytes(content)
    return list(read_archive(str(path), topic))


def line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


@pytest.mark.parametrize("content", ['"/wA="', "null", "7"])
def test_a_dead_letter_that_is_no_event_is_a_bad_line_and_says_why(tmp_path: Path, content: str) -> None:
    first = f'{{"topic": "{TOPIC}", "value_base64": {content}}}'
    lines = f'{first}\n{{"topic": "{TOPIC}", "value": {{}}, "value_base64": "x"}}\n'
    (bad, mended) = lines_of(tmp_path / "letters", lines.encode())
    assert isinstance(bad, BadLine)
    assert "value_base64" in bad.why
    assert mended == Line(str(tmp_path / "letters"), 2, TOPIC, b"{}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hour.jsonl"


def test_the_topic_is_beside_the_events_fields(path: Path) -> None:
    (found,) = lines_of(path, line({"topic": TOPIC, **EVENT}))
    assert isinstance(found, Line)
    assert (found.source, found.number, found.topic) == (str(path), 1, TOPIC)
    assert canonical_json(found.value) == canonical_json(VALUE)


def test_the_topic_may_come_last_and_the_value_keeps_the_spelling_of_its_numbers(path: Path) -> None:
    (found,) = lines_of(path, b'{"a": 1.50e1, "event_id": "\\u00e9", "topic": "' + TOPIC.encode() + b'"}')
    assert isinstance(found, Line)
    assert found.value == b'{"a":1.50e1,"event_id":"\\u00e9"}'


@pytest.mark.parametrize("value", [EVENT, VALUE.decode()])
def test_a_record_has_its_value_in_a_field(path: Path, value: object) -> None:
    (found,) = lines_of(path, line({"topic": TOPIC, "value": value, "partition": 3, "offset": 17}))
    assert found == Line(str(path), 1, TOPIC, VALUE)


def test_the_caller_names_the_topic_of_lines_that_do_not(path: Path) -> None:
    found = lines_of(path, VALUE + b"\n" + line({"topic": "badge-earned", "event_id": "e-2"}), TOPIC)
    assert [(one.topic, one.number) for one in found if isinstance(one, Line)] == [(TOPIC, 1), ("badge-earned", 2)]
    assert found[0] == Line(str(path), 1, TOPIC, VALUE)


def test_empty_lines_are_no_lines_and_the_last_needs_no_end(path: Path) -> None:
    found = lines_of(path, b"\n\r\n" + VALUE + b"\r\n  \n" + VALUE, TOPIC)
    assert found == [Line(str(path), 3, TOPIC, VALUE), Line(str(path), 5, TOPIC, VALUE)]
    assert lines_of(path, b"") == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hello", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
        (b"[" * 5_000, "not a JSON object"),
        (b'{"topic": 7}', "not a JSON object: its topic is not text"),
        (VALUE, "it names no topic; give --topic if all are of one"),
        (b'{"topic": "job-opened"}', "there is no input topic 'job-opened'"),
        (b'{"topic": "wallet-updated"}', "there is no input topic 'wallet-updated'"),
        (b'{"topic": "a\\u001b[31m"}', r"there is no input topic 'a\\x1b[31m'"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_of_it(path: Path, content: bytes, why: str) -> None:
    good, bad = lines_of(path, line({"topic": TOPIC, **EVENT}) + content)
    assert isinstance(good, Line)
    assert isinstance(bad, BadLine)
    assert (bad.source, bad.number) == (str(path), 2)
    assert why in str(bad)


def test_what_the_quick_reader_refuses_is_read_all_the_same(path: Path) -> None:
    content = VALUE[:-1] + b', "note": "\\ud800", "much": ' + b"[" * 300 + b"]" * 300
    (found,) = lines_of(path, content + b', "topic": "' + TOPIC.encode() + b'"}')
    assert isinstance(found, Line)
    assert read_event(TOPIC, found.value).event_id == "e-1"
    assert canonical_json(found.value) == canonical_json(content + b"}")


def test_a_line_that_is_too_long_is_named_and_the_next_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LONGEST_LINE", 1_000)
    bad, good = lines_of(path, b'{"x":"' + b"a" * 5_000 + b'"}\n' + VALUE, TOPIC)
    assert str(bad) == f"{path}, line 1: too long: more than 1000 bytes"
    assert good == Line(str(path), 2, TOPIC, VALUE)


# Compression.


def compressed(content: bytes, how: str) -> bytes:
    return gzip.compress(content) if how == "gz" else bytes(cramjam.zstd.compress(content))


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_a_compressed_archive_is_read_whatever_its_name_is(path: Path, how: str) -> None:
    content = b"".join(line({"topic": TOPIC, **EVENT, "event_id": f"e-{number}"}) for number in range(10_000))
    found = lines_of(path, compressed(content, how) + compressed(line({"topic": TOPIC, **EVENT}), how))
    assert [one.number for one in found] == list(range(1, 10_002))
    assert all(isinstance(one, Line) for one in found)


@pytest.mark.parametrize("how", ["gz", "zst"])
def test_an_archive_that_was_cut_off_or_spoiled_is_refused_in_a_line(path: Path, how: str) -> None:
    whole = compressed(random.Random(1).randbytes(50_000), how)
    for broken in (whole[:-9], whole[:10], whole[:500] + b"spoiled" * 9 + whole[600:]):
        with pytest.raises(BrokenArchive) as refused:
            lines_of(path, broken)
        assert str(refused.value).startswith(f"{path} is compressed and not whole (")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("how", ["plain", "gz", "zst"])
def test_standard_input_is_an_archive(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    content = VALUE if how == "plain" else compressed(VALUE, how)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))  # type: ignore[arg-type]
    assert list(read_archive("-", TOPIC)) == [Line("standard input", 1, TOPIC, VALUE)]


@pytest.mark.parametrize(("name", "why"), [("nothing.jsonl", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused_in_a_line(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        list(read_archive(f"{tmp_path}/{name}"))
    assert "\n" not in str(refused.value)
