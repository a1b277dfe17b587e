"""Stacks deep enough for any statement.

DataFusion recurses once for each operator of `1 + 1 + ...`, and a stack that overflows ends the process: with the usual
8 MiB, 20 KB of SQL were enough.
"""

import ctypes
import logging
import os

MAX_SQL_BYTES = 16 * 1024  # of one operator after the other, 64 KiB are planned for minutes
STACK_BYTES = 128 * 1024 * 1024  # enough for four times as much; address space, not memory

_SIZE_OF_ATTRIBUTES = 128  # more than the pthread_attr_t of any machine (56 bytes on x86-64, 64 on ARM)
_logger = logging.getLogger("micromegas_server")


def deepen_stacks() -> None:
    """Give STACK_BYTES to all threads that start from now on: DataFusion's, and gRPC's, on which handlers run."""
    os.environ.setdefault("RUST_MIN_STACK", str(STACK_BYTES))  # Rust looks when it starts its first thread
    libc = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(_SIZE_OF_ATTRIBUTES)
    if not hasattr(libc, "pthread_setattr_default_np"):
        _logger.warning("this system's C library is not glibc: a statement of many thousand operators ends the server")
        return
    libc.pthread_attr_init(attributes)
    libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(STACK_BYTES))
    libc.pthread_setattr_default_np(attributes)
