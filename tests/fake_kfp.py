"""A stand-in for the API of Kubeflow Pipelines, over HTTP on loopback: no real one can run where these tests run.

It keeps experiments, runs and recurring runs, and refuses a body that the API's own description refuses, where that is
at hand. It runs no pipeline.
"""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.schemas import violations

ROOT = "/apis/v2beta1/"
# Kind -> the key of its id, the key of a list of it, its name in the API's description.
KINDS = {
    "experiments": ("experiment_id", "experiments", "v2beta1Experiment"),
    "runs": ("run_id", "runs", "v2beta1Run"),
    "recurringruns": ("recurring_run_id", "recurringRuns", "v2beta1RecurringRun"),
}


class FakeKfp:
    """One server.

    Attributes:
        things: of each kind, the bodies that were accepted, with their ids.
        described: the definitions of the API's description, closed; None leaves bodies unchecked.
        outage: while set, every call is answered by 503.
    """

    def __init__(self, described: dict[str, Any] | None = None) -> None:
        self.described = described
        self.things: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.outage = False
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeKfp":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, kind: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Take a thing, if the description has nothing against it."""
        if self.described is not None:
            checked = dict(body)
            # The client sends a number where the description, as all 64-bit numbers in JSON, has a string.
            checked.pop("max_concurrency", None)
            wrong = violations(checked, {"$ref": f"#/definitions/{KINDS[kind][2]}", "definitions": self.described})
            if wrong:
                return 400, {"message": "; ".join(wrong)}
        made = {**body, KINDS[kind][0]: str(uuid.uuid4())}
        if kind == "recurringruns":
            made |= {"status": f"{body['mode']}D", "max_concurrency": str(body["max_concurrency"])}
        self.things[kind].append(made)
        return 200, made

    def find(self, kind: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        """Two things a page of those whose name and experiment are asked for."""
        found = self.things[kind]
        for predicate in json.loads(query.get("filter", ['{"predicates": []}'])[0])["predicates"]:
            found = [each for each in found if each[predicate["key"]] == predicate["stringValue"]]
        if "experiment_id" in query:
            found = [each for each in found if each["experiment_id"] == query["experiment_id"][0]]
        start = int(query.get("page_token", ["0"])[0] or 0)
        page = {KINDS[kind][1]: found[start : start + 2]}
        return 200, page | ({"next_page_token": str(start + 2)} if len(found) > start + 2 else {})

    def delete(self, kind: str, name: str) -> tuple[int, Any]:
        """Forget a thing."""
        self.things[kind] = [each for each in self.things[kind] if each[KINDS[kind][0]] != name]
        return 200, {}


def _handler(server: FakeKfp) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def serve(self) -> None:
            parts = urlsplit(self.path)
            kind, _, name = parts.path.removeprefix(ROOT).partition("/")
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            with server.lock:
                if server.outage:
                    answer = 503, {"message": "no database"}
                elif kind == "healthz":
                    answer = 200, {"multi_user": False}
                elif kind not in KINDS:
                    answer = 404, {"message": f"no {parts.path}"}
                elif self.command == "POST":
                    answer = server.create(kind, body)
                elif self.command == "DELETE":
                    answer = server.delete(kind, name)
                else:
                    answer = server.find(kind, parse_qs(parts.query))
            data = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = serve  # noqa: N815

    return Handler
