import asyncio
import threading
import time

from worker.watchdog import Watchdog

LIMIT_SECONDS = 0.3


async def test_a_loop_that_stands_still_is_reported_with_the_line_that_it_hangs_in() -> None:
    reported = threading.Event()
    stacks: list[list[str]] = []

    def hung(stack: list[str]) -> None:
        stacks.append(stack)
        reported.set()

    watchdog = Watchdog(LIMIT_SECONDS, hung)
    watchdog.start()
    assert reported.wait(10), "this very wait keeps the loop from turning"
    assert "this very wait keeps the loop from turning" in "\n".join(stacks[0])


async def test_a_loop_that_turns_is_never_reported_however_busy_it_is() -> None:
    stacks: list[list[str]] = []
    watchdog = Watchdog(LIMIT_SECONDS, stacks.append)
    watchdog.start()
    end = time.monotonic() + 4 * LIMIT_SECONDS
    while time.monotonic() < end:
        time.sleep(LIMIT_SECONDS / 30)  # noqa: ASYNC251 - work that blocks for a moment, again and again
        await asyncio.sleep(0)
    watchdog.stop()
    assert not stacks


async def test_nothing_is_reported_after_the_watch_has_ended() -> None:
    stacks: list[list[str]] = []
    watchdog = Watchdog(LIMIT_SECONDS, stacks.append)
    watchdog.start()
    watchdog.stop()
    time.sleep(3 * LIMIT_SECONDS)  # noqa: ASYNC251 - the loop stands still, and nobody watches
    assert not stacks
