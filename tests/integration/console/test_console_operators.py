"""The pages for operators about plans and policy versions, over HTTP, on a ledger that had trouble."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.console_ledger import BEGUN, CORRECTED, DIFFERS, EARLIER, LATER, Places
from tests.kit.decided import NO_KAFKA
from tests.kit.stacks import new_ledger
from tests.kit.visiting import Visitor, visited
from worker.embedded.stack import LocalStack


@pytest.fixture
async def console(troubled: Places) -> AsyncIterator[Visitor]:
    async with visited(troubled.console) as visitor:
        yield visitor


async def test_the_replay_log_is_that_of_the_command(console: Visitor, troubled: Places, tmp_path: Path) -> None:
    connects = Asking(tmp_path, DATABASE_URL=troubled.console, KAFKA_BOOTSTRAP_SERVERS=NO_KAFKA)
    view = (await console.get("/api/v1/plans")).json
    assert view == {"plans": (await connects("replay log --json")).json["plans"], "more": False}
    assert [(one["plan"], one["state"]) for one in view["plans"]] == [
        (BEGUN, "open"),
        (DIFFERS, "done"),
        (CORRECTED, "done"),
    ]
    page = _text_of((await console.get("/plans")).body)
    assert "connects replay log shows the same" in page
    for one in view["plans"]:
        assert f"{one['plan'][:12]} " in page
        assert one["why"] in page


async def test_a_plan_has_its_sums_wallets_shortfalls_and_steps(console: Visitor, troubled: Places) -> None:
    view = (await console.get(f"/api/v1/plans/{CORRECTED}")).json
    assert view["plan"]["kinds"] == {"add": 2, "void": 1}
    sums = {(one["rule"], one["given"], one["taken"]) for one in view["booked"]}
    assert sums == {("grant.registration", 80, 0), ("correct.void", 0, 7)}
    assert (view["wallets"], view["shortfall"]) == (3, 3)
    assert view["gain_most"] == [{"freelancer_id": name, "connects": 40} for name in ("lost-1", "lost-2")]
    assert view["lose_most"] == [{"freelancer_id": "f-1", "connects": -7}]
    assert view["shortfalls"] == [{"number": 3, "freelancer_id": "f-1", "connects": 3}]
    assert [(one["number"], one["kind"], one["event_id"]) for one in view["samples"]] == [
        (1, "add", "r-lost-1"),
        (2, "add", "r-lost-2"),
        (3, "void", "e-b-1"),
    ]
    assert sum(one["booked"] for one in view["steps"]) == 3
    assert (view["not_booked"], view["steps_left_out"]) == ([], 0)
    await _agrees_with_the_ledger(troubled.owner, view)
    page = _text_of((await console.get(f"/plans/{CORRECTED[:12]}")).body)
    for shown in (
        "State: done",
        "correct.void",
        "3 wallets changed",
        "Not taken: 3 Connects that were not there",
        f"connects replay status {CORRECTED[:12]}",
        f"connects replay undo {CORRECTED[:12]} --out undo.plan",
    ):
        assert shown in page
    assert "connects replay stop" not in page


async def _agrees_with_the_ledger(owner: str, view: dict[str, Any]) -> None:
    """Its sums are what the changes of its decisions come to."""
    connection = await asyncpg.connect(owner)
    deltas = await connection.fetch(
        "SELECT delta FROM changes WHERE decision_seq IN (SELECT decision_seq FROM replayed WHERE plan = $1)", CORRECTED
    )
    await connection.close()
    booked = sum(one["given"] - one["taken"] for one in view["booked"])
    assert (
        booked
        == sum(row["delta"] for row in deltas)
        == sum(one["connects"] for one in (*view["gain_most"], *view["lose_most"]))
    )


async def test_a_plan_says_what_was_not_booked_and_why(console: Visitor) -> None:
    view = (await console.get(f"/api/v1/plans/{DIFFERS[:6]}")).json
    assert (view["plan"]["booked"], view["plan"]["deviated"], view["booked"], view["steps"]) == (0, 1, [], [])
    (one,) = view["not_booked"]
    assert (one["outcome"], one["reason"], one["event_id"]) == ("deviated", "other-amounts", "r-lost-3")
    page = _text_of((await console.get(f"/plans/{DIFFERS}")).body)
    for shown in (
        "Not booked: 1 deviated, 0 left out",
        "deviated: other-amounts",
        one["detail"],
        "It changed no balance",
    ):
        assert shown in page
    assert "connects replay undo" not in page


async def test_a_plan_that_was_only_begun_can_be_stopped(console: Visitor) -> None:
    view = (await console.get(f"/api/v1/plans/{BEGUN}")).json
    assert (view["plan"]["state"], view["plan"]["left"], view["wallets"], view["samples"]) == ("open", 5, 0, [])
    page = _text_of((await console.get(f"/plans/{BEGUN}")).body)
    assert f"connects replay stop {BEGUN[:12]} --why TEXT" in page
    assert "connects replay undo" not in page


async def test_two_policy_versions_are_compared_key_by_key(console: Visitor) -> None:
    view = (await console.get("/api/v1/policies")).json
    assert [(one["version"], one["state"]) for one in view["versions"]] == [(EARLIER, "used"), (LATER, "to-come")]
    assert (view["old"], view["new"], view["not_compared"]) == (EARLIER, LATER, None)
    assert view["differences"] == [
        {"key": "grants.registration", "old": "40", "new": "50"},
        {"key": "spends.overdraft", "old": '"allow"', "new": '"decline"'},
    ]
    page = (await console.get(f"/policies?old={EARLIER}&new={LATER}")).body
    assert "grants.registration 40 50 " in _text_of(page)
    assert f"connects policy show --at {LATER}T00:00:00 " in _text_of(page)
    turned = (await console.get(f"/api/v1/policies?old={LATER}&new={EARLIER}")).json["differences"]
    assert [(one["old"], one["new"]) for one in turned] == [("50", "40"), ('"decline"', '"allow"')]
    same = await console.get(f"/policies?old={LATER}&new={LATER}")
    assert "Nothing: each key has the same value in both" in same.body


async def test_a_version_of_a_later_release_is_named_and_not_compared(console: Visitor, troubled: Places) -> None:
    connection = await asyncpg.connect(troubled.owner)
    await connection.execute(
        "INSERT INTO policies (version, effective_from, hash, document, batch_no) "
        "SELECT 'later', effective_from + interval '1 year', hash, "
        "(document::jsonb || '{\"new_section\": {}}'::jsonb)::json, batch_no FROM policies WHERE version = $1",
        LATER,
    )
    try:
        view = (await console.get(f"/api/v1/policies?old={EARLIER}&new=later")).json
        page = await console.get("/policies?new=later")
    finally:
        await connection.execute("SET session_replication_role = replica; DELETE FROM policies WHERE version = 'later'")
        await connection.close()
    assert (view["differences"], view["new"]) == ([], "later")
    assert view["not_compared"] == "A later release stored one of them: this one cannot read new_section."
    assert (page.status, view["not_compared"] in page.body) == (200, True)


@pytest.mark.parametrize(
    ("path", "status", "kind", "says"),
    [
        ("plans/0123456789ab", 404, "no-such-plan", "`connects replay status` lists those that were"),
        ("plans/abc", 404, "no-such-plan", "at least 6 characters"),
        ("plans/%3Cb%3E", 400, "invalid-id", "letters, digits"),
        ("plans/" + "a" * 161, 400, "invalid-id", "letters, digits"),
        ("policies?old=none", 404, "no-such-version", "old: the ledger has no policy version of this name"),
        ("policies?new=%3Cscript%3E%00", 404, "no-such-version", "new: the ledger has no policy version of this name"),
    ],
)
async def test_what_the_ledger_has_not_is_said(console: Visitor, path: str, status: int, kind: str, says: str) -> None:
    refused = await console.get(f"/api/v1/{path}")
    assert (refused.status, refused.json["type"]) == (status, f"urn:connects:problem:{kind}")
    page = await console.get(f"/{path}")
    assert page.status == status
    for shown in (refused.json["detail"], html.unescape(page.body)):
        assert says.lower() in shown.lower()
    assert "<script>" not in page.body


async def test_a_ledger_without_plans_or_versions_says_what_makes_them(shared_stack: LocalStack) -> None:
    url = await asyncio.to_thread(new_ledger, shared_stack, "operators")
    async with visited(url) as console:
        assert "No plan was ever applied." in (await console.get("/plans")).body
        page = _text_of((await console.get("/policies")).body)
        assert ("0 versions" in page, "connects run" in page, "What differs" in page) == (True, True, False)
        empty = {"versions": [], "old": None, "new": None, "differences": [], "not_compared": None}
        assert (await console.get("/api/v1/policies")).json == empty


def _text_of(page: str) -> str:
    """The text that a reader sees of a page, with spaces run together."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
