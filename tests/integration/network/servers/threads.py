"""http.server with a thread for each connection. Prints its port."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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
        """The greeting, or a mebibyte."""
        self.answer(b"0123456789abcdef" * (1 << 16) if self.path == "/large" else b"hello from inside\n")

    def do_POST(self) -> None:
        """Give back what was sent."""
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """With a backlog that takes many clients at once."""

    request_queue_size = 128

    def handle_error(self, *arguments: object) -> None:
        """Say nothing: clients may go as they like."""


server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
