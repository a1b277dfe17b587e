"""The entries of the configuration: an issuer, an API key, an admin, a revocation, each checked to the last field."""

import hashlib
import logging
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from micromegas_auth.fetch import is_trustworthy_url
from micromegas_auth.policy import ALGORITHMS, DEFAULT_EMAIL_CLAIMS
from micromegas_auth.text import is_safe, is_token68

_logger = logging.getLogger("micromegas_auth")
_SHORT_KEY_BYTES = 16
_MONTH = 30 * 86400


def _trustworthy(url: str) -> str:
    if not is_trustworthy_url(url):
        raise ValueError("must be an https URL (http only on a loopback host)")
    return url


def _algorithm(name: str) -> str:
    if name not in ALGORITHMS:
        raise ValueError(f"must be one of {', '.join(sorted(ALGORITHMS))}")
    return name


def _safe_text(text: str) -> str:
    if not is_safe(text, 1024):
        raise ValueError("must be a text of 1 to 1024 characters without control characters")
    return text


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _time_text(value: Any) -> Any:
    if not isinstance(value, (str, datetime)):
        # A ValueError, as this is what pydantic reports as an error of the field.
        raise ValueError("must be a time as in RFC 3339, such as 2027-01-01T00:00:00Z")  # noqa: TRY004
    return value


Text = Annotated[str, AfterValidator(_safe_text)]
Url = Annotated[str, AfterValidator(_trustworthy)]
Algorithm = Annotated[str, AfterValidator(_algorithm)]


class Model(BaseModel):
    """Strict types, no unknown fields, nothing changed later."""

    # hide_input_in_errors: a value may be a key, and no value of the configuration is ever printed.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class IssuerConfig(Model):
    """One entry of `issuers`. Several entries may name one issuer; their audiences add up.

    Attributes:
        issuer: The exact text of `iss`; https, or http on a loopback host.
        audience: One audience or a list; a token must be for one of them.
        discovery_url: The discovery document, unless `<issuer>/.well-known/openid-configuration`.
        jwks_uri: The JWK Set; no discovery then.
        algorithms: The permitted values of `alg`; all asymmetric ones unless given.
        aliases: Other texts of `iss` that mean this issuer.
        leeway_secs: Clock skew granted to `exp`, `nbf` and `iat`, 0 to 300 seconds.
        require_typ: `at+jwt` (RFC 9068) or `JWT` where tokens must say so.
        trust_email: Whether e-mails of this issuer count as verified where it sends no `email_verified`.
        email_claims: The claims that may hold the e-mail, best first.
        delegates: Subjects that may name the user they work for although their tokens look like a user's.
        ca_file: A PEM file with further certificate authorities for this issuer.
        allowed_jwks_hosts: The hosts that the discovered `jwks_uri` may name; any unless given.
    """

    issuer: Url
    audience: Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list)]
    discovery_url: Url | None = None
    jwks_uri: Url | None = None
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] = sorted(ALGORITHMS)
    aliases: list[Text] = []
    leeway_secs: Annotated[float, Field(ge=0, le=300)] = 60.0
    require_typ: Literal["at+jwt", "JWT"] | None = None
    trust_email: bool = False
    email_claims: Annotated[list[Text], Field(min_length=1)] = list(DEFAULT_EMAIL_CLAIMS)
    delegates: list[Text] = []
    ca_file: Text | None = None
    allowed_jwks_hosts: Annotated[list[Text], Field(min_length=1)] | None = None


class OidcConfig(Model):
    """MICROMEGAS_OIDC_CONFIG.

    Attributes:
        issuers: The issuers that are trusted, at least one.
        jwks_refresh_interval_secs: How often keys are fetched, at the least.
        jwks_max_stale_secs: For how long the last good keys serve while an issuer is down.
        token_cache_size: How many validated tokens are remembered.
        token_cache_ttl_secs: For how long, at the most.
        max_token_bytes: Longer credentials are refused unread; gRPC itself refuses headers above 8 KiB.
        fetch_timeout_secs: The total deadline of one request to an issuer.
    """

    issuers: Annotated[list[IssuerConfig], Field(min_length=1)]
    jwks_refresh_interval_secs: Annotated[float, Field(ge=1, le=_MONTH)] = 3600
    jwks_max_stale_secs: Annotated[float, Field(ge=0, le=_MONTH)] = 86400
    token_cache_size: Annotated[int, Field(ge=1)] = 1000
    token_cache_ttl_secs: Annotated[float, Field(gt=0, le=_MONTH)] = 300
    max_token_bytes: Annotated[int, Field(ge=256, le=16384)] = 7168
    fetch_timeout_secs: Annotated[float, Field(gt=0, le=60)] = 10.0

    def merged_issuers(self) -> list[IssuerConfig]:
        """One entry for each issuer: the audiences added up, the other fields from the entry that gives them.

        Raises:
            ValueError: Two entries of one issuer contradict each other, or a name means two issuers.
        """
        merged: dict[str, IssuerConfig] = {}
        for index, entry in enumerate(self.issuers):
            known = merged.get(entry.issuer)
            if known is None:
                merged[entry.issuer] = entry
                continue
            given = {name: getattr(entry, name) for name in entry.model_fields_set - {"issuer", "audience"}}
            for name in sorted(given.keys() & known.model_fields_set):
                if getattr(known, name) != given[name]:
                    raise ValueError(f"issuers.{index}.{name} contradicts an earlier entry of the same issuer")
            audiences = [*known.audience, *entry.audience]
            merged[entry.issuer] = known.model_copy(update={**given, "audience": audiences})
        names = [name for entry in merged.values() for name in {entry.issuer, *entry.aliases}]
        if len(names) != len(set(names)):
            raise ValueError("an alias of one issuer is also the name or alias of another")
        return list(merged.values())

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.merged_issuers()
        if self.jwks_max_stale_secs < self.jwks_refresh_interval_secs:
            _logger.warning("jwks_max_stale_secs is below jwks_refresh_interval_secs: keys lapse between two fetches")
        return self


class ApiKeyConfig(Model):
    """One entry of MICROMEGAS_API_KEYS. Of a key given in clear only the SHA-256 is kept.

    Attributes:
        name: Whose key it is; two keys of one name are a rotation.
        key_sha256: The SHA-256 of the key, 64 lower-case hexadecimal digits. The JSON may give `key` instead.
        expires_at: When it expires (RFC 3339), None for never.
        allow_delegation: Whether its holder may name, in x-user-* headers, the person it works for.
    """

    name: Text
    key_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    expires_at: Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_time_text)] | None = None
    allow_delegation: bool = True

    @model_validator(mode="before")
    @classmethod
    def _hash_key(cls, entry: Any) -> Any:
        if not isinstance(entry, dict):
            return entry
        if ("key" in entry) == ("key_sha256" in entry):
            # A misspelt field is said to be one, before the field that it then does not fill is missed.
            if not entry.keys() - {"key", *cls.model_fields}:
                raise ValueError("needs either key or key_sha256")
            return entry
        if "key" not in entry:
            return entry
        entry = dict(entry)
        key = entry.pop("key")
        if not isinstance(key, str) or not is_token68(key):
            raise ValueError("key must be letters, digits and -._~+/ only, with = at the end at most (RFC 6750 2.1)")
        if len(key) < _SHORT_KEY_BYTES:
            _logger.warning("the API key of %r is short: use at least %d bytes", entry.get("name"), _SHORT_KEY_BYTES)
        entry["key_sha256"] = hashlib.sha256(key.encode("ascii")).hexdigest()
        return entry


class AdminConfig(Model):
    """An admin of one issuer: by subject or by e-mail. A plain text instead means a subject or e-mail of any issuer.

    Attributes:
        issuer: The issuer, as it stands in the OIDC configuration.
        subject: The `sub` claim.
        email: A verified e-mail.
    """

    issuer: Text
    subject: Text | None = None
    email: Text | None = None

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        if (self.subject is None) == (self.email is None):
            raise ValueError("needs either subject or email")
        return self


def _kind_of_admin(entry: Any) -> str:
    return "text" if isinstance(entry, str) else "object"


# Told apart by a function, so that an error speaks of the form that was meant and not of both.
AdminEntry = Annotated[
    Annotated[Text, Tag("text")] | Annotated[AdminConfig, Tag("object")], Discriminator(_kind_of_admin)
]


class RevokedConfig(Model):
    """One entry of MICROMEGAS_REVOKED_FILE. What is given must all fit a credential for it to be refused.

    Attributes:
        api_key: The name of an API key; stands alone.
        issuer: The issuer, as it stands in the OIDC configuration.
        jti: One token; the only one that needs no issuer.
        subject: Every token of a subject.
        kid: Every token signed with a key.
        issued_before: With a subject: only tokens issued (`iat`) before this time (RFC 3339), or that do not say when.
    """

    api_key: Text | None = None
    issuer: Text | None = None
    jti: Text | None = None
    subject: Text | None = None
    kid: Text | None = None
    issued_before: Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_time_text)] | None = None

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        if self.model_fields_set not in _REVOKED_FORMS:
            forms = ", ".join(sorted("+".join(sorted(form)) for form in _REVOKED_FORMS))
            raise ValueError(f"must have exactly the fields of one of these forms: {forms}")
        return self


_REVOKED_FORMS = (
    {"api_key"},
    {"jti"},
    {"issuer", "jti"},
    {"issuer", "subject"},
    {"issuer", "kid"},
    {"issuer", "subject", "issued_before"},
)
