"""The part of the Hub's protocol that huggingface-hub speaks, on a loopback address, with faults of real networks."""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repo:
    """A repository and how it misbehaves.

    Attributes:
        files: contents by name.
        status: answers with this instead of a file.
        error: the Hub's X-Error-Code.
        cuts: so many transfers are cut after `cut_at` bytes.
        lies: so many transfers have a byte changed.
        busy: so many requests are answered 429 first.
        html: answers with a proxy's page.
        silent: so many requests are not answered for three seconds.
        pause: seconds between pieces of 64 KiB.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    status: int = 0
    error: str = ""
    cuts: int = 0
    cut_at: int = 0
    lies: int = 0
    busy: int = 0
    html: bool = False
    silent: int = 0
    pause: float = 0.0


class Hub:
    """A server that runs meanwhile, and what it was asked."""

    def __init__(self, repos: dict[str, Repo]) -> None:
        self.repos = repos
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.uploads: dict[str, bytes] = {}
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        port = self.server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        self.storage = f"http://localhost:{port}"  # another host, as the real one's contents have

    def ranges(self) -> list[str]:
        """The Range headers of all transfers."""
        return [headers["range"] for method, _, headers in self.asked if method == "GET" and "range" in headers]

    def transfers(self) -> int:
        return sum(method == "GET" and path.startswith("/cdn/") for method, path, _ in self.asked)


@contextmanager
def served(repos: dict[str, Repo]) -> Iterator[Hub]:
    hub = Hub(repos)
    thread = threading.Thread(target=hub.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: Hub

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._note()
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        repo = self.server_hub.repos.get(found[1]) if found else None
        if found is None or repo is None:
            self._send(401, b"", {"X-Error-Message": "Invalid username or password."})
        elif repo.silent:
            repo.silent -= 1
            time.sleep(3)
            self.close_connection = True
        elif repo.busy:
            repo.busy -= 1
            self._send(429, b"", {"RateLimit": '"resolvers";r=0;t=0'})
        elif repo.html:
            self._send(200, b"<html>Please log in to the guest network</html>")
        elif repo.status:
            self._send(repo.status, b"", {"X-Error-Code": repo.error} if repo.error else {})
        elif found[2] not in ("main", COMMIT):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif found[3] not in repo.files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            content = repo.files[found[3]]
            digest = hashlib.sha256(content).hexdigest()
            headers = {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": f'"{digest}"',
                "X-Linked-Size": str(len(content)),
                "Location": f"{self.server_hub.storage}/cdn/{found[1]}/{found[3]}",
            }
            self._send(302, b"", headers)

    def do_GET(self) -> None:
        self._note()
        found = re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", self.path)
        if found is None:
            self._send(404, b"")
            return
        repo = self.server_hub.repos[found[1]]
        content = repo.files[found[2]]
        start = int(re.findall(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[0])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if repo.lies:
            repo.lies -= 1
            content = content[:-1] + bytes([content[-1] ^ 1])
        end = len(content)
        if repo.cuts:
            repo.cuts -= 1
            end = min(repo.cut_at, end)
            self.close_connection = True
        try:
            for at in range(start, end, 65536):
                self.wfile.write(content[at : min(at + 65536, end)])
                time.sleep(repo.pause)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._note()
        hub = self.server_hub
        if not self.headers.get("Authorization"):
            self._send(401, b'{"error": "Invalid username or password."}')
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
            known = repo in hub.repos
            hub.repos.setdefault(repo, Repo())
            self._json({"url": f"{hub.endpoint}/{repo}", "name": repo}, 409 if known else 200)
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in files
            ]
            self._json({"files": modes})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    "oid": one["oid"],
                    "size": one["size"],
                    "authenticated": True,
                    "actions": {"upload": {"href": f"{hub.endpoint}/lfs/{one['oid']}"}},
                }
                for one in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/.+", self.path)
            assert found
            self._commit(hub.repos[found[1]], body)
            self._json({"commitUrl": f"{hub.endpoint}/{found[1]}/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self._send(404, b"")

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._note()
        self.server_hub.uploads[self.path.rpartition("/")[2]] = content
        self._send(200, b"")

    def _commit(self, repo: Repo, body: bytes) -> None:
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                repo.files[value["path"]] = self.server_hub.uploads[value["oid"]]

    def _note(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server_hub.asked.append((self.command, self.path, headers))

    def _json(self, values: Any, status: int = 200) -> None:
        self._send(status, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
