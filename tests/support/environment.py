"""The environment that AuthConfig.from_env reads."""

import json
from typing import Any

import pytest

from micromegas_auth import AuthConfig, ConfigError

SECRET = "Zq9Marker-of-the-configuration"  # a value that no message may repeat


class Env:
    """Sets MICROMEGAS_ variables, as text or as what JSON makes of a value, and reads the configuration."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        for name in ("OIDC_CONFIG", "API_KEYS", "ADMINS"):
            monkeypatch.delenv(f"MICROMEGAS_{name}", raising=False)

    def read(self, **values: Any) -> AuthConfig:
        """The configuration, once these variables are set."""
        for name, value in values.items():
            self._monkeypatch.setenv(f"MICROMEGAS_{name}", value if isinstance(value, str) else json.dumps(value))
        return AuthConfig.from_env()

    def error(self, **values: Any) -> str:
        """The message of the ConfigError that reading must end in. It never holds SECRET."""
        with pytest.raises(ConfigError) as caught:
            self.read(**values)
        message = str(caught.value)
        assert message.isprintable()
        assert SECRET not in f"{message} {caught.value!r} {caught.value.__cause__}"
        return message


def issuer(**changes: Any) -> dict[str, Any]:
    """An OIDC configuration with one issuer, which has these fields too."""
    return {"issuers": [{"issuer": "https://issuer.example", "audience": "api", **changes}]}


def api_key(**changes: Any) -> list[dict[str, Any]]:
    """A list of one API key, SECRET, with these fields too."""
    return [{"name": "ingest", "key": SECRET, **changes}]
