"""`.env`: taken, or refused with the number of the line and never with its content."""

from pathlib import Path

import pytest

from worker.env_file import EnvFile
from worker.errors import SettingsError

GOOD = "CONNECTS_BATCH_SIZE=77\n"
SECRET = "Wq7Zk9Xv"  # noqa: S105 - made up


def read(folder: Path, content: bytes) -> EnvFile:
    (folder / ".env").write_bytes(content)
    return EnvFile.read(folder / ".env")


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode(),
        GOOD.encode("utf-8-sig"),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\r").encode(),
        b"# size\n\nexport " + GOOD.encode(),
        b"NODE_ENV=test\nPOSTGRES_PASSWORD=x\nlog.level=a\nX-Y=z\n" + GOOD.encode(),
        b'BANNER="one\ntwo"\n' + GOOD.encode(),
        b"EMPTY=\n  " + GOOD.encode(),
        GOOD.strip().encode() + b" # a comment",
        "GRÜSSE=ü\n".encode().replace("GRÜSSE".encode(), b"GREETING") + GOOD.encode(),
    ],
)
def test_text_is_taken(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content).values["CONNECTS_BATCH_SIZE"] == "77"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD.encode("utf-16"), r"^\.env: is UTF-16 text.* UTF-8$"),
        (GOOD.encode("utf-16-le"), r"^\.env: is UTF-16 text.* UTF-8$"),
        (GOOD.encode("utf-16-be"), r"^\.env: is UTF-16 text.* UTF-8$"),
        (GOOD.encode("utf-32"), r"^\.env: is UTF-16 text.* UTF-8$"),
        ("# Größe\n".encode("latin-1") + GOOD.encode(), r"^\.env, line 1: is not UTF-8"),
        (f"{GOOD}\r\nKAFKA_SASL_PASSWORD={SECRET}é\n".encode("latin-1"), r"^\.env, line 3: is not UTF-8"),
        (b"CONNECTS_BATCH_SIZE=77\0\n" + GOOD.encode() * 4, r"^\.env, line 1: holds a zero byte"),
        (b"# x\nCONNECTS_BATCH_SIZE 77\n", r"^\.env, line 2: is not NAME=value"),
        (b"\n\nCONNECTS_BATCH_SIZE: 77\n", r"^\.env, line 3: is not NAME=value"),
        (GOOD.encode() + b"ask Ann about the rest\n", r"^\.env, line 2: is not NAME=value"),
        (f"{GOOD}DATABASE_URL {SECRET}\n".encode(), r"^\.env, line 2: is not NAME=value"),
        (f"{GOOD}{SECRET}\n".encode(), r"^\.env, line 2: is not NAME=value"),
        (f"export {SECRET}\n".encode(), r"^\.env, line 1: is not NAME=value"),
        (f"DATABASE_URLpostgresql://u:{SECRET}@h/d?a=b\n".encode(), r"^\.env, line 1: is not NAME=value"),
        (f"'{SECRET} x'=1\n".encode(), r"^\.env, line 1: is not NAME=value"),
        (f'{GOOD}KAFKA_SASL_PASSWORD="{SECRET}\n'.encode(), r"^\.env, line 2: is not NAME=value.* quote"),
        (f"{GOOD}KAFKA_SASL_PASSWORD='{SECRET}\n\n{GOOD}".encode(), r"^\.env, line 2: is not NAME=value.* quote"),
    ],
)
def test_what_would_count_for_nothing_is_refused_with_its_line(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        read(tmp_path, content)
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_and_a_folder_of_its_name_set_nothing(tmp_path: Path) -> None:
    assert EnvFile.read(tmp_path / ".env") == EnvFile()
    (tmp_path / ".env").mkdir()
    assert EnvFile.read(tmp_path / ".env") == EnvFile()


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(".env")  # root may read whatever has only the wrong mode
    with pytest.raises(SettingsError, match=r"^\.env: cannot be read \(.+\)"):
        EnvFile.read(tmp_path / ".env")


def test_names_of_other_values_are_filled_in_and_those_that_nobody_sets_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE", "o")
    file = read(tmp_path, b"A=1\nB=${A}-${OUTSIDE}-${GONE:-d}\nC=x${GONE}y\n")
    assert file.values["B"] == "1-o-d"
    assert file.unresolved == {"C"}
    assert file.lines == {"A": 1, "B": 2, "C": 3}
