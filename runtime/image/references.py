"""Image names, `[host[:port]/]path[:tag][@digest]`, in docker's short form. Pure functions."""

from __future__ import annotations

import re

import msgspec

from runtime.image.errors import ImageReferenceError

HUB = "docker.io"
_HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io")
_LONGEST = 255

_HOST = (
    r"(?:(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])(?:\.(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]))*"
    r"|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PART}(?:/{_PART})*)"
    rf"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?"
)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed image name. repository: as docker shows it (`debian`, `user/app`, `host:5000/app`)."""

    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def host(self) -> str:
        """The registry's `host[:port]`; docker.io when the name has none."""
        first, slash, _ = self.repository.partition("/")
        return first if slash and _is_host(first) else HUB

    @property
    def path(self) -> str:
        """The repository within its registry: `library/debian`, `user/app`."""
        if self.host != HUB:
            return self.repository.partition("/")[2]
        return self.repository if "/" in self.repository else f"library/{self.repository}"

    def tagged(self) -> Reference:
        """The same name, with docker's default tag `latest` if it has neither tag nor digest."""
        return self if self.tag or self.digest else msgspec.structs.replace(self, tag="latest")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Parse a name; `docker.io/` and `library/` are dropped. Raises ImageReferenceError."""
    found = _REFERENCE.fullmatch(text)
    if found is not None:
        host, path = found["host"], found["path"]
        if host is not None and not _is_host(host):  # `user/app`: the first part is not a host
            host, path = None, f"{host}/{path}"
        if host in _HUB_NAMES:
            host, path = None, path.removeprefix("library/") if path.count("/") == 1 else path
        elif host is None and path.startswith("library/") and path.count("/") == 1:
            path = path.removeprefix("library/")
        repository = f"{host}/{path}" if host else path
        if len(repository) <= _LONGEST and path == path.lower() and not _is_id(path, host):
            return Reference(repository=repository, tag=found["tag"] or "", digest=found["digest"] or "")
    raise ImageReferenceError(
        f"invalid reference format: image name {text!r} is not valid; use lower case letters, digits, `.`, "
        "`_`, `-`, `/` and an optional :tag or @sha256:digest"
    )


def named_reference(text: str, tag: str = "") -> str:
    """Return the full form of a name for an image; `tag` replaces its tag. A digest is refused."""
    found = parse_reference(text)
    if found.digest:
        raise ImageReferenceError(
            f"image name {text!r} has a digest, which follows from the content; leave it out"
        )
    if found.repository == "sha256":
        raise ImageReferenceError("refusing to create an ambiguous tag using digest algorithm as name")
    return str((msgspec.structs.replace(found, tag=tag) if tag else found).tagged())


def _is_host(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _is_id(path: str, host: str | None) -> bool:
    """A name of 64 hex digits would look like an image id."""
    return host is None and len(path) == 64 and not path.strip("0123456789abcdef")
