"""Decisions kept for a while, so that the signature of a token is checked once and not at each request."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from micromegas_auth.forking import restart_in_forked_child
from micromegas_auth.identity import Authenticator, Credential, Decision


class Generation:
    """Ends decisions early: a key was withdrawn, a policy has changed.

    Attributes:
        current: A decision holds as long as this is the same object as when it was made.
    """

    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current = object()

    def advance(self) -> None:
        """From now on, every decision made before is made anew."""
        self.current = object()


class _Entry(msgspec.Struct, frozen=True, gc=False):
    decision: Decision
    valid_until: float
    generation: object


class CachingAuthenticator:
    """Keeps the good decisions of another authenticator under the digest of the credential, never the credential.

    A decision ends with its token, after `ttl`, or when `generation` advances, whichever comes first. A token in the
    leeway after its `exp` is judged anew each time. Refusals are not kept: they may depend on what changes, and a
    flood of junk must not drive the good entries out. The oldest entry makes room for a new one; as all live equally
    long, it is also the first to expire.

    Args:
        inner: Who decides.
        size: How many decisions are kept.
        ttl: For how many seconds at the most.
        generation: Shared with whatever can end decisions early.
        clock: The time, in seconds since the epoch.
    """

    def __init__(
        self,
        inner: Authenticator,
        *,
        size: int,
        ttl: float,
        generation: Generation,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._inner = inner
        self._ttl = ttl
        self._generation = generation
        self._clock = clock
        self._size = size
        # An OrderedDict gives up its oldest entry at once; a dict would look for it among the ghosts of deleted ones.
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self.after_fork()
        restart_in_forked_child(self)

    def after_fork(self) -> None:
        """A fresh lock, for writing; a reader looks up once, which is atomic."""
        self._lock = threading.Lock()

    def authenticate(self, credential: Credential, wait: bool = True) -> Decision | None:
        """See `Authenticator.authenticate`."""
        entry = self._entries.get(credential.digest)
        if entry is not None and entry.generation is self._generation.current and self._clock() < entry.valid_until:
            return entry.decision
        # Read before the inner decision: if it advances meanwhile, the new entry is void from the start.
        generation = self._generation.current
        decided = self._inner.authenticate(credential, wait)
        if decided is not None:
            valid_until = self._clock() + self._ttl
            if decided.auth.expires_at is not None:
                valid_until = min(valid_until, decided.auth.expires_at)
            self._remember(credential.digest, _Entry(decided, valid_until, generation))
        return decided

    def _remember(self, digest: bytes, entry: _Entry) -> None:
        with self._lock:
            if digest in self._entries:  # so that a renewed entry is the youngest
                del self._entries[digest]
            elif len(self._entries) >= self._size:
                self._entries.popitem(last=False)
            self._entries[digest] = entry
