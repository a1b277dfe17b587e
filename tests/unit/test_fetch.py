"""Which URLs a key may come from. What goes over the network is in tests/faults."""

import pytest

from micromegas_auth.fetch import is_loopback, is_trustworthy_url

TRUSTWORTHY = [
    "https://issuer.example",
    "https://issuer.example:8443/realm?x=y",
    "HTTPS://issuer.example",
    "https://10.0.0.1/",
    "http://localhost:8080/x",
    "http://127.0.0.1",
    "http://127.255.0.9:1/",
    "http://[::1]:8080/",
]
NOT_TRUSTWORTHY = [
    "",
    "issuer.example",
    "//issuer.example",
    "http://issuer.example",
    "http://10.0.0.1",
    "http://0.0.0.0",
    "http://localhost.example",
    "http://127.0.0.1.example",
    "http://notlocalhost",
    "http://0x7f.1",
    "http://2130706433",
    "http://[::ffff:10.0.0.1]",
    "ftp://localhost",
    "file:///etc/passwd",
    "unix:///run/x",
    "https://",
    "https:///path",
    "https://user@issuer.example",
    "https://user:secret@issuer.example",
    "http://localhost:80@evil.example",
    "http://localhost@evil.example",
    "https://issuer.example:port",
    "https://issuer.example:99999",
    "https://[::1",
    "http://[::1]evil.example/",
    "http://[::1].evil.example/",
    "http://evil.example[::1]/",
    "https://issuer.example/\n",
    "https://issuer\t.example/",
    "http://localhost\r\n.evil.example/",
    "https://issuer.example/\x1b[31m",
    " https://issuer.example",
]


@pytest.mark.parametrize("url", TRUSTWORTHY)
def test_trustworthy(url: str) -> None:
    assert is_trustworthy_url(url)


@pytest.mark.parametrize("url", NOT_TRUSTWORTHY, ids=ascii)
def test_not_trustworthy(url: str) -> None:
    assert not is_trustworthy_url(url)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "::", "10.0.0.1", "localhost.", "localhost.example", "example", "127.1"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)
