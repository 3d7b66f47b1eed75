"""`connects verify --selection FILE`: what other commands can work on, in the file that `log find` writes."""

import json
from pathlib import Path

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.deciding import deciding
from tests.kit.policies import policies
from tests.kit.story import day
from tests.property.test_deciding_again import more_for_a_certification
from tests.property.test_writer_found_before import Timeline

CERTIFICATION = {"certification_id": "c-1", "kind": "skill-certification"}


@pytest.fixture
async def connects(database_url: str, tmp_path: Path) -> Asking:
    """On a ledger with two certifications, and a closure whose work somebody took off the schedule."""
    timeline = Timeline()
    async with deciding(database_url, policies()) as decides:
        decides.add_policies()
        await decides.decide([timeline.registered(day(0)), timeline.proposed(day(1), 12), timeline.closed(day(2))])
        await decides.commit()
        connection = await asyncpg.connect(database_url)
        await connection.execute("DELETE FROM due")
        await connection.close()
        await decides.restart()
        for who in ("f-1", "f-2"):
            await decides.decide(
                [timeline.event("certification-completed", day(3), freelancer_id=who, **CERTIFICATION)]
            )
            await decides.commit()
    return Asking(tmp_path, DATABASE_URL=database_url, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")


async def test_what_is_found_is_selected_in_ledger_order(connects: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    more_for_a_certification(monkeypatch)
    answer = await connects("verify --selection found.jsonl --json")
    assert (answer.code, answer.json["selected"]) == (1, 3)
    header, *lines = map(json.loads, (connects.folder / "found.jsonl").read_text().splitlines())
    assert (header["query"], header["through_seq"]) == ({}, 5)
    assert header["checks"] == answer.json["checks"]
    assert [(line["seq"], line["topic"], line["job_id"], line["freelancer_id"]) for line in lines] == [
        (3, "job-closed", "j-1", None),
        (4, "certification-completed", None, "f-1"),
        (5, "certification-completed", None, "f-2"),
    ]
    await connects("log find --topic job-closed --selection as_log_find.jsonl")
    _, closure = map(json.loads, (connects.folder / "as_log_find.jsonl").read_text().splitlines())
    assert closure == lines[0]
    answer = await connects("verify --freelancer f-2 --selection one.jsonl")
    assert (answer.code, answer.out.splitlines()[-1]) == (1, "one.jsonl: 1 decision")


async def test_a_selection_replaces_no_file_and_is_never_empty(connects: Asking) -> None:
    (connects.folder / "mine").write_text("kept")
    answer = await connects("verify --selection mine")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "--selection: mine exists already" in answer.err
    answer = await connects("verify --to 2 --selection none")
    assert (answer.code, answer.out) == (0, "All is as it was written.\n")
    answer = await connects("verify --from 2 --selection none")
    assert answer.code == 2
    assert "--from leaves out" in answer.err
    answer = await connects("verify --selection nowhere/file")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert [path.name for path in connects.folder.iterdir()] == ["mine"]
