"""An admin port whose answers a test writes, and what it was asked."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from attrs import Factory, define

from sidecar.operator.calling import AdminPort


@define
class Double:
    """`answers`: (method, path) -> (status, JSON or bytes)."""

    port: AdminPort
    answers: dict = Factory(dict)
    asked: list = Factory(list)


@pytest.fixture
def admin():
    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            double.asked.append((self.command, self.path, body))
            status, content = double.answers.get((self.command, self.path.partition("?")[0]), (404, b"404: Not Found"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names http.server looks for

        def log_message(self, *_): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    double = Double(AdminPort(f"http://127.0.0.1:{server.server_port}", 20))
    yield double
    server.shutdown()
    thread.join()
    server.server_close()
