from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from runtime.cli.errors import CliError
from runtime.cli.verbs import build_context, packing


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    for name in ("Dockerfile", "app/main.py", "app/main.pyc", "big/one", "big/keep", "secret"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "link").symlink_to("app/main.py")
    (root / ".dockerignore").write_text("**/*.pyc\nbig\n!big/keep\nsecret\nDockerfile\n")
    return root


def names(pieces: object) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:  # type: ignore[call-overload]
        return set(archive.getnames())


def test_only_what_is_not_ignored_is_sent(context: Path):
    pieces, dockerfile = build_context.from_directory(str(context), "")
    assert names(pieces) == {".dockerignore", "Dockerfile", "app", "app/main.py", "big/keep", "link"}
    assert dockerfile == "Dockerfile"


def test_a_dockerfile_from_elsewhere_comes_first_and_is_not_copied(context: Path, tmp_path: Path):
    (tmp_path / "Other").write_text("FROM x")
    pieces, dockerfile = build_context.from_directory(str(context), str(tmp_path / "Other"))
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        assert archive.getnames()[0] == dockerfile
        content = archive.extractfile(dockerfile)
        assert content is not None and content.read() == b"FROM x"
        assert archive.getnames().count(".dockerignore") == 1
        rules = archive.extractfile(".dockerignore")
        assert rules is not None and rules.read().decode().splitlines()[-1] == dockerfile


def test_rules_that_make_no_sense_are_refused_by_their_file(context: Path):
    (context / ".dockerignore").write_text("[a\n")
    with pytest.raises(CliError, match=r"\.dockerignore: syntax error in pattern: \[a"):
        build_context.from_directory(str(context), "")


def test_a_missing_context_or_dockerfile_is_reported(tmp_path: Path):
    with pytest.raises(CliError, match=f"must be a directory: {tmp_path / 'no'}"):
        build_context.from_directory(str(tmp_path / "no"), "")
    with pytest.raises(CliError, match=" -f "):
        build_context.from_directory(str(tmp_path), "")


def test_what_is_packed_is_what_tar_reads(tmp_path: Path):
    root = tmp_path / "r"
    (root / ("d" * 90) / ("n" * 90)).mkdir(parents=True)
    (root / "file").write_bytes(bytes(range(256)) * 3000)
    (root / "hard").hardlink_to(root / "file")
    (root / "ünï").write_text("x")
    (root / "soft").symlink_to("nowhere")
    (root / "file").chmod(0o4751)
    data = b"".join(packing.pack(packing.tree(root, "top")))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {member.name: member for member in archive}
        content = archive.extractfile("top/file")
        assert content is not None and content.read() == (root / "file").read_bytes()
    assert members["top/hard"].linkname == "top/file"
    assert members["top/soft"].linkname == "nowhere"
    assert members["top/file"].mode == 0o4751
    assert f"top/{'d' * 90}/{'n' * 90}" in members and "top/ünï" in members


def test_a_file_that_shrinks_does_not_spoil_the_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "f").write_bytes(b"x" * 5000)
    pieces = []
    for piece in packing.pack([(tmp_path / "f", "f"), (tmp_path / "f", "g")]):
        if not pieces:
            (tmp_path / "f").write_bytes(b"y")
        pieces.append(piece)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        assert [member.size for member in archive] == [5000, 1]
