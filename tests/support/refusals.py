"""What every refusal must look like from outside."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from micromegas_auth import AuthError, PermissionDenied, ProviderUnavailable, Reason, Unauthenticated
from micromegas_auth.text import fields

# Written out: these texts are a promise to clients, and hold nothing of what they sent.
PUBLIC_TEXTS: dict[type[AuthError], str] = {
    Unauthenticated: "unauthenticated: send one valid API key or token as 'authorization: Bearer ...'",
    PermissionDenied: "permission denied: the x-user-* headers are malformed or name somebody else",
    ProviderUnavailable: "authentication is temporarily unavailable: try again later",
}


@contextmanager
def refused(kind: type[AuthError], reason: Reason, *pieces: str) -> Iterator[None]:
    """The block must raise exactly `kind` for exactly `reason`, with the fixed text.

    None of `pieces`, parts of the input, may be in what Python prints of the error, its traceback included, or in the
    detail meant for the log.
    """
    with pytest.raises(AuthError) as caught:
        yield
    error = caught.value
    assert (type(error), error.reason) == (kind, reason), error.detail
    assert str(error) == PUBLIC_TEXTS[kind]
    assert error.args == (PUBLIC_TEXTS[kind],)
    assert repr(error) == f"{kind.__name__}({reason.value})"
    printed = "".join(traceback.format_exception(error)) + error.detail
    for piece in pieces:
        assert piece not in printed
    assert is_one_line(fields([("detail", error.detail)]))


def is_one_line(line: str) -> bool:
    """Whether a text has nothing in it that could end a line of the log, or drive a terminal."""
    return line.isprintable()


def pieces_of(token: str) -> list[str]:
    """The parts of a token that must not be seen anywhere."""
    return [part for part in token.split(".") if len(part) >= 8]
