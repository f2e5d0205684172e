"""A stand-in for wandb's server, on a free port of this machine: whole, refusing the key, or silent."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RUN = {"id": "x", "name": "x", "displayName": "x", "description": "", "config": "{}", "sweepName": None, "historyLineCount": 0,
       "project": {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}}  # fmt: skip
ANSWERS = {
    "RunResumeStatus": {"model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}, "bucket": None}},
    "OrganizationCoreWeave": {"entity": {"organization": {"coreWeaveOrganizationId": None}}},
    "viewer": {"viewer": {"id": "v", "entity": "e", "username": "u", "flags": "{}", "teams": {"edges": []}}},
}


class Server(ThreadingHTTPServer):
    """`answers`: 200, 401, or None to accept every request and never answer it."""

    daemon_threads = True
    answers: int | None = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.over = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Ignore clients that have gone."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.answers is None:
            self.server.over.wait()
            return
        if self.path == "/stall":
            self.server.answers = None
        content = {"errors": [{"message": "permission denied"}]} if self.server.answers == 401 else self._content(body)
        text = json.dumps(content).encode()
        self.send_response(self.server.answers or 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815  names of the standard library

    def _content(self, body):
        if not self.path.endswith("graphql"):
            return {}
        request = json.loads(body)
        if "createRunFiles" in request["query"]:
            files = [
                {"name": name, "uploadUrl": f"{self.server.address}/upload"} for name in request["variables"]["files"]
            ]
            return {"data": {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}}
        if "upsertBucket" in request["query"]:
            bucket = {**RUN, "name": request["variables"]["name"]}
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
        return {"data": next((answer for name, answer in ANSWERS.items() if name in request["query"]), {})}


@contextlib.contextmanager
def serving(answers: int | None = 200) -> Iterator[Server]:
    """A server inside the block."""
    server = Server()
    server.answers = answers
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
