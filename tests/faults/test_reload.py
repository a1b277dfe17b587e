"""Configuration and deny list in files that change while the server runs."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.front_door import LogWatch, bearer
from support.issuer import AUDIENCE, FaultyIssuer

from micromegas_auth import AuthConfig, ConfigError, RequestAuthenticator, Unauthenticated, build_authenticator

OLD, NEW = "old-key-0123456789abcdef", "new-key-0123456789abcdef"
RELOADED, KEPT = "configuration reloaded", "CONFIGURATION NOT RELOADED, the last good one stays in force"


class Files:
    """The files that the variables name, and the front door built from them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.doors: list[RequestAuthenticator] = []

    def name(self, variable: str, content: Any) -> Path:
        """Have MICROMEGAS_<variable>_FILE name a file with this content."""
        path = self._folder / variable.lower()
        self._monkeypatch.setenv(f"MICROMEGAS_{variable}_FILE", str(path))
        self.write(path, content)
        return path

    def write(self, path: Path, content: Any) -> None:
        """Replace a file in one step, as `mv` does."""
        beside = path.with_suffix(".new")
        beside.write_text(content if isinstance(content, str) else json.dumps(content))
        beside.replace(path)

    def build(self) -> RequestAuthenticator:
        self.doors.append(build_authenticator(AuthConfig.from_env()))
        return self.doors[-1]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    for name in [name for name in os.environ if name.startswith("MICROMEGAS_")]:
        monkeypatch.delenv(name)
    made = Files(tmp_path, monkeypatch)
    yield made
    for door in made.doors:
        door.close()


def take_over(log: LogWatch, files: Files, path: Path, content: Any, line: str = RELOADED) -> None:
    """Write a file, and wait until the server has seen it."""
    before = len(log.lines)
    files.write(path, content)
    log.wait_for(line, after=before)


def keys(*values: str) -> list[dict[str, str]]:
    return [{"name": "ci", "key": value} for value in values]


def let_in(door: RequestAuthenticator, token: str) -> bool:
    try:
        door.authenticate(bearer(token))
    except Unauthenticated:
        return False
    return True


def test_a_rotation_of_api_keys(files: Files, log: LogWatch) -> None:
    path = files.name("API_KEYS", keys(OLD))
    door = files.build()
    assert [let_in(door, key) for key in (OLD, NEW)] == [True, False]
    take_over(log, files, path, keys(OLD, NEW))
    assert [let_in(door, key) for key in (OLD, NEW)] == [True, True]
    take_over(log, files, path, keys(NEW))
    assert [let_in(door, key) for key in (OLD, NEW)] == [False, True]


@pytest.mark.parametrize("broken", ["[", '[{"name": "ci"}]', "", "[]", "\x00", '{"a": 1, "a": 2}'])
def test_the_last_good_configuration_stays(files: Files, log: LogWatch, broken: str) -> None:
    path = files.name("API_KEYS", keys(OLD))
    door = files.build()
    take_over(log, files, path, broken, KEPT)
    assert let_in(door, OLD)
    take_over(log, files, path, keys(NEW))
    assert [let_in(door, key) for key in (OLD, NEW)] == [False, True]


def test_the_links_by_which_kubernetes_swaps_a_secret(
    files: Files, log: LogWatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, key in (("v1", OLD), ("v2", NEW)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "keys").write_text(json.dumps(keys(key)))
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "keys").symlink_to("data/keys")
    monkeypatch.setenv("MICROMEGAS_API_KEYS_FILE", str(tmp_path / "keys"))
    door = files.build()
    assert let_in(door, OLD)
    (tmp_path / "swap").symlink_to("v2")
    (tmp_path / "swap").replace(tmp_path / "data")
    log.wait_for(RELOADED)
    assert [let_in(door, key) for key in (OLD, NEW)] == [False, True]


def test_a_file_that_is_missing_for_a_moment_is_no_change(files: Files, log: LogWatch) -> None:
    path = files.name("API_KEYS", keys(OLD))
    door = files.build()
    path.unlink()
    take_over(log, files, path, keys(NEW))
    assert let_in(door, NEW)
    assert not any(KEPT in line for line in log.lines)


def test_a_variable_and_its_file_exclude_each_other(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.name("API_KEYS", keys(OLD))
    monkeypatch.setenv("MICROMEGAS_API_KEYS", "[]")
    with pytest.raises(ConfigError, match="MICROMEGAS_API_KEYS and MICROMEGAS_API_KEYS_FILE are both set"):
        AuthConfig.from_env()


def test_a_missing_file_does_not_start(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROMEGAS_API_KEYS_FILE", "/nowhere/keys")
    with pytest.raises(ConfigError, match="MICROMEGAS_API_KEYS_FILE: No such file"):
        AuthConfig.from_env()


def test_a_revocation_ends_cached_decisions(files: Files, log: LogWatch, issuer: FaultyIssuer) -> None:
    """Tokens and keys that were let in a moment ago are refused once the list names them; nobody else notices."""
    files.name("OIDC_CONFIG", {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]})
    files.name("API_KEYS", keys(OLD))
    path = files.name("REVOKED", [])
    door = files.build()
    alice, bob = issuer.mint(jti="t1"), issuer.mint(sub="bob", jti="t2")
    assert [let_in(door, token) for token in (alice, bob, OLD)] == [True, True, True]
    take_over(log, files, path, [{"jti": "t1"}, {"api_key": "ci"}])
    assert [let_in(door, token) for token in (alice, bob, OLD)] == [False, True, False]
    assert "reason=revoked" in "\n".join(log.lines)
    take_over(log, files, path, [{"issuer": issuer.url, "subject": "bob"}])
    assert [let_in(door, token) for token in (alice, bob, OLD)] == [True, False, True]
    assert issuer.requests() == 1  # its keys were kept through both changes


def test_admins_and_issuers_come_and_go(files: Files, log: LogWatch, issuer: FaultyIssuer) -> None:
    trusted = {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]}
    oidc = files.name("OIDC_CONFIG", trusted)
    admins = files.name("ADMINS", [])
    files.name("API_KEYS", [{"name": "ci", "key_sha256": hashlib.sha256(OLD.encode()).hexdigest()}])
    door = files.build()
    token = bearer(issuer.mint())
    assert not door.authenticate(token).auth.is_admin
    take_over(log, files, admins, [{"issuer": issuer.url, "subject": "alice"}])
    assert door.authenticate(token).auth.is_admin
    take_over(log, files, oidc, {"issuers": [{"issuer": "http://127.0.0.1:9", "audience": AUDIENCE}]})
    with pytest.raises(Unauthenticated):
        door.authenticate(token)
    take_over(log, files, oidc, trusted)
    assert door.authenticate(token).auth.is_admin


def test_stored_keys_serve_after_a_restart_in_an_outage(
    files: Files, issuer: FaultyIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: LogWatch
) -> None:
    monkeypatch.setenv("MICROMEGAS_JWKS_CACHE_DIR", str(tmp_path / "jwks"))
    files.name("OIDC_CONFIG", {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]})
    token = issuer.mint()
    assert let_in(files.build(), token)
    (stored,) = (tmp_path / "jwks").iterdir()
    assert stored.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "jwks").stat().st_mode & 0o777 == 0o700
    issuer.stop()
    assert let_in(files.build(), token)
    stored.chmod(0o640)
    with pytest.raises(Exception, match="temporarily unavailable"):
        files.build().authenticate(bearer(token))
    log.wait_for("stored keys not used")
