"""A Weights & Biases server of one file, on loopback, for the real `wandb` client.

It speaks as much of the protocol as the client of version 0.31 asks for: the GraphQL operations of a run's life
(resume status, upsert, upload addresses, files), the history stream, and the storage of files. Nothing is
verified here but what the client sends; the true server's answers were not at hand.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from base64 import b64encode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

KEY = "0123456789abcdef" * 2 + "01234567"  # the client insists on 40 characters
ENTITY = "lab"  # of the user whose key this is
HISTORY = "wandb-history.jsonl"


@dataclass
class StoredRun:
    """One run as the server holds it."""

    entity: str
    project: str
    name: str
    display_name: str = ""
    group: str | None = None
    config: str = "{}"
    state: str = "running"
    exit_code: int | None = None
    preempting: bool = False
    streams: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows, in the order of the stream."""
        return [json.loads(line) for line in self.streams.get(HISTORY, [])]

    @property
    def lines(self) -> list[str]:
        """The rows as they were sent."""
        return self.streams.get(HISTORY, [])


class WandbServer:
    """Runs in a thread of the test; use as a context manager.

    Attributes:
        runs: what was stored, by "entity/project/run".
        operations: the names of the GraphQL operations asked for, in order.
        silent: while set, requests are accepted and never answered: a black hole.
        withholding: while set, stored files are asked for and never come.
    """

    def __init__(self) -> None:
        self.runs: dict[str, StoredRun] = {}
        self.operations: list[str] = []
        self.silent = threading.Event()
        self.withholding = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._http = _Http(self)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> WandbServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port, as a killed server does."""
        if not self._closing.is_set():
            self._closing.set()
            self._http.shutdown()
            self._http.server_close()

    def environment(self) -> dict[str, str]:
        """The environment variables that lead a client here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}

    def run(self, entity: str, project: str, name: str) -> StoredRun:
        """The run of this address, made if need be."""
        with self._lock:
            path = f"{entity}/{project}/{name}"
            return self.runs.setdefault(path, StoredRun(entity, project, name))

    def address(self, run: StoredRun, file: str) -> str:
        """Where a file of a run is put and got."""
        path = f"{run.entity}/{run.project}/{run.name}/{file}"
        return f"{self.url}/storage/{quote(path)}"

    def wait_while(self, fault: threading.Event) -> None:
        """Hold a request for as long as the fault lasts."""
        while fault.is_set() and not self._closing.is_set():
            time.sleep(0.02)

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` that answers a GraphQL request."""
        match = re.search(r"(?:query|mutation)\s+(\w+)", query)
        operation = match.group(1) if match else ""
        self.operations.append(operation)
        answer = _OPERATIONS.get(operation)
        return answer(self, variables) if answer else {}

    def stream(self, path: list[str], body: dict[str, Any]) -> None:
        """Take in a part of a run's streams: lines placed at an offset."""
        run = self.run(*path)
        with self._lock:
            for name, part in (body.get("files") or {}).items():
                lines = run.streams.setdefault(name, [])
                offset = part["offset"]
                if offset > len(lines):
                    raise ValueError(f"a gap in {name}: offset {offset} after {len(lines)} lines")
                lines[offset : offset + len(part["content"])] = part["content"]
            run.preempting = run.preempting or bool(body.get("preempting"))
            if body.get("complete"):
                run.exit_code = body.get("exitcode")
                failed = "preempted" if run.preempting else "failed"
                run.state = "finished" if run.exit_code == 0 else failed


def _find(server: WandbServer, variables: dict[str, Any]) -> StoredRun | None:
    entity = variables["entity"] or ENTITY
    return server.runs.get(f"{entity}/{variables['project']}/{variables['name']}")


def _bucket(run: StoredRun) -> dict[str, Any]:
    lines = run.lines
    # The client takes a run without its telemetry ("t") for one that never began, and does not resume it.
    telemetry = json.loads(run.config).get("_wandb", {}).get("value", {}).get("t")
    return {
        "id": f"id-{run.name}",
        "name": run.name,
        "displayName": run.display_name,
        "description": None,
        "config": run.config,
        "summaryMetrics": lines[-1] if lines else "{}",
        "sweepName": None,
        "logLineCount": 0,
        "historyLineCount": len(lines),
        "eventsLineCount": 0,
        "historyTail": json.dumps(lines[-1:]),
        "eventsTail": "[]",
        "tags": [],
        "notes": None,
        "wandbConfig": json.dumps({"t": telemetry} if telemetry else {}),
        "state": run.state,
        "group": run.group,
        "project": {
            "id": f"id-{run.project}",
            "name": run.project,
            "entity": {"id": f"id-{run.entity}", "name": run.entity},
        },
    }


def _resume_status(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    run = _find(server, variables)
    entity = {"id": "id-entity", "name": variables["entity"] or ENTITY}
    model = {"id": "id-model", "name": variables["project"], "entity": entity}
    return {"model": {**model, "bucket": _bucket(run) if run else None}}


def _upsert(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    existed = _find(server, variables) is not None
    entity = variables["entity"] or ENTITY
    run = server.run(entity, variables["project"], variables["name"])
    run.display_name = variables.get("displayName") or run.display_name
    run.group = variables.get("groupName") or run.group
    run.config = variables.get("config") or run.config
    if run.state != "running":  # resumed
        run.state, run.preempting = "running", False
    return {"upsertBucket": {"bucket": _bucket(run), "inserted": not existed}}


def _create_files(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    run = server.run(variables["entity"], variables["project"], variables["run"])
    files = [{"name": name, "uploadUrl": server.address(run, name)} for name in variables["files"]]
    return {"createRunFiles": {"runID": "id", "uploadHeaders": [], "files": files}}


def _run(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    run = _find(server, variables)
    if run is None:
        return {"project": {"run": None}}
    times = {"createdAt": "2026-01-01T00:00:00Z", "heartbeatAt": "2026-01-01T00:00:00Z"}
    extra = {"projectId": 1, "jobType": None, "commit": None, "readOnly": False}
    lines = {"systemMetrics": "{}", "historyKeys": None, "user": {"name": "A", "username": "a"}}
    return {"project": {"run": {**_bucket(run), **times, **extra, **lines}}}


def _run_files(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    run = server.runs[f"{variables['entity']}/{variables['project']}/{variables['name']}"]
    names = sorted(run.files)
    first = int(variables.get("fileCursor") or 0)
    last = first + (variables.get("fileLimit") or 50)
    edges = [
        {
            "node": {
                "id": name,
                "name": name,
                "url": server.address(run, name),
                "directUrl": server.address(run, name),
                "sizeBytes": str(len(run.files[name])),
                "mimetype": None,
                "updatedAt": None,
                "md5": None,
            },
            "cursor": str(number + 1),
        }
        for number, name in enumerate(names)
    ][first:last]
    page = {"endCursor": str(last), "hasNextPage": last < len(names)}
    files = {"edges": edges, "pageInfo": page}
    return {"project": {"internalId": 1, "run": {"fileCount": len(names), "files": files}}}


def _viewer(_server: WandbServer, _variables: dict[str, Any]) -> dict[str, Any]:
    viewer = {
        "id": "id-viewer",
        "admin": False,
        "name": "someone",
        "username": "someone",
        "email": "someone@example.org",
        "entity": ENTITY,
        "flags": "{}",
        "apiKeys": {"edges": []},
        "teams": {"edges": []},
    }
    return {"viewer": viewer, "serverInfo": {"features": []}}


_OPERATIONS = {
    "RunResumeStatus": _resume_status,
    "UpsertBucket": _upsert,
    "CreateRunFiles": _create_files,
    "Run": _run,
    "RunFiles": _run_files,
    "Viewer": _viewer,
    "GetDefaultEntity": _viewer,
}


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, wandb: WandbServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wandb = wandb

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed leaves its connection: no news here, others are for the test."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: the test speaks."""

    def do_POST(self) -> None:
        """GraphQL, and parts of a run's streams; whatever else (telemetry) is taken and forgotten."""
        wandb, body = self.server.wandb, self._body()
        wandb.wait_while(wandb.silent)
        if self.path.endswith("/file_stream"):
            wandb.stream(self._parts()[1:4], json.loads(body))
        if self.path != "/graphql":
            self._answer(b"{}")
        elif self._is_known():
            request = json.loads(body)
            data = wandb.graphql(request["query"], request.get("variables") or {})
            self._answer(json.dumps({"data": data}).encode())
        else:
            self._answer(b'{"errors": [{"message": "user is not logged in"}]}', 401)

    def do_PUT(self) -> None:
        """Store a file of a run."""
        wandb, body = self.server.wandb, self._body()
        wandb.wait_while(wandb.silent)
        _, entity, project, name, *file = self._parts()
        wandb.run(entity, project, name).files["/".join(file)] = body
        self._answer(b"{}")

    def do_GET(self) -> None:
        """Give a file of a run."""
        wandb = self.server.wandb
        wandb.wait_while(wandb.silent)
        _, *path = self._parts()
        run = wandb.runs.get("/".join(path[:3]))
        content = run.files.get("/".join(path[3:])) if run else None
        if content is not None:
            wandb.wait_while(wandb.withholding)
        self._answer(content or b"", 200 if content is not None else 404)

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _is_known(self) -> bool:
        credentials = b64encode(f"api:{KEY}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {credentials}"

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
