"""Authentication for `grpc.aio` servers (extra `grpc`).

    authenticator = build_authenticator(AuthConfig.from_env())
    server = grpc.aio.server(interceptors=[AioAuthInterceptor(authenticator)])

and in each handler `caller = caller_of(context)`; away from it, `current_caller.get()`.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio

from micromegas_auth.adapters.event_loop import EventLoopDoor
from micromegas_auth.adapters.grpc import guarded
from micromegas_auth.adapters.grpc_calls import (
    CallContext,
    Handler,
    behavior_of,
    caller_of,
    current_caller,
    headers_of,
    is_public,
    rebuilt,
    status_of,
    unchanged,
)
from micromegas_auth.attribution import Caller
from micromegas_auth.request import RequestAuthenticator

__all__ = ["AioAuthInterceptor", "caller_of", "current_caller"]


class AioAuthInterceptor(grpc.aio.ServerInterceptor):
    """Authenticates every call before anything of its request is read, and never blocks the event loop.

    No text of an exception reaches a client: it gets INTERNAL and an error id, which the log explains. What a handler
    says with `context.abort` passes as it is.

    Args:
        authenticator: The front door.
        public_services: The full names of services that anybody may call, such as `grpc.health.v1.Health`.
    """

    def __init__(self, authenticator: RequestAuthenticator, public_services: Collection[str] = ()) -> None:
        self._door = EventLoopDoor(authenticator)
        self._public = frozenset(public_services)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Called by grpcio in the call's own task."""
        method = handler_call_details.method
        try:
            caller = None
            if not is_public(method, self._public):
                caller = await self._door.authenticate(headers_of(handler_call_details.invocation_metadata))
            handler = await continuation(handler_call_details)
        except Exception as error:  # noqa: BLE001 - grpcio would send its text
            return _ending(*status_of(error, method))
        return handler and _guarded(handler, method, caller)


class _AioCallContext(CallContext):
    async def abort(self, *arguments: Any, **named: Any) -> None:
        """As of ServicerContext."""
        try:
            await self._context.abort(*arguments, **named)
        except grpc.aio.AbortError as error:
            self.aborted = error
            raise

    async def abort_with_status(self, status: Any) -> None:
        """As of ServicerContext."""
        await self.abort(status.code, status.details, status.trailing_metadata)


def _guarded(handler: Handler, method: str, caller: Caller | None) -> Handler:
    """`handler`, run for this Caller, and without its exceptions' texts."""
    behavior = behavior_of(handler)
    generates = inspect.isasyncgenfunction(behavior)
    if not generates and not inspect.iscoroutinefunction(behavior):
        return guarded(handler, method, lambda _: caller)  # which grpcio runs in a thread
    deserialize = (not handler.request_streaming and handler.request_deserializer) or unchanged
    serialize = handler.response_serializer or unchanged

    async def act(request: Any, call: _AioCallContext) -> Any:
        request = deserialize(request)
        if generates:
            async with aclosing(behavior(request, call)) as responses:
                async for response in responses:
                    await call.write(response)
            return None
        response = await behavior(request, call)
        if handler.response_streaming:
            return None
        return b"" if call.failed else serialize(response)

    async def run(request: Any, context: Any) -> Any:
        call = _AioCallContext(context, caller)
        token = None if caller is None else current_caller.set(caller)
        try:
            return await act(request, call)
        except (asyncio.CancelledError, GeneratorExit):  # the client has gone, or the server has stopped
            raise
        except BaseException as error:  # noqa: BLE001 - grpcio would send its text, or let the call hang
            await _end(call, error, method)
        finally:
            if token is not None:
                current_caller.reset(token)

    return rebuilt(
        handler,
        run,
        handler.request_deserializer if handler.request_streaming else None,
        handler.response_serializer if handler.response_streaming else None,
    )


async def _end(call: CallContext, error: BaseException, method: str) -> None:
    if call.aborted is not None:
        raise call.aborted from None
    if isinstance(error, grpc.aio.BaseError) and not isinstance(error, grpc.aio.UsageError):
        raise error  # grpcio's own: the client has gone, or the server has stopped
    await call.abort(*status_of(error, method))


def _ending(code: grpc.StatusCode, text: str) -> Handler:
    """A handler, for any kind of method, that reads nothing and ends the call so."""

    async def end(_: Any, context: Any) -> None:
        await context.abort(code, text)

    return grpc.stream_stream_rpc_method_handler(end)
