"""How far a long command is, on standard error."""

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
