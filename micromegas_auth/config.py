"""The configuration, as Micromegas documents it, checked to the last field before anything starts."""

import json
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from micromegas_auth import environment
from micromegas_auth.entries import AdminEntry, ApiKeyConfig, Model, OidcConfig, RevokedConfig, Text
from micromegas_auth.errors import ConfigError
from micromegas_auth.privacy import AttributionMode, Privacy
from micromegas_auth.watch import Look

# field -> variable, behind the prefix
_JSON = {"oidc": "OIDC_CONFIG", "api_keys": "API_KEYS", "admins": "ADMINS", "revoked": "REVOKED"}
_PLAIN = {"attribution": "ATTRIBUTION", "pseudonym_key": "PSEUDONYM_KEY", "jwks_cache_dir": "JWKS_CACHE_DIR"}


class AuthConfig(Model):
    """The whole configuration.

    Attributes:
        oidc: The issuers, None for none.
        api_keys: The API keys.
        admins: The admins: a subject or verified e-mail of any issuer, or of one.
        revoked: What is refused although it is valid.
        attribution: What the audit record says of persons: `full`, `pseudonymous` (keyed hashes) or `off`.
        pseudonym_key: The key of those hashes, at least 16 characters.
        jwks_cache_dir: A folder for the last good key sets, so that a restart during an outage of the issuer serves.
        authentication_disabled: Every caller is anonymous with admin rights. No variable of the environment sets this.
    """

    oidc: OidcConfig | None = None
    api_keys: list[ApiKeyConfig] = Field(default_factory=list)
    admins: list[AdminEntry] = Field(default_factory=list)
    revoked: list[RevokedConfig] = Field(default_factory=list)
    attribution: AttributionMode = "full"
    pseudonym_key: Annotated[SecretStr, Field(min_length=16)] | None = None
    jwks_cache_dir: Text | None = None
    authentication_disabled: bool = False

    # The variables' prefix and the files they name, which `build_authenticator` watches and reads again.
    _prefix: str | None = PrivateAttr(None)
    _files: tuple[Look, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _check(self) -> Self:
        seen: dict[str, int] = {}
        for index, key in enumerate(self.api_keys):
            if (first := seen.setdefault(key.key_sha256, index)) != index:
                raise ValueError(f"{first} and {index} are the same API key")
        return self

    @property
    def files(self) -> tuple[Look, ...]:
        """The files this configuration was read from, as they were then."""
        return self._files

    @property
    def privacy(self) -> Privacy:
        """How much the audit record says of persons; for `AuditLog`."""
        return Privacy(self.attribution, self.pseudonym_key.get_secret_value() if self.pseudonym_key else None)

    def reread(self) -> "AuthConfig":
        """The configuration as variables and files are now. Raises like `from_env`, by which it must have been made."""
        if self._prefix is None:
            raise ConfigError("this configuration was not read from the environment")
        return self.from_env(self._prefix)

    @classmethod
    def from_env(cls, prefix: str = "MICROMEGAS") -> "AuthConfig":
        """Read the variables that docs/configuration.md lists; an empty one means unset.

        Args:
            prefix: What their names begin with. Where such a variable is not set, that of MICROMEGAS is read instead,
                each for itself.

        Raises:
            ConfigError: One is malformed, or there are neither issuers nor keys. Names the variable that was read and
                the field, no value.
        """
        values: dict[str, Any] = {}
        files: list[Look] = []
        for field, name in _JSON.items():
            variable = environment.variable_of(prefix, name)
            text, file = environment.read_text(variable)
            if file is not None:
                files.append(file)
            if text is not None:
                values[field] = environment.parse(cls, field, variable, text)
        for field, name in _PLAIN.items():
            variable = environment.variable_of(prefix, name)
            text, _ = environment.read_text(variable)
            if text is not None:
                values[field] = environment.parse(cls, field, variable, json.dumps(text))
        config = cls(**values)
        if config.oidc is None and not config.api_keys:
            raise ConfigError(
                f"no authentication is configured: set {prefix}_OIDC_CONFIG or {prefix}_API_KEYS "
                "(README.md shows both), or switch authentication off explicitly"
            )
        if config.attribution == "pseudonymous" and config.pseudonym_key is None:
            attribution = environment.variable_of(prefix, "ATTRIBUTION")
            raise ConfigError(f"{prefix}_PSEUDONYM_KEY: is needed with {attribution}=pseudonymous")
        config._prefix = prefix
        config._files = tuple(files)
        return config

    @classmethod
    def disabled(cls) -> "AuthConfig":
        """A configuration under which everybody is let in, anonymous and admin."""
        return cls(authentication_disabled=True)
