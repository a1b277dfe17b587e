"""Mutants of tokens, signed again, at the front door: the library and the oracle must agree on each."""

import logging
from collections.abc import Callable
from random import Random

from support.refusals import PUBLIC_TEXTS

from fuzz.fault import Fault
from fuzz.mutants import request
from fuzz.oracle import Identity, expected
from fuzz.reading import Refused
from fuzz.world import front_door
from micromegas_auth import AuthError, Caller, Reason, RequestAuthenticator


class SignedMutants:
    """One case is one request. A context manager."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._log = _LastLine()

    def __enter__(self) -> Callable[[], str]:
        self._logger = logging.getLogger("micromegas_auth")
        self._logger.addHandler(self._log)
        self._propagated, self._logger.propagate = self._logger.propagate, False
        self._door, self._stop = front_door()
        return self._case

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._logger.removeHandler(self._log)
        self._logger.propagate = self._propagated

    def _case(self) -> str:
        headers = request(self._rng)
        wanted: Identity | None
        try:
            wanted, why = expected(headers), ""
        except Refused as refused:
            wanted, why = None, str(refused)
        self._log.line = ""
        outcome = judge(self._door, headers)
        if not self._log.line.isprintable():
            raise Fault("a log line with a character that is not printable", headers, self._log.line)
        if isinstance(outcome, AuthError):
            if wanted is not None:
                raise Fault(f"REFUSED WRONGLY: {outcome.reason} {outcome.detail}", headers, wanted)
            signature = str(headers.get("authorization")).rpartition(".")[2]
            if len(signature) > 20 and signature in self._log.line:
                raise Fault("a log line with a signature", headers, self._log.line)
            return f"refused: {outcome.reason}"
        if wanted is None:
            raise Fault(f"ACCEPTED WRONGLY: {why}", headers, outcome)
        for name, value in wanted.items():
            if getattr(outcome.auth, name) != value or type(getattr(outcome.auth, name)) is bool is not type(value):
                raise Fault(f"ACCEPTED AS SOMEBODY ELSE: {name} should be {value!r}", headers, outcome)
        if judge(self._door, headers) != outcome:
            raise Fault("judged otherwise at the second time", headers, outcome)
        return "accepted"


def judge(door: RequestAuthenticator, headers: dict[str, object]) -> Caller | AuthError:
    """The Caller or the refusal. Raises Fault for whatever else comes out, and for a refusal that says too much."""
    try:
        return door.authenticate(headers)  # type: ignore[arg-type]
    except AuthError as error:
        public = PUBLIC_TEXTS.get(type(error))
        if public is None or (str(error), error.args) != (public, (public,)):
            raise Fault("a refusal without its fixed text", headers, error.args) from error
        if error.reason is Reason.INTERNAL_ERROR:
            raise Fault(f"an exception inside: {error.detail}", headers, error.detail) from error
        return error
    except BaseException as error:
        raise Fault(f"ESCAPED: {type(error).__name__}", headers, error) from error


class _LastLine(logging.Handler):
    line = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.line = record.getMessage()
