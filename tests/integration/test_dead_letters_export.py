"""A producer sent a wrong field for an hour: its letters are exported, mended and added, and nothing else changes."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.asking import Asking
from tests.kit.invariants import check_everything
from tests.kit.produce import Sent
from tests.kit.world import Events, World
from worker.queries import letters_export

WHO = [f"f-{number}" for number in range(6)]
NOT_JSON = [b"\xff\x00 no text", b"", None, b"[1]", b'"text"', b'{"a": 1} {']


async def an_hour_with_a_wrong_field(world: World) -> None:
    """Purchases whose `connects` is text, beside good ones, and what is no event at all."""
    happens = Events()
    records = [happens("freelancer-registered", freelancer_id=who) for who in WHO]
    for number, who in enumerate(WHO):
        sent = happens("connects-purchased", freelancer_id=who, purchase_id=f"b-{who}", connects=40)
        fields = json.loads(sent.value or b"")
        if number % 2 == 0:
            fields["connects"] = "40 connects\u2028"
            sent = Sent(sent.topic, json.dumps(fields, indent=2, ensure_ascii=False).encode(), sent.key)
        records.append(sent)
    records += [Sent("job-closed", value, partition=0) for value in NOT_JSON]
    await world.produce(records)
    await world.worker()
    await world.settled()


async def exported(connects: Asking, options: str = "") -> list[dict[str, object]]:
    answer = await connects(f"dead-letters export --out - {options}")
    assert answer.code == 0, answer
    return [json.loads(line) for line in answer.out.split("\n")[:-1]]


async def test_letters_are_exported_mended_and_added(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters_export, "_SEQS", 2)  # pages of two, of which each value is fetched alone
    monkeypatch.setattr(letters_export, "_BYTES", 1)
    await an_hour_with_a_wrong_field(world)
    connects = world.asking()
    summary = await connects("dead-letters export --out all.jsonl --json")
    assert summary.json == {"out": "all.jsonl", "letters": 9, "not_json": len(NOT_JSON)}
    lines = [json.loads(line) for line in (world.folder / "all.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    seqs = [line["dead_letter"]["seq"] for line in lines]
    assert seqs == sorted(seqs) == sorted(row["seq"] for row in await world.decisions("outcome = 'rejected'"))
    undone = [line["value_base64"] for line in lines if "value_base64" in line]
    assert [None if text is None else base64.b64decode(text) for text in undone] == NOT_JSON
    assert [line["value"]["connects"] for line in lines if "value" in line] == ["40 connects\u2028"] * 3

    refused = await connects("replay plan --add all.jsonl --out all.plan")
    assert refused.code == 1
    assert refused.err.count("value_base64") == len(NOT_JSON), refused.err

    export = "dead-letters export --cause invalid-event --topic connects-purchased --out hour.jsonl"
    assert (await connects(export)).code == 0
    hour = world.folder / "hour.jsonl"
    mended = hour.read_text(encoding="utf-8").replace('"40 connects\u2028"', "40")
    (world.folder / "mended.jsonl").write_text(mended, encoding="utf-8")
    planned = await connects("replay plan --add mended.jsonl --out hour.plan --json")
    assert planned.json["triggers"]["add"] == 3, planned
    applied = await connects('replay apply hour.plan --why "the shop sent connects as text"')
    assert applied.code == 0, applied
    await world.settled()
    assert [await world.balance(who) for who in WHO] == [80] * len(WHO)
    again = await connects("replay plan --add mended.jsonl --out again.plan --json")
    assert sum(again.json["triggers"].values()) == 0, "what was added is not added twice"
    assert (await connects("verify")).code == 0
    await check_everything(world, model=False)


async def test_letters_are_chosen_by_cause_topic_and_time(world: World) -> None:
    await an_hour_with_a_wrong_field(world)
    connects = world.asking()
    assert len(await exported(connects)) == 9
    assert len(await exported(connects, "--topic job-closed")) == len(NOT_JSON)
    assert len(await exported(connects, "--topic job-closed --topic connects-purchased --cause invalid-event")) == 9
    now = datetime.now(UTC)
    hour_ago, soon = ((now + timedelta(hours=hours)).isoformat() for hours in (-1, 1))
    assert len(await exported(connects, f"--from {hour_ago} --to {soon}")) == 9
    for options in (f"--to {hour_ago}", f"--from {soon}", "--cause occurred-too-long-ago"):
        nothing = await connects(f"dead-letters export --out none.jsonl {options}")
        assert (nothing.code, nothing.out) == (1, "")
        assert "invalid-event on job-closed" in nothing.err
        assert not (world.folder / "none.jsonl").exists()


async def test_what_cannot_be_done_is_one_line(world: World) -> None:
    connects = world.asking()
    empty = await connects("dead-letters export --out none.jsonl --json")
    assert (empty.code, empty.json["letters"], empty.err) == (1, 0, "there are no dead letters\n")
    (world.folder / "there.jsonl").write_text("kept", encoding="utf-8")
    for options, words in (
        ("--out there.jsonl", "exists already"),
        ("--out - --json", "name a file"),
        ("--out x --topic nowhere", "--topic is one of"),
        ("--out x --from yesterday", "--from"),
        ("--out x --from 2030-01-02T00:00:00Z --to 2030-01-01T00:00:00Z", "has to be earlier"),
        ("", "--out"),
    ):
        answer = await connects(f"dead-letters export {options}")
        assert answer.code == 2, answer
        assert words in answer.err
    assert (world.folder / "there.jsonl").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b'{"a":\n 1.0, "b": 12345678901234567890123, "a": 2}', b'{"a":1.0,"b":12345678901234567890123,"a":2}'),
        (b' {"a": "x\\ny"}\r\n', b'{"a":"x\\ny"}'),
        (b'{"a": NaN}', None),
        (b"{" * 100_000, None),
        (b'{"a": "\xff"}', None),
        (b"\xef\xbb\xbf{}", None),
    ],
)
def test_an_object_is_kept_to_the_byte_on_one_line(value: bytes, line: bytes | None) -> None:
    assert letters_export.json_object(value) == line


def test_half_a_character_stays_what_it_is() -> None:
    found = letters_export.json_object(b'{"a": "\\ud800"}')
    assert found is not None
    assert json.loads(found) == {"a": "\ud800"}
