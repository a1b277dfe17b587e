"""How much the audit record says of persons."""

import pytest

from micromegas_auth import AuthContext, AuthType, Caller, UserAttribution
from micromegas_auth.audit import AuditLog
from micromegas_auth.privacy import AttributionMode, Privacy

KEY = "a-key-of-the-pseudonyms"
ALICE = Caller(
    AuthContext(subject="alice", auth_type=AuthType.OIDC, issuer="https://issuer.example", email="alice@example.com"),
    UserAttribution(user_id="alice", user_email="alice@example.com", user_name="Alice", client_type="python"),
)
GRAFANA = Caller(
    AuthContext(subject="grafana", auth_type=AuthType.API_KEY, allow_delegation=True),
    UserAttribution(user_id="alice", org_id="1", service_account="grafana", verified=frozenset({"service_account"})),
)


def record(caller: Caller, mode: AttributionMode, key: str = KEY) -> str:
    lines: list[str] = []
    log = AuditLog(lines.append, privacy=Privacy(mode, key))
    log.start(caller, "SELECT 1").finish("ok")
    log.close()
    return lines[0]


def test_full_says_all() -> None:
    assert ' user=alice email=alice@example.com name="Alice" client=python ' in record(ALICE, "full")


def test_pseudonyms_tell_persons_apart_and_name_none() -> None:
    line = record(ALICE, "pseudonymous")
    assert "alice" not in line.lower().replace("https://issuer.example", "")
    said = dict(part.split("=", 1) for part in line.split() if "=" in part)
    assert said["user"] == said["subject"]  # of a person, the subject is the id
    assert said["user"] != said["email"]
    assert said["client"] == "python"
    same = dict(part.split("=", 1) for part in record(GRAFANA, "pseudonymous").split() if "=" in part)
    assert same["user"] == said["user"]  # the same person through Grafana
    assert same["subject"] == same["service_account"] == "grafana"
    other = dict(part.split("=", 1) for part in record(ALICE, "pseudonymous", KEY + "2").split() if "=" in part)
    assert other["user"] != said["user"]


def test_off_says_only_who_authenticated() -> None:
    assert " user=" not in record(GRAFANA, "off")
    assert "alice" not in record(GRAFANA, "off")
    assert " subject=grafana auth=api_key admin=false " in record(GRAFANA, "off")


def test_pseudonyms_need_a_key() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        Privacy("pseudonymous")
