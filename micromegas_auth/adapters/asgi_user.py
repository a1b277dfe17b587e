"""Who calls, under the names that Starlette gave it: `request.user` and `request.auth`."""

from micromegas_auth.attribution import Caller


class User:
    """Who authenticated, as `request.user`.

    Args:
        caller: The Caller.
    """

    __slots__ = ("caller",)

    is_authenticated = True

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    @property
    def display_name(self) -> str:
        """The e-mail, or the subject."""
        return self.caller.auth.email or self.caller.auth.subject

    @property
    def identity(self) -> str:
        """`issuer#subject`, which no other identity has; for an API key its name."""
        auth = self.caller.auth
        return auth.subject if auth.issuer is None else f"{auth.issuer}#{auth.subject}"


class Nobody:
    """`request.user` on a public path."""

    is_authenticated = False
    display_name = ""
    identity = ""


class Permissions:
    """What the caller may do, as `request.auth`.

    Args:
        scopes: `authenticated` for everybody who is let in, `admin` for admins.
    """

    def __init__(self, *scopes: str) -> None:
        self.scopes = scopes


NOBODY, NOTHING = Nobody(), Permissions()
USER, ADMIN = Permissions("authenticated"), Permissions("authenticated", "admin")
