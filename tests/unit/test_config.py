"""The configuration: what is read, and what must keep a server from starting."""

import hashlib
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.environment import SECRET, Env, api_key, issuer

from micromegas_auth import AuthConfig, ConfigError
from micromegas_auth.entries import AdminConfig, IssuerConfig
from micromegas_auth.policy import ALGORITHMS, DEFAULT_EMAIL_CLAIMS

ISSUER = issuer()["issuers"][0]
OIDC, KEYS = "MICROMEGAS_OIDC_CONFIG", "MICROMEGAS_API_KEYS"


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Env:
    return Env(monkeypatch)


def test_what_micromegas_documents(env: Env) -> None:
    config = env.read(
        OIDC_CONFIG={
            "issuers": [
                {"issuer": "https://accounts.google.com", "audience": "your-app-id.apps.googleusercontent.com"},
                {"issuer": "https://login.example.com/tenant/v2.0", "audience": "api://your-api-client-id"},
            ],
            "jwks_refresh_interval_secs": 3600,
            "token_cache_size": 1000,
            "token_cache_ttl_secs": 300,
        },
        API_KEYS=[{"name": "service1", "key": "secret-key-123-of-service1"}],
        ADMINS=["alice@example.com", "service-account-id"],
    )
    assert config.oidc is not None
    assert [entry.audience for entry in config.oidc.issuers] == [
        ["your-app-id.apps.googleusercontent.com"],
        ["api://your-api-client-id"],
    ]
    assert config.admins == ["alice@example.com", "service-account-id"]
    assert [key.name for key in config.api_keys] == ["service1"]
    assert not config.authentication_disabled


def test_the_defaults(env: Env) -> None:
    config = env.read(OIDC_CONFIG=issuer())
    assert (config.api_keys, config.admins) == ([], [])
    oidc = config.oidc
    assert oidc is not None
    assert (oidc.jwks_refresh_interval_secs, oidc.jwks_max_stale_secs, oidc.fetch_timeout_secs) == (3600, 86400, 10)
    assert (oidc.token_cache_size, oidc.token_cache_ttl_secs, oidc.max_token_bytes) == (1000, 300, 7168)
    (entry,) = oidc.issuers
    assert entry == IssuerConfig(
        issuer="https://issuer.example",
        audience=["api"],
        discovery_url=None,
        jwks_uri=None,
        algorithms=sorted(ALGORITHMS),
        aliases=[],
        leeway_secs=60,
        require_typ=None,
        trust_email=False,
        email_claims=list(DEFAULT_EMAIL_CLAIMS),
        delegates=[],
        ca_file=None,
        allowed_jwks_hosts=None,
    )


def test_every_field_of_an_issuer(env: Env) -> None:
    fields: dict[str, Any] = {
        "issuer": "http://localhost:8080/realm",
        "audience": ["a", "b"],
        "discovery_url": "https://discovery.example/d",
        "jwks_uri": "https://keys.example/jwks",
        "algorithms": ["RS256", "EdDSA"],
        "aliases": ["accounts.google.com"],
        "leeway_secs": 0,
        "require_typ": "at+jwt",
        "trust_email": True,
        "email_claims": ["email"],
        "delegates": ["grafana"],
        "ca_file": "/etc/ca.pem",
        "allowed_jwks_hosts": ["keys.example"],
    }
    config = env.read(OIDC_CONFIG={"issuers": [fields]})
    assert config.oidc is not None
    assert config.oidc.issuers[0].model_dump() == fields


def test_another_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_API_KEYS", json.dumps(api_key()))
    assert len(AuthConfig.from_env("OTHER").api_keys) == 1
    monkeypatch.setenv("OTHER_API_KEYS", "{")
    with pytest.raises(ConfigError, match="OTHER_API_KEYS"):
        AuthConfig.from_env("OTHER")


@pytest.mark.parametrize("value", ["", " ", "\n", "[]", " [ ] "])
def test_an_empty_variable_is_unset(env: Env, value: str) -> None:
    assert env.read(OIDC_CONFIG=issuer(), API_KEYS=value, ADMINS=value).api_keys == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"OIDC_CONFIG": ""},
        {"OIDC_CONFIG": " ", "API_KEYS": ""},
        {"API_KEYS": "[]"},
        {"ADMINS": ["alice"]},
        {"API_KEYS": "[]", "ADMINS": ["alice"]},
    ],
)
def test_nothing_configured_is_an_error(env: Env, values: dict[str, Any]) -> None:
    message = env.error(**values)
    assert OIDC in message
    assert KEYS in message


def test_switched_off_explicitly() -> None:
    assert AuthConfig.disabled().authentication_disabled


@pytest.mark.parametrize("field", ["authentication_disabled", "disabled"])
def test_no_variable_switches_it_off(env: Env, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    monkeypatch.setenv(f"MICROMEGAS_{field.upper()}", "true")
    env.error()
    assert f"{field}: unknown field" in env.error(OIDC_CONFIG={**issuer(), field: True})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://[::1]:1", "http://localhost", "https://10.0.0.1/r"])
def test_urls_that_are_fine(env: Env, url: str) -> None:
    assert env.read(OIDC_CONFIG=issuer(issuer=url, discovery_url=url, jwks_uri=url)).oidc


def test_one_message_names_every_fault(env: Env) -> None:
    message = env.error(OIDC_CONFIG={**issuer(leeway_secs=-1), "token_cache_size": 0, "x": 1})
    assert all(part in message for part in ("issuers.0.leeway_secs", "token_cache_size", "x: unknown field"))


def test_one_issuer_may_stand_several_times(env: Env) -> None:
    config = env.read(
        OIDC_CONFIG={
            "issuers": [
                {**ISSUER, "audience": "id-of-client"},
                {"issuer": "https://b.example", "audience": "b"},
                {**ISSUER, "audience": ["api", "more"], "trust_email": True},
                {**ISSUER, "audience": "last", "trust_email": True, "leeway_secs": 5},
            ]
        }
    )
    assert config.oidc is not None
    merged = config.oidc.merged_issuers()
    assert [(entry.issuer, entry.audience) for entry in merged] == [
        ("https://issuer.example", ["id-of-client", "api", "more", "last"]),
        ("https://b.example", ["b"]),
    ]
    assert (merged[0].trust_email, merged[0].leeway_secs) == (True, 5)


def test_one_issuer_may_not_contradict_itself(env: Env) -> None:
    entries = [{**ISSUER, "trust_email": True}, {**ISSUER, "audience": "b"}, {**ISSUER, "trust_email": False}]
    assert "issuers.2.trust_email contradicts" in env.error(OIDC_CONFIG={"issuers": entries})


@pytest.mark.parametrize("aliases", [["https://b.example"], ["https://b.example/"]])
def test_a_name_means_one_issuer(env: Env, aliases: list[str]) -> None:
    other = {"issuer": "https://b.example", "audience": "b", "aliases": ["https://b.example/"]}
    assert "alias" in env.error(OIDC_CONFIG={"issuers": [{**ISSUER, "aliases": aliases}, other]})


@pytest.mark.parametrize("key", ["x" * 16, "a-._~+/b" * 2, "a" * 14 + "==", "A1b2C3d4E5f6G7h8"])
def test_keys_are_hashed_at_once(env: Env, key: str) -> None:
    config = env.read(API_KEYS=[{"name": "n", "key": key}])
    assert config.api_keys[0].key_sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert key not in repr(config)
    assert key not in str(config.model_dump())


def test_the_hash_form_and_every_field_of_a_key(env: Env) -> None:
    digest = hashlib.sha256(b"key").hexdigest()
    config = env.read(
        API_KEYS=[
            {"name": "n", "key_sha256": digest, "expires_at": "2030-01-01T02:00:00+02:00", "allow_delegation": False}
        ]
    )
    (key,) = config.api_keys
    assert (key.name, key.key_sha256, key.allow_delegation) == ("n", digest, False)
    assert key.expires_at == datetime(2030, 1, 1, tzinfo=UTC)


def test_two_keys_of_one_name_are_a_rotation(env: Env) -> None:
    assert len(env.read(API_KEYS=[*api_key(), *api_key(key=SECRET + "2")]).api_keys) == 2


def test_a_short_key_is_warned_of(env: Env, caplog: pytest.LogCaptureFixture) -> None:
    env.read(API_KEYS=[{"name": "in\x01gest"[:2], "key": "Zq9-of-15-bytes"}, *api_key()])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "16" in record.getMessage()
    assert "Zq9" not in record.getMessage()


def test_admins_in_all_forms(env: Env) -> None:
    config = env.read(
        API_KEYS=api_key(),
        ADMINS=["a", {"issuer": "https://i", "subject": "s"}, {"issuer": "https://i", "email": "e@x"}],
    )
    assert config.admins == [
        "a",
        AdminConfig(issuer="https://i", subject="s"),
        AdminConfig(issuer="https://i", email="e@x"),
    ]


def test_a_configuration_made_by_hand_is_checked_too() -> None:
    with pytest.raises(ValueError, match="the same"):
        AuthConfig(api_keys=[*api_key(), *api_key(name="other")])  # type: ignore[list-item]


INGESTION = "MICROMEGAS_INGESTION"


def test_each_variable_falls_back_for_itself(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    env.read(OIDC_CONFIG=issuer(), API_KEYS=api_key(), ADMINS=["alice"])
    assert AuthConfig.from_env(INGESTION).model_dump() == AuthConfig.from_env().model_dump()
    monkeypatch.setenv(f"{INGESTION}_API_KEYS", json.dumps(api_key(name="agent", key=SECRET + "2")))
    config = AuthConfig.from_env(INGESTION)
    assert [key.name for key in config.api_keys] == ["agent"]
    assert config.oidc is not None
    assert config.admins == ["alice"]
    assert [key.name for key in AuthConfig.from_env().api_keys] == ["ingest"]


def test_an_empty_variable_falls_back_and_an_empty_list_does_not(env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    env.read(OIDC_CONFIG=issuer(), API_KEYS=api_key())
    monkeypatch.setenv(f"{INGESTION}_API_KEYS", " ")
    assert len(AuthConfig.from_env(INGESTION).api_keys) == 1
    monkeypatch.setenv(f"{INGESTION}_API_KEYS", "[]")
    assert AuthConfig.from_env(INGESTION).api_keys == []


def test_a_file_under_the_own_prefix_hides_the_variable(
    env: Env, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The other way round too; and what is watched is what was read."""
    env.read(OIDC_CONFIG=issuer(), API_KEYS=api_key())
    own, shared = tmp_path / "own", tmp_path / "shared"
    own.write_text(json.dumps(api_key(name="own", key=SECRET + "2")))
    shared.write_text(json.dumps(issuer(audience="shared")))
    monkeypatch.setenv(f"{INGESTION}_API_KEYS_FILE", str(own))
    monkeypatch.delenv("MICROMEGAS_OIDC_CONFIG")
    monkeypatch.setenv("MICROMEGAS_OIDC_CONFIG_FILE", str(shared))
    config = AuthConfig.from_env(INGESTION)
    assert [key.name for key in config.api_keys] == ["own"]
    assert [file.path for file in config.files] == [shared, own]
    own.write_text(json.dumps(api_key(name="changed")))
    assert [key.name for key in config.reread().api_keys] == ["changed"]
    own.write_text("")
    assert config.reread().api_keys == []  # not those of the hidden variable


@pytest.mark.parametrize("name", ["API_KEYS", "ADMINS", "OIDC_CONFIG", "ATTRIBUTION", "PSEUDONYM_KEY"])
def test_an_error_names_the_variable_that_was_read(env: Env, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    env.read(OIDC_CONFIG=issuer())
    for prefix in ("MICROMEGAS", INGESTION):
        monkeypatch.setenv(f"{prefix}_{name}", "{")
        with pytest.raises(ConfigError, match=f"^{prefix}_{name}: "):
            AuthConfig.from_env(INGESTION)


def test_nothing_configured_names_the_own_variables(env: Env) -> None:
    env.error()
    with pytest.raises(ConfigError, match=f"set {INGESTION}_OIDC_CONFIG or {INGESTION}_API_KEYS"):
        AuthConfig.from_env(INGESTION)
