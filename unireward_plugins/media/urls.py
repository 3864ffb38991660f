"""Pictures and clips behind `data:` URLs, and behind `http(s)` addresses where the caller asked for that."""

from __future__ import annotations

import base64
import binascii
import time
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError
from urllib.parse import unquote_to_bytes
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    UnknownHandler,
)

from unireward_plugins.errors import MediaError

MAX_BYTES = 256 * 1024 * 1024
"""The largest file that is fetched."""
MAX_SECONDS = 60.0
"""The longest that fetching one file takes."""


def decode(url: str) -> bytes:
    """The bytes in a `data:` URL (RFC 2397); what it says of its type is ignored, the bytes say that themselves."""
    head, comma, body = url.partition(",")
    if not comma:
        raise MediaError(f"{url[:60]!r} is no data: URL: it has no comma before its data")
    raw = unquote_to_bytes(body)
    if not head.endswith(";base64"):
        return raw
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise MediaError(f"the data: URL {url[:60]!r}... is not valid base64: {error}") from error


def fetch(url: str) -> bytes:
    """The bytes at an `http` or `https` address; raises `MediaError` past the limits of size and time.

    Proxies are taken from the environment. Redirections are followed to other `http` and `https` addresses only.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise MediaError(
            f"{url!r} is not fetched: only http and https addresses are. Get it yourself and pass its path"
        )
    try:
        with _opener().open(url, timeout=MAX_SECONDS) as response:
            content = _read(response, url)
    except HTTPError as error:
        with error:
            raise MediaError(f"{url!r} cannot be fetched: {error}") from error
    except (OSError, HTTPException) as error:
        raise MediaError(f"{url!r} cannot be fetched: {error}") from error
    return content


def _read(response: HTTPResponse, url: str) -> bytes:
    deadline = time.monotonic() + MAX_SECONDS
    content = bytearray()
    # One read gives what has arrived, so that a trickle of bytes cannot outlast the deadline.
    while chunk := response.read1(1 << 20):
        content += chunk
        if len(content) > MAX_BYTES:
            raise MediaError(f"{url!r} holds more than {MAX_BYTES:,} bytes. Get it yourself and pass its path")
        if time.monotonic() > deadline:
            raise MediaError(f"{url!r} took longer than {MAX_SECONDS} s. Get it yourself and pass its path")
    if response.length:
        raise MediaError(f"{url!r} cannot be fetched: the server hung up {response.length:,} bytes before the end")
    return bytes(content)


def _opener() -> OpenerDirector:
    """What opens addresses; unlike the one that urllib builds, it knows neither `file:` nor `ftp:`."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        UnknownHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPDefaultErrorHandler,
        HTTPRedirectHandler,
        HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
