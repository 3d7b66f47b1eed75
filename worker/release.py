"""Which release of the worker this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def release() -> str:
    """The installed version; "0" in a checkout that was never installed."""
    try:
        return version("connects-worker")
    except PackageNotFoundError:
        return "0"
