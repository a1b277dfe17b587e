"""Several authenticators in a row."""

from collections.abc import Sequence

from micromegas_auth.identity import Authenticator, Credential, Decision


class AuthenticatorChain:
    """Asks each in turn; the first that knows the kind of credential decides, and its AuthError ends the search.

    Args:
        authenticators: In the order they are asked.
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        """See `Authenticator.authenticate`."""
        for authenticator in self._authenticators:
            decision = authenticator.authenticate(credential, wait)
            if decision is not None:
                return decision
        return None
