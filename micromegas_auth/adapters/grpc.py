"""Authentication for `grpc` servers (extra `grpc`); `micromegas_auth.adapters.grpc_aio` is for `grpc.aio`.

    authenticator = build_authenticator(AuthConfig.from_env())
    server = grpc.server(ThreadPoolExecutor(8), interceptors=[AuthInterceptor(authenticator)])

and in each handler `caller = caller_of(context)`; away from it, `current_caller.get()`.
"""

import functools
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc

from micromegas_auth.adapters.grpc_calls import (
    CallContext,
    Handler,
    Metadata,
    behavior_of,
    caller_of,
    current_caller,
    headers_of,
    is_public,
    rebuilt,
    status_of,
    unchanged,
)
from micromegas_auth.adapters.places import Places
from micromegas_auth.attribution import Caller
from micromegas_auth.request import RequestAuthenticator

__all__ = ["AuthInterceptor", "caller_of", "current_caller"]


# Handlers' threads that wait for keys at once: tokens that anybody can write must not take them all.
MAX_WAITING = 4


class AuthInterceptor(grpc.ServerInterceptor):
    """Authenticates every call before its handler runs, in the handler's own thread.

    No text of an exception reaches a client: it gets INTERNAL and an error id, which the log explains. What a handler
    says with `context.abort` passes as it is.

    Args:
        authenticator: The front door.
        public_services: The full names of services that anybody may call, such as `grpc.health.v1.Health`.
    """

    def __init__(self, authenticator: RequestAuthenticator, public_services: Collection[str] = ()) -> None:
        self._authenticator = authenticator
        self._public = frozenset(public_services)
        self._places = Places(MAX_WAITING)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Called by grpcio on its one serving thread, which must not wait: the handler's thread authenticates."""
        method = handler_call_details.method
        try:
            handler = continuation(handler_call_details)
        except Exception as error:  # noqa: BLE001 - another interceptor's, say; grpcio would log its text
            handler = _ending(*status_of(error, method))
        if is_public(method, self._public):
            return handler and guarded(handler, method, lambda _: None)
        # Which methods there are is for callers only.
        return guarded(handler or _ending(grpc.StatusCode.UNIMPLEMENTED, "Method not found!"), method, self._caller)

    def _caller(self, metadata: Metadata) -> Caller:
        headers = headers_of(metadata)
        caller = self._authenticator.authenticate_nowait(headers)
        if caller is not None:
            return caller
        self._places.take()
        try:
            return self._authenticator.authenticate(headers)
        finally:
            self._places.leave()


def guarded(handler: Handler, method: str, authenticate: Callable[[Metadata], Caller | None]) -> Handler:
    """`handler`, run only for a Caller, and without its exceptions' texts.

    Args:
        handler: A handler that blocks.
        method: Its full name, for the log.
        authenticate: Decides who calls, None for nobody; or raises an AuthError.
    """
    behavior = behavior_of(handler)
    # A stranger's request is not parsed, and what the parser or the serializer says of a message stays here.
    parse = handler.request_deserializer or unchanged
    deserialize = functools.partial(map, parse) if handler.request_streaming else parse
    serialize = handler.response_serializer or unchanged

    def begin(context: Any) -> CallContext:
        call = CallContext(context, None)
        with _acting(call, method):
            call.caller = authenticate(context.invocation_metadata())
        return call

    def one(request: Any, context: Any) -> Any:
        call = begin(context)
        with _acting(call, method):
            response = behavior(deserialize(request), call)
            return b"" if call.failed else serialize(response)

    def stream(request: Any, context: Any) -> Iterator[Any]:
        # Between two steps this thread may serve others, and the next step may run on another thread.
        call = begin(context)
        with _acting(call, method):
            responses = behavior(deserialize(request), call)
        try:
            while True:
                with _acting(call, method):
                    response = next(responses, None)  # grpcio, too, takes None for the end
                    message = None if response is None else serialize(response)
                if message is None:
                    return
                yield message
        finally:
            with _acting(call, method):
                getattr(responses, "close", lambda: None)()

    def push(request: Any, context: Any, send: Callable[[Any], None]) -> None:
        call = begin(context)
        with _acting(call, method):
            behavior(deserialize(request), call, send)

    # grpcio's mark of a handler that sends from other threads, as that of grpc.health.v1.Health/Watch does. As a stream
    # each watcher, and of a public service so any stranger, would keep one of the pool's threads.
    pushes = getattr(behavior, "experimental_non_blocking", False)
    run: Callable[..., Any] = push if pushes else stream if handler.response_streaming else one
    functools.update_wrapper(run, behavior)  # the mark, too
    return rebuilt(handler, run, None, handler.response_serializer if pushes else None)


@contextmanager
def _acting(call: CallContext, method: str) -> Iterator[None]:
    """For the call's Caller, and with an end of the call in place of an exception."""
    token = None if call.caller is None else current_caller.set(call.caller)
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - a panic in an extension is no Exception, and grpcio would let it hang
        _end(call, error, method)
    finally:
        if token is not None:
            current_caller.reset(token)


def _end(call: CallContext, error: BaseException, method: str) -> None:
    if call.aborted is not None:
        raise call.aborted from None
    if type(error) is grpc.RpcError:
        raise error  # the client has gone, and grpcio says so to whoever reads the requests
    call.abort(*status_of(error, method))


def _ending(code: grpc.StatusCode, text: str) -> Handler:
    """A handler, for any kind of method, that reads nothing and ends the call so."""

    def end(_: Any, context: grpc.ServicerContext) -> NoReturn:
        context.abort(code, text)

    return grpc.stream_stream_rpc_method_handler(end)
