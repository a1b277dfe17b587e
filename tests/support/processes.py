"""Real processes for end-to-end tests."""

from micromegas_server.demo.child import BIN, ChildProcess, ServerProcess, clean_environment

__all__ = ["BIN", "ChildProcess", "ServerProcess", "clean_environment"]
