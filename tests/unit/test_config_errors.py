"""What must keep a server from starting: the At-rest table of ATTACKS.md, and every malformed field."""

import hashlib
import json
from typing import Any

import pytest
from support.environment import SECRET, Env, api_key, issuer

ISSUER = issuer()["issuers"][0]


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Env:
    return Env(monkeypatch)


# variable, value, and what the message must name
WRONG: dict[str, tuple[str, Any, str]] = {
    "no JSON": ("OIDC_CONFIG", f"{SECRET}", "not JSON: line 1 column 1"),
    "cut": ("API_KEYS", f'[{{"name":"n","key":"{SECRET}"', "not JSON"),
    "more behind": ("API_KEYS", json.dumps(api_key()) + "[]", "not JSON"),
    "an injection": ("API_KEYS", '[], "authentication_disabled": true', "not JSON"),
    "a name twice": ("API_KEYS", f'[{{"name":"a","key":"{SECRET}","key":"{SECRET}x"}}]', "twice"),
    "NaN": ("OIDC_CONFIG", {**issuer(), "token_cache_ttl_secs": float("nan")}, "not JSON"),
    "deep": ("OIDC_CONFIG", "[" * 100_000, "nested too deeply"),
    "not UTF-8": ("API_KEYS", '[{"name":"\udcff"}]', "UTF-8"),
    "a list for the object": ("OIDC_CONFIG", [ISSUER], "object"),
    "a text for the object": ("OIDC_CONFIG", f'"{SECRET}"', "object"),
    "null": ("OIDC_CONFIG", "null", "object"),
    "empty object": ("OIDC_CONFIG", {}, "issuers"),
    "no issuers": ("OIDC_CONFIG", {"issuers": []}, "issuers"),
    "issuers null": ("OIDC_CONFIG", {"issuers": None}, "issuers"),
    "issuer no object": ("OIDC_CONFIG", {"issuers": [SECRET]}, "issuers.0"),
    "unknown field": ("OIDC_CONFIG", {**issuer(), "jwks_refresh_secs": SECRET}, "jwks_refresh_secs: unknown field"),
    "unknown issuer field": ("OIDC_CONFIG", issuer(audiences=[SECRET]), "issuers.0.audiences: unknown field"),
    "issuer missing": ("OIDC_CONFIG", {"issuers": [{"audience": SECRET}]}, "issuers.0.issuer"),
    "audience missing": ("OIDC_CONFIG", {"issuers": [{"issuer": "https://x"}]}, "issuers.0.audience"),
    "audience empty": ("OIDC_CONFIG", issuer(audience=""), "issuers.0.audience"),
    "audience empty list": ("OIDC_CONFIG", issuer(audience=[]), "issuers.0.audience"),
    "audience of other things": ("OIDC_CONFIG", issuer(audience=[5]), "issuers.0.audience.0"),
    "audience null": ("OIDC_CONFIG", issuer(audience=None), "issuers.0.audience"),
    "audience with a control": ("OIDC_CONFIG", issuer(audience=f"{SECRET}\n"), "issuers.0.audience.0"),
    "algorithm none": ("OIDC_CONFIG", issuer(algorithms=["none"]), "issuers.0.algorithms.0"),
    "algorithm symmetric": ("OIDC_CONFIG", issuer(algorithms=["RS256", "HS256"]), "issuers.0.algorithms.1"),
    "algorithm unknown": ("OIDC_CONFIG", issuer(algorithms=[SECRET]), "issuers.0.algorithms.0"),
    "algorithms empty": ("OIDC_CONFIG", issuer(algorithms=[]), "issuers.0.algorithms"),
    "algorithms a text": ("OIDC_CONFIG", issuer(algorithms="RS256"), "issuers.0.algorithms"),
    "leeway negative": ("OIDC_CONFIG", issuer(leeway_secs=-1), "issuers.0.leeway_secs"),
    "leeway 301": ("OIDC_CONFIG", issuer(leeway_secs=300.1), "issuers.0.leeway_secs"),
    "leeway NaN": ("OIDC_CONFIG", issuer(leeway_secs=float("nan")), "not JSON"),
    "leeway infinite": ("OIDC_CONFIG", json.dumps(issuer(leeway_secs=0)).replace(": 0", ": 1e999"), "not JSON"),
    "leeway a text": ("OIDC_CONFIG", issuer(leeway_secs="60"), "issuers.0.leeway_secs"),
    "leeway true": ("OIDC_CONFIG", issuer(leeway_secs=True), "issuers.0.leeway_secs"),
    "require_typ unknown": ("OIDC_CONFIG", issuer(require_typ=SECRET), "issuers.0.require_typ"),
    "trust_email a text": ("OIDC_CONFIG", issuer(trust_email="true"), "issuers.0.trust_email"),
    "trust_email a number": ("OIDC_CONFIG", issuer(trust_email=1), "issuers.0.trust_email"),
    "email_claims empty": ("OIDC_CONFIG", issuer(email_claims=[]), "issuers.0.email_claims"),
    "delegates a text": ("OIDC_CONFIG", issuer(delegates=SECRET), "issuers.0.delegates"),
    "no allowed hosts": ("OIDC_CONFIG", issuer(allowed_jwks_hosts=[]), "issuers.0.allowed_jwks_hosts"),
    "cache size 0": ("OIDC_CONFIG", {**issuer(), "token_cache_size": 0}, "token_cache_size"),
    "cache size no integer": ("OIDC_CONFIG", {**issuer(), "token_cache_size": 1.5}, "token_cache_size"),
    "cache ttl 0": ("OIDC_CONFIG", {**issuer(), "token_cache_ttl_secs": 0}, "token_cache_ttl_secs"),
    "refresh 0": ("OIDC_CONFIG", {**issuer(), "jwks_refresh_interval_secs": 0}, "jwks_refresh_interval_secs"),
    # A wait of so many seconds is more than a thread can ask for: it would end the thread that fetches the keys.
    "refresh never": ("OIDC_CONFIG", {**issuer(), "jwks_refresh_interval_secs": 1e300}, "jwks_refresh_interval_secs"),
    "stale negative": ("OIDC_CONFIG", {**issuer(), "jwks_max_stale_secs": -1}, "jwks_max_stale_secs"),
    "timeout 0": ("OIDC_CONFIG", {**issuer(), "fetch_timeout_secs": 0}, "fetch_timeout_secs"),
    "timeout 61": ("OIDC_CONFIG", {**issuer(), "fetch_timeout_secs": 61}, "fetch_timeout_secs"),
    "token cap over 16 KiB": ("OIDC_CONFIG", {**issuer(), "max_token_bytes": 16385}, "max_token_bytes"),
    "token cap 0": ("OIDC_CONFIG", {**issuer(), "max_token_bytes": 0}, "max_token_bytes"),
    "keys an object": ("API_KEYS", {"ingest": SECRET}, "array"),
    "keys null": ("API_KEYS", "null", "array"),
    "key a text": ("API_KEYS", [SECRET], "0: "),
    "key unnamed": ("API_KEYS", [{"key": SECRET}], "0.name"),
    "key with an empty name": ("API_KEYS", api_key(name=""), "0.name"),
    "key with a control in its name": ("API_KEYS", api_key(name=f"{SECRET}\x1b"), "0.name"),
    "key without key": ("API_KEYS", [{"name": SECRET}], "0: needs either key or key_sha256"),
    "key in two forms": ("API_KEYS", api_key(key_sha256="0" * 64), "0: needs either key or key_sha256"),
    "key under a false name": ("API_KEYS", [{"name": "n", "secret": SECRET}], "0.secret: unknown field"),
    "key with another field": ("API_KEYS", api_key(admin=True), "0.admin: unknown field"),
    "key empty": ("API_KEYS", api_key(key=""), "0: key must be"),
    "key null": ("API_KEYS", api_key(key=None), "0: key must be"),
    "key a number": ("API_KEYS", api_key(key=5), "0: key must be"),
    "key with a space": ("API_KEYS", api_key(key=f"{SECRET} x"), "0: key must be"),
    "key with a line feed": ("API_KEYS", api_key(key=f"{SECRET}\n"), "0: key must be"),
    "key with a comma": ("API_KEYS", api_key(key=f"{SECRET},x"), "0: key must be"),
    "key with a letter that is not ASCII": ("API_KEYS", api_key(key=f"{SECRET}é"), "0: key must be"),
    "key with padding within": ("API_KEYS", api_key(key=f"{SECRET}=x"), "0: key must be"),
    "key of padding only": ("API_KEYS", api_key(key="===="), "0: key must be"),
    "hash short": ("API_KEYS", [{"name": "n", "key_sha256": "0" * 63}], "0.key_sha256"),
    "hash in upper case": ("API_KEYS", [{"name": "n", "key_sha256": "A" * 64}], "0.key_sha256"),
    "hash with a line feed": ("API_KEYS", [{"name": "n", "key_sha256": "0" * 64 + "\n"}], "0.key_sha256"),
    "hash null": ("API_KEYS", [{"name": "n", "key_sha256": None}], "0.key_sha256"),
    "expiry without zone": ("API_KEYS", api_key(expires_at="2030-01-01T00:00:00"), "0.expires_at"),
    "expiry no date": ("API_KEYS", api_key(expires_at=SECRET), "0.expires_at"),
    "expiry a date alone": ("API_KEYS", api_key(expires_at="2030-01-01"), "0.expires_at"),
    "expiry a number": ("API_KEYS", api_key(expires_at=1893456000), "0.expires_at"),
    "delegation a text": ("API_KEYS", api_key(allow_delegation="yes"), "0.allow_delegation"),
    "one key twice": ("API_KEYS", [*api_key(), *api_key(name="other")], "0 and 1"),
    "one key in two forms": (
        "API_KEYS",
        [*api_key(), {"name": "other", "key_sha256": hashlib.sha256(SECRET.encode()).hexdigest()}],
        "0 and 1",
    ),
    "admins a text": ("ADMINS", f'"{SECRET}"', "array"),
    "admins null": ("ADMINS", "null", "array"),
    "admin empty": ("ADMINS", [""], "0"),
    "admin a number": ("ADMINS", ["alice", 5], "1"),
    "admin with a control": ("ADMINS", [f"{SECRET}\n"], "0"),
    "admin of an issuer alone": ("ADMINS", [{"issuer": SECRET}], "0"),
    "admin without issuer": ("ADMINS", [{"subject": SECRET}], "0"),
    "admin with both": ("ADMINS", [{"issuer": "https://x", "subject": SECRET, "email": SECRET}], "0"),
    "admin with another field": ("ADMINS", [{"issuer": "https://x", "subject": "s", "role": SECRET}], "0.role"),
    "admin in our own words": ("ADMINS", [{"anywhere": SECRET}], "0"),
    "admin empty object": ("ADMINS", [{}], "0"),
    "admin null": ("ADMINS", [None], "0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_names_variable_and_field_and_never_itself(env: Env, name: str) -> None:
    variable, value, named = WRONG[name]
    if variable != "OIDC_CONFIG":
        env.read(OIDC_CONFIG=issuer())
    message = env.error(**{variable: value})
    assert message.startswith(f"MICROMEGAS_{variable}: ")
    assert named in message


@pytest.mark.parametrize("field", ["issuer", "discovery_url", "jwks_uri"])
@pytest.mark.parametrize(
    "url",
    [
        f"http://{SECRET}.example",
        f"ftp://{SECRET}",
        f"file:///{SECRET}",
        SECRET,
        "",
        "https://",
        "https:///path",
        f"https://user:{SECRET}@issuer.example",
        "https://issuer.example:port",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "http://[::2]",
        "https://[::1",
        "//issuer.example",
        f"https://issuer.example/\n{SECRET}",
        f"https://issuer.example/{SECRET}\x1b[31m",
        5,
    ],
)
def test_every_url_is_https_or_loopback(env: Env, field: str, url: Any) -> None:
    assert f"issuers.0.{field}: " in env.error(OIDC_CONFIG=issuer(**{field: url}))
