"""A model hub on loopback, as far as huggingface_hub needs one, with faults on demand; and processes that use it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cmmlib

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOWHERE = "http://127.0.0.1:9"  # the discard port, which refuses connections at once

Files = Mapping[str, bytes | Path]


class Hub(ThreadingHTTPServer):
    """A hub of repositories by id, with "datasets/" before that of a data set; ``id@commit`` is another state of one."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, Files] = {}
        self.refs: dict[str, dict[str, str]] = {}  # repository → branch → commit; by default main is at COMMIT
        self.faults: dict[str, str] = {}  # repository → gated, private, forbidden, down or torn
        self.sizes: dict[str, int] = {}  # repository/file → the size that the hub claims
        self.requests: list[str] = []
        self.sent: Counter[str] = Counter()  # address → bytes of all answers
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve_folder(self, folder: Path) -> None:
        """Serve what `clip_standin.write` wrote: <folder>/models/<owner>/<name>/… and <folder>/datasets/…"""
        for kind, prefix in (("models", ""), ("datasets", "datasets/")):
            for repo in (folder / kind).glob("*/*"):
                files = {path.relative_to(repo).as_posix(): path for path in repo.rglob("*") if path.is_file()}
                self.repos[f"{prefix}{repo.parent.name}/{repo.name}"] = files

    def handle_error(self, *_):
        """Print nothing when a client goes away."""


FAULTS = {  # status and error code of the real hub
    "gated": (403, "GatedRepo"),
    "private": (401, "RepoNotFound"),
    "forbidden": (403, ""),
    "down": (503, ""),
}


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body: bool = True):
        path = self.path.partition("?")[0]
        self.server.requests.append(f"{self.command} {unquote(path)}")
        if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.+))?)?", path):
            kind, repo, what, revision, under = match.groups()
            repo = repo if kind == "models" else f"datasets/{repo}"
        elif match := re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            (repo, revision, file), what = match.groups(), "file"
        else:
            return self.answer(404, b"", {}, body)
        fault = self.server.faults.get(repo, "")
        if fault in FAULTS:
            status, code = FAULTS[fault]
            return self.answer(status, b"{}", {"X-Error-Code": code} if code else {}, body)
        if repo not in self.server.repos:
            return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        refs = {"main": COMMIT, **self.server.refs.get(repo, {})}
        commit = refs.get(unquote(revision or "main"), revision)
        if commit not in {COMMIT, *refs.values()}:
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
        files = self.server.repos.get(f"{repo}@{commit}", self.server.repos[repo])
        if what == "file":
            name = unquote(file)
            if name not in files:
                return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, body)
            data = _bytes(files[name])
            etag = f'"{hashlib.sha256(data).hexdigest()}"'
            headers = {"ETag": etag, "X-Repo-Commit": commit, "X-Linked-Size": str(self._size(repo, name, files[name]))}
            return self.answer(200, data, headers, body, torn=fault == "torn")
        listing = [
            {"type": "file", "path": name, "size": self._size(repo, name, file), "oid": f"{i:040x}"}
            for i, (name, file) in enumerate(files.items())
            if what != "tree" or not under or name.startswith(f"{unquote(under)}/")
        ]
        info = {"_id": "0", "id": repo.removeprefix("datasets/"), "sha": commit, "private": False, "tags": []}
        info |= {"downloads": 0, "likes": 0, "siblings": [{"rfilename": e["path"], "size": e["size"]} for e in listing]}
        self.answer(200, json.dumps(listing if what == "tree" else info).encode(), {}, body)

    def _size(self, repo: str, name: str, file: bytes | Path) -> int:
        return self.server.sizes.get(f"{repo}/{name}", len(file) if isinstance(file, bytes) else file.stat().st_size)

    def answer(self, status: int, data: bytes, headers: dict[str, str], body: bool, torn: bool = False):
        if status == 200 and (match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            start = int(match[1])  # a download that resumes, or a part
            stop = min(int(match[2]) + 1, len(data)) if match[2] else len(data)
            headers = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
            status, data = 206, data[start:stop]
        if body:
            with self.server.lock:
                self.server.sent[unquote(self.path.partition("?")[0])] += len(data)
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if torn else data)


def _bytes(file: bytes | Path) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()


@contextmanager
def running() -> Iterator[Hub]:
    """A hub without repositories that answers until the block ends."""
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def environment(url: str, home: Path) -> dict[str, str]:
    """The environment of a process whose hub is at ``url`` and whose home, with all caches, is ``home``.

    huggingface_hub reads it when it is imported, so a process that has imported it already needs a `child`.
    """
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if key in os.environ}
    kept["PYTHONPATH"] = os.pathsep.join([str(Path(cmmlib.__file__).parents[1]), kept.get("PYTHONPATH", "")])
    return kept | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home / "hub"),
        "CMMLIB_CACHE": str(home / "cmmlib"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_ETAG_TIMEOUT": "3",
        "OMP_NUM_THREADS": "1",
        "NO_PROXY": "127.0.0.1",
        "HOME": str(home),
    }


LOOP = """
import json, sys
for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:
        reply = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(reply), flush=True)
"""


@contextmanager
def child(script: str, environment: Mapping[str, str], cwd: Path) -> Iterator[Callable[[Any], Any]]:
    """A fresh Python process that answers requests one by one; yields the function that asks it.

    ``script`` defines ``answer(request)``, which takes and returns JSON values.  An exception in it is answered as
    {"error": name of its type, "message": its text}.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", script + LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=dict(environment),
            cwd=cwd,
        )

        def ask(request: Any) -> Any:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            if reply := process.stdout.readline():
                return json.loads(reply)
            errors.seek(0)
            raise AssertionError(errors.read())

        with process:
            try:
                yield ask
                process.stdin.close()
                process.wait(30)
            finally:
                process.kill()
