"""Flight SQL over pyarrow.flight: which messages come in, and what goes back."""

import functools
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import pyarrow as pa
import pyarrow.flight as flight

from micromegas_auth import Caller, RequestAuthenticator
from micromegas_auth.adapters.flight import FlightAuthMiddlewareFactory, caller_of
from micromegas_auth.text import quoted
from micromegas_server.flight_sql.execution import Executor
from micromegas_server.flight_sql.messages import pack, statement_ticket, unpack
from micromegas_server.flight_sql.query import RawHeaders

_logger = logging.getLogger("micromegas_server")
_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def _authenticated(handler: _Handler) -> _Handler:
    """Give the handler the Caller as its last argument, and let nothing but a FlightError out of it.

    pyarrow sends the traceback of any other exception to the client.
    """

    @functools.wraps(handler)
    def guarded(server: Any, context: flight.ServerCallContext, *arguments: Any) -> Any:
        caller = caller_of(context)
        try:
            return handler(server, context, *arguments, caller)
        except flight.FlightError:
            raise
        except BaseException as error:  # noqa: BLE001 - see above; a panic inside DataFusion is no Exception
            error_id = os.urandom(8).hex()
            detail = quoted(f"{type(error).__name__}: {error}")
            _logger.error("call failed: query_id=%s in=%s detail=%s", error_id, handler.__name__, detail)
            raise flight.FlightInternalError(f"the call failed (query_id={error_id})") from None

    return guarded  # type: ignore[return-value]


class FlightSqlServer(flight.FlightServerBase):  # type: ignore[misc]
    """Serves queries to whoever the authenticator lets in.

    A prepared statement's handle and a query's ticket are the SQL itself: the server keeps nothing between calls.

    Args:
        location: Where to listen, `grpc://host:port` or `grpc+tls://host:port`.
        executor: Runs the queries.
        authenticator: The front door.
        options: Further arguments of FlightServerBase, such as `tls_certificates`.
    """

    def __init__(self, location: str, executor: Executor, authenticator: RequestAuthenticator, **options: Any) -> None:
        self._executor = executor
        middleware = {"auth": FlightAuthMiddlewareFactory(authenticator), "headers": _HeadersFactory()}
        super().__init__(location, middleware=middleware, **options)

    @_authenticated
    def do_get(
        self, context: flight.ServerCallContext, ticket: flight.Ticket, caller: Caller
    ) -> flight.GeneratorStream:
        """Run a query and stream its result."""
        sql = _sql_of(ticket.ticket)
        execution = self._executor.execute(caller, sql, _headers(context), context.peer(), context.is_cancelled)
        return flight.GeneratorStream(execution.schema, execution)

    @_authenticated
    def get_flight_info(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor, caller: Caller
    ) -> flight.FlightInfo:
        """The schema of a query's result, and the ticket to get it with."""
        sql = _sql_of(descriptor.command)
        # An endpoint without a location means this same connection, whatever name the client reached us by.
        endpoint = flight.FlightEndpoint(statement_ticket(sql), [])
        return flight.FlightInfo(self._schema(context, sql, caller), descriptor, [endpoint], -1, -1)

    @_authenticated
    def do_action(
        self, context: flight.ServerCallContext, action: flight.Action, caller: Caller
    ) -> Iterator[flight.Result]:
        """Prepare a statement, or close one."""
        if action.type == "CreatePreparedStatement":
            sql = _sql_of(action.body.to_pybytes())
            schema = self._schema(context, sql, caller)
            result = pack(
                "ActionCreatePreparedStatementResult",
                prepared_statement_handle=sql.encode(),
                dataset_schema=schema.serialize().to_pybytes(),
            )
            return iter([flight.Result(result)])
        if action.type == "ClosePreparedStatement":
            return iter(())
        raise _unsupported()

    @_authenticated
    def list_actions(self, _: flight.ServerCallContext, __: Caller) -> list[tuple[str, str]]:
        """What `do_action` knows."""
        return [("CreatePreparedStatement", "prepare a query"), ("ClosePreparedStatement", "forget a prepared query")]

    @_authenticated
    def list_flights(self, *_: Any) -> NoReturn:
        """Not supported."""
        raise _unsupported()

    @_authenticated
    def do_put(self, *_: Any) -> NoReturn:
        """Not supported: this server only reads."""
        raise _unsupported()

    @_authenticated
    def do_exchange(self, *_: Any) -> NoReturn:
        """Not supported."""
        raise _unsupported()

    def _schema(self, context: flight.ServerCallContext, sql: str, caller: Caller) -> pa.Schema:
        return self._executor.schema(caller, sql, _headers(context), context.peer())


class _HeadersMiddleware(flight.ServerMiddleware):  # type: ignore[misc]
    """Carries the request's headers to its handler."""

    def __init__(self, headers: RawHeaders) -> None:
        self.headers = headers


class _HeadersFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def start_call(self, info: flight.CallInfo, headers: RawHeaders) -> _HeadersMiddleware:
        # From a handler of GetSchema pyarrow sends the traceback of a FlightError too. Refused here, none runs; nobody
        # calls it: GetFlightInfo tells the schema.
        if info.method == flight.FlightMethod.GET_SCHEMA:
            raise _unsupported()
        return _HeadersMiddleware(headers)


def _headers(context: flight.ServerCallContext) -> RawHeaders:
    headers: RawHeaders = context.get_middleware("headers").headers
    return headers


def _sql_of(packed: bytes | None) -> str:
    """The SQL in a ticket, a descriptor's command or an action's body."""
    try:
        name, message = unpack(packed or b"")
        match name:
            case "TicketStatementQuery":
                return str(message.statement_handle.decode())
            case "CommandPreparedStatementQuery":
                return str(message.prepared_statement_handle.decode())
            case "CommandStatementQuery" | "ActionCreatePreparedStatementRequest":
                return str(message.query)
    except ValueError:
        raise flight.FlightServerError("not a message of Flight SQL") from None
    raise _unsupported()


def _unsupported() -> flight.FlightServerError:
    return flight.FlightServerError("this part of Flight SQL is not supported")
