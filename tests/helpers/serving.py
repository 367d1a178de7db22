"""A server on the loopback interface, for tests of downloads."""

import contextlib
import http.server
import threading
from collections.abc import Iterator

from helpers import tiny


class Server:
    """Serves one answer on the loopback interface, and counts the requests."""

    def __init__(self, content: bytes):
        self.content, self.status, self.claimed = content, 200, len(content)
        self.num_requests = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.num_requests += 1
                self.send_response(server.status)
                self.send_header("Content-Length", str(server.claimed))
                self.end_headers()
                self.wfile.write(server.content)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/{tiny.NAME}.lzma"

    def answer(self, content: bytes, *, status: int = 200, claimed: int | None = None):
        self.content, self.status, self.claimed = content, status, claimed or len(content)


@contextlib.contextmanager
def serve(content: bytes) -> Iterator[Server]:
    """Runs a server that answers with the content."""
    server = Server(content)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
