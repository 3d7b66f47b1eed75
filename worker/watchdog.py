"""Ends the process when its event loop no longer turns: a standby takes over, and the supervisor restarts this worker.

A loop that stands still renews no lease and hears no signal, and nothing inside it can notice that. A thread can.
"""

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Final

import structlog

_TICKS: Final = 12
"""Into how many parts the limit is divided. Only parts in which this thread has run count.

So a process that was stopped as a whole, or a machine that was suspended, is not taken for one whose loop hangs.
"""
_REPORT_SECONDS: Final = 1.0
_EXIT_CODE: Final = 1

_log = structlog.get_logger(__name__)


class Watchdog:
    """Watches the running event loop from a thread, between `start` and `stop`.

    When the loop has not turned for `limit_seconds`, `hung` is called in that thread with the stack of the loop's
    thread, outermost call first; by default it writes the stack to the log and ends the process.
    """

    def __init__(self, limit_seconds: float, hung: Callable[[list[str]], None] | None = None) -> None:
        self._tick_seconds = limit_seconds / _TICKS
        self._hung = hung or (lambda stack: _end_process(stack, limit_seconds))
        self._ended = threading.Event()
        self._turned = threading.Event()

    def start(self) -> None:
        """Begin to watch the running event loop, from the loop's own thread."""
        watching = (asyncio.get_running_loop(), threading.get_ident())
        self._turned.set()
        threading.Thread(target=self._watch, args=watching, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """End watching."""
        self._ended.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, thread_id: int) -> None:
        ticks_without_turn = 0
        while not self._ended.wait(self._tick_seconds):
            if self._turned.is_set():
                ticks_without_turn = 0
                self._turned.clear()
                try:
                    loop.call_soon_threadsafe(self._turned.set)
                except RuntimeError:
                    return  # the loop is closed
                continue
            ticks_without_turn += 1
            if ticks_without_turn >= _TICKS:
                self._hung(_stack_of(sys._current_frames().get(thread_id)))  # noqa: SLF001 - the documented way
                return


def _stack_of(frame: FrameType | None) -> list[str]:
    return [] if frame is None else [line.rstrip() for line in traceback.format_stack(frame)]


def _end_process(stack: list[str], limit_seconds: float) -> None:
    """Report the stack, and end without any clean-up, which could hang as well."""
    # The log may be what the loop hangs in (a full pipe), so it gets a thread of its own and a limited time.
    report = threading.Thread(target=_report, args=(stack, limit_seconds), daemon=True)
    report.start()
    report.join(_REPORT_SECONDS)
    os._exit(_EXIT_CODE)


def _report(stack: list[str], limit_seconds: float) -> None:
    _log.critical(
        "the event loop has not turned for longer than the lease: ending, so that a standby takes over",
        seconds=limit_seconds,
        hangs_in=stack[-1].strip() if stack else "unknown",
        stack="\n".join(stack),
    )
    sys.stderr.flush()
