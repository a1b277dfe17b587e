"""What 100,000 remembered tokens take: the resident memory of a process of its own, before and after."""

import multiprocessing as mp
import secrets
from multiprocessing.connection import Connection

from micromegas_auth import AuthContext, AuthType
from micromegas_auth.attribution import HeaderValue
from micromegas_auth.cache import CachingAuthenticator, Generation
from micromegas_auth.identity import Credential, Decision
from micromegas_auth.request import RequestAuthenticator

TOKENS = 100_000


class _Knows:
    """Makes an identity of its own for each token, as the claims of a real one would."""

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        unique = credential.token[-32:]
        return Decision(
            AuthContext(
                subject=f"auth0|{unique}",
                auth_type=AuthType.OIDC,
                email=f"{unique}@example.com",
                email_verified=True,
                issuer="https://issuer.example",
                audience="api",
                expires_at=2e9,
                key_id="key",
                token_id=unique,
                issued_at=1e9 + hash(unique) % 1000,
            )
        )


def _measure(answer: Connection) -> None:
    cache = CachingAuthenticator(_Knows(), size=TOKENS, ttl=300, generation=Generation())
    door = RequestAuthenticator(cache, max_token_bytes=7168)
    before = _resident()
    for _ in range(TOKENS):
        authorization = f"Bearer {secrets.token_hex(480)}{secrets.token_hex(16)}"
        headers: dict[str, HeaderValue] = {"authorization": [authorization], "x-client-type": ["python"]}
        door.authenticate(headers)
    answer.send(_resident() - before)


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - one line, one read
        return int(statm.read().split()[1]) * 4096


def remembered_megabytes() -> float:
    """Megabytes (10^6 bytes) of resident memory that the tokens add."""
    ours, theirs = mp.get_context("spawn").Pipe()
    process = mp.get_context("spawn").Process(target=_measure, args=(theirs,))
    process.start()
    grown: int = ours.recv()
    process.join()
    return grown / 1e6
