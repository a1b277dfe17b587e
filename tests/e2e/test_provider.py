"""The identity provider of the tests issues what the tests say it does, by the judgement of another JOSE library."""

import time
from typing import Any

import pytest
from joserfc import jwk, jwt
from support.provider import ALGORITHMS, API_AUDIENCE, OidcProvider

pytestmark = [
    pytest.mark.parametrize("alg", ALGORITHMS),
    # RFC 9864 calls it Ed25519; what most providers send is still the old name.
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),
]


def verified(token: str, provider: OidcProvider, alg: str) -> jwt.Token:
    keys: Any = provider.jwks()
    return jwt.decode(token, jwk.KeySet.import_key_set(keys), algorithms=[alg])


def test_a_service_account_gets_an_access_token_for_the_api(oidc_provider: OidcProvider, alg: str) -> None:
    token = verified(oidc_provider.client_credentials(alg), oidc_provider, alg)
    client = oidc_provider.service_account(alg)
    expected = {"iss": oidc_provider.issuer, "aud": API_AUDIENCE, "sub": client, "client_id": client}
    assert token.header["typ"] == "at+jwt"
    assert expected.items() <= token.claims.items()
    assert token.claims["exp"] > time.time() + 300  # the micromegas client renews a token in its last 5 minutes
    assert not {"nonce", "auth_time", "email_verified"} & token.claims.keys()


@pytest.mark.parametrize(("account", "email_verified"), [("alice", True), ("bob", False)])
def test_a_person_gets_an_id_token_with_their_email(
    oidc_provider: OidcProvider, alg: str, account: str, email_verified: bool
) -> None:
    token = verified(oidc_provider.login(alg, account), oidc_provider, alg)
    expected = {
        "iss": oidc_provider.issuer,
        "aud": oidc_provider.application(alg),
        "sub": account,
        "email": f"{account}@example.com",
        "email_verified": email_verified,
    }
    assert expected.items() <= token.claims.items()
    assert token.claims["exp"] > time.time() + 300


def test_a_login_also_gets_an_access_token_for_the_api_and_a_refresh_token(
    oidc_provider: OidcProvider, alg: str
) -> None:
    tokens = oidc_provider.tokens(alg)
    claims = verified(tokens["access_token"], oidc_provider, alg).claims
    assert claims["aud"] == API_AUDIENCE
    assert claims["sub"] == "alice"
    assert tokens["refresh_token"]
