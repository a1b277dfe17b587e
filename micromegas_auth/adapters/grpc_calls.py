"""What the interceptors for `grpc` and `grpc.aio` share: whose call it is, what is public, how a call ends."""

import logging
import os
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from micromegas_auth.attribution import Caller
from micromegas_auth.errors import AuthError, PermissionDenied, ProviderUnavailable, Reason, Unauthenticated
from micromegas_auth.security_log import place_of
from micromegas_auth.text import fields

Metadata: TypeAlias = Collection[tuple[str, str | bytes]]
if TYPE_CHECKING:  # the class is generic in its stubs alone
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler

# Whose call this is: in the thread or task that runs its handler, while it does. `get` raises LookupError where nobody
# has authenticated.
current_caller: ContextVar[Caller] = ContextVar("micromegas_caller")

_logger = logging.getLogger("micromegas_auth")


def caller_of(context: Any) -> Caller:
    """The Caller of the call that `context` belongs to.

    Args:
        context: What the handler got.

    Raises:
        Unauthenticated: The call did not pass through the interceptor, or its service is public. Let it out of the
            handler, and the call ends with UNAUTHENTICATED.
    """
    caller = getattr(context, "caller", None)
    if isinstance(caller, Caller):
        return caller
    context.set_code(grpc.StatusCode.UNAUTHENTICATED)
    context.set_details(Unauthenticated.public_message)
    raise Unauthenticated(Reason.MISSING_CREDENTIAL, "the call did not pass through the interceptor")


class CallContext:
    """The ServicerContext of one call, with its Caller, and with what its handler has said about how it ends."""

    def __init__(self, context: Any, caller: Caller | None) -> None:
        self.caller = caller
        self.failed = False
        self.aborted: Exception | None = None
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_code(self, code: grpc.StatusCode) -> None:
        """As of ServicerContext."""
        self.failed = code is not grpc.StatusCode.OK
        self._context.set_code(code)

    def abort(self, *arguments: Any, **named: Any) -> Any:
        """As of ServicerContext."""
        try:
            self._context.abort(*arguments, **named)
        except Exception as error:
            self.aborted = error
            raise

    def abort_with_status(self, status: Any) -> Any:
        """As of ServicerContext."""
        try:
            self._context.abort_with_status(status)
        except Exception as error:
            self.aborted = error
            raise


def is_public(method: str, public_services: frozenset[str]) -> bool:
    """Whether `method` is `/package.Service/Method`, in exactly this form, of one of these services."""
    parts = method.split("/")
    return len(parts) == 3 and parts[0] == "" and parts[1] in public_services


def headers_of(metadata: Metadata) -> dict[str, list[str | bytes]]:
    """Name to values: gRPC delivers each of several equal names, and the values of `-bin` names as bytes."""
    headers: dict[str, list[str | bytes]] = {}
    for name, value in metadata:
        headers.setdefault(name, []).append(value)
    return headers


def status_of(error: BaseException, method: str) -> tuple[grpc.StatusCode, str]:
    """The status and the public text with which a call ends that raised `error`; logged unless it is an AuthError."""
    match error:
        case PermissionDenied():
            return grpc.StatusCode.PERMISSION_DENIED, error.public_message
        case ProviderUnavailable():
            return grpc.StatusCode.UNAVAILABLE, error.public_message
        case AuthError():
            return grpc.StatusCode.UNAUTHENTICATED, error.public_message
    error_id = os.urandom(8).hex()
    # The type and place alone, as in the front door: the text may quote what the caller sent.
    _logger.error("call failed: %s", fields([("error_id", error_id), ("method", method), ("error", place_of(error))]))
    return grpc.StatusCode.INTERNAL, f"the call failed (error_id={error_id})"


def behavior_of(handler: Handler) -> Callable[..., Any]:
    """The application's function in a handler."""
    return next(filter(None, (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)))


def rebuilt(
    handler: Handler,
    behavior: Callable[..., Any],
    deserialize: Callable[[bytes], Any] | None,
    serialize: Callable[[Any], bytes] | None,
) -> Handler:
    """A handler for methods of the same kind as `handler`."""
    factory: Callable[..., Handler] = _FACTORIES[handler.request_streaming, handler.response_streaming]
    return factory(behavior, deserialize, serialize)


_FACTORIES = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def unchanged(message: Any) -> Any:
    """Stands for the serializer or deserializer that a handler without one does not need."""
    return message
