"""How a client is configured, and what is said when that is wrong."""

from pathlib import Path
from typing import Any

import pytest

from micromegas_auth import ConfigError
from micromegas_auth.client import ClientCredentials

SECRET = "Zq9Marker-of-the-configuration"
GOOD = {"client_id": "svc", "client_secret": SECRET, "token_endpoint": "https://issuer.example/token"}
NAMES = ("TOKEN_ENDPOINT", "ISSUER", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE", "SCOPE")


def refusal(make: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        make()
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client_id": ""}, "client_id and client_secret"),
        ({"client_secret": ""}, "client_id and client_secret"),
        ({"token_endpoint": None}, "one of token_endpoint and issuer"),
        ({"issuer": "https://issuer.example"}, "one of token_endpoint and issuer"),
        ({"token_endpoint": "http://issuer.example/token"}, "must be an https URL"),
        ({"token_endpoint": ""}, "must be an https URL"),
        ({"token_endpoint": f"https://svc:{SECRET}@issuer.example/token"}, "must be an https URL"),
        ({"token_endpoint": None, "issuer": "http://issuer.example"}, "must be an https URL"),
        ({"auth_method": "private_key_jwt"}, "auth_method"),
    ],
)
def test_mistakes(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(lambda: ClientCredentials(**{**GOOD, **changes}))


def test_a_repr_shows_no_secret() -> None:
    assert SECRET not in repr(ClientCredentials(**GOOD))  # type: ignore[arg-type]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets these variables and reads the client from them."""
    for name in NAMES:
        monkeypatch.delenv(f"MICROMEGAS_OIDC_{name}", raising=False)
        monkeypatch.delenv(f"MICROMEGAS_OIDC_{name}_FILE", raising=False)

    def read(**values: str) -> ClientCredentials:
        for name, value in values.items():
            monkeypatch.setenv(f"MICROMEGAS_OIDC_{name}", value)
        return ClientCredentials.from_env()

    return read


def test_environment(environment: Any) -> None:
    client = environment(
        TOKEN_ENDPOINT="https://issuer.example/token",
        ISSUER="https://issuer.example",  # the Python client's; the endpoint wins
        CLIENT_ID="svc",
        CLIENT_SECRET=SECRET,
        AUDIENCE="api",
        SCOPE="a b",
    )
    assert client._token_endpoint == "https://issuer.example/token"
    assert client._form == {
        "grant_type": "client_credentials",
        "client_id": "svc",
        "client_secret": SECRET,
        "audience": "api",
        "scope": "a b",
    }


def test_environment_with_files(environment: Any, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    client = environment(ISSUER="https://issuer.example", CLIENT_ID="svc", CLIENT_SECRET_FILE=str(file), AUDIENCE=" ")
    assert client._issuer == "https://issuer.example"
    assert client._form["client_secret"] == SECRET
    assert "audience" not in client._form


def test_environment_with_mistakes(environment: Any) -> None:
    message = refusal(environment)
    assert message == "neither MICROMEGAS_OIDC_TOKEN_ENDPOINT nor MICROMEGAS_OIDC_ISSUER is set"
    assert refusal(lambda: environment(ISSUER="http://a.example")) == "MICROMEGAS_OIDC_CLIENT_ID is not set"
    assert refusal(lambda: environment(CLIENT_ID="svc")) == "MICROMEGAS_OIDC_CLIENT_SECRET is not set"
    assert "must be an https URL" in refusal(lambda: environment(CLIENT_SECRET=SECRET))
