"""How much the audit record says of persons."""

import hashlib
import hmac
from typing import Literal

from micromegas_auth.attribution import Caller

AttributionMode = Literal["full", "pseudonymous", "off"]


class Privacy:
    """Picks what the audit record says of a caller.

    Args:
        mode: `full`: as it is. `pseudonymous`: id, e-mail and name as keyed hashes, by which records of one person
            can be told from those of another, and only who holds the key can tell whose they are. `off`: nothing but
            who authenticated.
        key: The key of the hashes; needed for `pseudonymous`.

    Raises:
        ValueError: `pseudonymous` without a key.
    """

    def __init__(self, mode: AttributionMode = "full", key: str | None = None) -> None:
        if mode == "pseudonymous" and not key:
            raise ValueError("pseudonymous needs a key")
        self._mode = mode
        self._key = (key or "").encode()

    def fields(self, caller: Caller) -> list[tuple[str, object]]:
        """The fields of the record that speak of the caller, in their order; None for what is not said."""
        auth, attribution = caller.auth, caller.attribution
        subject: str | None = auth.subject
        user, email, name = attribution.user_id, attribution.user_email, attribution.user_name
        if self._mode == "pseudonymous":
            user, email, name = self._pseudonym(user), self._pseudonym(email), self._pseudonym(name)
            # The subject of a person is their id; that of a key or a service account names no person.
            subject = subject if auth.allow_delegation else self._pseudonym(subject)
        said: list[tuple[str, object]] = []
        if self._mode != "off":
            said = [
                ("user", user),
                ("email", email),
                ("name", name),
                ("org", attribution.org_id),
                ("client", attribution.client_type),
                ("service_account", attribution.service_account),
                ("asserted", _asserted(caller)),
            ]
        return [
            *said,
            ("subject", subject),
            ("issuer", auth.issuer),
            ("auth", auth.auth_type.value),
            ("admin", auth.is_admin),
        ]

    def _pseudonym(self, value: str | None) -> str | None:
        if value is None:
            return None
        return hmac.new(self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def _asserted(caller: Caller) -> str | None:
    """Which of user and e-mail nobody but the caller vouches for."""
    attribution = caller.attribution
    names = [
        name
        for name, field, value in (
            ("user", "user_id", attribution.user_id),
            ("email", "user_email", attribution.user_email),
        )
        if value is not None and field not in attribution.verified
    ]
    return ",".join(names) or None
