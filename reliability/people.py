"""Those who call in the test of identities: what they send, and who must come out of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from support.issuer import FaultyIssuer

from micromegas_auth import Caller, PermissionDenied
from reliability.requests import LONG

Headers = dict[str, list[str]]


@dataclass(frozen=True)
class Identity:
    """One who calls, and what must come out.

    Attributes:
        authorization: The header.
        issuer: None for an API key.
        subject: The subject, or the name of the key.
        email: The e-mail of the token.
        delegates: Whether they may call for somebody else.
    """

    authorization: str
    issuer: str | None
    subject: str
    email: str | None
    delegates: bool


def request_of(one: Identity, rng: Random) -> tuple[Headers, object]:
    """Headers, and who must come out of them; or PermissionDenied, where they name somebody they may not."""
    client, user = f"client-{rng.randrange(50)}", f"person-{rng.randrange(5000)}"
    headers = {"authorization": [one.authorization], "x-client-type": [client]}
    if not one.delegates:
        if rng.random() < 0.05:
            return {**headers, "x-user-id": [user]}, PermissionDenied
        return headers, (one.issuer, one.subject, one.email, one.subject, one.email, None, client, None)
    if rng.random() < 0.2:
        return headers, (one.issuer, one.subject, one.email, one.subject, one.email, None, client, None)
    email, name = f"{user}@example.com", f"Name of {user}"
    headers |= {"x-user-id": [user], "x-user-email": [email], "x-user-name": [name]}
    return headers, (one.issuer, one.subject, one.email, user, email, name, client, one.subject)


def identity_of(caller: Caller) -> tuple[str | None, ...]:
    """What is compared."""
    auth, who = caller.auth, caller.attribution
    person = (who.user_id, who.user_email, who.user_name, who.client_type, who.service_account)
    return (auth.issuer, auth.subject, auth.email, *person)


def people_of(issuer: FaultyIssuer, users: int) -> Iterator[Identity]:
    """Users and services of one issuer; their names are those of its neighbours' too."""
    expires = int(time.time()) + LONG
    for number in range(users):
        name, delegates = f"user-{number}", number % 2 == 0
        email = f"{name}@{issuer.url.rpartition(':')[2]}.example"
        login: dict[str, Any] = {"client_id": name} if delegates else {"nonce": "n"}
        token = issuer.mint(sub=name, email=email, exp=expires, **login)
        yield Identity(f"Bearer {token}", issuer.url, name, email, delegates)
