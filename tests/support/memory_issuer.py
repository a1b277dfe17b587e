"""An issuer without a network: the JWK Set it would serve, and how often that was fetched."""

from typing import Any

from support.tokens import AUDIENCE, ISSUER, NOW

from micromegas_auth.fetch import FetchError
from micromegas_auth.jwks import RemoteKeySet
from micromegas_auth.keyset import KeySet, parse_jwks
from micromegas_auth.oidc import Issuer
from micromegas_auth.policy import IssuerPolicy


class MemoryIssuer:
    """`document` is what it serves at this moment; None while it is down."""

    def __init__(self, document: dict[str, Any] | None) -> None:
        self.document = document
        self.fetches = 0

    def fetch(self) -> tuple[KeySet, float | None]:
        """What RemoteKeySet calls."""
        self.fetches += 1
        if self.document is None:
            raise FetchError("down")
        return parse_jwks(self.document), None

    def trusted(self, *, issuer: str = ISSUER, on_withdrawal: Any = lambda: None, **policy: Any) -> Issuer:
        """This issuer as the library sees it. Its keys are not fetched before `keys.start()`."""
        keys = RemoteKeySet(
            issuer,
            self.fetch,
            refresh_interval=3600,
            max_stale=86400,
            on_withdrawal=on_withdrawal,
            clock=lambda: NOW,
        )
        return Issuer(IssuerPolicy(issuer=issuer, audiences=frozenset({AUDIENCE}), **policy), keys)
