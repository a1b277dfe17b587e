"""The last good JWK Set of an issuer on disk, so that a server that restarts during its outage can serve."""

import hashlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from micromegas_auth import strict_json

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class JwksStore:
    """One file of one issuer. Whoever can write it decides who comes in, so it must be the server's own.

    Args:
        folder: Where the file lies; made with mode 0700 if need be.
        issuer: Whose keys.
    """

    def __init__(self, folder: Path, issuer: str) -> None:
        self._issuer = issuer
        self._path = folder / f"{hashlib.sha256(issuer.encode()).hexdigest()[:32]}.json"

    def save(self, document: Any, fetched_at: float) -> None:
        """Replace the file, in one step. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = json.dumps({"issuer": self._issuer, "fetched_at": fetched_at, "jwks": document})
        unfinished = self._path.with_suffix(f".{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(unfinished, flags, 0o600), "w") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        finally:
            unfinished.unlink(missing_ok=True)

    def load(self) -> tuple[Any, float] | None:
        """The JWK Set document and when it was fetched; None where there is no file.

        Raises:
            OSError: It cannot be read.
            ValueError: It is malformed, not this issuer's, or not a plain file of ours that nobody else can touch.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
                raise ValueError("not a file of this user with mode 0600: remove it")
            content = strict_json.loads(file.read())
        if not isinstance(content, dict) or content.get("issuer") != self._issuer:
            raise ValueError("not the keys of this issuer: remove it")
        fetched_at = content.get("fetched_at")
        if not isinstance(fetched_at, (int, float)):
            raise ValueError("malformed: remove it")  # noqa: TRY004 - one kind of error for a file that is wrong
        return content.get("jwks"), float(fetched_at)
