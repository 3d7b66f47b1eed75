"""Every setting, from the environment and `.env`: read once, checked at once, and never printed with its secrets."""

import os
import re
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.ledger.budget import LEAST, MOST_BY_DEFAULT
from worker.stream.wall_clock import WallClock, wall_clock

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
LogLevel = Literal["debug", "info", "warning", "error"]

MASK: Final = "********"

_WHEEL_POLICY = Path(__file__).parent / "policies" / "connects.toml"
_CHECKOUT_POLICY = Path(__file__).parent.parent / "policies" / "connects.toml"
_PARAMETER_PASSWORD = re.compile(r"(?<=password=)[^&]*")


class SettingsError(Exception):
    """A setting that cannot be used: one line that names it and says what it should be."""


def packaged_policy() -> Path:
    """The policy that comes with this code, in an installed package or in a checkout."""
    return _WHEEL_POLICY if _WHEEL_POLICY.exists() else _CHECKOUT_POLICY


def without_password(url: str) -> str:
    """A database URL as it may be shown."""
    scheme, separator, rest = url.partition("://")
    credentials, at, address = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    if at and colon:
        rest = f"{user}:{MASK}@{address}"
    return _PARAMETER_PASSWORD.sub(MASK, scheme + separator + rest)


def _is_database_url(url: str) -> str:
    if url and not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("should begin with postgresql://")
    return url


def _is_server_list(servers: str) -> str:
    if servers and not re.fullmatch(r"[^\s,/]+:\d{1,5}(,[^\s,/]+:\d{1,5})*", servers):
        raise ValueError("should be host:port, or several of them with commas between")
    return servers


def _is_clock(spec: str) -> str:
    wall_clock(spec)
    return spec


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_DatabaseUrl = Annotated[str, AfterValidator(_is_database_url), Field(repr=False)]


class Settings(BaseSettings):
    """All settings. `read` them; names in the environment are the aliases."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_is_server_list)] = Field(
        "", alias="KAFKA_BOOTSTRAP_SERVERS"
    )
    kafka_security_protocol: SecurityProtocol = Field("PLAINTEXT", alias="KAFKA_SECURITY_PROTOCOL")
    kafka_sasl_mechanism: SaslMechanism | None = Field(None, alias="KAFKA_SASL_MECHANISM")
    kafka_sasl_username: str = Field("", alias="KAFKA_SASL_USERNAME")
    kafka_sasl_password: str = Field("", alias="KAFKA_SASL_PASSWORD", repr=False)
    kafka_ssl_cafile: Path | None = Field(None, alias="KAFKA_SSL_CAFILE")
    kafka_group_id: str = Field("connects-worker", alias="KAFKA_GROUP_ID", min_length=1)
    database_url: _DatabaseUrl = Field("", alias="DATABASE_URL", repr=False)
    migrate_url: _DatabaseUrl = Field("", alias="CONNECTS_MIGRATE_URL", repr=False)
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field("info", alias="LOG_LEVEL")
    policy: Path = Field(default_factory=packaged_policy, alias="CONNECTS_POLICY")
    topic_prefix: str = Field("", alias="CONNECTS_TOPIC_PREFIX", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    settlement_grace_seconds: float = Field(30, alias="CONNECTS_SETTLEMENT_GRACE", ge=0, le=86_400)
    max_clock_skew_seconds: float = Field(300, alias="CONNECTS_MAX_CLOCK_SKEW", ge=0, le=86_400)
    batch_size: int = Field(5_000, alias="CONNECTS_BATCH_SIZE", ge=1, le=50_000)
    max_database_connections: int = Field(MOST_BY_DEFAULT, alias="CONNECTS_MAX_DATABASE_CONNECTIONS", ge=LEAST, le=100)
    http_host: str = Field("127.0.0.1", alias="CONNECTS_HTTP_HOST", min_length=1)
    http_port: int = Field(8_000, alias="CONNECTS_HTTP_PORT", ge=0, le=65_535)
    clock: Annotated[str, AfterValidator(_is_clock)] = Field("", alias="CONNECTS_CLOCK")
    allow_simulated_time: bool = Field(False, alias="CONNECTS_ALLOW_SIMULATED_TIME")

    @classmethod
    def read(cls) -> Self:
        """Read the environment and `.env`.

        Raises:
            SettingsError: naming the first setting that cannot be used.
        """
        try:
            settings = cls()
        except ValidationError as error:
            raise SettingsError(_in_one_line(error)) from None
        for complaint in _contradictions(settings):
            raise SettingsError(complaint)
        return settings

    @property
    def embedded(self) -> bool:
        """Whether nobody named a Kafka and a PostgreSQL, so that the embedded stack is meant."""
        return not self.kafka_bootstrap_servers and not self.database_url

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
            kwargs["sasl_plain_password"] = self.kafka_sasl_password
        return kwargs

    def shown(self) -> dict[str, str]:
        """Every setting by its name in the environment, secrets masked; `OTEL_*` as far as they are set."""
        shown = {str(field.alias): _shown(name, getattr(self, name)) for name, field in type(self).model_fields.items()}
        tracing = {name: value for name, value in sorted(os.environ.items()) if name.startswith("OTEL_")}
        return shown | {
            name: MASK if "HEADERS" in name or "KEY" in name else without_password(value)
            for name, value in tracing.items()
        }


def unknown_settings() -> list[str]:
    """Names in the environment that look like settings and are none: mistyped, most likely."""
    known = {str(field.alias) for field in Settings.model_fields.values()} | {"CONNECTS_CACHE_DIR"}
    return sorted(name for name in os.environ if name.startswith("CONNECTS_") and name not in known)


def _tls(cafile: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:
        raise SettingsError(f"KAFKA_SSL_CAFILE: {cafile} cannot be used ({error.strerror or error})") from None


def _shown(name: str, value: object) -> str:
    if value is None:
        return ""
    if name == "kafka_sasl_password":
        return MASK if value else ""
    return without_password(str(value)) if name.endswith("_url") else str(value)


def _in_one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0])
    told = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    secret = any(word in name for word in ("PASSWORD", "URL"))
    return f"{name}: {told}" if secret else f"{name}: {told}, is {first['input']!r}"


def _contradictions(settings: Settings) -> Iterator[str]:
    checks: tuple[Callable[[Settings], str | None], ...] = (_one_of_two, _security, _files, _time)
    for check in checks:
        if complaint := check(settings):
            yield complaint


def _one_of_two(settings: Settings) -> str | None:
    if bool(settings.kafka_bootstrap_servers) == bool(settings.database_url):
        return None
    named, missing = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL")
    if settings.database_url:
        named, missing = missing, named
    return f"{missing}: not set, though {named} is. Set both, or neither for the embedded stack"


def _security(settings: Settings) -> str | None:
    protocol = settings.kafka_security_protocol
    sasl = {
        "KAFKA_SASL_MECHANISM": settings.kafka_sasl_mechanism,
        "KAFKA_SASL_USERNAME": settings.kafka_sasl_username,
        "KAFKA_SASL_PASSWORD": settings.kafka_sasl_password,
    }
    if protocol.startswith("SASL_"):
        missing = next((name for name, value in sasl.items() if not value), None)
        return f"{missing}: needed with KAFKA_SECURITY_PROTOCOL={protocol}" if missing else None
    contradicting = [name for name, value in sasl.items() if value]
    if contradicting:
        return f"KAFKA_SECURITY_PROTOCOL: is {protocol}, though {contradicting[0]} is set. SASL_SSL may be meant"
    if settings.kafka_ssl_cafile is not None and not protocol.endswith("SSL"):
        return f"KAFKA_SECURITY_PROTOCOL: is {protocol}, though KAFKA_SSL_CAFILE is set. SSL may be meant"
    return None


def _files(settings: Settings) -> str | None:
    for name, path in (("KAFKA_SSL_CAFILE", settings.kafka_ssl_cafile), ("CONNECTS_POLICY", settings.policy)):
        if path is not None and path.is_dir():
            return f"{name}: {path} is a folder. Name the file in it"
        if path is not None and not path.is_file():
            return f"{name}: there is no file {path}"
    return None


def _time(settings: Settings) -> str | None:
    if not settings.clock or settings.embedded or settings.allow_simulated_time:
        return None
    return (
        "CONNECTS_CLOCK: simulated time is for the embedded stack. On another ledger it would book what is not due; "
        "to allow it all the same, set CONNECTS_ALLOW_SIMULATED_TIME=1"
    )
