"""The rule of docs/add-a-rule.md in the real worker. Run in a copy in which the guide was followed."""

from datetime import UTC, datetime

from tests.integration.conftest import world as world  # noqa: PLC0414 - the fixture
from tests.kit.invariants import body_of, check_everything
from tests.kit.world import Events, World

NOW = datetime(2026, 8, 10, 12, tzinfo=UTC)
RATED = {"freelancer_id": "f-1", "job_id": "j-1", "contract_id": "k-1"}


async def test_a_rating_is_granted_once_whatever_restarts_and_repeats_and_is_explained(world: World) -> None:
    world.grace_seconds = 1
    world.it_is(NOW)
    send = Events(start=NOW.replace(hour=11))
    await world.produce([send("job-rated", **RATED, stars=5), send("job-rated", **RATED, stars=4)])
    first = await world.worker()
    await world.settled()
    assert await world.balance("f-1") == 5

    await first.kill()
    await world.end_lease_of(first)
    again = send("job-rated", **RATED, stars=5)
    await world.produce([again, send.messages[0], send("job-rated", **{**RATED, "contract_id": "k-2"}, stars=5)])
    second = await world.worker()
    await world.settled()
    assert second.runs
    assert await world.balance("f-1") == 10
    decided = await world.decisions("topic = 'job-rated'")
    assert sorted((row["outcome"], row["reason"]) for row in decided) == [
        ("applied", "rated-five-stars"),
        ("applied", "rated-five-stars"),
        ("declined", "already-granted"),
        ("declined", "already-granted"),
        ("duplicate", "already-decided"),
    ]
    update = body_of(world.reader.records[0])
    assert (update["rule"], update["delta"]) == ("grant.rating", 5)
    assert update["subject"] == {"job_id": "j-1", "contract_id": "k-1"}
    await check_everything(world, model=False)

    connects = world.asking(CONNECTS_POLICY=str(world.policy_file))
    assert "5 Connects granted: the client rated contract k-1 with five stars." in (await connects("explain e-1")).text
    repeated = (await connects("explain e-3")).text
    assert "the rating of contract k-1 brought 5 Connects on 10 August 2026 already" in repeated
