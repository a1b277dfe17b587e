"""What an attempt reports when it has succeeded."""


class Fault(Exception):
    """The library was fooled, or let out what it should not.

    Args:
        what: In one line.
        case: What was sent; enough to do it again.
        got: What came of it.
    """

    def __init__(self, what: str, case: object, got: object) -> None:
        super().__init__(f"{what}\n  sent: {case!a}\n  got:  {got!a}")
        self.what = what
