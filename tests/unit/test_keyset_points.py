"""Ed25519 points of small order, found by the arithmetic of the curve and not by a list."""

import base64

from support.tokens import ABSENT, b64, jwks, signing_key

from micromegas_auth.keyset import parse_jwks

ED = signing_key("EdDSA", "ed")
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
L = 2**252 + 27742317777372353535851937790883648493  # the order of the large subgroup
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b  # RFC 8032 section 5.1.4, in affine coordinates; the formula is complete
    product = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def times(factor: int, point: Point) -> Point:
    result = (0, 1)
    for bit in f"{factor:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def point_with(y: int) -> Point | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    return (root, y) if root * root % P == square else None


def torsion_points() -> set[Point]:
    """All points whose order divides 8: what L times some point leaves of it, and its multiples."""
    for y in range(2, 100):
        if (point := point_with(y)) is not None:
            generator = times(L, point)
            if times(4, generator) != (0, 1):
                return {times(factor, generator) for factor in range(8)}
    raise AssertionError("no point of order 8 found")


def encodings(point: Point) -> set[bytes]:
    """Every 32 bytes that decode to it: canonical, y not reduced modulo P, and the wrong sign where x is 0."""
    x, y = point
    signs = {0, 1} if x == 0 else {x & 1}
    return {(value | sign << 255).to_bytes(32, "little") for value in (y, y + P) if value < 2**255 for sign in signs}


def test_ed25519_points_of_small_order_are_skipped_in_every_encoding() -> None:
    points = torsion_points()
    assert len(points) == 8
    every_encoding = {encoded for point in points for encoded in encodings(point)}
    assert len(every_encoding) == 14
    for encoded in every_encoding:
        for alg in ("EdDSA", "Ed25519", ABSENT):
            keys = parse_jwks(jwks(ED.jwk(x=b64(encoded), alg=alg), ED))
            assert [key.kid for key in keys.keys] == ["ed"]
            assert [skipped.reason for skipped in keys.skipped] == ["Ed25519 point of small order"]


def test_a_mixed_order_point_is_not_small() -> None:
    y = int.from_bytes(base64.urlsafe_b64decode(ED.jwk()["x"] + "="), "little") & ((1 << 255) - 1)
    own = point_with(y)
    assert own is not None
    x, y = add(own, next(point for point in torsion_points() if point != (0, 1)))
    assert not parse_jwks(jwks(ED.jwk(x=b64((y | (x & 1) << 255).to_bytes(32, "little"))))).skipped
