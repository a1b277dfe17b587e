"""Fixtures for every kind of test."""

from collections.abc import Iterator

import pytest
from support.needs import needs
from support.provider import NODE, PACKAGES, OidcProvider


@pytest.fixture(scope="session")
def oidc_provider() -> Iterator[OidcProvider]:
    """The real npm oidc-provider, one for the whole run."""
    needs(NODE, "node")
    needs(PACKAGES, "the npm package oidc-provider")
    with OidcProvider() as provider:
        yield provider
