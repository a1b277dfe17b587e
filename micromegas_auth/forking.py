"""After a fork: a child has none of its parent's threads, but their locks, held for ever if they were held."""

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What knows how to go on in a forked child."""

    def after_fork(self) -> None:
        """Called in the child, before anything else runs there: make locks and threads anew."""


_forkable: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def restart_in_forked_child(one: Forkable) -> None:
    """Have `one.after_fork()` called in each forked child, for as long as `one` lives."""
    _forkable.add(one)


def _after_fork_in_child() -> None:
    for one in list(_forkable):
        one.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
