"""Decides who calls: API keys, multi-issuer OIDC, user attribution, and an audit record for each query.

    from micromegas_auth import AuthConfig, build_authenticator

    authenticator = build_authenticator(AuthConfig.from_env())
    caller = authenticator.authenticate({"authorization": "Bearer ..."})

Adapters for servers are in `micromegas_auth.adapters`, the audit record in `micromegas_auth.audit`.
"""

from micromegas_auth.attribution import Caller, UserAttribution
from micromegas_auth.build import build_authenticator
from micromegas_auth.config import AuthConfig
from micromegas_auth.errors import (
    AuthError,
    ConfigError,
    PermissionDenied,
    ProviderUnavailable,
    Reason,
    Unauthenticated,
)
from micromegas_auth.explain import Check, explain
from micromegas_auth.identity import AuthContext, AuthType
from micromegas_auth.request import RequestAuthenticator

__all__ = [
    "AuthConfig",
    "AuthContext",
    "AuthError",
    "AuthType",
    "Caller",
    "Check",
    "ConfigError",
    "PermissionDenied",
    "ProviderUnavailable",
    "Reason",
    "RequestAuthenticator",
    "Unauthenticated",
    "UserAttribution",
    "build_authenticator",
    "explain",
]
