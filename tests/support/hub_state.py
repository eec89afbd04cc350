"""The repositories of a small Hub, in memory: branches, tags, and commits that never change."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from functools import cached_property
from threading import RLock
from types import MappingProxyType

LFS_PATTERNS = ("*.safetensors", "*.onnx", "*.png", "*.parquet")
GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()


def is_lfs(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in LFS_PATTERNS)


@dataclass(frozen=True)
class Blob:
    """A file's content; of an LFS file git itself keeps only the pointer."""

    data: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def oid(self) -> str:
        stored = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    sha: str
    parent: str | None
    title: str
    description: str
    date: str
    blobs: Mapping[str, Blob]

    @property
    def files(self) -> dict[str, bytes]:
        return {path: blob.data for path, blob in self.blobs.items()}

    @property
    def lfs(self) -> set[str]:
        return {path for path, blob in self.blobs.items() if blob.lfs}

    def below(self, folder: str) -> list[str]:
        """The files at any depth under a folder; "" is the root."""
        return [path for path in self.blobs if not folder or path.startswith(f"{folder}/")]

    def folders(self) -> set[str]:
        parts = [path.split("/")[:-1] for path in self.blobs]
        return {"/".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1)}


@dataclass
class Repo:
    """Born with one commit that holds only .gitattributes, as on the Hub."""

    type: str
    id: str
    private: bool = False
    sdk: str | None = None
    default: str = "main"
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    history: dict[str, Commit] = field(default_factory=dict)
    objects: dict[str, Blob] = field(default_factory=dict)  # LFS content that arrived, committed or not, by SHA-256
    awaited: set[str] = field(default_factory=set)  # LFS content that a client was told to upload

    def __post_init__(self):
        self.add(self.default, {".gitattributes": Blob(GITATTRIBUTES, lfs=False)}, "initial commit")

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    @property
    def page(self) -> str:
        """The path of its page, where the address of each of its files begins."""
        return f"/{self.id}" if self.type == "model" else f"/{self.type}s/{self.id}"

    def find(self, revision: str) -> Commit | None:
        """The commit that a branch, a tag or a full hash names."""
        return self.history.get(self.branches.get(revision) or self.tags.get(revision) or revision)

    def log(self, revision: str) -> list[Commit]:
        """A revision's commits, newest last."""
        commits, commit = [], self.find(revision)
        while commit is not None:
            commits.append(commit)
            commit = self.history.get(commit.parent)
        return commits[::-1]

    def add(self, branch: str, changes: Mapping[str, Blob | None], title: str, description: str = "") -> Commit:
        """One commit on top of a branch; None deletes a file."""
        parent = self.branches.get(branch)
        merged = {**(self.history[parent].blobs if parent else {}), **changes}
        blobs = {path: merged[path] for path in sorted(merged) if merged[path] is not None}
        content = [(path, blob.oid) for path, blob in blobs.items()]
        sha = hashlib.sha1(repr((self.type, self.id, len(self.history), title, content)).encode()).hexdigest()
        date = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=len(self.history))
        commit = Commit(sha, parent, title, description, f"{date:%Y-%m-%dT%H:%M:%S.000Z}", MappingProxyType(blobs))
        self.objects.update({blob.sha256: blob for blob in blobs.values() if blob.lfs})
        self.history[sha] = commit
        self.branches[branch] = sha
        return commit


class Store:
    """All repositories, behind one lock; the methods are for tests, and show what a client did or act beside it."""

    def __init__(self):
        self.lock = RLock()
        self.repos: dict[tuple[str, str], Repo] = {}

    def repo(self, repo_id: str, repo_type: str = "model") -> Repo:
        return self.repos[repo_type, repo_id]

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, bytes] | None = None,
        repo_type: str = "model",
        private: bool = False,
        branch: str = "main",
        sdk: str | None = None,
    ) -> str:
        """A repository whose first commit after the initial one holds `files`; returns its head."""
        with self.lock:
            if (repo_type, repo_id) in self.repos:
                raise ValueError(f"the {repo_type} {repo_id} exists")
            self.repos[repo_type, repo_id] = Repo(repo_type, repo_id, private, sdk, branch)
            if files:
                return self.commit(repo_id, files, "files", branch, repo_type)
            return self.repo(repo_id, repo_type).branches[branch]

    def commit(
        self,
        repo_id: str,
        files: Mapping[str, bytes | None],
        title: str = "somebody else",
        revision: str = "main",
        repo_type: str = "model",
    ) -> str:
        """A commit that no client made, on a branch that may be new; None deletes a file. Returns its hash."""
        changes = {path: data if data is None else Blob(data, is_lfs(path)) for path, data in files.items()}
        with self.lock:
            repo = self.repo(repo_id, repo_type)
            repo.branches.setdefault(revision, repo.branches[repo.default])
            return repo.add(revision, changes, title).sha

    def files(self, repo_id: str, revision: str = "main", repo_type: str = "model") -> dict[str, bytes]:
        with self.lock:
            return self.repo(repo_id, repo_type).find(revision).files

    def commits(self, repo_id: str, revision: str = "main", repo_type: str = "model") -> list[Commit]:
        """Newest last."""
        with self.lock:
            return self.repo(repo_id, repo_type).log(revision)
