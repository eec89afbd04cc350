"""A repository behind the Hub's read API, for the real client over real HTTP."""

import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "1" * 40


@contextmanager
def serve(repo_id: str, files: dict[str, Path], revision: str = "main"):
    """Serves `files` (path in the repository -> file) as the data set or model `repo_id`; yields the endpoint."""

    def entry(path):
        data = files[path].read_bytes()
        return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def children(folder):
        below = [path for path in files if Path(folder) in Path(path).parents]
        here = [path for path in below if Path(path).parent == Path(folder)]
        folders = {"/".join(Path(path).parts[: len(Path(folder).parts) + 1]) for path in below if path not in here}
        return [entry(path) for path in here] + [{"type": "directory", "path": f, "oid": "0"} for f in sorted(folders)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            kind = "api" if parts[0] == "api" else "files"
            skip = {"api": 2, "datasets": 1}.get(parts[0], 0)  # a model's files have no word before its name
            name, rest = "/".join(parts[skip : skip + 2]), parts[skip + 2 :]
            asked = rest[1] if len(rest) > 1 else revision
            if name != repo_id:
                return self.answer(404, error="RepoNotFound")
            if asked not in (revision, COMMIT):
                return self.answer(404, error="RevisionNotFound")
            if kind == "api" and (not rest or rest[0] == "revision"):
                siblings = [{"rfilename": path} for path in files]
                info = {"_id": "1", "id": repo_id, "sha": COMMIT, "private": False, "downloads": 0, "likes": 0,
                        "tags": [], "siblings": siblings}  # fmt: skip
                return self.answer(200, json.dumps(info).encode())
            if kind == "api" and rest[0] == "tree":
                return self.answer(200, json.dumps(children("/".join(rest[2:]))).encode())
            if kind == "api" and rest[0] == "paths-info":
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                return self.answer(200, json.dumps([entry(path) for path in files if path in body]).encode())
            path = "/".join(rest[2:])
            if kind == "files" and rest[0] == "resolve" and path in files:
                return self.answer(200, files[path].read_bytes(), etag=entry(path)["oid"])
            return self.answer(404, error="EntryNotFound")

        do_HEAD = do_POST = do_GET

        def answer(self, status, body=b"", error=None, etag=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Repo-Commit", COMMIT)
            if error:
                self.send_header("X-Error-Code", error)
            if etag:
                self.send_header("ETag", f'"{etag}"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
