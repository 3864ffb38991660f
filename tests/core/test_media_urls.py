"""Nothing is fetched unasked; what is asked for is fetched from http servers only, within limits."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from unireward_plugins.errors import MediaError
from unireward_plugins.media import Media, urls

_BUFFER = io.BytesIO()
Image.new("RGB", (8, 6), "teal").save(_BUFFER, "PNG")
PNG = _BUFFER.getvalue()


class Pictures(BaseHTTPRequestHandler):
    """A server with one picture, and every way not to give it."""

    asked: list[str]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        match self.path:
            case "/picture.png":
                self.reply(200, PNG)
            case "/moved":
                self.reply(302, location="/picture.png")
            case "/moved-to-a-file":
                self.reply(302, location="file:///etc/hostname")
            case "/moved-to-ftp":
                self.reply(302, location="ftp://127.0.0.1/picture.png")
            case "/moved-to-itself":
                self.reply(302, location="/moved-to-itself")
            case "/endless":
                self.stream(b"x" * 1000, pause=0.0)
            case "/slow":
                self.stream(b"x", pause=0.05)
            case "/cut-off":
                self.send_response(200)
                self.send_header("Content-Length", "100000")
                self.end_headers()
                self.wfile.write(PNG)
            case "/page":
                self.reply(200, b"<html>Not found, but politely</html>")
            case _:
                self.reply(404)

    def reply(self, status: int, body: bytes = b"", *, location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, chunk: bytes, *, pause: float) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(2000):
                self.wfile.write(chunk)
                self.wfile.flush()
                time.sleep(pause)
        except OSError:
            pass  # the client has had enough

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test's output clean."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pictures)
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_nothing_is_fetched_unasked(server: Server) -> None:
    address = f"{server.address}/picture.png"
    for source in (address, [address], {"bytes": None, "path": address}):
        with pytest.raises(MediaError, match=r"nothing is fetched unasked.*Media.of\(address, fetch=True\)"):
            Media.of(source)
    assert server.asked == []


def test_what_is_asked_for_is_fetched(server: Server) -> None:
    for path in ("/picture.png", "/moved"):
        media = Media.of(server.address + path, kind="image", fetch=True)
        assert media == Media.of(PNG)
        assert repr(media) == f"<Media: image, '{server.address}{path}'>"
    assert Media.of([f"{server.address}/moved"], fetch=True) == Media.of([PNG])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nothing", "cannot be fetched: HTTP Error 404"),
        ("/moved-to-a-file", "cannot be fetched"),
        ("/moved-to-ftp", "cannot be fetched: .*unknown url type: ftp"),
        ("/moved-to-itself", "cannot be fetched"),
        ("/cut-off", r"the server hung up 99,\d+ bytes before the end"),
        ("/page", r"/page' is no picture and no clip of a known format: it starts with b'<html>"),
    ],
)
def test_an_address_without_a_picture_is_an_error_that_names_it(server: Server, path: str, message: str) -> None:
    with pytest.raises(MediaError, match=message) as error:
        Media.of(server.address + path, fetch=True)
    assert server.address in str(error.value)


def test_what_is_too_large_or_too_slow_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "MAX_BYTES", 10_000)
    with pytest.raises(MediaError, match=r"/endless' holds more than 10,000 bytes\. Get it yourself"):
        Media.of(f"{server.address}/endless", fetch=True)
    monkeypatch.setattr(urls, "MAX_SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(MediaError, match=r"/slow' took longer than 0\.3 s"):
        Media.of(f"{server.address}/slow", fetch=True)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "address", ["ftp://127.0.0.1/a.png", "s3://bucket/a.png", "rtsp://127.0.0.1/a", "hf://a/b.png"]
)
def test_only_http_addresses_are_fetched(address: str) -> None:
    with pytest.raises(MediaError, match="only http and https addresses are"):
        Media.of(address, fetch=True)


def test_a_file_url_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(PNG)
    with pytest.raises(MediaError, match=r"is a file: URL\. Pass the path itself"):
        Media.of((tmp_path / "picture.png").as_uri(), fetch=True)


def test_a_server_that_is_not_there_is_an_error(server: Server) -> None:
    server.server_close()
    with pytest.raises(MediaError, match="cannot be fetched"):
        Media.of(f"http://127.0.0.1:{server.server_port}/", fetch=True)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("data:image/png", "has no comma before its data"),
        ("data:image/png;base64,AAA", "is not valid base64"),
        ("data:image/png;base64,AA AA=!", "is not valid base64"),
        ("data:image/png;base64,", "is empty"),
        ("data:,hello", "the data: URL 'data:,hello'... is no picture and no clip"),
    ],
)
def test_a_data_url_that_holds_no_picture_is_an_error(url: str, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        Media.of(url)
