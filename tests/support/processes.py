"""Real processes for end-to-end tests."""

from micromegas_server.demo.child import ChildProcess, ServerProcess, clean_environment

__all__ = ["ChildProcess", "ServerProcess", "clean_environment"]
