"""What test_fork.py runs: `python fork_scenarios.py NAME` prints `as it should be`, or says what went wrong."""

import contextlib
import faulthandler
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from support.front_door import bearer
from support.issuer import AUDIENCE, DISCOVERY, PATIENCE, FaultyIssuer

from micromegas_auth import AuthConfig, ProviderUnavailable, RequestAuthenticator, Unauthenticated, build_authenticator


def after_the_first_fetch(issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    known = bearer(issuer.mint())
    assert door.authenticate(known).auth.subject == "alice"
    issuer.rotate()
    new = bearer(issuer.mint())

    def child() -> None:
        assert door.authenticate_nowait(known) is not None
        assert len(_refresh_threads()) == 1
        assert door.authenticate(new).auth.subject == "alice"

    _in_child(child, lambda: None)
    assert door.authenticate(new).auth.subject == "alice"
    assert issuer.requests() == 3  # one by the child, one more by the parent: they share nothing


def during_the_first_fetch(issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    issuer.wait_for_requests(1, DISCOVERY)
    token = bearer(issuer.mint())

    def child() -> None:
        assert door.authenticate(token).auth.subject == "alice"

    def parent() -> None:
        issuer.wait_for_requests(2, DISCOVERY)  # the child has asked for itself
        issuer.release()

    _in_child(child, parent)
    assert door.authenticate(token).auth.subject == "alice"


def while_other_threads_hold_its_locks(issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    """A lock that is held at the moment of the fork is never let go in the child: the thread that held it is gone."""
    assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
    issuer.rotate()
    locks = _locks_below(door)
    assert locks
    all_held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with contextlib.ExitStack() as held:
            for lock in locks:
                if lock.acquire(timeout=0.2):  # the lock on which a Condition waits is another's for good
                    held.callback(lock.release)
            all_held.set()
            let_go.wait(PATIENCE)

    def child() -> None:
        assert door.authenticate(bearer(issuer.mint())).auth.subject == "alice"
        for token in ("no-such-key", issuer.mint(header={"kid": "unknown"})):
            try:
                door.authenticate(bearer(token))
            except Unauthenticated:
                continue
            raise AssertionError("let in")
        door.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert all_held.wait(PATIENCE)
        _in_child(child, lambda: None)
    finally:
        let_go.set()
        holder.join()


def _locks_below(root: object) -> list[Any]:
    """Every lock that `root` can reach by way of the library's objects and of containers."""
    kinds = (type(threading.Lock()), type(threading.RLock()))
    locks: list[Any] = []
    seen: set[int] = set()
    todo: list[object] = [root]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, kinds):
            locks.append(one)
        elif not isinstance(one, (type, ModuleType, FunctionType)):
            todo.extend(gc.get_referents(one))
    return locks


def after_close(issuer: FaultyIssuer, door: RequestAuthenticator) -> None:
    known = bearer(issuer.mint())
    assert door.authenticate(known).auth.subject == "alice"
    door.close()
    issuer.rotate()
    new = bearer(issuer.mint())

    def child() -> None:
        assert not _refresh_threads()
        assert door.authenticate_nowait(known) is not None
        try:
            door.authenticate(new)
        except ProviderUnavailable:
            return
        raise AssertionError("a closed front door has fetched keys")

    _in_child(child, lambda: None)


def _refresh_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "micromegas-jwks"]


def _in_child(child: Callable[[], None], parent: Callable[[], None]) -> None:
    """Fork; run `child` there and `parent` here. Raises AssertionError unless the child comes to a good end."""
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(PATIENCE / 2, exit=True)  # so that a deadlock ends, and says where it was
        try:
            child()
        except BaseException:  # noqa: BLE001 - nothing of the child may run on into the parent's code
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    try:
        parent()
    finally:
        _, status = os.waitpid(pid, 0)
    assert status == 0, "the child failed"


def main() -> None:
    scenario = globals()[sys.argv[1]]
    with FaultyIssuer() as issuer:
        if scenario is during_the_first_fetch:
            issuer.hold()
        oidc = {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]}
        door = build_authenticator(AuthConfig.model_validate({"oidc": oidc}))
        try:
            scenario(issuer, door)
        finally:
            door.close()
    print("as it should be")


if __name__ == "__main__":
    main()
