"""On whose behalf: x-user-* headers against who authenticated."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.refusals import is_one_line, refused
from support.tokens import ISSUER

from micromegas_auth import AuthContext, AuthType, PermissionDenied, Reason, UserAttribution
from micromegas_auth.attribution import resolve_attribution
from micromegas_auth.text import quoted

SECRET = "Zq9Marker"
ALICE = AuthContext(subject="alice", auth_type=AuthType.OIDC, issuer=ISSUER)
ALICE_WITH_EMAIL = AuthContext(subject="alice", auth_type=AuthType.OIDC, issuer=ISSUER, email="alice@example.com")
ALICE_VERIFIED = AuthContext(
    subject="alice", auth_type=AuthType.OIDC, issuer=ISSUER, email="alice@example.com", email_verified=True
)
GRAFANA = AuthContext(subject="grafana", auth_type=AuthType.OIDC, issuer=ISSUER, allow_delegation=True)
API_KEY = AuthContext(subject="ingest", auth_type=AuthType.API_KEY, allow_delegation=True)
BOUND_API_KEY = AuthContext(subject="ingest", auth_type=AuthType.API_KEY)
ANONYMOUS = AuthContext(subject="anonymous", auth_type=AuthType.ANONYMOUS, is_admin=True, allow_delegation=True)
EVERYBODY = [ALICE, ALICE_VERIFIED, GRAFANA, API_KEY, BOUND_API_KEY, ANONYMOUS]
HEADERS = ["x-user-id", "x-user-email", "x-user-name", "x-org-id", "x-client-type"]


def verified(*names: str) -> frozenset[str]:
    return frozenset(names)


# who, headers, what stands in the result
RESOLVED: list[tuple[AuthContext, dict[str, Any], UserAttribution]] = [
    (ALICE, {}, UserAttribution(user_id="alice", verified=verified("user_id"))),
    (
        ALICE_WITH_EMAIL,
        {},
        UserAttribution(user_id="alice", user_email="alice@example.com", verified=verified("user_id")),
    ),
    (
        ALICE_VERIFIED,
        {"x-user-id": "alice", "x-user-email": "Alice@Example.com"},
        UserAttribution(user_id="alice", user_email="alice@example.com", verified=verified("user_id", "user_email")),
    ),
    (
        ALICE,  # an x-user-email beside a token without e-mail is asserted
        {"x-user-email": "a@b.c", "x-user-name": "Alice", "x-org-id": "7", "x-client-type": "python"},
        UserAttribution(
            user_id="alice",
            user_email="a@b.c",
            user_name="Alice",
            org_id="7",
            client_type="python",
            verified=verified("user_id"),
        ),
    ),
    (GRAFANA, {}, UserAttribution(user_id="grafana", verified=verified("user_id"))),
    (
        GRAFANA,
        {"x-user-id": "bob", "x-user-email": "bob@example.com", "x-user-name": "Bob", "x-client-type": "grafana"},
        UserAttribution(
            user_id="bob",
            user_email="bob@example.com",
            user_name="Bob",
            client_type="grafana",
            service_account="grafana",
            verified=verified("service_account"),
        ),
    ),
    (
        GRAFANA,
        {"x-user-email": "bob@example.com"},
        UserAttribution(user_email="bob@example.com", service_account="grafana", verified=verified("service_account")),
    ),
    (
        GRAFANA,  # a name alone does not say for whom
        {"x-user-name": "Bob"},
        UserAttribution(user_id="grafana", user_name="Bob", verified=verified("user_id")),
    ),
    (
        API_KEY,
        {"x-user-id": "bob"},
        UserAttribution(user_id="bob", service_account="ingest", verified=verified("service_account")),
    ),
    (API_KEY, {}, UserAttribution(user_id="ingest", verified=verified("user_id"))),
    (BOUND_API_KEY, {"x-user-id": "ingest"}, UserAttribution(user_id="ingest", verified=verified("user_id"))),
    (ANONYMOUS, {}, UserAttribution(user_id="anonymous")),
    (ANONYMOUS, {"x-user-id": "bob"}, UserAttribution(user_id="bob")),
    # Grafana sends a header empty where its user has no such attribute.
    (GRAFANA, dict.fromkeys(HEADERS, ""), UserAttribution(user_id="grafana", verified=verified("user_id"))),
]


@pytest.mark.parametrize(("auth", "headers", "expected"), RESOLVED)
def test_resolved(auth: AuthContext, headers: dict[str, Any], expected: UserAttribution) -> None:
    assert resolve_attribution(headers, auth) == expected
    as_bytes_in_lists = {name: [value.encode()] for name, value in headers.items()}
    assert resolve_attribution(as_bytes_in_lists, auth) == expected


IMPERSONATIONS: list[tuple[AuthContext, dict[str, Any]]] = [
    (ALICE, {"x-user-id": SECRET}),
    (ALICE, {"x-user-id": "Alice"}),
    (ALICE, {"x-user-id": "alice "}),
    (ALICE, {"x-user-id": "al%69ce%20"}),
    (ALICE, {"x-user-id": "\u0430lice"}),  # a Cyrillic letter
    (ALICE_WITH_EMAIL, {"x-user-email": f"{SECRET}@example.com"}),
    (ALICE_VERIFIED, {"x-user-email": f"{SECRET}@example.com"}),
    (ALICE_VERIFIED, {"x-user-id": "alice", "x-user-email": f"{SECRET}@example.com"}),
    (ALICE_VERIFIED, {"x-user-id": SECRET, "x-user-email": "alice@example.com"}),
    (ALICE_VERIFIED, {"x-user-id": "alice@example.com"}),
    (BOUND_API_KEY, {"x-user-id": SECRET}),
    (BOUND_API_KEY, {"x-user-id": [SECRET.encode()]}),
]


@pytest.mark.parametrize(("auth", "headers"), IMPERSONATIONS)
def test_to_be_somebody_else_is_refused(auth: AuthContext, headers: dict[str, Any]) -> None:
    with refused(PermissionDenied, Reason.IMPERSONATION, SECRET):
        resolve_attribution(headers, auth)


@pytest.mark.parametrize("subject", ["zoë", "用户", "Zoë Åström", "a@exämple.com", "o'neil", "50% off", "\U0001f600"])
def test_other_letters_work_and_still_bite(subject: str) -> None:
    auth = AuthContext(subject=subject, auth_type=AuthType.OIDC, issuer=ISSUER, email=f"{subject}@example.com")
    for encode in (quote, lambda text: quote(text).encode(), lambda text: quote(text, safe="é ")):
        headers = {"x-user-id": encode(subject), "x-user-email": encode(f"{subject}@example.com")}
        assert resolve_attribution(headers, auth).user_id == subject
        for name in headers:
            with refused(PermissionDenied, Reason.IMPERSONATION):
                resolve_attribution({**headers, name: encode(f"{subject}é")}, auth)


def test_raw_utf8_works_too() -> None:
    auth = AuthContext(subject="zoë", auth_type=AuthType.OIDC)
    for value in ("zoë", "zoë".encode(), [b"zo%c3%ab"], ("zo%C3%AB",)):
        assert resolve_attribution({"x-user-id": value}, auth).user_id == "zoë"


def test_a_plus_is_a_plus_and_percents_are_decoded_once() -> None:
    assert resolve_attribution({"x-user-id": "a+b%2Bc%2525"}, GRAFANA).user_id == "a+b+c%25"


MALFORMED: dict[str, Any] = {
    "CR LF": f"{SECRET}%0d%0aauthenticated: subject=root",
    "raw LF": f"{SECRET}\nroot",
    "ESC": f"{SECRET}%1b[31m",
    "raw ESC": f"{SECRET}\x1b[31m",
    "NUL": f"{SECRET}%00",
    "DEL": f"{SECRET}%7f",
    "C1 control": f"{SECRET}%c2%85",
    "line separator": f"{SECRET}%e2%80%a8",
    "bidi override": f"{SECRET}%e2%80%ae",
    "bidi isolate": f"{SECRET}\u2066",
    "invalid UTF-8": f"{SECRET}%ff",
    "invalid UTF-8, raw": SECRET.encode() + b"\xff",
    "overlong UTF-8": f"{SECRET}%c0%af",
    "a surrogate in UTF-8": f"{SECRET}%ed%a0%80",
    "a lone surrogate": f"{SECRET}\ud800",
    "a surrogate escape": (SECRET.encode() + b"\xff").decode("ascii", "surrogateescape"),
    "257 characters": "x" * 257,
    "257 characters in three bytes each": "%e4%b8%ad" * 257,
    "64 KiB": SECRET * 7282,
    "64 KiB encoded": "%41" * 21846,
    "64 KiB of bytes": b"x" * 65536,
    "two values": [SECRET, SECRET],
    "two equal values": ["alice", "alice"],
    "two values, one empty": [SECRET, ""],
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str, header: str) -> None:
    for auth in EVERYBODY:
        with refused(PermissionDenied, Reason.MALFORMED_ATTRIBUTION, SECRET):
            resolve_attribution({header: MALFORMED[name]}, auth)


@pytest.mark.parametrize("value", ["x" * 256, "%e4%b8%ad" * 256, "%f0%9f%98%80" * 256, ["中" * 256]])
def test_256_characters_are_not_too_many(value: Any) -> None:
    attribution = resolve_attribution({"x-user-name": value}, GRAFANA)
    assert len(attribution.user_name or "") == 256


@pytest.mark.parametrize("value", [[], ()])
def test_no_value_is_no_header(value: Any) -> None:
    assert resolve_attribution({"x-user-id": value}, GRAFANA) == resolve_attribution({}, GRAFANA)


@pytest.mark.parametrize(
    "name",
    [
        "x-auth-subject",
        "x-auth-email",
        "x_auth_subject",
        "x-auth-is-admin",
        "x-auth-subject-bin",
        "x-user-id-bin",
        "x_user_id",
    ],
)
def test_headers_that_claim_an_identity_otherwise_are_never_read(name: str) -> None:
    for auth in EVERYBODY:
        for value in ("root", b"root", ["\n", "\n"]):
            assert resolve_attribution({name: value}, auth) == resolve_attribution({}, auth)


anything = st.text(st.characters(), max_size=30) | st.binary(max_size=30)
encoded = st.text(max_size=30).map(quote) | st.binary(max_size=30).map(quote)


@given(st.sampled_from(HEADERS), anything | encoded, st.sampled_from(EVERYBODY))
def test_any_header_is_refused_or_safe(name: str, value: str | bytes, auth: AuthContext) -> None:
    try:
        attribution = resolve_attribution({name: value}, auth)
    except PermissionDenied:
        return
    texts = [attribution.user_id, attribution.user_email, attribution.user_name, attribution.org_id]
    for text in [*texts, attribution.client_type]:
        assert text is None or (0 < len(text) <= 256 and is_one_line(quoted(text)) and "\n" not in text)
    if not auth.allow_delegation:
        assert attribution.user_id == auth.subject
        assert auth.email is None or attribution.user_email == auth.email


@given(st.text(min_size=1, max_size=80).filter(str.isprintable))
def test_what_is_encoded_comes_back(text: str) -> None:
    assert resolve_attribution({"x-user-name": quote(text)}, GRAFANA).user_name == text
    assert resolve_attribution({"x-user-name": [quote(text).encode()]}, GRAFANA).user_name == text
