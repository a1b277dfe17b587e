"""A walk through what the library does, with an issuer of its own; for loopback only."""
