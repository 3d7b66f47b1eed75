"""F16: the disk of PostgreSQL is full. What is wrong is known to readiness, `status`, metrics and the log alike."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import asyncpg
import pytest

from tests.kit.http import ask, free_port
from tests.kit.invariants import check_everything
from tests.kit.world import Events, World

SIZE_KB = 2_048


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of two megabytes that PostgreSQL may write to."""
    folder = Path("/tmp") / f"small-{uuid.uuid4().hex[:8]}"  # noqa: S108 - its name is new
    folder.mkdir(mode=0o755)
    mounted = subprocess.run(  # noqa: S603 - a folder of our own
        [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k,mode=777", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("no file system can be mounted here, which needs root")
    yield folder
    subprocess.run([shutil.which("umount") or "umount", "--lazy", str(folder)], check=False)  # noqa: S603 - as above
    folder.rmdir()


@pytest.fixture
async def small_ledger(world: World, small_disk: Path) -> str:
    """The decisions of the world's ledger are on that disk; gives the tablespace's name."""
    place = small_disk / "data"
    place.mkdir(mode=0o700)
    name = f"small_{uuid.uuid4().hex[:8]}"
    connection = await asyncpg.connect(world.database_url)
    owner = os.stat(await connection.fetchval("SHOW data_directory"))  # noqa: PTH116 - no I/O worth a thread
    os.chown(place, owner.st_uid, owner.st_gid)
    await connection.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
    await connection.execute(f"ALTER TABLE decisions SET TABLESPACE {name}")
    await connection.close()
    return name


@pytest.mark.in_turn
async def test_a_full_disk_is_known_to_all_and_over_once_there_is_room(
    world: World, small_disk: Path, small_ledger: str
) -> None:
    connects = world.asking()
    worker = await world.connects_run(port := free_port())
    send = Events()
    send("freelancer-registered", freelancer_id="f-first")
    await world.produce(send.messages)
    await world.has_decided(1)

    filling = small_disk / "filling"
    with suppress(OSError), filling.open("wb") as file:
        while True:
            file.write(bytes(64 * 1024))
            file.flush()
    produced = len(send.messages)
    for number in range(3_000):
        send("freelancer-registered", freelancer_id=f"f-{number}")
    await world.produce(send.messages[produced:])

    async def readiness_says_so() -> bool:
        status, body = await ask(port, "/health/ready")
        return status == HTTPStatus.SERVICE_UNAVAILABLE and "No space left on device" in body

    async def status_says_so() -> bool:
        answer = await connects("status --json")
        full = [problem for problem in answer.json["problems"] if "No space left on device" in problem["what"]]
        return answer.code == 1 and bool(full) and "make room" in full[0]["next"]

    async def metrics_say_so() -> bool:
        return 'connects_problems{kind="recovering"} 1.0' in (await ask(port, "/metrics"))[1]

    await world.comes_true(readiness_says_so)
    await world.comes_true(status_says_so)
    await world.comes_true(metrics_say_so)
    assert '"kind": "recovering"' in worker.log.read_text()

    filling.unlink()
    await world.settled()

    async def nothing_is_wrong() -> bool:
        answer = await connects("status --json")
        return (answer.code, answer.problems) == (0, [])

    await world.comes_true(nothing_is_wrong)
    assert await world.value("SELECT count(*) FROM decisions WHERE reason = 'registered'") == 3_001
    await check_everything(world)
    await world.execute("ALTER TABLE decisions SET TABLESPACE pg_default")
    await world.execute(f"DROP TABLESPACE {small_ledger}")
