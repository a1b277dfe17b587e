"""What a client is told when its request is refused: fixed texts, in the request's encoding."""


class Refused(Exception):
    """The request is refused.

    Attributes:
        status: The HTTP status.
        public_message: What the client is told, the same for every such request.
        retry_after: In seconds, where the client should try again.
    """

    def __init__(self, status: int, public_message: str, retry_after: int | None = None) -> None:
        super().__init__(public_message)
        self.status = status
        self.public_message = public_message
        self.retry_after = retry_after


def malformed(what: str) -> Refused:
    """400: sending the same again is of no use."""
    return Refused(400, f"malformed request: {what}")


def too_large(what: str) -> Refused:
    """413."""
    return Refused(413, f"request too large: {what}")


def busy(seconds: float = 1.0) -> Refused:
    """503: nothing was kept; the same request may succeed later. Other codes would make exporters drop their batch."""
    return Refused(503, "the server is busy or its storage fails: try again later", max(1, round(seconds)))
