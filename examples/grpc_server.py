"""A gRPC server that knows who calls: `/examples.WhoAmI/Ask` answers with the caller; health checks are public.

MICROMEGAS_API_KEYS='[{"name": "ci", "key": "a-key-of-at-least-16-bytes"}]' python examples/grpc_server.py
"""

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from micromegas_auth import AuthConfig, build_authenticator
from micromegas_auth.adapters.grpc import AuthInterceptor, caller_of


def ask(_: bytes, context: grpc.ServicerContext) -> bytes:
    """Who authenticated, on whose behalf, and whether they are an admin."""
    caller = caller_of(context)
    answer = {
        "subject": caller.auth.subject,
        "user": caller.attribution.user_id,
        "admin": caller.auth.is_admin,
    }
    return json.dumps(answer).encode()


def main() -> None:
    """Serve until interrupted, configured by the MICROMEGAS_ variables."""
    logging.basicConfig(level=logging.INFO)
    authenticator = build_authenticator(AuthConfig.from_env())
    interceptor = AuthInterceptor(authenticator, public_services=(health.SERVICE_NAME,))
    server = grpc.server(ThreadPoolExecutor(8), interceptors=[interceptor])
    # Code generated from a .proto file does the same.
    methods = {"Ask": grpc.unary_unary_rpc_method_handler(ask)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("examples.WhoAmI", methods)])
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", file=sys.stderr, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
