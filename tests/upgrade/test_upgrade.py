"""A ledger of an earlier release opens under this one: it answers as it did, catches up, and all invariants hold."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.kit.invariants import check_everything
from tests.kit.policies import later_version
from tests.kit.world import World
from tests.upgrade.release import Release
from worker.domain.policy_file import read_policy
from worker.embedded.state import free_ports
from worker.queries.asking import snapshot
from worker.queries.explain import explain_freelancer
from worker.queries.history import history

NEXT_VERSION = "2032-05-01"
PARKED = [("wallet", "f-bug-1"), ("job", "j-bug-1")]

RETURNED_BY = (
    "Connects come back when the client closes the job without hiring anyone, or when the marketplace removes it"
)
REWORDED = (
    # a refusal for a hire
    (r"before it was (?:closed by the client|removed by the marketplace) on", "before it was closed on"),
    (
        rf"(before it was closed on \d+ \w+ \d+\.) {RETURNED_BY} before anyone is hired\.",
        r"\1 Connects come back only when a job is closed without hiring anyone.",
    ),
    # a job that is open
    (r"has not been closed since,", "has not been closed yet,"),
    (r" Being outbid returns the \d+ Connects? of its boost, but only before the client does anything with .*\.", ""),
    (r" They do not come back when somebody is hired before that, when .* is withdrawn before that\.", ""),
    (r" Somebody was hired for it on \d+ \w+ \d+, and a closing after that returns nothing\.", f" {RETURNED_BY}."),
    # all that names what returns Connects
    (rf"{RETURNED_BY} before anyone is hired\.", f"{RETURNED_BY}."),
    (r"If it has a boost, that comes back as soon as it does\.", "Its boost comes back as soon as it does."),
    # memberships
    (
        r"no monthly Connects, and Plus cannot be chosen; one-time Connects, proposals and refunds go on\.",
        "no monthly Connects; everything else goes on.",
    ),
    (r"The plan is Basic until Plus is chosen\.", "Plus, if it had ended, comes back when it is chosen again."),
    (r" That is too late for the cycle that began on \d+ \w+ \d+: the charge for it remains due\.", ""),
    (r"(is|was) requested from the (earnings balance|payment method)", r"\1 asked of the \2"),
    (r"it is not requested again", "it is not asked again"),
    (r"is decided already: ", "is settled; "),
    # repeats and amounts
    (r" already; it is granted only once\.", " already. It does so once."),
    (r"the amount is 0 Connects\.", "it is about 0 Connects."),
    (r"would be deducted, but", "should have been taken off, but"),
    (r", but only (-?\d+) were available\.", r", and there were \1."),
)
"""Sentences that this release words in another way, each with what it is put back to before it is compared.

They are words about decisions that were made before; what was published of a change stays as it was.
"""


@pytest.mark.parametrize("policy", ["as it was", pytest.param("with a later version", marks=pytest.mark.in_turn)])
async def test_a_ledger_of_an_earlier_release_goes_on_under_this_one(
    world: World, release: Release, tmp_path: Path, policy: str
) -> None:
    if policy == "with a later version":
        world.policy_file = tmp_path / "policy.toml"
        world.policy_file.write_text(release.policy_file.read_text() + later_version(NEXT_VERSION, basic=12))
    decided = await world.value("SELECT max(seq) FROM decisions")
    await answers_as_it_did(world, release)
    await has_noted_late_outbids(world)

    world.it_is(release.later)
    await release.produce_later_records(world)
    (port,) = free_ports(1)
    worker = await world.connects_run(port)
    await world.settled(120)
    assert await world.value("SELECT count(*) FROM parked") == len(PARKED)
    for scope, key in PARKED:
        released = await world.command("parked-release", {"scope": scope, "key": key})
        assert (released["outcome"], released["reason"]) == ("applied", "released"), released
    await world.settled(60)
    worker.terminate()
    assert await worker.ended() == 0, worker.tail()

    await check_everything(world, asked_for_nothing_through=decided)
    await is_verified(world)
    assert await world.value("SELECT count(*) FROM decisions WHERE seq > $1", decided) > 0
    grants = await world.rows(
        "SELECT DISTINCT delta FROM changes WHERE rule = 'grant.monthly' AND reason = 'cycle-started'"
        " AND occurred_at >= '2032-05-02' AND delta < 20"
    )
    assert [row["delta"] for row in grants] == [12 if policy == "with a later version" else 10]


async def is_verified(world: World) -> None:
    """Hashes, rows and topics agree; today's rules take otherwise only what changed since that release decided it."""
    connects = world.asking(CONNECTS_SETTLEMENT_GRACE=str(int(world.grace_seconds)))
    findings = (await connects("verify --json")).json["findings"]
    assert {finding["cause"] for finding in findings} <= {"code-changed", "not-executable"}, findings
    assert all("decided by an earlier release" in finding["detail"] for finding in findings), findings
    answer = await connects("verify --against topics --json")
    assert (answer.code, answer.json["findings"]) == (0, []), answer.out
    assert answer.json["against"]["records"] == sum(world.produced.values())


async def answers_as_it_did(world: World, release: Release) -> None:
    """Before anything new is read, every freelancer's history and explanations are those of that release.

    New fields beside them do not count.
    """
    said = release.said
    policies = read_policy(world.policy_file.read_text(), str(world.policy_file))
    differences: list[str] = []
    async with snapshot(world.database_url) as connection:
        for freelancer_id, before in said.items():
            explained, _ = await explain_freelancer(connection, freelancer_id, policies, release.now - release.grace)
            now = {
                "history": await history(connection, freelancer_id, policies=policies),
                "explain": explained,
            }
            as_json = msgspec.json.decode(msgspec.json.encode(now))
            differences += differing(before, as_json, freelancer_id)
    assert not differences, "\n".join([f"{len(differences)} answers differ:", *differences[:20]])
    assert len(said) > 50


def differing(before: Any, now: Any, where: str) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Sentences and values of before that are not there now, with their place."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name, value in before.items():
            yield from differing(value, now.get(name), f"{where}.{name}")
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from differing(one, other, f"{where}[{number}]")
    elif before != now and not (where.endswith(".explanation") and before == as_worded_before(now)):
        yield f"{where}: {before!r}\n    now: {now!r}"


def as_worded_before(words: str) -> str:
    for pattern, before in REWORDED:
        words = re.sub(pattern, before, words)
    return words


async def has_noted_late_outbids(world: World) -> None:
    """An outbid counts whatever its outcome was, also those that were decided before that was so."""
    late = await world.rows(
        "SELECT s.proposal_id, s.boost_outbid FROM spends s JOIN decisions d USING (proposal_id)"
        " WHERE d.topic = 'boost-outbid' AND d.reason = 'already-refunded'"
    )
    assert late
    assert all(row["boost_outbid"] for row in late), late
