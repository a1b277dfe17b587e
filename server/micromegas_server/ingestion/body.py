"""Request bodies, read and decompressed within limits: no byte is kept that a limit forbids."""

import asyncio
import contextlib
import zlib

from starlette.requests import ClientDisconnect, Request

from micromegas_server.ingestion.budget import Share
from micromegas_server.ingestion.errors import Refused, malformed, too_large

BODY_SECONDS = 60.0  # until the whole body must be there; a slow one holds what it has sent of the budget
DRAIN_SECONDS = 5.0
_PIECE = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class Body:
    """The body of one request.

    Args:
        request: The request, of whose body nothing has been read.
        seconds: How long it may take to arrive.
    """

    def __init__(self, request: Request, seconds: float = BODY_SECONDS) -> None:
        self._request = request
        self._seconds = seconds
        self._ended = False

    async def read(self, share: Share, limit: int) -> bytearray:
        """All of it as it was sent, at most `limit` bytes.

        Raises:
            Refused: It is longer (413, before it is read where its length is announced), takes too long (408), or there
                is no room for it (503).
            ClientDisconnect: Nobody waits for the answer any more.
        """
        announced = self._request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > limit:
            raise too_large(f"at most {limit} bytes")
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while not self._ended:
                    chunk = await self._chunk()
                    if len(body) + len(chunk) > limit:
                        raise too_large(f"at most {limit} bytes")
                    share.grow(len(chunk))
                    body += chunk
        except TimeoutError:
            raise Refused(408, "the request's body did not arrive in time") from None
        return body

    async def drain(self) -> None:
        """Drop what is left of it, for a while.

        To close a connection on which a client is still sending would reset it, and the client would see that in place
        of the answer, and send the same again.
        """
        with contextlib.suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self._ended:
                    await self._chunk()

    async def _chunk(self) -> bytes:
        # Not `request.stream()`, which cannot be taken up again by `drain`.
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk


def gunzip(data: bytes | bytearray, share: Share, limit: int) -> bytearray:
    """`data` decompressed, at most `limit` bytes; more is never made (a gzip bomb ends here).

    Raises:
        Refused: It is no gzip (400), decompresses to more (413), or there is no room for it (503).
    """
    whole = bytearray()
    member = zlib.decompressobj(_GZIP)

    def add(compressed: bytes) -> bool:
        """Decompress some of it, and say whether anything came out."""
        try:
            piece = member.decompress(compressed, min(_PIECE, limit - len(whole) + 1))
        except zlib.error:
            raise malformed("its body is no gzip") from None
        if len(whole) + len(piece) > limit:
            raise too_large(f"at most {limit} bytes when decompressed")
        share.grow(len(piece))
        whole.extend(piece)
        return len(piece) > 0

    for begin in range(0, len(data), _PIECE):
        rest = bytes(data[begin : begin + _PIECE])
        while rest:
            if member.eof:  # a gzip file is a series of members (RFC 1952 section 2.2)
                member = zlib.decompressobj(_GZIP)
            add(rest)
            rest = member.unused_data if member.eof else member.unconsumed_tail
    while not member.eof:
        if not add(b""):
            raise malformed("its gzip is truncated")
    return whole
