"""The commands that documents show are run here, and what they print is what the documents say."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kit.documented import Command, blocks_of, files_of
from tests.kit.stacks import FOLDER
from tests.kit.terminal import terminal_in
from tests.kit.worker_process import ROOT
from tests.kit.world import Events, World

BLOCKS: dict[str, tuple[int, int]] = {
    "README.md": (2, 2),
    "docs/add-a-rule.md": (0, 1),
    "docs/console.md": (0, 1),
    "docs/incidents.md": (10, 16),
    "docs/kubernetes.md": (0, 6),
    "docs/operations.md": (23, 6),
    "docs/queries.md": (0, 1),
    "docs/tracing.md": (0, 1),
    "docs/tutorial.md": (19, 3),
    "docs/upgrade.md": (4, 0),
}
"""How many blocks of commands each document has: those that run, and those that say why they do not."""
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_of_commands_runs_or_says_why_it_does_not(document: str) -> None:
    not_run = [block.not_run for block in blocks_of(document)]
    assert (not_run.count(None), len(not_run) - not_run.count(None)) == BLOCKS.get(document, (0, 0))


@pytest.mark.usefixtures("shared_stack")
async def test_the_tutorial_is_true(tmp_path: Path) -> None:
    """It runs on the shared stack, which is the embedded stack of this cache folder; its database has no other use."""
    document = "docs/tutorial.md"
    for name, text in files_of(document).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    async with terminal_in(tmp_path, CONNECTS_CACHE_DIR=os.environ[FOLDER]) as terminal:
        assert await terminal.follow(blocks_of(document)) == BLOCKS[document][0]


@pytest.mark.parametrize("document", ["README.md", "docs/operations.md", "docs/upgrade.md"])
async def test_a_document_is_true_of_a_ledger_with_a_refund(world: World, document: str) -> None:
    """The freelancer f-1 spent Connects on the proposal p-1 and got them back."""
    send = Events()
    send("freelancer-registered", freelancer_id="f-1")
    send("proposal-submitted", freelancer_id="f-1", job_id="j-1", proposal_id="p-1", connects=12, origin="proposal")
    send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")
    await world.produce(send.messages)
    await follow(world, document)


async def test_the_incidents_are_true_of_a_ledger_with_a_wrong_amount(world: World) -> None:
    """The freelancer f-2 bought 40 Connects, and the event said 4. It is still that day."""
    send = Events(datetime(2025, 3, 14, 9, tzinfo=UTC))
    send("connects-purchased", event_id="e-wrong-1", freelancer_id="f-2", purchase_id="b-wrong-1", connects=4)
    await world.produce(send.messages)
    worker = await world.worker(at=datetime(2025, 3, 14, 9, 10, tzinfo=UTC))

    async def bought() -> bool:
        return await world.value("SELECT count(*) FROM changes") == 1

    await world.comes_true(bought)
    worker.terminate()
    assert await worker.ended() == 0
    await follow(world, "docs/incidents.md")


async def follow(world: World, document: str) -> None:
    """Run the commands that a document shows."""
    for name, text in files_of(document).items():
        (world.folder / name).write_text(text, encoding="utf-8")
    settings = {**world.asking().settings, "CONNECTS_SETTLEMENT_GRACE": "1"}
    async with terminal_in(world.folder, world.prefix, **settings) as terminal:
        assert await terminal.follow(blocks_of(document)) == BLOCKS[document][0]


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("12 Connects spent", "12 Connects\n  spent", True),
        ("12 Connects spent", "13 Connects spent", False),
        ("12 Connects spent", "12 Connects spent twice", False),
        ("lag ... s\nparked 0", "lag 0 records, 0.0 s\nparked 0", True),
        ("lag ... s\nparked 0", "lag 0 records, 0.0 s\nparked 1", False),
        ("on 26 November 2026 (2026-11-26 09:00:00)", "on 1 May 2027 (2027-05-01 23:59:59)", True),
        ("on 26 November 2026", "on some day", False),
        ("a.b", "a-b", False),
        ("", "anything", True),
    ],
)
def test_an_output_is_compared_word_by_word(shown: str, output: str, same: bool) -> None:  # noqa: FBT001
    assert Command("connects status", shown, "a document:1").is_answered_by(output) is same
