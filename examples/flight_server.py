"""A Flight server that knows who calls: it answers every ticket with the caller.

MICROMEGAS_API_KEYS='[{"name": "ci", "key": "a-key-of-at-least-16-bytes"}]' python examples/flight_server.py
"""

import logging
import sys

import pyarrow as pa
import pyarrow.flight as flight

from micromegas_auth import AuthConfig, build_authenticator
from micromegas_auth.adapters.flight import FlightAuthMiddlewareFactory, caller_of
from micromegas_auth.audit import AuditLog


class WhoAmIServer(flight.FlightServerBase):
    """Tells each caller who they are."""

    def __init__(self, location: str, audit: AuditLog, **options: object) -> None:
        super().__init__(location, **options)
        self._audit = audit

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.RecordBatchStream:
        """One row: who authenticated, on whose behalf, and whether they are an admin."""
        caller = caller_of(context)
        record = self._audit.start(caller, ticket.ticket.decode("utf-8", "replace"), peer=context.peer())
        answer = {
            "subject": caller.auth.subject,
            "user": caller.attribution.user_id,
            "admin": caller.auth.is_admin,
        }
        table = pa.Table.from_pylist([answer])
        record.finish("ok", rows=table.num_rows, size=table.nbytes)
        return flight.RecordBatchStream(table)


def main() -> None:
    """Serve until interrupted, configured by the MICROMEGAS_ variables."""
    logging.basicConfig(level=logging.INFO)
    authenticator = build_authenticator(AuthConfig.from_env())
    audit = AuditLog(lambda line: print(line, file=sys.stderr))
    middleware = {"auth": FlightAuthMiddlewareFactory(authenticator)}
    with WhoAmIServer("grpc://127.0.0.1:0", audit, middleware=middleware) as server:
        print(f"listening on grpc://127.0.0.1:{server.port}", file=sys.stderr, flush=True)
        server.serve()


if __name__ == "__main__":
    main()
