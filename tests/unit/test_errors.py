"""What a refusal says, and what it keeps to itself."""

import pytest
from support.refusals import PUBLIC_TEXTS

from micromegas_auth import AuthError, Reason

SECRET = "Zq9Marker"


@pytest.mark.parametrize("kind", PUBLIC_TEXTS)
@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_of_a_kind_reads_the_same(kind: type[AuthError], reason: Reason) -> None:
    error = kind(reason, SECRET)
    assert str(error) == PUBLIC_TEXTS[kind]
    assert repr(error) == f"{kind.__name__}({reason.value})"
    assert SECRET not in f"{error} {error!r} {error.args}"
    assert (error.reason, error.detail) == (reason, SECRET)


def test_the_reasons_are_fit_for_a_log() -> None:
    assert all(reason.value.replace("_", "").isalpha() and reason.value.islower() for reason in Reason)
    assert len({reason.value for reason in Reason}) == len(Reason)
