"""What a refused HTTP request is told, and what is logged of it."""

import json
import logging

import pytest
from support.refusals import PUBLIC_TEXTS

from micromegas_auth import AuthError, PermissionDenied, ProviderUnavailable, Reason, Unauthenticated
from micromegas_auth.adapters.http_refusal import Refusals

METADATA = "https://api.example/.well-known/oauth-protected-resource"
DETAIL = "Zq9Marker\r\nx-auth-subject: root"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("kind", PUBLIC_TEXTS)
@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_of_a_kind_reads_the_same(kind: type[AuthError], reason: Reason) -> None:
    refusal = Refusals(METADATA)(kind(reason, DETAIL))
    answer = json.loads(refusal.body)
    assert answer == {"error": PUBLIC_TEXTS[kind], "request_id": answer["request_id"]}
    assert refusal.headers["content-length"] == str(len(refusal.body))
    assert all(value.isprintable() and value.isascii() for value in refusal.headers.values())
    assert "Zq9Marker" not in f"{refusal}"


def test_statuses() -> None:
    refusals = Refusals()
    refused = {
        kind: refusals(kind(Reason.INTERNAL_ERROR)) for kind in (Unauthenticated, PermissionDenied, ProviderUnavailable)
    }
    assert [refusal.status for refusal in refused.values()] == [401, 403, 503]
    common = {"content-type", "cache-control", "content-length"}
    assert refused[Unauthenticated].headers.keys() == common | {"www-authenticate"}
    assert refused[PermissionDenied].headers.keys() == common
    assert refused[ProviderUnavailable].headers.keys() == common | {"retry-after"}
    assert int(refused[ProviderUnavailable].headers["retry-after"]) >= 1


@pytest.mark.parametrize("reason", Reason)
def test_the_challenge(reason: Reason) -> None:
    """RFC 6750 section 3.1: a client that sent no credential is told of no error."""
    error = "" if reason is Reason.MISSING_CREDENTIAL else ', error="invalid_token"'
    for metadata, told in ((None, ""), (METADATA, f', resource_metadata="{METADATA}"')):
        challenge = Refusals(metadata)(Unauthenticated(reason)).headers["www-authenticate"]
        assert challenge == f'Bearer realm="micromegas"{error}{told}'


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example",
        "ftp://api.example/",
        'https://api.example/"',
        "https://api.example/\\",
        "https://a\r\nb: c",
        "https://ä",
    ],
)
def test_metadata_that_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="resource_metadata"):
        Refusals(url)


def test_one_escaped_line_with_the_id(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "micromegas_auth")
    refusal = Refusals()(Unauthenticated(Reason.EXPIRED, DETAIL))
    request_id = json.loads(refusal.body)["request_id"]
    (message,) = caplog.messages
    assert message == (
        f'answered: status=401 request_id={request_id} reason=expired detail="Zq9Marker\\r\\nx-auth-subject: root"'
    )


def test_a_flood_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "micromegas_auth")
    clock = Clock()
    refusals = Refusals(clock=clock)
    ids = {json.loads(refusals(Unauthenticated(Reason.EXPIRED)).body)["request_id"] for _ in range(1000)}
    assert len(ids) == 1000
    assert len(caplog.messages) == 10
    refusals(Unauthenticated(Reason.REVOKED))  # another cause is not drowned
    assert len(caplog.messages) == 11
    clock.now += 10
    refusals(Unauthenticated(Reason.EXPIRED))
    assert len(caplog.messages) == 12
    caplog.set_level(logging.DEBUG, "micromegas_auth")
    for _ in range(10):
        refusals(Unauthenticated(Reason.EXPIRED))
    assert len(caplog.messages) == 22
    assert caplog.records[-1].levelno == logging.DEBUG
