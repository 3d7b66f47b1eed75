"""An installation without any extra: a folder of links to the packages that constraints-runtime.txt names."""

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePath
from typing import Final

from tests.kit.worker_process import ROOT

LOCAL_ROOMS: Final = frozenset({"demo", "embedded"})
_KEPT: Final = ("PATH", "HOME", "TMPDIR")
_NAMESPACES: Final = frozenset({"opentelemetry"})


class Installed:
    """An installation in a folder, used by an interpreter that sees nothing else. Commands run in `folder`.

    `local_rooms`: whether the rooms of the worker are there that only the extra `local` needs. Its packages never are.
    """

    def __init__(self, folder: Path, *, local_rooms: bool = True) -> None:
        self.folder = folder
        self._packages = folder / "packages"
        self._packages.mkdir(parents=True)
        for name in _of_production():
            self._link(name)
        (self._packages / "schemas").symlink_to(ROOT / "schemas")
        worker = self._packages / "worker"
        worker.mkdir()
        for path in (ROOT / "worker").iterdir():
            if local_rooms or path.name not in LOCAL_ROOMS:
                (worker / path.name).symlink_to(path)
        (worker / "policies").symlink_to(ROOT / "policies")  # as the wheel has them

    def command(self, words: str, **settings: str) -> tuple[list[str], dict[str, str]]:
        """The program and its arguments, and its whole environment."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment = {**kept, "PYTHONPATH": str(self._packages), "CONNECTS_CACHE_DIR": str(self.folder), **settings}
        return [sys.executable, "-S", "-m", "worker", *words.split()], environment

    def _link(self, name: str) -> None:
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for another system or Python
            return
        for top in {_own_part(file) for file in found.files or ()} - {"..", "__pycache__"}:
            link = self._packages / top
            if not link.exists():
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(Path(str(found.locate_file(top))))


def _own_part(file: PurePath) -> str:
    """The file or folder that is of one package alone; packages with and without an extra share a namespace."""
    return "/".join(file.parts[:2] if file.parts[0] in _NAMESPACES else file.parts[:1])


def _of_production() -> list[str]:
    text = (ROOT / "constraints-runtime.txt").read_text(encoding="utf-8")
    return re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)
