"""The basic flow, by the worker as a process and from its image: events in, wallet-updated out, balances explained."""

import json
from collections.abc import Iterator

import pytest

from tests.containers.harness import Servers, Worker, connects_worker, publish, wallet_updates

pytestmark = pytest.mark.containers


@pytest.fixture(params=["process", "image"])
def worker(request: pytest.FixtureRequest, up: Servers) -> Iterator[Worker]:
    image = request.getfixturevalue("image") if request.param == "image" else None
    with connects_worker(up, image=image) as worker:
        yield worker


async def test_a_job_closed_without_a_hire_returns_what_the_proposal_cost_once(worker: Worker) -> None:
    topics = worker.topics
    await publish(topics, "freelancer-registered", freelancer_id="f-1")
    [granted] = await wallet_updates(topics, 1)
    proposal = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1", "connects": 12, "origin": "proposal"}
    await publish(topics, "proposal-submitted", **proposal)
    await wallet_updates(topics, 2)
    closing = await publish(topics, "job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")
    updates = await wallet_updates(topics, 3)

    assert [update["version"] for update in updates] == [1, 2, 3]
    assert [update["delta"] for update in updates] == [granted["balance_after"], -12, 12]
    refund = updates[-1]
    assert refund["cause"]["topic"] == "job-closed"
    assert refund["cause"]["event_id"] == closing["event_id"]
    assert refund["explanation"] == "12 Connects returned: the client closed job j-1 without hiring anyone."

    await publish(topics, "job-closed", **closing)  # delivered again
    await publish(topics, "freelancer-registered", freelancer_id="f-2")
    assert [update["version"] for update in await wallet_updates(topics, 4) if update["freelancer_id"] == "f-2"] == [1]
    wallet = json.loads(worker.running.connects("history", "f-1", "--json"))
    assert wallet["balance"] == refund["balance_after"]
    assert [change["version"] for change in wallet["changes"]] == [1, 2, 3]
    assert "closed" in worker.running.connects("explain", closing["event_id"])
    worker.running.connects("status")  # would fail if something needed a person
