"""The API of the console, over HTTP, and the example of its documentation."""

import asyncio
import json
import re
import sys
import uuid
from pathlib import Path

import asyncpg
import pytest

from tests.kit.console_ledger import ID_OF_NOBODY, MANY, TOKEN, Places
from tests.kit.documented import files_of
from tests.kit.visiting import Visitor, visited
from worker.console.access import Access
from worker.console.paging import Cursor


async def test_an_etag_spares_what_the_client_has(console: Visitor) -> None:
    first = await console.get("/api/v1/proposals/p-202")
    same = await console.get("/api/v1/proposals/p-202", If_None_Match=first.headers["etag"])
    assert (first.status, same.status, same.body) == (200, 304, "")
    other = await console.get("/api/v1/proposals/p-203", If_None_Match=first.headers["etag"])
    assert other.status == 200


async def test_cursors_lead_through_all_changes_and_belong_to_one_question(console: Visitor) -> None:
    versions: list[int] = []
    cursor = ""
    for _ in range(MANY):
        found = (await console.get(f"/api/v1/freelancers/many/changes?limit=50{cursor}")).json
        versions += [change["version"] for change in found["changes"]]
        if found["next"] is None:
            break
        cursor = f"&cursor={found['next']}"
    assert versions == [*range(MANY + 1, 0, -1)]
    of_another_ledger = Cursor(str(uuid.uuid4()), "many", None, 50).written()
    for wrong in (
        f"many/changes?kind=adjust{cursor}",
        f"gus/changes?x=1{cursor}",
        "many/changes?cursor=%3C%3E",
        f"many/changes?cursor={of_another_ledger}",
    ):
        refused = await console.get(f"/api/v1/freelancers/{wrong}")
        assert (refused.status, refused.json["type"]) == (400, "urn:connects:problem:invalid-cursor")


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("proposals/%3Cscript%3Ealert(1)%3C%2Fscript%3E", 404, "no-such-page"),
        ("proposals/%3Cb%3E", 400, "invalid-id"),
        ("proposals/a%00b", 400, "invalid-id"),
        ("proposals/" + "x" * 161, 400, "invalid-id"),
        ("freelancers/a%20b/changes", 400, "invalid-id"),
        (f"proposals/{ID_OF_NOBODY}", 404, "nothing-on-record"),
        (f"freelancers/{ID_OF_NOBODY}", 404, "nothing-on-record"),
        (f"freelancers/{ID_OF_NOBODY}/changes", 404, "nothing-on-record"),
        (f"topics/expiry?freelancer={ID_OF_NOBODY}", 404, "nothing-on-record"),
        ("topics/nonsense", 404, "no-such-topic"),
        ("freelancers/gus/changes?limit=0", 400, "invalid-parameter"),
        ("freelancers/gus/changes?limit=many", 400, "invalid-parameter"),
        ("topics/expiry?freelancer=%3Cb%3E", 400, "invalid-parameter"),
        ("search", 400, "invalid-parameter"),
        ("nowhere", 404, "no-such-page"),
    ],
)
async def test_whatever_cannot_be_served_is_a_problem(console: Visitor, path: str, status: int, kind: str) -> None:
    found = await console.get(f"/api/v1/{path}")
    assert (found.status, found.headers["content-type"]) == (status, "application/problem+json")
    problem = found.json
    assert (problem["type"], problem["status"]) == (f"urn:connects:problem:{kind}", status)
    assert {"title", "detail", "instance"} <= problem.keys()
    assert "<" not in problem["detail"]
    assert ("reply" in problem) == (kind == "nothing-on-record")


async def test_nothing_but_get_is_served(console: Visitor) -> None:
    assert (await console.get("/proposals/p-202", "HEAD")).status == 200
    for path, allowed in (("/api/v1/proposals/p-202", "GET"), ("/proposals/p-202", "GET, HEAD")):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            refused = await console.get(path, method)
            assert (refused.status, refused.headers["allow"]) == (405, allowed)


async def test_operators_see_what_waits_for_a_person_by_cause(console: Visitor, places: Places) -> None:
    connection = await asyncpg.connect(places.owner)
    await connection.execute(
        "INSERT INTO parked (scope, key, decision_seq, since, error) "
        "SELECT 'wallet', key, 1, now(), 'ZeroDivisionError' FROM unnest(ARRAY['stopped-1', 'stopped-2']) AS key"
    )
    view = (await console.get("/api/v1/operators")).json
    page = await console.get("/operators")
    await connection.execute("DELETE FROM parked")
    await connection.close()
    (letters,) = view["dead_letters"]
    assert (letters["topic"], letters["error_code"], letters["letters"]) == ("badge-earned", "invalid-event", 1)
    (parked,) = view["parked"]
    assert (parked["error"], parked["stopped"], parked["key"]) == ("ZeroDivisionError", 2, "stopped-1")
    assert f"connects dead-letters show {letters['last_seq']}" in page.body
    assert "connects parked release wallet stopped-1" in page.body
    assert "connects status" in page.body


async def test_the_document_describes_every_path(console: Visitor) -> None:
    described = (await console.get("/api/v1/openapi.json")).json
    assert set(described["paths"]) >= {"/api/v1/search", "/api/v1/freelancers/{freelancer_id}/changes"}
    schemas = described["components"]["schemas"]
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described)))
    assert named <= set(schemas)
    for path in described["paths"].values():
        content = path["get"]["responses"]["200"]["content"]["application/json"]
        assert content["example"]
        shown = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        assert set(content["example"]) == set(shown["properties"])


async def test_the_example_of_the_documentation_prints_a_reply(places: Places, tmp_path: Path) -> None:
    (tmp_path / "ticket.py").write_text(files_of("docs/console.md")["ticket.py"], encoding="utf-8")
    async with visited(places.console, Access(token=TOKEN)) as console:
        environment = {"CONSOLE": f"http://127.0.0.1:{console.port}", "CONSOLE_TOKEN": TOKEN}
        for asked, words in (("p-202", "No: the 9 Connects"), ("expiry", "Your Connects last one calendar year")):
            program = (sys.executable, "ticket.py", asked)
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*program, cwd=tmp_path, env=environment, stdout=pipe)
            out, _ = await process.communicate()
            assert (process.returncode, out.decode().startswith(words)) == (0, True)
