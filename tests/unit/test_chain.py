"""Several authenticators in a row: None goes on, anything else ends it."""

import pytest
from support.refusals import refused

from micromegas_auth import AuthContext, AuthType, Reason, Unauthenticated
from micromegas_auth.chain import AuthenticatorChain
from micromegas_auth.errors import WouldBlock
from micromegas_auth.identity import Credential, Decision, credential_of

KNOWN = Decision(AuthContext(subject="alice", auth_type=AuthType.API_KEY))


class Link:
    """An authenticator that answers, or raises, what it is given."""

    def __init__(self, answer: Decision | Exception | None) -> None:
        self.answer = answer
        self.waits: list[bool] = []

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        self.waits.append(wait)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


CREDENTIAL = credential_of("x")


def test_the_first_that_knows_it_decides() -> None:
    links = [Link(None), Link(KNOWN), Link(Unauthenticated(Reason.EXPIRED))]
    assert AuthenticatorChain(links).authenticate(CREDENTIAL, wait=False) is KNOWN
    assert [link.waits for link in links] == [[False], [False], []]


def test_a_refusal_ends_the_search() -> None:
    links = [Link(Unauthenticated(Reason.EXPIRED)), Link(KNOWN)]
    with refused(Unauthenticated, Reason.EXPIRED):
        AuthenticatorChain(links).authenticate(CREDENTIAL)
    assert links[1].waits == []


def test_so_does_having_to_wait() -> None:
    links = [Link(WouldBlock()), Link(KNOWN)]
    with pytest.raises(WouldBlock):
        AuthenticatorChain(links).authenticate(CREDENTIAL, wait=False)
    assert links[1].waits == []


def test_nobody_knows_it() -> None:
    assert AuthenticatorChain([Link(None), Link(None)]).authenticate(CREDENTIAL) is None
    assert AuthenticatorChain([]).authenticate(CREDENTIAL) is None
