"""Why a token is refused, check by check, with the issuer's real answer."""

import time

from support.issuer import AUDIENCE, FaultyIssuer

from micromegas_auth import AuthConfig, Check, explain

API_KEY = "an-api-key-of-more-than-16-bytes"


def config(*issuers: FaultyIssuer) -> AuthConfig:
    entries = [{"issuer": issuer.url, "audience": AUDIENCE} for issuer in issuers]
    return AuthConfig.model_validate(
        {
            "oidc": {"issuers": entries},
            "api_keys": [{"name": "ci", "key": API_KEY}],
            "revoked": [{"jti": "revoked-one"}],
        }
    )


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if check.passed is False and check.name != "API key"]


def test_a_good_token_passes_every_check(issuer: FaultyIssuer) -> None:
    checks = explain(config(issuer), issuer.mint())
    assert failed(checks) == []
    assert [check.name for check in checks][-1] == "not revoked"


def test_it_goes_on_after_the_first_failure(issuer: FaultyIssuer) -> None:
    token = issuer.mint(aud="another", exp=int(time.time()) - 3600, header={"typ": "logout+jwt"})
    assert failed(explain(config(issuer), token)) == ["type and algorithm", "audience", "expiry"]


def test_each_issuer_is_tried(issuer: FaultyIssuer, other: FaultyIssuer) -> None:
    checks = explain(config(issuer, other), issuer.mint())
    assert {check.issuer for check in checks if check.passed is False and check.issuer} == {other.url}
    assert failed(checks) == ["signature", "issuer"]


def test_an_issuer_that_is_down_is_no_verdict(issuer: FaultyIssuer) -> None:
    token = issuer.mint()
    issuer.stop()
    (signature,) = [check for check in explain(config(issuer), token) if check.name == "signature"]
    assert signature.passed is None
    assert "keys not fetched" in signature.detail


def test_a_revoked_token(issuer: FaultyIssuer) -> None:
    assert failed(explain(config(issuer), issuer.mint(jti="revoked-one"))) == ["not revoked"]


def test_what_is_no_token(issuer: FaultyIssuer) -> None:
    assert failed(explain(config(issuer), "a.b.c")) == ["form"]
    assert failed(explain(config(issuer), "ä")) == ["form"]
    assert [check.passed for check in explain(config(issuer), API_KEY)] == [True]
