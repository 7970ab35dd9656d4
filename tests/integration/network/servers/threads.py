"""http.server with a thread for each connection: threads.py [PORT [CERTIFICATE KEY]]. Prints its port."""

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def about_self() -> bytes:
    """Return what the system says of this process."""
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return b"descriptors: %d\n" % descriptors + Path("/proc/self/status").read_bytes()


class Handler(BaseHTTPRequestHandler):
    """Answers as the other servers do."""

    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes) -> None:
        """Send it with its length."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """The greeting, a mebibyte, or the process."""
        match self.path:
            case "/large":
                self.answer(b"0123456789abcdef" * (1 << 16))
            case "/self":
                self.answer(about_self())
            case _:
                self.answer(b"hello from inside\n")

    def do_POST(self) -> None:
        """Give back what was sent."""
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """With a backlog that takes many clients at once."""

    request_queue_size = 512

    def handle_error(self, *arguments: object) -> None:
        """Say nothing: clients may go as they like."""


port, *files = [*sys.argv[1:], "0"][: max(1, len(sys.argv) - 1)]
server = Server(("127.0.0.1", int(port)), Handler)
if files:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    # The handshake is the thread's that serves the client.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
