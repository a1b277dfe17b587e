"""The real npm `oidc-provider` (see oidc_provider/server.mjs), started for the tests, and logins at it."""

import base64
import hashlib
import html
import json
import re
import secrets
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
from support.processes import BIN, ChildProcess

FOLDER = Path(__file__).with_name("oidc_provider")
NODE = BIN / "node"  # run.py puts it there, wherever node comes from
PACKAGES = FOLDER / "node_modules" / "set-up.stamp"  # which run.py writes when they are all there

ALGORITHMS = ("RS256", "ES256", "EdDSA")
API_AUDIENCE = "micromegas-api"
REDIRECT = "http://127.0.0.1/cb"  # nobody listens there: the login below stops at the redirect and reads its code


class OidcProvider:
    """A context manager: a running provider. `issuer` is its URL, `client_secret` the secret of its service accounts.

    `alg`, one of ALGORITHMS, picks the client, and so the key that signs: `service_account(alg)` and `application(alg)`
    are their ids. Two people may log in: alice, whose e-mail is verified, and bob, whose e-mail is not.
    """

    def __enter__(self) -> Self:
        self._process = ChildProcess(NODE, FOLDER / "server.mjs").__enter__()
        try:
            ready = json.loads(self._process.wait_for(r"^\{.*\}$", timeout=120).group())
            self.issuer: str = ready["issuer"]
            self.client_secret: str = ready["clientSecret"]
            self.metadata: dict[str, Any] = self._get(f"{self.issuer}/.well-known/openid-configuration")
        except BaseException:
            self._process.terminate()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()

    @staticmethod
    def service_account(alg: str) -> str:
        return f"svc-{alg.lower()}"

    @staticmethod
    def application(alg: str) -> str:
        return f"app-{alg.lower()}"

    def jwks(self) -> dict[str, Any]:
        """The public keys, as the provider serves them."""
        return self._get(self.metadata["jwks_uri"])

    def client_credentials(self, alg: str) -> str:
        """An access token of the service account, for API_AUDIENCE (RFC 6749 4.4)."""
        with _client() as client:
            form = {"grant_type": "client_credentials"}
            credentials = (self.service_account(alg), self.client_secret)
            answer = client.post(self.metadata["token_endpoint"], data=form, auth=credentials)
        return str(answer.raise_for_status().json()["access_token"])

    def login(self, alg: str, account: str = "alice") -> str:
        """The id_token of a person who logs in to the application."""
        return str(self.tokens(alg, account)["id_token"])

    def tokens(self, alg: str, account: str = "alice") -> dict[str, Any]:
        """The token endpoint's whole answer to a login: id_token, access_token (for API_AUDIENCE), refresh_token.

        It is the authorization code flow with PKCE (RFC 7636), the login and consent pages sent as a browser would.
        """
        verifier = secrets.token_urlsafe(48)
        state = secrets.token_urlsafe(16)
        request = {
            "client_id": self.application(alg),
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": "openid email profile offline_access",
            "prompt": "consent",  # without it there is no refresh token (OIDC Core 11)
            "state": state,
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": _base64url(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        with _client() as browser:
            answer = browser.get(self.metadata["authorization_endpoint"], params=request)
            while not answer.headers.get("location", "").startswith(REDIRECT):
                if answer.next_request:
                    answer = browser.send(answer.next_request)
                else:
                    answer = _submit(browser, answer.raise_for_status().text, account)
            arrived = parse_qs(urlsplit(answer.headers["location"]).query)
            assert arrived["state"] == [state]
            assert "code" in arrived, arrived
            form = {
                "grant_type": "authorization_code",
                "client_id": request["client_id"],
                "code": arrived["code"][0],
                "redirect_uri": REDIRECT,
                "code_verifier": verifier,
            }
            tokens: dict[str, Any] = browser.post(self.metadata["token_endpoint"], data=form).raise_for_status().json()
        return tokens

    def _get(self, url: str) -> dict[str, Any]:
        with _client() as client:
            document: dict[str, Any] = client.get(url).raise_for_status().json()
        return document


def _client() -> httpx.Client:
    # The proxy of the developer's environment has no business between two processes of this machine.
    return httpx.Client(trust_env=False, timeout=20)


def _submit(browser: httpx.Client, page: str, account: str) -> httpx.Response:
    """Fill in and send the form of a login or a consent page."""
    action = re.search(r'<form [^>]*action="([^"]+)"', page)
    prompt = re.search(r'name="prompt" value="(\w+)"', page)
    assert action, page
    assert prompt, page
    fields = {"prompt": prompt[1], "login": account, "password": "any"}
    return browser.post(html.unescape(action[1]), data=fields)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
