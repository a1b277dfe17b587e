"""From a configuration to a front door. The fetching of keys is replaced, so that no socket is opened."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.memory_issuer import MemoryIssuer
from support.refusals import refused
from support.tokens import ABSENT, ISSUER, NOW, claims, jwks, signing_key, token

from micromegas_auth import (
    AuthConfig,
    AuthContext,
    AuthType,
    Caller,
    ConfigError,
    PermissionDenied,
    ProviderUnavailable,
    Reason,
    RequestAuthenticator,
    Unauthenticated,
    UserAttribution,
    build_authenticator,
)
from micromegas_auth.discovery import KeySource
from micromegas_auth.keyset import KeySet

KEY = signing_key("ES256", "key-1")
ED_KEY = signing_key("EdDSA", "ed")
OTHER = "https://other.example"
OTHER_KEY = signing_key("ES256", "key-of-other")
API_KEY = "an-api-key-of-ingest"
BOB = "bob@example.com"


class World:
    """Issuers in memory, and front doors to close in the end."""

    def __init__(self) -> None:
        self.issuers = {ISSUER: MemoryIssuer(jwks(KEY, ED_KEY)), OTHER: MemoryIssuer(jwks(OTHER_KEY))}
        self.sources: list[KeySource] = []
        self.doors: list[RequestAuthenticator] = []
        self.reachable = threading.Event()
        self.reachable.set()

    def fetch_keys(self, source: KeySource) -> tuple[KeySet, float | None]:
        self.reachable.wait(5)
        self.sources.append(source)
        return self.issuers[source.issuer].fetch()

    def build(self, *, admins: Any = (), keys: Any = None, **oidc: Any) -> RequestAuthenticator:
        document: dict[str, Any] = {"admins": list(admins)}
        if keys is None:
            keys = [{"name": "ingest", "key": API_KEY}]
        document["api_keys"] = keys
        if oidc:
            document["oidc"] = oidc
        door = build_authenticator(AuthConfig.model_validate(document), clock=lambda: NOW)
        self.doors.append(door)
        return door


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    monkeypatch.setattr("micromegas_auth.build.fetch_keys", world.fetch_keys)
    yield world
    world.reachable.set()
    for door in world.doors:
        door.close()


def issuer(**changes: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, "audience": "micromegas-api", **changes}


OTHER_ISSUER = issuer(issuer=OTHER)


def ask(door: RequestAuthenticator, credential: str, **headers: str) -> Caller:
    return door.authenticate({"authorization": f"Bearer {credential}", **headers})


def test_an_api_key_is_never_admin_and_may_delegate(world: World) -> None:
    door = world.build(admins=["ingest", {"issuer": ISSUER, "subject": "ingest"}], issuers=[issuer()])
    assert ask(door, API_KEY).auth == AuthContext(subject="ingest", auth_type=AuthType.API_KEY, allow_delegation=True)
    assert ask(door, API_KEY, **{"x-user-id": "bob"}).attribution == UserAttribution(
        user_id="bob", service_account="ingest", verified=frozenset({"service_account"})
    )


def test_a_token_makes_the_whole_caller(world: World) -> None:
    door = world.build(admins=[{"issuer": ISSUER, "subject": "alice"}], issuers=[issuer()])
    caller = ask(door, token(KEY, claims(email=BOB, email_verified=True, groups=["g"], jti="t")))
    assert caller == Caller(
        AuthContext(
            subject="alice",
            auth_type=AuthType.OIDC,
            email=BOB,
            email_verified=True,
            issuer=ISSUER,
            audience="micromegas-api",
            expires_at=NOW + 600,
            is_admin=True,
            groups=("g",),
            key_id="key-1",
            token_id="t",
            issued_at=NOW - 10,
        ),
        UserAttribution(user_id="alice", user_email=BOB, verified=frozenset({"user_id", "user_email"})),
    )


def test_a_user_may_only_be_itself_and_a_service_account_names_another(world: World) -> None:
    door = world.build(issuers=[issuer()])
    with refused(PermissionDenied, Reason.IMPERSONATION):
        ask(door, token(KEY), **{"x-user-id": "bob"})
    caller = ask(door, token(KEY, claims(sub="grafana", azp="grafana")), **{"x-user-id": "bob"})
    assert (caller.attribution.user_id, caller.attribution.service_account) == ("bob", "grafana")


def test_building_waits_for_nobody(world: World) -> None:
    world.reachable.clear()
    door = world.build(issuers=[issuer(), OTHER_ISSUER])
    assert ask(door, API_KEY).auth.subject == "ingest"
    assert door.authenticate_nowait({"authorization": f"Bearer {token(KEY)}"}) is None
    assert world.sources == []
    world.reachable.set()
    assert ask(door, token(KEY))


def test_while_an_issuer_is_down_api_keys_and_other_issuers_work(world: World) -> None:
    world.issuers[ISSUER].document = None
    door = world.build(issuers=[issuer(), OTHER_ISSUER])
    assert ask(door, API_KEY)
    assert ask(door, token(OTHER_KEY, claims(iss=OTHER)))
    with refused(ProviderUnavailable, Reason.KEYS_UNAVAILABLE):
        ask(door, token(KEY))


def test_admins_are_whom_the_configuration_names(world: World) -> None:
    door = world.build(
        admins=[{"issuer": ISSUER, "email": BOB}, {"issuer": OTHER, "subject": "alice"}],
        issuers=[issuer(), OTHER_ISSUER],
    )
    for text, is_admin in (
        (token(KEY), False),
        (token(KEY, claims(email=BOB, email_verified=True)), True),
        (token(KEY, claims(email=BOB)), False),
        (token(OTHER_KEY, claims(iss=OTHER)), True),
        (token(OTHER_KEY, claims(iss=OTHER, sub="x", email=BOB, email_verified=True)), False),
    ):
        assert ask(door, text).auth.is_admin is is_admin


@pytest.mark.parametrize(
    ("admins", "issuers", "warned"),
    [
        (["alice"], [issuer(), OTHER_ISSUER], True),
        (["alice"], [issuer()], False),
        (["alice"], [issuer(), issuer(audience="second")], False),
        ([{"issuer": ISSUER, "subject": "alice"}], [issuer(), OTHER_ISSUER], False),
        ([], [issuer(), OTHER_ISSUER], False),
    ],
)
def test_bare_admins_of_several_issuers_are_warned_of(
    world: World, caplog: pytest.LogCaptureFixture, admins: list[Any], issuers: list[Any], warned: bool
) -> None:
    world.build(admins=admins, issuers=issuers)
    assert any("MICROMEGAS_ADMINS" in record.getMessage() for record in caplog.records) is warned


def test_the_policy_of_an_issuer_reaches_its_tokens(world: World) -> None:
    door = world.build(
        issuers=[
            issuer(
                aliases=["issuer.example"],
                algorithms=["ES256"],
                leeway_secs=5,
                require_typ="at+jwt",
                trust_email=True,
                email_claims=["mail"],
                delegates=["alice"],
            )
        ]
    )
    good = claims(iss="issuer.example", mail=BOB, email="x@y.z", nonce="n", exp=NOW - 4)
    auth = ask(door, token(KEY, good, typ="at+jwt")).auth
    assert (auth.issuer, auth.email, auth.email_verified, auth.allow_delegation) == (ISSUER, BOB, True, True)
    for text, reason in (
        (token(KEY, good), Reason.UNSUPPORTED_TYPE),
        (token(KEY, {**good, "exp": NOW - 5}, typ="at+jwt"), Reason.EXPIRED),
        (token(ED_KEY, good, typ="at+jwt"), Reason.ALGORITHM_NOT_ALLOWED),
    ):
        with refused(Unauthenticated, reason):
            ask(door, text)


@pytest.mark.parametrize("configured", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("used", ["EdDSA", "Ed25519"])
def test_either_name_of_eddsa_means_both(world: World, configured: str, used: str) -> None:
    assert ask(world.build(issuers=[issuer(algorithms=[configured])]), token(ED_KEY, alg=used))


def test_audiences_of_one_issuer_add_up(world: World) -> None:
    door = world.build(issuers=[issuer(audience="client-id"), issuer(audience=["api", "more"])])
    for audience in ("client-id", "api", "more"):
        assert ask(door, token(KEY, claims(aud=audience))).auth.audience == audience
    assert len(world.sources) == 1


def test_where_keys_come_from(world: World) -> None:
    door = world.build(
        issuers=[
            issuer(
                discovery_url="https://d.example/d",
                jwks_uri="https://k.example/k",
                aliases=["a"],
                allowed_jwks_hosts=["k.example"],
            )
        ],
        fetch_timeout_secs=3.5,
    )
    ask(door, token(KEY))
    (source,) = world.sources
    assert (source.issuer, source.discovery_url, source.jwks_uri) == (
        ISSUER,
        "https://d.example/d",
        "https://k.example/k",
    )
    assert (source.aliases, source.allowed_jwks_hosts, source.timeout) == (
        frozenset({"a"}),
        frozenset({"k.example"}),
        3.5,
    )


def test_decisions_are_cached_and_a_withdrawn_key_ends_them(world: World) -> None:
    door = world.build(issuers=[issuer()])
    old = token(KEY)
    assert ask(door, old) == ask(door, old)
    assert ask(door, old).auth is ask(door, old).auth
    new = signing_key("ES256", "key-2")
    world.issuers[ISSUER].document = jwks(new)
    assert ask(door, token(new))
    with refused(Unauthenticated, Reason.UNKNOWN_KEY):
        ask(door, old)


def test_the_cap_of_the_configuration(world: World) -> None:
    door = world.build(issuers=[issuer()], max_token_bytes=256)
    with refused(Unauthenticated, Reason.CREDENTIAL_TOO_LARGE):
        ask(door, "x" * 257)
    with refused(Unauthenticated, Reason.UNKNOWN_CREDENTIAL):
        ask(door, "x" * 256)


def test_an_expired_api_key(world: World) -> None:
    keys = [{"name": "old", "key": API_KEY, "expires_at": "2027-01-15T08:00:00Z"}]  # NOW
    with refused(Unauthenticated, Reason.API_KEY_EXPIRED):
        ask(world.build(keys=keys), API_KEY)


def test_api_keys_alone_leave_tokens_unknown(world: World) -> None:
    with refused(Unauthenticated, Reason.UNKNOWN_CREDENTIAL):
        ask(world.build(), token(KEY))


def test_after_close_it_still_judges_with_what_it_knows(world: World) -> None:
    door = world.build(issuers=[issuer()])
    ask(door, token(KEY))
    door.close()
    assert ask(door, token(KEY, claims(jti="another")))
    assert ask(door, API_KEY)
    with refused(ProviderUnavailable, Reason.KEYS_UNAVAILABLE):
        ask(door, token(signing_key("ES256", "key-2")))


def test_disabled_lets_everybody_in_loudly(caplog: pytest.LogCaptureFixture) -> None:
    door = build_authenticator(AuthConfig.disabled())
    auth = door.authenticate({}).auth
    assert (auth.subject, auth.auth_type, auth.is_admin) == ("anonymous", AuthType.ANONYMOUS, True)
    assert door.authenticate({"x-user-id": "bob"}).attribution == UserAttribution(user_id="bob")
    assert any(record.levelname == "WARNING" and "DISABLED" in record.getMessage() for record in caplog.records)


def test_nothing_configured_is_an_error(world: World) -> None:
    for document in ({}, {"admins": ["alice"]}):
        with pytest.raises(ConfigError):
            build_authenticator(AuthConfig.model_validate(document))


def test_a_ca_file_that_cannot_be_read_names_its_field(world: World, tmp_path: Any) -> None:
    garbage = tmp_path / "Zq9Marker.pem"
    garbage.write_text("no certificate")
    for path in (tmp_path / "Zq9Marker-missing.pem", garbage, tmp_path):
        with pytest.raises(ConfigError, match="ca_file") as caught:
            world.build(issuers=[issuer(ca_file=str(path))])
        assert "Zq9Marker" not in str(caught.value)
    assert world.sources == []


def test_tokens_are_judged_by_the_given_clock(world: World) -> None:
    door = world.build(issuers=[issuer()])
    assert ask(door, token(KEY, claims(exp=NOW + 1, iat=ABSENT)))
    with refused(Unauthenticated, Reason.EXPIRED):
        ask(door, token(KEY, claims(exp=NOW - 60)))
