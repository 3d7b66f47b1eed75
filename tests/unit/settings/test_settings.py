import os
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path

import pytest

from worker.secrecy import without_secrets
from worker.settings import MASK, Settings, SettingsError, packaged_policy, unknown_settings, without_password

REPOSITORY = Path(__file__).parents[3]
BOTH = {
    "KAFKA_BOOTSTRAP_SERVERS": "broker-1:9092,broker-2:9092",
    "DATABASE_URL": "postgresql://worker:s3cret@db/connects",
}
SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "worker",
    "KAFKA_SASL_PASSWORD": "hush-hush",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("KAFKA_", "CONNECTS_", "OTEL_")) or name in {"DATABASE_URL", "LOG_LEVEL"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.read()


def test_with_nothing_set_the_embedded_stack_is_meant() -> None:
    settings = Settings.read()
    assert settings.embedded
    assert settings.kafka_group_id == "connects-worker"
    assert settings.settlement_grace_seconds == 30
    assert settings.max_clock_skew.total_seconds() == 300
    assert settings.http_port == 8000
    assert settings.topic_prefix == ""


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("", "2000-01-01T00:00:00Z"),
        ("2015-06-01", "2015-06-01T00:00:00Z"),
        ("2015-06-01T02:00:00+02:00", "2015-06-01T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ],
)
def test_the_earliest_event_is_an_instant_in_utc(monkeypatch: pytest.MonkeyPatch, written: str, shown: str) -> None:
    settings = read(monkeypatch, CONNECTS_EARLIEST_EVENT=written)
    assert settings.shown()["CONNECTS_EARLIEST_EVENT"] == shown
    assert settings.earliest_event == datetime.fromisoformat(shown)


def test_the_stacks_addresses_take_the_place_of_what_is_not_set() -> None:
    settings = Settings.read().on_stack("127.0.0.1:21000", "postgresql://postgres@127.0.0.1:22000/connects")
    assert not settings.embedded
    assert settings.kafka_kwargs() == {"bootstrap_servers": "127.0.0.1:21000", "security_protocol": "PLAINTEXT"}
    assert settings.owner_url == settings.database_url


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, KAFKA_BOOTSTRAP_SERVERS="", DATABASE_URL="", CONNECTS_BATCH_SIZE="").embedded


def test_a_dot_env_file_is_read_and_the_environment_goes_before_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("CONNECTS_BATCH_SIZE=7\nLOG_LEVEL=DEBUG\nSOMETHING_ELSE=1\n")
    settings = read(monkeypatch, CONNECTS_BATCH_SIZE="8")
    assert (settings.batch_size, settings.log_level) == (8, "debug")


@pytest.mark.parametrize(("present", "absent"), [tuple(BOTH), tuple(reversed(BOTH))])
def test_one_of_kafka_and_database_alone_is_wrong(monkeypatch: pytest.MonkeyPatch, present: str, absent: str) -> None:
    with pytest.raises(SettingsError, match=f"^{absent}: not set, though {present} is"):
        read(monkeypatch, **{present: BOTH[present]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTS_BATCH_SIZE", "many"),
        ("CONNECTS_BATCH_SIZE", "0"),
        ("CONNECTS_MAX_DATABASE_CONNECTIONS", "5"),
        ("CONNECTS_HTTP_PORT", "70000"),
        ("CONNECTS_HTTP_HOST", "a..b"),
        ("CONNECTS_HTTP_HOST", "x" * 64),
        ("CONNECTS_SETTLEMENT_GRACE", "-1"),
        ("CONNECTS_SETTLEMENT_GRACE", "nan"),
        ("CONNECTS_MAX_CLOCK_SKEW", "five"),
        ("CONNECTS_EARLIEST_EVENT", "2000-01-01T00:00:00"),
        ("CONNECTS_EARLIEST_EVENT", "2000"),
        ("CONNECTS_EARLIEST_EVENT", "946684800"),
        ("CONNECTS_EARLIEST_EVENT", "1969-12-31"),
        ("CONNECTS_EARLIEST_EVENT", "0001-01-01T00:00:00+01:00"),
        ("CONNECTS_EARLIEST_EVENT", "2000-02-30"),
        ("CONNECTS_EARLIEST_EVENT", "9998-01-01"),
        ("CONNECTS_TOPIC_PREFIX", "a b"),
        ("CONNECTS_CLOCK", "tomorrow"),
        ("CONNECTS_CONSOLE_TOKEN", "s3cret"),
        ("CONNECTS_CONSOLE_TOKEN", "s3cret with a space in it"),
        ("CONNECTS_CONSOLE_TOKEN", "s3cret-" * 40),
        ("CONNECTS_CONSOLE_TRUST_HEADER", "X-User: me"),
        ("CONNECTS_POLICY", "nowhere.toml"),
        ("LOG_LEVEL", "loud"),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("KAFKA_SASL_MECHANISM", "GSSAPI"),
        ("KAFKA_SSL_CAFILE", "nowhere.pem"),
        ("DATABASE_URL", "mysql://u:s3cret@db/connects"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=rf"^({name}|KAFKA_SECURITY_PROTOCOL): ") as refused:
        read(monkeypatch, **{**BOTH, name: value})
    assert "\n" not in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_sasl_is_handed_to_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, **BOTH, **SASL).kafka_kwargs() == {
        "bootstrap_servers": BOTH["KAFKA_BOOTSTRAP_SERVERS"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "worker",
        "sasl_plain_password": "hush-hush",
    }


def test_tls_checks_the_brokers_name_and_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    context = read(monkeypatch, **BOTH, KAFKA_SECURITY_PROTOCOL="SSL").kafka_kwargs()["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


def test_certificates_that_cannot_be_read_are_shown_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = read(monkeypatch, **BOTH, KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_SSL_CAFILE=str(tmp_path / "ca.pem"))
    with pytest.raises(SettingsError, match=r"^KAFKA_SSL_CAFILE: .*ca\.pem cannot be used"):
        settings.kafka_kwargs()


@pytest.mark.parametrize("missing", ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"])
def test_sasl_needs_all_of_its_settings(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"^{missing}: needed with"):
        read(monkeypatch, **BOTH, **{name: value for name, value in SASL.items() if name != missing})


def test_credentials_that_would_not_be_used_are_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^KAFKA_SECURITY_PROTOCOL: is PLAINTEXT, though"):
        read(monkeypatch, **BOTH, KAFKA_SASL_USERNAME="worker")


def test_simulated_time_is_for_the_embedded_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = "2026-03-01T00:00:00Z@3600"
    assert read(monkeypatch, CONNECTS_CLOCK=spec).wall_clock().at(0).isoformat() == "2026-03-01T00:00:00+00:00"
    with pytest.raises(SettingsError, match=r"^CONNECTS_CLOCK: .*CONNECTS_ALLOW_SIMULATED_TIME=1"):
        read(monkeypatch, **BOTH)
    assert read(monkeypatch, CONNECTS_ALLOW_SIMULATED_TIME="1").clock == spec


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch,
        **BOTH,
        **SASL,
        CONNECTS_MIGRATE_URL="postgresql://db/connects?user=o&password=s3cret",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=s3cret",
    )
    shown = settings.shown()
    assert "hush-hush" not in str(settings.model_dump())
    for text in (repr(settings), str(settings), str(shown)):
        assert "s3cret" not in text
        assert "hush-hush" not in text
    assert shown["DATABASE_URL"] == f"postgresql://worker:{MASK}@db/connects"
    assert shown["KAFKA_SASL_PASSWORD"] == MASK
    assert shown["CONNECTS_BATCH_SIZE"] == "5000"
    assert shown["CONNECTS_MAX_DATABASE_CONNECTIONS"] == "10"


def test_variables_of_tracing_count_in_dot_env_and_those_of_the_environment_go_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "CONNECTS_TRACING=1\nOTEL_SERVICE_NAME=of-file\nOTEL_TRACES_SAMPLER=always_on\n"
        "OTEL_EXPORTER_OTLP_HEADERS=authorization=s3cret-of-file\n"
    )
    settings = read(monkeypatch, OTEL_SERVICE_NAME="of-environment", OTEL_TRACES_SAMPLER="")
    assert settings.tracing
    assert settings.of_tracing["OTEL_SERVICE_NAME"] == "of-environment"
    assert settings.of_tracing["OTEL_TRACES_SAMPLER"] == "always_on"
    assert settings.shown()["CONNECTS_TRACING"] == "True"
    assert settings.shown()["OTEL_EXPORTER_OTLP_HEADERS"] == MASK
    assert without_secrets("failed with s3cret-of-file") == f"failed with {MASK}"


def test_a_switch_of_tracing_that_is_no_switch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^CONNECTS_TRACING: .*, is 'perhaps'$"):
        read(monkeypatch, CONNECTS_TRACING="perhaps")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db/connects", "postgresql://db/connects"),
        ("postgresql://worker@db:5432/connects", "postgresql://worker@db:5432/connects"),
        ("postgresql://worker:a:b/c@d@db:5432/connects", f"postgresql://worker:{MASK}@db:5432/connects"),
        ("postgresql://db/c?sslpassword=x&user=u", f"postgresql://db/c?sslpassword={MASK}&user=u"),
        ("postgresql://db/c?PASSWORD=x", f"postgresql://db/c?PASSWORD={MASK}"),
    ],
)
def test_a_database_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "name",
    [
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_SECURITY_PROTOCOL",
        "KAFKA_SASL_MECHANISM",
        "CONNECTS_TOPIC_PREFIX",
        "CONNECTS_CLOCK",
        "LOG_LEVEL",
    ],
)
@pytest.mark.parametrize("value", ["kafka://u:Wq7Zk9@h:9092", "u:Wq7Zk9@h:9092", "x" * 5_000])
def test_a_value_that_may_hold_a_password_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: ") as refused:
        read(monkeypatch, **{**BOTH, name: value})
    assert "Wq7" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("name", ["DATABASE_URL", "CONNECTS_MIGRATE_URL"])
def test_a_database_url_in_doubt_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: a '#' in it .*# as %23") as refused:
        read(monkeypatch, **{**BOTH, name: "postgresql://u:Wq7#Zk9@h/d"})
    assert "Wq7" not in str(refused.value)
    assert "Zk9" not in str(refused.value)


def test_a_wrong_value_of_dot_env_is_named_with_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# mine\nCONNECTS_BATCH_SIZE=seven\n")
    with pytest.raises(SettingsError, match=r"^CONNECTS_BATCH_SIZE \(\.env, line 2\): .*, is 'seven'$"):
        Settings.read()
    (tmp_path / ".env").write_text("\nCONNECTS_POLICY=nowhere.toml\n")
    with pytest.raises(SettingsError, match=r"^CONNECTS_POLICY \(\.env, line 2\): there is no file nowhere.toml$"):
        Settings.read()
    with pytest.raises(SettingsError, match=r"^CONNECTS_POLICY: there is no file elsewhere.toml$"):
        read(monkeypatch, CONNECTS_POLICY="elsewhere.toml")


def test_a_value_that_would_lose_a_part_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KAFKA_SASL_PASSWORD=Wq7${x}Zk9\n")
    with pytest.raises(
        SettingsError, match=r"^KAFKA_SASL_PASSWORD \(\.env, line 1\): holds \$\{\.\.\.\} of a name"
    ) as refused:
        Settings.read()
    assert "Wq7" not in str(refused.value)
    with pytest.raises(SettingsError, match="KAFKA_SECURITY_PROTOCOL"):
        read(monkeypatch, KAFKA_SASL_PASSWORD="as it is")  # noqa: S106 - made up


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("CONNECTS_BATCHSIZE=5\n", ["CONNECTS_BATCHSIZE"]),
        ("connects_batchsize=5\n", ["connects_batchsize"]),
        ("KAFKA_BOOTSTRAP_SERVER=a:1\nDATABASE_URI=postgresql://Wq7\n", ["DATABASE_URI", "KAFKA_BOOTSTRAP_SERVER"]),
        ("KAFKA_HEAP_OPTS=1\nKAFKA_BROKER_ID=1\nKAFKA_CLIENT_ID=1\nDATABASE_USER=1\nDATABASE_NAME=1\n", []),
        (
            "LOGLEVEL=1\nLOG_LEVELS=1\nDB_URL=1\nTEST_DATABASE_URL=1\nPOSTGRES_PASSWORD=1\nPGPASSWORD=1\n",
            ["LOG_LEVELS"],
        ),
        ("DATABASE_URL=postgresql://h/d\nKAFKA_BOOTSTRAP_SERVERS=a:1\nDATABASE_URL_2=1\n", []),
        ("CONNECTS_CACHE_DIR=there\n", []),
    ],
)
def test_names_that_look_like_settings_and_are_not_are_noticed_in_dot_env(
    tmp_path: Path, content: str, names: list[str]
) -> None:
    (tmp_path / ".env").write_text(content)
    settings = Settings.read()
    assert settings.unknown == names
    assert all(f"{name} (.env, line " in line for name, line in zip(names, settings.mistyped, strict=True))
    assert "Wq7" not in str(settings.mistyped)


def test_a_mistyped_name_is_named_where_the_right_one_is_missed(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KAFKA_BOOTSTRAP_SERVERS=a:1\nDATABASE_URI=postgresql://h/d\n")
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: not set, .* DATABASE_URI \(\.env, line 2\) is no setting"):
        Settings.read()


def test_a_mistyped_setting_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTS_BATCHSIZE", "5")
    monkeypatch.setenv("CONNECTS_CACHE_DIR", "there")
    assert unknown_settings() == ["CONNECTS_BATCHSIZE"]


SERVICE_LINKS = {
    "CONNECTS_SERVICE_HOST": "10.0.0.1",
    "CONNECTS_SERVICE_PORT": "80",
    "CONNECTS_SERVICE_PORT_HTTP": "80",
    "CONNECTS_PORT": "tcp://10.0.0.1:80",
    "CONNECTS_PORT_80_TCP": "tcp://10.0.0.1:80",
    "CONNECTS_PORT_80_TCP_PROTO": "tcp",
    "CONNECTS_PORT_80_TCP_PORT": "80",
    "CONNECTS_PORT_80_TCP_ADDR": "10.0.0.1",
    "CONNECTS_WORKER_PORT_8080_UDP": "udp://[fd00::1]:8080",
    "CONNECTS_HTTP_SERVICE_HOST": "10.0.0.2",
    "CONNECTS_HTTP_PORT": "tcp://10.0.0.2:8000",
}
"""What Kubernetes makes of the services connects, connects-worker and connects-http."""


def test_a_kubernetes_service_is_no_setting_and_one_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, **SERVICE_LINKS)
    assert (settings.http_port, settings.mistyped, settings.unknown, unknown_settings()) == (8_000, [], [], [])
    (hint,) = settings.hints
    assert hint.startswith("CONNECTS_HTTP_PORT and 10 other names are from a Kubernetes service")
    assert "enableServiceLinks: false" in hint


@pytest.mark.parametrize("name", SERVICE_LINKS)
def test_each_name_of_a_kubernetes_service_is_recognised_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings = read(monkeypatch, **{name: SERVICE_LINKS[name]})
    assert (settings.http_port, settings.mistyped) == (8_000, [])
    assert settings.hints[0].startswith(f"{name} is from a Kubernetes service")


def test_beside_a_kubernetes_service_dot_env_counts_and_mistakes_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("CONNECTS_HTTP_PORT=8001\n")
    settings = read(monkeypatch, **SERVICE_LINKS, CONNECTS_SERVICE="x", CONNECTS_HTTP_PORTS="1", CONNECTS_PORT_X="1")
    assert settings.http_port == 8_001
    assert settings.unknown == ["CONNECTS_HTTP_PORTS", "CONNECTS_PORT_X", "CONNECTS_SERVICE"]


@pytest.mark.parametrize("port", ["8002", "http://10.0.0.1:80", "many"])
def test_a_port_that_is_no_services_address_is_the_setting(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    if port.isdecimal():
        settings = read(monkeypatch, CONNECTS_HTTP_PORT=port)
        assert (settings.http_port, settings.hints) == (8_002, [])
    else:
        with pytest.raises(SettingsError, match=r"^CONNECTS_HTTP_PORT: "):
            read(monkeypatch, CONNECTS_HTTP_PORT=port)


def test_without_kubernetes_there_is_no_hint() -> None:
    assert Settings.read().hints == []


def test_the_policy_is_found_in_a_checkout() -> None:
    assert packaged_policy() == REPOSITORY / "policies" / "connects.toml"


def test_the_policy_is_found_in_an_installed_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)  # noqa: S603 - our own build
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    look = "from worker.settings import packaged_policy; print(packaged_policy())"
    found = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", look],
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert found == str(tmp_path / "installed" / "worker" / "policies" / "connects.toml")
    assert Path(found).read_text() == (REPOSITORY / "policies" / "connects.toml").read_text()
