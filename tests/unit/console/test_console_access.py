import base64
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.kit.shells import a_new_shell
from worker.console.access import Access, access_for, is_loopback
from worker.errors import SettingsError
from worker.settings import Settings

TOKEN = "0123456789abcdef"  # noqa: S105 - made up


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "reader"),
    [
        ({}, None),
        ({"authorization": ""}, None),
        ({"authorization": TOKEN}, None),
        ({"authorization": f"Bearer {TOKEN}"}, "token"),
        ({"authorization": f"bearer  {TOKEN} "}, "token"),
        ({"authorization": f"Bearer {TOKEN}x"}, None),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, None),
        ({"authorization": "Bearer \N{LATIN SMALL LETTER U WITH DIAERESIS}"}, None),
        ({"authorization": basic("agent-lund", TOKEN)}, "agent-lund"),
        ({"authorization": basic("", TOKEN)}, "unnamed"),
        ({"authorization": basic("a\nb <c>", TOKEN)}, "unnamed"),
        ({"authorization": basic("agent-lund", "wrong")}, None),
        ({"authorization": basic(TOKEN, "")}, None),
        ({"authorization": "Basic !!!"}, None),
        ({"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()}, None),
        ({"x-user": "lund"}, None),
    ],
)
def test_a_token_lets_in_and_names_who_gave_it(headers: dict[str, str], reader: str | None) -> None:
    assert Access(token=TOKEN).reader(headers) == reader


@pytest.mark.parametrize(
    ("headers", "reader"),
    [
        ({}, None),
        ({"x-user": ""}, None),
        ({"x-user": "  "}, None),
        ({"x-user": "lund@example.com"}, "lund@example.com"),
        ({"x-user": "CN=Lund, O=x"}, "unnamed"),
        ({"authorization": f"Bearer {TOKEN}"}, None),
    ],
)
def test_a_proxys_login_lets_in(headers: dict[str, str], reader: str | None) -> None:
    assert Access(trust_header="X-User").reader(headers) == reader


def test_with_both_either_is_enough() -> None:
    both = Access(TOKEN, "X-User")
    assert both.reader({"x-user": "lund"}) == "lund"
    assert both.reader({"authorization": f"Bearer {TOKEN}"}) == "token"
    assert both.reader({"authorization": "Bearer wrong"}) is None


@pytest.mark.parametrize(
    ("host", "reader"),
    [
        ("127.0.0.1:8080", "local"),
        ("localhost", "local"),
        ("LOCALHOST:80", "local"),
        ("[::1]:8080", "local"),
        ("127.0.0.9:1", "local"),
        ("", None),
        ("console.example:8080", None),
        ("127.0.0.1.example:8080", None),
        ("localhost:evil", None),
    ],
)
def test_without_either_only_names_of_this_host_count(host: str, reader: str | None) -> None:
    assert Access().reader({"host": host}) == reader


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_addresses_that_only_this_host_reaches(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.1.example.com", ""])  # noqa: S104
def test_on_another_address_a_token_or_a_header_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    assert not is_loopback(host)
    with a_new_shell(monkeypatch, tmp_path):
        settings = Settings.read()
    with pytest.raises(SettingsError, match=r"^CONNECTS_CONSOLE_TOKEN: not set"):
        access_for(host, settings)
    by_token = settings.model_copy(update={"console_token": SecretStr(TOKEN)})
    assert access_for(host, by_token) == Access(token=TOKEN)
    by_header = settings.model_copy(update={"console_trust_header": "X-User"})
    assert access_for(host, by_header) == Access(trust_header="X-User")
