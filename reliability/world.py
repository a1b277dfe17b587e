"""What stands around a faulty issuer: neighbours that are sound, and who certifies it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.certificates import Authority
from support.issuer import FaultyIssuer


@dataclass(frozen=True)
class World:
    """What all faults share.

    Attributes:
        healthy: The issuers that stay sound.
        untrusted: One that is not configured.
        authority: Certifies the faulty issuer.
        stranger: An authority that nobody trusts.
    """

    healthy: tuple[FaultyIssuer, ...]
    untrusted: FaultyIssuer
    authority: Authority
    stranger: Authority


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """A world whose certificates lie in `folder`."""
    for name in ("authority", "stranger"):
        (folder / name).mkdir()
    with FaultyIssuer() as first, FaultyIssuer() as second, FaultyIssuer() as untrusted:
        yield World((first, second), untrusted, Authority(folder / "authority"), Authority(folder / "stranger"))
