"""`nn cp` against a server that plays the daemon's archive: docker's rules, and tars that mean harm."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.verbs.copying import Place, place
from tests.runtime.cli.nn_process import call
from tests.runtime.tiny_server import Request, on_unix

DIRECTORY = 1 << 31


def tar(*entries: tuple[str, bytes | None] | tarfile.TarInfo) -> bytes:
    """None is a directory."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
                continue
            name, content = entry
            info = tarfile.TarInfo(name)
            info.mode = 0o640
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content or b""))
    return data.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


class Box:
    """A container `box` of which the test says what is in it."""

    def __init__(self, path: Path) -> None:
        self.modes: dict[str, int] = {}
        self.tar = b""
        self.put: list[tuple[str, bytes]] = []
        self.server = on_unix(path, self._answer)
        self.host = f"unix://{path}"

    def _answer(self, request: Request) -> None:
        from urllib.parse import parse_qs, urlsplit

        if request.path == "/containers/box/json":
            return request.reply("{}")
        path = parse_qs(urlsplit(request.target).query)["path"][0]
        if request.method == "PUT":
            self.put.append((path, request.body))
            return request.reply()
        if path not in self.modes:
            return request.reply(
                "" if request.method == "HEAD" else '{"message":"Could not find the file"}', 404
            )
        stat = base64.b64encode(json.dumps({"mode": self.modes[path], "name": "x"}).encode()).decode()
        request.reply(b"" if request.method == "HEAD" else self.tar, X_Docker_Container_Path_Stat=stat)
        return None


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path / "s")
    yield made
    made.server.close()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def cp(box: Box, *words: object, status: int = 0, stdin: bytes = b"") -> bytes:
    done = call("cp", *words, config=Path("/none"), host=box.host, stdin=stdin)
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("box:/a", Place("box", "/a")),
        ("box:", Place("box", "/")),
        ("./box:/a", Place("", "./box:/a")),
        ("/a:b", Place("", "/a:b")),
        ("a", Place("", "a")),
        ("-", Place("", "-")),
    ],
)
def test_which_side_is_meant(text: str, found: Place):
    assert place(text) == found


def test_a_file_out(box: Box, here: Path):
    box.modes["/etc/hosts"] = 0o644
    box.tar = tar(("hosts", b"one"))
    cp(box, "box:/etc/hosts", here / "new")
    cp(box, "box:/etc/hosts", here)
    assert (here / "new").read_text() == (here / "hosts").read_text() == "one"
    box.tar = tar(("hosts", b"two"))
    cp(box, "box:/etc/hosts", here / "new")
    assert (here / "new").read_text() == "two"
    assert (here / "new").stat().st_mode & 0o777 == 0o640


def test_a_directory_out(box: Box, here: Path):
    box.modes |= {"/srv": DIRECTORY | 0o755, "/srv/.": DIRECTORY | 0o755}
    box.tar = tar(
        ("srv", None), ("srv/a", b"1"), ("srv/d", None), ("srv/d/b", b"2"), link("srv/l", "/anywhere")
    )
    cp(box, "box:/srv", here / "new")
    assert (here / "new/d/b").read_text() == "2"
    assert str((here / "new/l").readlink()) == "/anywhere"
    cp(box, "box:/srv", here)
    assert (here / "srv/a").read_text() == "1"
    box.tar = tar(("./", None), ("./a", b"3"))
    (here / "into").mkdir()
    cp(box, "box:/srv/.", here / "into")
    assert (here / "into/a").read_text() == "3"


def test_hard_links_come_out_as_such(box: Box, here: Path):
    box.modes["/d"] = DIRECTORY | 0o755
    box.tar = tar(("d", None), ("d/a", b"1"), link("d/b", "d/a", tarfile.LNKTYPE))
    cp(box, "box:/d", here / "e")
    assert (here / "e/a").stat().st_ino == (here / "e/b").stat().st_ino


def test_a_tar_to_standard_output(box: Box):
    box.modes["/x"] = 0o644
    box.tar = tar(("x", b"1"))
    assert cp(box, "box:/x", "-") == box.tar


@pytest.mark.parametrize("into", ["missing/", "missing/deep"])
def test_a_file_needs_its_directory(box: Box, here: Path, into: str):
    box.modes["/x"] = 0o644
    box.tar = tar(("x", b"1"))
    assert f"{here}/{into}:".encode() in cp(box, "box:/x", f"{here}/{into}", status=1)


def test_a_directory_does_not_replace_a_file(box: Box, here: Path):
    box.modes["/d"] = DIRECTORY
    (here / "f").write_text("")
    (here / "to-f").symlink_to("f")
    for name in ("f", "to-f"):
        assert b"cannot copy directory" in cp(box, "box:/d", here / name, status=1)


def test_a_file_does_not_replace_what_shall_be_a_directory(box: Box, here: Path):
    box.modes["/x"] = 0o644
    box.tar = tar(("x", b"1"))
    (here / "f").write_text("")
    for end in ("/", "/."):
        assert b"not a directory" in cp(box, "box:/x", f"{here}/f{end}", status=1)
        assert f"{here}/new{end}:".encode() in cp(box, "box:/x", f"{here}/new{end}", status=1)
        assert f" /new{end}:".encode() in cp(box, here / "f", f"box:/new{end}", status=1)


def test_what_is_named_as_being_in_itself_has_to_be_there(box: Box, here: Path):
    box.modes["/d"] = DIRECTORY | 0o755
    box.tar = tar(("d", None))
    (here / "d").mkdir()
    assert f"{here}/new/.:".encode() in cp(box, "box:/d", f"{here}/new/.", status=1)
    assert b" /new/.:" in cp(box, here / "d", "box:/new/.", status=1)
    assert not box.put and not (here / "new").exists()


def test_it_says_nothing_to_what_is_not_a_terminal(box: Box, here: Path):
    box.modes["/x"] = 0o644
    box.tar = tar(("x", b"1"))
    for words, said in (((), b""), (("-q",), b""), (("--quiet=false",), b"Successfully copied 10.24kB to ")):
        done = call("cp", *words, "box:/x", here, config=Path("/none"), host=box.host)
        assert (done.returncode, done.stderr[: len(said) or None]) == (0, said)


def test_the_content_of_a_directory_becomes_a_new_one(box: Box, here: Path):
    box.modes["/srv/."] = DIRECTORY | 0o755
    box.tar = tar(("./", None), ("./a", b"1"), ("./d", None), ("./d/b", b"2"))
    for target in ("new", "slashed/"):
        cp(box, "box:/srv/.", f"{here}/{target}")
        assert [(here / target / name).read_text() for name in ("a", "d/b")] == ["1", "2"]


def test_a_link_at_the_target_is_followed_and_stays(box: Box, here: Path):
    box.modes |= {"/x": 0o644, "/d": DIRECTORY | 0o755}
    box.tar = tar(("x", b"1"))
    (here / "file").write_text("old")
    (here / "dir").mkdir()
    for name, target in (("to-file", "file"), ("to-dir", "dir"), ("nowhere", "new"), ("twice", "nowhere")):
        (here / name).symlink_to(target)
        cp(box, "box:/x", here / name)
        assert (here / name).readlink() == Path(target)
    assert [(here / name).read_text() for name in ("file", "dir/x", "new")] == ["1"] * 3
    box.tar = tar(("d", None), ("d/a", b"2"))
    (here / "no-dir").symlink_to("made")
    for name in ("to-dir", "no-dir"):
        cp(box, "box:/d", here / name)
    assert [(here / name).read_text() for name in ("dir/d/a", "made/a")] == ["2", "2"]


def test_a_link_that_leads_to_itself_is_not_a_target(box: Box, here: Path):
    box.modes["/x"] = 0o644
    box.tar = tar(("x", b"1"))
    (here / "self").symlink_to("self")
    assert b"too many symlinks" in cp(box, "box:/x", here / "self", status=1)
    assert (here / "self").is_symlink()


@pytest.mark.parametrize(
    "evil",
    [
        (("d/../../escaped", b"x"),),
        (link("d/l", "/tmp"), ("d/l/escaped", b"x")),
        (link("d/l", ".."), ("d/l/escaped", b"x")),
        (("/d/../../escaped", b"x"),),
        (link("d/h", "d/../../secret", tarfile.LNKTYPE), ("d/h", b"x")),
    ],
)
def test_nothing_is_written_outside(box: Box, here: Path, evil: tuple[object, ...]):
    (here / "secret").write_text("mine")
    box.modes["/d"] = DIRECTORY
    box.tar = tar(("d", None), *evil)  # type: ignore[arg-type]
    (here / "in").mkdir()
    said = cp(box, "box:/d", here / "in" / "new", status=1)
    assert b"outside" in said
    assert not list(here.rglob("escaped")) and not Path("/tmp/escaped").exists()
    assert (here / "secret").read_text() == "mine"


def members(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def test_into_a_container(box: Box, here: Path):
    (here / "site/sub").mkdir(parents=True)
    (here / "site/index").write_text("x")
    box.modes["/srv"] = DIRECTORY
    cp(box, here / "site/index", "box:/srv")
    cp(box, here / "site/index", "box:/srv/other")
    cp(box, here / "site", "box:/srv")
    cp(box, here / "site", "box:/srv/www")
    cp(box, f"{here}/site/.", "box:/srv")
    assert [(path, members(data)) for path, data in box.put] == [
        ("/srv", ["index"]),
        ("/srv", ["other"]),
        ("/srv", ["site", "site/index", "site/sub"]),
        ("/srv", ["www", "www/index", "www/sub"]),
        ("/srv", [".", "./index", "./sub"]),
    ]


def test_a_tar_from_standard_input(box: Box):
    box.modes |= {"/srv": DIRECTORY, "/file": 0o644}
    data = tar(("x", b"1"))
    cp(box, "-", "box:/srv", stdin=data)
    assert box.put == [("/srv", data)]
    assert b"not a directory" in cp(box, "-", "box:/file", status=1, stdin=data)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("/a", "/b"), b"must specify at least one container source"),
        (("box:/a", "box:/b"), b"copying between containers is not supported"),
        (("/no/such", "box:/a"), b"does not exist here"),
    ],
)
def test_words_that_cannot_be(box: Box, words: tuple[str, str], said: bytes):
    assert said in cp(box, *words, status=1)
