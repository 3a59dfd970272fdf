"""A server in front of an object store that fails one request in five, in several ways."""

from __future__ import annotations

import http.client
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Overloaded, broken, gone before the answer, gone in the middle of it.
WAYS = ("SlowDown", "InternalError", "reset", "cut")


@dataclass
class FailingStore:
    """Where it listens, and how its requests ended."""

    address: str
    ended: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> float:
        """The share of requests that failed."""
        return 1 - self.ended["answered"] / self.ended.total()


@contextmanager
def failing_store(behind: str, share: float = 0.2) -> Iterator[FailingStore]:
    """Serve what the store `behind` serves, but for a share of the requests."""
    chance = random.Random(1)
    one_at_a_time = threading.Lock()
    host = urlsplit(behind).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with suppress(ConnectionError):
                super().handle_one_request()

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            with one_at_a_time:
                way = chance.choice(WAYS) if chance.random() < share else "answered"
                store.ended[way] += 1
            if way in ("SlowDown", "InternalError"):
                body = f"<Error><Code>{way}</Code><Message>later</Message></Error>".encode()
                self._answer(503 if way == "SlowDown" else 500, [], body)
                return
            if way == "reset":
                self._gone()
                return
            asked = http.client.HTTPConnection(host)
            asked.request(self.command, self.path, sent, dict(self.headers))
            answer = asked.getresponse()
            body = answer.read()
            asked.close()
            if way == "cut" and len(body) > 1:
                self._answer(answer.status, answer.getheaders(), body, len(body) // 2)
                self._gone()
                return
            self._answer(answer.status, answer.getheaders(), body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815

        def _answer(
            self,
            status: int,
            headers: list[tuple[str, str]],
            body: bytes,
            kept: int | None = None,
        ) -> None:
            self.send_response_only(status)
            length = next((v for k, v in headers if k.lower() == "content-length"), len(body))
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length if self.command == "HEAD" else len(body)))
            self.end_headers()
            self.wfile.write(body[:kept])

        def _gone(self) -> None:
            self.wfile.flush()
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    store = FailingStore(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
