"""How far a long command is, on standard error; and that it was asked to stop."""

import asyncio
import signal
from contextlib import suppress
from typing import Final

from worker.cli._errors import say
from worker.proof.checks import Progress
from worker.words.times import lasting

_EVERY_SECONDS: Final = 2.0


def progress_shown() -> Progress:
    """A progress that is written to standard error, a line now and then."""
    return Progress(show_progress, _EVERY_SECONDS)


def show_progress(progress: Progress) -> None:
    """Write a line about how far a command is."""
    of_all = f" of {progress.total}" if progress.total else ""
    left = progress.seconds_left
    rest = "" if left is None else f", {lasting(left)} left"
    say(f"{progress.name}: {progress.done}{of_all} {progress.unit}, {progress.rate:.0f} a second{rest}")


def until_interrupted() -> asyncio.Event:
    """Set by the first Ctrl-C; a second one ends the command where it is."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop() -> None:
        say("stopping after this chunk; press Ctrl-C again to end now")
        stopping.set()
        loop.remove_signal_handler(signal.SIGINT)

    with suppress(RuntimeError, ValueError):  # not in the main thread: then Ctrl-C does not come here
        loop.add_signal_handler(signal.SIGINT, stop)
    return stopping
