"""`connects log export`: every decision as `explain` shows it, in ledger order, stopped and gone on with."""

import asyncio
import json
from typing import Any

import pytest

from tests.kit.asking import Asking
from tests.kit.produce import Sent
from tests.kit.world import Events, World
from worker.cli.log import export
from worker.queries import log_export

WHO = [f"f-{number}" for number in range(4)]


@pytest.fixture
async def connects(world: World, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """A ledger with grants, spends, a refund and a rejection, exported three decisions at a time."""
    monkeypatch.setattr(log_export, "_SEQS", 3)
    happens = Events()
    records = [happens("freelancer-registered", freelancer_id=who) for who in WHO]
    records += [
        happens(
            "proposal-submitted",
            freelancer_id=who,
            job_id="j-1",
            proposal_id=f"p-{who}",
            connects=12,
            origin="proposal",
        )
        for who in WHO
    ]
    records.append(happens("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client"))
    await world.produce([*records, Sent("job-closed", b"{", partition=0)])
    await world.worker()
    await world.settled()
    return world.asking()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n")[:-1]]


async def test_each_decision_is_there_once_as_explain_shows_it(world: World, connects: Asking) -> None:
    whole = await connects("log export")
    assert whole.code == 0, whole
    found = {row["seq"]: row for row in lines(whole.out)}
    assert [row["seq"] for row in lines(whole.out)] == [row["seq"] for row in await world.decisions("true")]
    assert f"{len(found)} decisions written; --from {len(found) + 1} goes on" in whole.err
    shown = []
    for who in WHO:
        shown += (await connects(f"explain --freelancer {who} --json")).json["decisions"]
    assert len({row["seq"] for row in shown}) >= 12
    assert all(found[row["seq"]] == row for row in shown)
    assert sum(change["delta"] for row in found.values() for change in row["changes"]) == 40 * len(WHO)


async def test_an_export_in_parts_is_the_export_of_all(world: World, connects: Asking) -> None:
    whole = (await connects("log export")).out
    first = await connects("log export --to 4 --out first.jsonl --json")
    assert first.json == {"out": "first.jsonl", "decisions": 4, "next_seq": 5, "stopped": False}
    rest = await connects(f"log export --from {first.json['next_seq']} --out rest.jsonl --json")
    parts = [(world.folder / name).read_text(encoding="utf-8") for name in ("first.jsonl", "rest.jsonl")]
    assert "".join(parts) == whole
    nothing = await connects(f"log export --from {rest.json['next_seq']} --out more.jsonl --json")
    assert (nothing.code, nothing.json["decisions"], nothing.json["next_seq"]) == (0, 0, rest.json["next_seq"])
    assert not (world.folder / "more.jsonl").exists()


async def test_an_export_that_is_stopped_keeps_whole_lines_and_says_how_to_go_on(
    world: World, connects: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (await connects("log export")).out

    def interrupted() -> asyncio.Event:
        event = asyncio.Event()
        event.set()
        return event

    with monkeypatch.context() as patch:
        patch.setattr(export, "until_interrupted", interrupted)
        stopped = await connects("log export --out part.jsonl")
    assert stopped.code == 1
    assert "stopped; 3 decisions written; --from 4 goes on" in stopped.out
    part = (world.folder / "part.jsonl").read_text(encoding="utf-8")
    assert part + (await connects("log export --from 4")).out == whole


async def test_what_cannot_be_done_is_one_line(world: World) -> None:
    connects = world.asking()
    empty = await connects("log export")
    assert (empty.code, empty.out) == (0, "")
    (world.folder / "there.jsonl").write_text("kept", encoding="utf-8")
    for options, words in (
        ("--from 0", "--from"),
        ("--from x", "--from"),
        ("--from 3 --to 2", "nothing is between"),
        ("--json", "name a file"),
        ("--out there.jsonl", "exists already"),
    ):
        answer = await connects(f"log export {options}")
        assert answer.code == 2, answer
        assert words in answer.err
    assert (world.folder / "there.jsonl").read_text(encoding="utf-8") == "kept"
