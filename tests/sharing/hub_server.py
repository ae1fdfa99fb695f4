"""A server on this machine that speaks the Hub's endpoints which packages go through.

It keeps commits, tags and large files in memory, as the Hub's documentation and huggingface_hub's
requests describe them: creating repositories, preupload, large-file batches, commits, tags,
listings, and resolving files.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Repository:
    """Commits, oldest first, each with its files, and what tags point at."""

    commits: list[tuple[str, Files]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def add(self, files: Files) -> str:
        """Commit files."""
        commit = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits.append((commit, files))
        return commit

    def at(self, revision: str) -> tuple[str, Files] | None:
        """The commit that a revision names, with its files."""
        if revision == "main":
            return self.commits[-1]
        wanted = self.tags.get(revision, revision)
        return next((found for found in self.commits if found[0] == wanted), None)


@dataclass
class Hub:
    """What the server keeps, and what it was asked.

    Attributes:
        endpoint: Its address.
        repositories: By ``owner/name``.
        large: Contents of large files by their SHA-256.
        requests: Method and path of every request.
    """

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """Run a server while the block runs."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for method, pattern, act in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method.split():
                act(self, body, *found.groups())
                return
        self._fail(404, "EntryNotFound")

    def json(self, content: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.bytes(json.dumps(content).encode(), {"Content-Type": "application/json"}, status)

    def bytes(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
        """Answer with bytes."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _fail(self, status: int, code: str) -> None:
        self.bytes(b"{}", {"X-Error-Code": code, "X-Error-Message": code}, status)

    def repository(self, name: str) -> Repository | None:
        """A repository, or none after saying so."""
        found = self.hub.repositories.get(name)
        if found is None:
            self._fail(404, "RepoNotFound")
        return found

    def create(self, body: bytes) -> None:
        """Make a repository, with what the Hub puts in it."""
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if name in self.hub.repositories:
            self.json({"error": "exists", "url": f"{self.hub.endpoint}/{name}"}, 409)
            return
        repository = self.hub.repositories[name] = Repository()
        repository.add({".gitattributes": b"*.safetensors filter=lfs\n"})
        self.json({"url": f"{self.hub.endpoint}/{name}", "id": name})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        """Say which files are large."""
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in json.loads(body)["files"]
        ]
        self.json({"files": files})

    def batch(self, body: bytes, name: str) -> None:
        """Say where large files go."""
        objects = [
            {**asked, "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{asked['oid']}"}}}
            for asked in json.loads(body)["objects"]
        ]
        self.json({"transfer": "basic", "objects": objects})

    def put(self, body: bytes, oid: str) -> None:
        """Take a large file."""
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.large[oid] = body
        self.json({})

    def commit(self, body: bytes, name: str, revision: str) -> None:
        """Commit what is added and deleted."""
        repository = self.repository(name)
        if repository is None:
            return
        files = dict(repository.commits[-1][1])
        for line in body.decode().splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        same = files == repository.commits[-1][1]
        commit = repository.commits[-1][0] if same else repository.add(files)
        url = f"{self.hub.endpoint}/{name}/commit/{commit}"
        self.json({"success": True, "commitOid": commit, "commitUrl": url})

    def tag(self, body: bytes, name: str, revision: str) -> None:
        """Make a tag, or remove it."""
        repository = self.repository(name)
        if repository is None:
            return
        if self.command == "DELETE":
            del repository.tags[revision]
        else:
            found = repository.at(revision)
            assert found is not None
            repository.tags[json.loads(body)["tag"]] = found[0]
        self.json({})

    def refs(self, body: bytes, name: str) -> None:
        """List branches and tags."""
        repository = self.repository(name)
        if repository is None:
            return
        branches = [("main", "refs/heads/main", repository.commits[-1][0])]
        tags = [(tag, f"refs/tags/{tag}", commit) for tag, commit in repository.tags.items()]
        keys = ("name", "ref", "targetCommit")
        listed = [[dict(zip(keys, ref, strict=True)) for ref in refs] for refs in (branches, tags)]
        self.json({"branches": listed[0], "tags": listed[1], "converts": []})

    def info(self, body: bytes, name: str, revision: str = "main") -> None:
        """Describe a revision."""
        repository = self.repository(name)
        found = repository and repository.at(revision)
        if not found:
            return self._fail(404, "RevisionNotFound") if repository else None
        siblings = [{"rfilename": path, "size": len(data)} for path, data in found[1].items()]
        self.json({"id": name, "modelId": name, "sha": found[0], "siblings": siblings, "tags": []})

    def tree(self, body: bytes, name: str, revision: str) -> None:
        """List the files of a revision."""
        repository = self.repository(name)
        found = repository and repository.at(revision)
        if found:
            self.json(
                [
                    {"type": "file", "path": path, "size": len(data), "oid": _git_oid(data)}
                    for path, data in found[1].items()
                ]
            )

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        """Give a file, or what is known of it."""
        repository = self.repository(name)
        if repository is None:
            return
        found = repository.at(revision)
        if found is None:
            self._fail(404, "RevisionNotFound")
        elif path not in found[1]:
            self._fail(404, "EntryNotFound")
        else:
            etag = hashlib.sha256(found[1][path]).hexdigest()
            self.bytes(found[1][path], {"ETag": f'"{etag}"', "X-Repo-Commit": found[0]})

    def validate(self, body: bytes) -> None:
        """Find nothing wrong in a card's front matter."""
        self.json({"errors": [], "warnings": []})


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


_REPO = r"([^/]+/[^/]+)"
_ROUTES: tuple[tuple[str, str, Any], ...] = (
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate),
    ("POST", rf"/api/models/{_REPO}/preupload/([^/]+)", _Handler.preupload),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", r"/lfs/([0-9a-f]+)", _Handler.put),
    ("POST", rf"/api/models/{_REPO}/commit/([^/]+)", _Handler.commit),
    ("POST DELETE", rf"/api/models/{_REPO}/tag/([^/]+)", _Handler.tag),
    ("GET", rf"/api/models/{_REPO}/refs", _Handler.refs),
    ("GET", rf"/api/models/{_REPO}/revision/([^/]+)", _Handler.info),
    ("GET", rf"/api/models/{_REPO}/tree/([^/]+)", _Handler.tree),
    ("GET", rf"/api/models/{_REPO}", _Handler.info),
    ("GET HEAD", rf"/{_REPO}/resolve/([^/]+)/(.+)", _Handler.resolve),
)
