"""What a token endpoint may answer (RFC 6749 section 5), and what is made of it."""

from typing import Any

import pytest

from micromegas_auth.client.token import DEFAULT_LIFE, MAX_LIFE, TokenError, parse_answer

NOW = 1_700_000_000.0
SECRET = "Zq9Marker-of-the-provider"
GOOD: dict[str, Any] = {"access_token": SECRET, "token_type": "Bearer", "expires_in": 3600}


def refusal(status: int, answer: Any) -> str:
    """The message of the TokenError, which shows nothing of the answer."""
    with pytest.raises(TokenError) as caught:
        parse_answer(status, answer, NOW)
    message = str(caught.value)
    assert SECRET not in f"{message} {caught.value!r} {caught.value.__cause__} {caught.value.__context__}"
    assert message.isprintable()
    return message


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_token(kind: str) -> None:
    token = parse_answer(200, {**GOOD, "token_type": kind, "scope": "x"}, NOW)
    assert token.value == SECRET
    assert SECRET not in repr(token)
    assert token.expires_at == NOW + 3600


@pytest.mark.parametrize(
    ("expires_in", "life"),
    [
        (3600, 3600),
        (3600.5, 3600.5),
        ("3599", 3599),
        (1, 1),
        (MAX_LIFE + 1, MAX_LIFE),
        (1e300, MAX_LIFE),
        (10**400, MAX_LIFE),
        (None, DEFAULT_LIFE),
    ],
    ids=lambda value: str(value)[:8],
)
def test_its_life(expires_in: Any, life: float) -> None:
    assert parse_answer(200, {**GOOD, "expires_in": expires_in}, NOW).expires_at == NOW + life


def test_without_expires_in() -> None:
    answer = {name: value for name, value in GOOD.items() if name != "expires_in"}
    assert parse_answer(200, answer, NOW).expires_at == NOW + DEFAULT_LIFE


@pytest.mark.parametrize(("life", "ahead"), [(3600, 720), (600, 120), (240, 60), (120, 60), (100, 50), (2, 1)])
def test_when_it_is_refreshed(life: int, ahead: float) -> None:
    assert parse_answer(200, {**GOOD, "expires_in": life}, NOW).refresh_at == NOW + life - ahead


@pytest.mark.parametrize("expires_in", [0, -1, -1e9, "0", float("nan")])
def test_expired(expires_in: Any) -> None:
    assert refusal(200, {**GOOD, "expires_in": expires_in}) == "the token has already expired"


@pytest.mark.parametrize("expires_in", [True, "", "1h", "-5", "1.5", "\u0661", "9" * 5000, [], {}, "3600 "])
def test_malformed_life(expires_in: Any) -> None:
    assert refusal(200, {**GOOD, "expires_in": expires_in}) == "expires_in is malformed"


@pytest.mark.parametrize("value", ["", 1, [], {}, True, "a b", "a\r\nx: y", "\u00e9", "=", f"{SECRET}\x00"])
def test_malformed_token(value: Any) -> None:
    assert refusal(200, {**GOOD, "access_token": value}) == "the access_token is malformed"


@pytest.mark.parametrize("kind", [None, "", 1, "mac", "DPoP", "N_A", "Bearer ", ["Bearer"], SECRET])
def test_another_type(kind: Any) -> None:
    assert refusal(200, {**GOOD, "token_type": kind}) == "the token_type is not Bearer"


@pytest.mark.parametrize("answer", [None, [], "x", 1, [GOOD]])
def test_no_object(answer: Any) -> None:
    assert refusal(200, answer) == "the answer is no object (status 200)"


@pytest.mark.parametrize("status", [200, 400, 401])
def test_errors(status: int) -> None:
    known = {"error": "invalid_client", "error_description": SECRET, "error_uri": SECRET}
    assert refusal(status, known) == f"the provider refuses: invalid_client (status {status})"
    for unknown in (
        SECRET,
        "",
        None,
        5,
        ["invalid_client"],
        {"invalid_client": 1},
        "Invalid_Client",
        "invalid_client\n",
    ):
        message = refusal(status, {"error": unknown})
        assert message == f"the provider refuses: without an error code we know (status {status})"


def test_an_error_status_with_a_token() -> None:
    assert refusal(400, GOOD) == "the provider refuses: without an error code we know (status 400)"
