"""Every setting, from the environment and `.env`: read once, checked at once, and never printed with its secrets."""

import os
import ssl
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.fields import rfc3339
from worker import env_file
from worker.database_url import taken_apart, without_password
from worker.env_file import EnvFile
from worker.errors import SettingsError
from worker.kafka.records import EARLIEST_EVENT
from worker.ledger.budget import LEAST, MOST_BY_DEFAULT
from worker.places import LAST_PORT, shortened
from worker.secrecy import MASK, remember
from worker.service_links import hint, service_links
from worker.setting_names import OURS, mistyped_names, unknown_names
from worker.setting_values import (
    is_clock,
    is_database_url,
    is_earliest_event,
    is_header_name,
    is_host,
    is_long_enough,
    is_server_list,
    lower_case,
)
from worker.wall_clock import WallClock, wall_clock

__all__ = ["MASK", "Settings", "SettingsError", "packaged_policy", "unknown_settings", "without_password"]

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
LogLevel = Literal["debug", "info", "warning", "error"]

_WHEEL_POLICY = Path(__file__).parent / "policies" / "connects.toml"
_CHECKOUT_POLICY = Path(__file__).parent.parent / "policies" / "connects.toml"
_MAYBE_SECRET: Final = ("PASSWORD", "TOKEN", "URL", "SASL_", "SERVERS")
"""Parts of the names of settings whose values may hold a password."""
_OF_TRACING: Final = "OTEL_"
_MOST_SHOWN: Final = 100
"""Characters of a wrong value that are shown; a longer one is no value of any setting."""


def packaged_policy() -> Path:
    """The policy that comes with this code, in an installed package or in a checkout."""
    return _WHEEL_POLICY if _WHEEL_POLICY.exists() else _CHECKOUT_POLICY


_DatabaseUrl = Annotated[str, AfterValidator(is_database_url), Field(repr=False)]


class Settings(BaseSettings):
    """All settings. `read` them; names in the environment are the aliases."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    kafka_bootstrap_servers: Annotated[str, AfterValidator(is_server_list)] = Field("", alias="KAFKA_BOOTSTRAP_SERVERS")
    kafka_security_protocol: SecurityProtocol = Field("PLAINTEXT", alias="KAFKA_SECURITY_PROTOCOL")
    kafka_sasl_mechanism: SaslMechanism | None = Field(None, alias="KAFKA_SASL_MECHANISM")
    kafka_sasl_username: str = Field("", alias="KAFKA_SASL_USERNAME")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), alias="KAFKA_SASL_PASSWORD")
    kafka_ssl_cafile: Path | None = Field(None, alias="KAFKA_SSL_CAFILE")
    kafka_group_id: str = Field("connects-worker", alias="KAFKA_GROUP_ID", min_length=1)
    database_url: _DatabaseUrl = Field("", alias="DATABASE_URL", repr=False)
    migrate_url: _DatabaseUrl = Field("", alias="CONNECTS_MIGRATE_URL", repr=False)
    log_level: Annotated[LogLevel, BeforeValidator(lower_case)] = Field("info", alias="LOG_LEVEL")
    policy: Path = Field(default_factory=packaged_policy, alias="CONNECTS_POLICY")
    topic_prefix: str = Field("", alias="CONNECTS_TOPIC_PREFIX", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    settlement_grace_seconds: float = Field(30, alias="CONNECTS_SETTLEMENT_GRACE", ge=0, le=86_400)
    max_clock_skew_seconds: float = Field(300, alias="CONNECTS_MAX_CLOCK_SKEW", ge=0, le=86_400)
    earliest_event: Annotated[datetime, BeforeValidator(is_earliest_event)] = Field(
        EARLIEST_EVENT, alias="CONNECTS_EARLIEST_EVENT"
    )
    batch_size: int = Field(5_000, alias="CONNECTS_BATCH_SIZE", ge=1, le=50_000)
    max_database_connections: int = Field(MOST_BY_DEFAULT, alias="CONNECTS_MAX_DATABASE_CONNECTIONS", ge=LEAST, le=100)
    http_host: Annotated[str, AfterValidator(is_host)] = Field("127.0.0.1", alias="CONNECTS_HTTP_HOST", min_length=1)
    http_port: int = Field(8_000, alias="CONNECTS_HTTP_PORT", ge=0, le=LAST_PORT)
    clock: Annotated[str, AfterValidator(is_clock)] = Field("", alias="CONNECTS_CLOCK")
    allow_simulated_time: bool = Field(False, alias="CONNECTS_ALLOW_SIMULATED_TIME")
    tracing: bool = Field(False, alias="CONNECTS_TRACING")
    cache_dir: Path | None = Field(None, alias="CONNECTS_CACHE_DIR")
    console_token: Annotated[SecretStr, AfterValidator(is_long_enough)] = Field(
        SecretStr(""), alias="CONNECTS_CONSOLE_TOKEN"
    )
    console_trust_header: Annotated[str, AfterValidator(is_header_name)] = Field(
        "", alias="CONNECTS_CONSOLE_TRUST_HEADER"
    )

    _mistyped: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _hint: str = PrivateAttr("")
    _of_file: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def read(cls) -> Self:
        """Read the environment, and `.env` for what the environment does not set.

        Raises:
            SettingsError: naming the first setting that cannot be used.
        """
        file = EnvFile.read()
        links = service_links(os.environ, OURS)
        given = _given(file, links)
        _remember_passwords({**file.values, **given, **{name.upper(): value for name, value in os.environ.items()}})
        for name in given.keys() & file.unresolved:
            raise SettingsError(
                f"{_placed(name, file, given)}: holds ${{...}} of a name that is not set, so a part of it would be "
                f"missing. Set that name as well, or set {name} in the environment"
            )
        try:
            # An argument goes before the environment: there a service's address may have the name of a setting.
            settings = cls(**{name: default for name, default in _defaults().items() if name in links} | given)
        except ValidationError as error:
            name, complaint = _in_words(error)
            raise SettingsError(f"{_placed(name, file, given)}: {complaint}") from None
        mistyped = mistyped_names(file, os.environ, _known())
        for name, complaint in _contradictions(settings):
            also = next((f". {line}" for line in mistyped.values() if name in line), "")
            raise SettingsError(f"{_placed(name, file, given)}: {complaint}{also}")
        settings._mistyped = mistyped
        settings._hint = hint(links)
        settings._of_file = {name: value for name, value in file.values.items() if name.startswith(_OF_TRACING)}
        return settings

    @property
    def mistyped(self) -> list[str]:
        """A line for each name in the environment or in `.env` that looks like a setting and is not one."""
        return list(self._mistyped.values())

    @property
    def hints(self) -> list[str]:
        """Lines about what was found beside the settings, and changes nothing."""
        return [self._hint] if self._hint else []

    @property
    def unknown(self) -> list[str]:
        """Those names."""
        return list(self._mistyped)

    @property
    def embedded(self) -> bool:
        """Whether nobody named a Kafka and a PostgreSQL, so that the embedded stack is meant."""
        return not self.kafka_bootstrap_servers and not self.database_url

    @property
    def of_tracing(self) -> dict[str, str]:
        """The variables `OTEL_*` that are set, in the environment or else in `.env`."""
        of_environment = {name: value for name, value in os.environ.items() if name.startswith(_OF_TRACING) and value}
        return {**self._of_file, **of_environment}

    @property
    def owner_url(self) -> str:
        """The database as its schema's owner."""
        return self.migrate_url or self.database_url

    @property
    def grace(self) -> timedelta:
        """How long the clock waits beyond an instant before it acts on it."""
        return timedelta(seconds=self.settlement_grace_seconds)

    @property
    def max_clock_skew(self) -> timedelta:
        """How far ahead of the wall clock an event may be dated."""
        return timedelta(seconds=self.max_clock_skew_seconds)

    def wall_clock(self) -> WallClock:
        """The one wall clock; make it once."""
        return wall_clock(self.clock)

    def on_stack(self, kafka_bootstrap: str, database_url: str) -> Self:
        """These settings with the embedded stack's addresses, whose worker owns the schema."""
        return self.model_copy(
            update={"kafka_bootstrap_servers": kafka_bootstrap, "database_url": database_url, "migrate_url": ""}
        )

    def kafka_kwargs(self) -> dict[str, Any]:
        """What every client of aiokafka needs to connect: addresses, TLS and SASL.

        Raises:
            SettingsError: the file of certificates cannot be used.
        """
        kwargs: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": self.kafka_security_protocol,
        }
        if self.kafka_security_protocol.endswith("SSL"):
            kwargs["ssl_context"] = _tls(self.kafka_ssl_cafile)
        if self.kafka_security_protocol.startswith("SASL_"):
            kwargs["sasl_mechanism"] = self.kafka_sasl_mechanism
            kwargs["sasl_plain_username"] = self.kafka_sasl_username
            kwargs["sasl_plain_password"] = self.kafka_sasl_password.get_secret_value()
        return kwargs

    def shown(self) -> dict[str, str]:
        """Every setting by its name in the environment, secrets masked; `OTEL_*` as far as they are set."""
        shown = {str(field.alias): _shown(name, getattr(self, name)) for name, field in type(self).model_fields.items()}
        return shown | {
            name: MASK if "HEADERS" in name or "KEY" in name else without_password(value)
            for name, value in sorted(self.of_tracing.items())
        }


def unknown_settings() -> list[str]:
    """Names in the environment that look like settings and are not: mistyped, most likely."""
    return unknown_names(os.environ.keys() - set(service_links(os.environ, OURS)), _known(), os.environ)


def _known() -> frozenset[str]:
    return frozenset(str(field.alias) for field in Settings.model_fields.values())


def _defaults() -> dict[str, Any]:
    return {str(field.alias): field.get_default(call_default_factory=True) for field in Settings.model_fields.values()}


def _given(file: EnvFile, links: list[str]) -> dict[str, Any]:
    """What `.env` sets of our settings and the environment does not."""
    of_environment = {name.upper() for name, value in os.environ.items() if value and name not in links}
    known = _known() - of_environment
    return {name.upper(): value for name, value in file.values.items() if value and name.upper() in known}


def _remember_passwords(values: Mapping[str, str]) -> None:
    """Have them masked in whatever is printed, also when the settings are refused."""
    remember([values.get("KAFKA_SASL_PASSWORD", ""), values.get("CONNECTS_CONSOLE_TOKEN", "")])
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        remember(pair.partition("=")[2].strip() for pair in values.get(name, "").split(","))
    for name in ("DATABASE_URL", "CONNECTS_MIGRATE_URL"):
        with suppress(ValueError):  # refused later, in words that hold nothing of it
            remember(taken_apart(values.get(name, "")).secrets)


def _tls(cafile: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cafile)
    except ssl.SSLError:
        raise SettingsError(f"KAFKA_SSL_CAFILE: {cafile} cannot be used: it holds no certificate in PEM form") from None
    except OSError as error:
        what = f"KAFKA_SSL_CAFILE: {cafile}" if cafile else "KAFKA_SECURITY_PROTOCOL: TLS"
        raise SettingsError(f"{what} cannot be used ({error.strerror or error})") from None


def _shown(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, SecretStr):
        return MASK if value else ""
    return without_password(str(value)) if name.endswith("_url") else str(value)


def _in_words(error: ValidationError) -> tuple[str, str]:
    """The setting that is wrong, and what is wrong with it."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    words = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return name, words + _shown_value(name, str(first["input"]), words)


def _placed(name: str, file: EnvFile, given: Mapping[str, str]) -> str:
    """The name of a setting, with the line of `.env` if its value is from there."""
    line = next((line for key, line in file.lines.items() if key.upper() == name), 0) if name in given else 0
    return f"{name} ({env_file.NAME}, line {line})" if line else name


def _shown_value(name: str, value: str, words: str) -> str:
    """The wrong value, unless it may hold a password or is shown already."""
    secret = any(part in name for part in _MAYBE_SECRET) or "@" in value or "://" in value
    if secret or value in words or len(value) > _MOST_SHOWN:
        return ""
    return f", is {value!r}"


_Complaint = tuple[str, str] | None
"""The setting that is wrong, and what is wrong with it; or nothing."""


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    checks: tuple[Callable[[Settings], _Complaint], ...] = (_one_of_two, _security, _files, _time, _bounds)
    for check in checks:
        if complaint := check(settings):
            yield complaint


def _one_of_two(settings: Settings) -> _Complaint:
    if bool(settings.kafka_bootstrap_servers) == bool(settings.database_url):
        return None
    named, missing = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL")
    if settings.database_url:
        named, missing = missing, named
    return missing, f"not set, though {named} is. Set both, or neither for the embedded stack"


def _security(settings: Settings) -> _Complaint:
    protocol = settings.kafka_security_protocol
    sasl = {
        "KAFKA_SASL_MECHANISM": settings.kafka_sasl_mechanism,
        "KAFKA_SASL_USERNAME": settings.kafka_sasl_username,
        "KAFKA_SASL_PASSWORD": settings.kafka_sasl_password,
    }
    if protocol.startswith("SASL_"):
        missing = next((name for name, value in sasl.items() if not value), None)
        return (missing, f"needed with KAFKA_SECURITY_PROTOCOL={protocol}") if missing else None
    contradicting = [name for name, value in sasl.items() if value]
    if contradicting:
        return "KAFKA_SECURITY_PROTOCOL", f"is {protocol}, though {contradicting[0]} is set. SASL_SSL may be meant"
    if settings.kafka_ssl_cafile is not None and not protocol.endswith("SSL"):
        return "KAFKA_SECURITY_PROTOCOL", f"is {protocol}, though KAFKA_SSL_CAFILE is set. SSL may be meant"
    return None


def _files(settings: Settings) -> _Complaint:
    for name, path in (("KAFKA_SSL_CAFILE", settings.kafka_ssl_cafile), ("CONNECTS_POLICY", settings.policy)):
        if path is not None and (complaint := _not_a_file(path)):
            return name, complaint
    return None


def _not_a_file(path: Path) -> str | None:
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no file {shortened(path)}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"{shortened(path)} cannot be used ({reason}). Name a file that this user can read"
    if stat.S_ISDIR(kind):
        return f"{path} is a folder. Name the file in it"
    return None if stat.S_ISREG(kind) else f"{path} is not a file that can be read twice. Name one"


def _time(settings: Settings) -> _Complaint:
    if not settings.clock or settings.embedded or settings.allow_simulated_time:
        return None
    return (
        "CONNECTS_CLOCK",
        (
            "simulated time is for the embedded stack. On another ledger it would book what is not due; "
            "to allow it all the same, set CONNECTS_ALLOW_SIMULATED_TIME=1"
        ),
    )


def _bounds(settings: Settings) -> _Complaint:
    if settings.earliest_event <= (now := settings.wall_clock().now()):
        return None
    return "CONNECTS_EARLIEST_EVENT", f"is later than {rfc3339(now.replace(microsecond=0))}, so no event would count"
