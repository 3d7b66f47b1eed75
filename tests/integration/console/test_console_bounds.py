"""Who may look at the console, what it refuses, and what it does without its ledger."""

import asyncio
import base64
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.console_ledger import TOKEN, Places
from tests.kit.proxy import place_of, proxy_at
from tests.kit.visiting import Visitor, address_of, visited
from tests.kit.waiting import in_time, until_async
from worker.console.access import Access
from worker.console.ledger import MOST_CONNECTIONS, ReadOnlyLedger
from worker.embedded.stack import LocalStack
from worker.errors import UsageError


async def test_only_those_with_the_token_may_look(places: Places) -> None:
    basic = base64.b64encode(f"agent-lund:{TOKEN}".encode()).decode()
    wrong = base64.b64encode(b"agent-lund:wrong").decode()
    async with visited(places.console, Access(token=TOKEN)) as console:
        for path in ("/", "/freelancers/gus", "/api/v1/freelancers/gus", "/api/v1/openapi.json", "/nowhere"):
            for given in ("", "Bearer wrong", f"Basic {wrong}", "Basic ~~~", f"Basic {TOKEN}", "Bearer ü"):
                refused = await console.get(path, Authorization=given)
                assert (refused.status, "www-authenticate" in refused.headers) == (401, True)
                assert "gus" not in refused.body.replace("/freelancers/gus", "")
            assert (await console.get(path, Authorization=f"Bearer {TOKEN}")).status in {200, 404}
            assert (await console.get(path, Authorization=f"Basic {basic}")).status in {200, 404}
        assert (await console.get("/health/live")).status == 200


async def test_a_proxys_login_counts_once(places: Places) -> None:
    async with visited(places.console, Access(trust_header="X-Forwarded-User")) as console:
        assert (await console.get("/freelancers/gus")).status == 403
        assert (await console.get("/freelancers/gus", X_Forwarded_User="lund@example.com")).status == 200
        twice = "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-User: a\r\nX-Forwarded-User: b\r\n\r\n"
        assert (await console.send(twice.encode())).status == 403


async def test_without_a_token_it_answers_only_to_names_of_this_host(console: Visitor) -> None:
    assert (await console.get("/freelancers/gus", Host="evil.example:80")).status == 421
    assert (await console.get("/freelancers/gus", Host=f"localhost:{console.port}")).status == 200


async def test_a_query_string_of_ten_megabytes_is_refused_quickly(console: Visitor) -> None:
    for size in (10_000, 100_000):
        assert (await console.get(f"/search?q={'x' * size}")).status in {400, 431}
    try:
        refused = await console.get(f"/search?q={'x' * 10_000_000}")
    except ConnectionError:  # it was refused before all of it was sent
        pass
    else:
        assert refused.status in {400, 431}
    assert (await console.get("/health/live")).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "console.example"])  # noqa: S104 - refused
async def test_it_does_not_start_where_others_could_look(connects: Asking, host: str) -> None:
    refused = await connects(f"console --host {host}")
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert refused.err.startswith(f"connects: CONNECTS_CONSOLE_TOKEN: not set, though --host {host} can be reached")


async def test_it_starts_records_who_looked_up_whom_and_stops(
    connects: Asking, kafka: dict[str, Any], prefix: str
) -> None:
    settings = {"KAFKA_BOOTSTRAP_SERVERS": kafka["bootstrap_servers"], "CONNECTS_TOPIC_PREFIX": prefix}
    process = await connects.start("console --port 0 --host 0.0.0.0", CONNECTS_CONSOLE_TOKEN=TOKEN, **settings)
    console = Visitor(int((await address_of(process)).rstrip("/").rpartition(":")[2]))
    basic = base64.b64encode(f"agent-lund:{TOKEN}".encode()).decode()
    assert (await console.get("/proposals/p-202", Authorization=f"Basic {basic}")).status == 200
    assert (await console.get("/search?q=my+secret+words", Authorization=f"Basic {basic}")).status in {303, 404}
    operators = await console.get("/operators", Authorization=f"Bearer {TOKEN}")
    assert (operators.status, "no worker runs" in operators.body) == (200, True)
    assert "do not exist" in operators.body, "the output topics that are missing are a problem"
    process.terminate()
    rest = (await in_time(process.communicate()))[1].decode()
    assert process.returncode == 0, rest
    (line,) = [json.loads(line) for line in rest.splitlines() if "looked_up" in line]
    assert (line["who"], line["what"], line["id"], line["found"]) == ("agent-lund", "proposal", "p-202", True)
    assert "secret" not in rest
    assert TOKEN not in rest


async def test_a_role_that_may_not_read_is_refused_in_one_line(places: Places, connects: Asking) -> None:
    role = f"console_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(places.owner)
    await connection.execute(f"CREATE ROLE {role} LOGIN")
    await connection.close()
    parts = urlsplit(places.owner)
    url = parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}").geturl()
    refused = await connects.as_process("console --port 0", DATABASE_URL=url)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1), refused
    assert "may not read the ledger" in refused.err
    assert "docs/console.md" in refused.err


async def test_nothing_can_be_written_whatever_the_role_may(places: Places) -> None:
    written = "INSERT INTO policies (version, effective_from, document) SELECT 'x', now(), '{}'"
    for url in places:
        ledger = ReadOnlyLedger(url)
        with pytest.raises(UsageError, match="is read-only"):
            async with ledger.snapshot() as connection:
                await connection.execute(written)
        ledger.close()
    connection = await asyncpg.connect(places.console)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("UPDATE lots SET remaining = 0")
    await connection.close()


async def test_while_the_database_is_away_a_page_says_so_and_then_it_goes_on(places: Places) -> None:
    host, port = place_of(places.console)
    parts = urlsplit(places.console)
    async with proxy_at(0, host, port) as (_, listening):
        url = parts._replace(netloc=parts.netloc.replace(str(port), str(listening))).geturl()
        async with visited(url) as console:
            assert (await console.get("/proposals/p-202")).status == 200
    async with visited(url) as console:
        page = await console.get("/proposals/p-202")
        assert (page.status, page.headers["retry-after"]) == (503, "5")
        assert '<meta http-equiv="refresh" content="5">' in page.body
        assert "PostgreSQL at DATABASE_URL cannot be reached" in page.body
        assert str(listening) not in page.body
        problem = await console.get("/api/v1/proposals/p-202")
        assert (problem.status, problem.json["type"]) == (503, "urn:connects:problem:ledger-away")
        assert (await console.get("/health/ready")).status == 503
        assert (await console.get("/questions/expiry")).status == 200
        async with proxy_at(listening, host, port):

            async def back() -> bool:
                return (await console.get("/proposals/p-202")).status == 200

            await until_async(back, 10)


async def test_many_requests_together_take_few_connections_and_each_gets_a_response(places: Places) -> None:
    async with visited(places.console) as console:
        found = await asyncio.gather(*(console.get("/freelancers/many") for _ in range(40)))
        assert {page.status for page in found} <= {200, 503}
        assert any(page.status == 200 for page in found)
        connection = await asyncpg.connect(places.owner)
        named = "application_name LIKE 'connects-console%' AND datname = current_database()"

        async def few_are_left() -> bool:  # the server still shows one that was closed a moment ago
            count: int = await connection.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {named}")  # noqa: S608
            return count <= MOST_CONNECTIONS

        await until_async(few_are_left, 10)
        await connection.close()


async def test_a_ledger_of_another_release_is_one_clear_page(shared_stack: LocalStack) -> None:
    empty = shared_stack.create_database(f"console_{uuid.uuid4().hex[:12]}")
    async with visited(empty) as console:
        for path in ("/freelancers/gus", "/api/v1/freelancers/gus"):
            found = await console.get(path)
            assert (found.status, "connects migrate" in found.body) == (503, True)
            assert "refresh" not in found.body
