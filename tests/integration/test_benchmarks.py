"""The benchmarks still run, at a size that says nothing about speed."""

from pathlib import Path

import pytest

from benchmarks.__main__ import parsed, run
from worker.embedded.stack import LocalStack


async def test_the_benchmarks_run(stack: LocalStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "--events 1000 --live-seconds 1 --live-rate 100 --renewals 0 --partitions 2"
    figures = await run(stack, tmp_path, parsed(sizes.split()))
    assert figures.keys() == {"catch_up", "live"}
    out = capsys.readouterr().out
    assert "catch-up of 1," in out
    assert "live at " in out
