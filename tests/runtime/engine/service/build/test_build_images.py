"""Builds that need no container: what COPY and ADD leave in the image, the cache, stages, the words."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import http.server
import io
import lzma
import os
import stat
import tarfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.engine.errors import BadParameterError, BuildError, EngineError
from runtime.engine.service.build.build import build
from runtime.engine.service.build.options import BuildOptions
from runtime.engine.service.dockerfile.lexer import DockerfileError
from runtime.engine.service.host.events import EventBus
from runtime.engine.service.images import images
from runtime.engine.service.images.image_config import read_document
from runtime.engine.service.model.progress import run_reporting
from runtime.image.archives.loading import load
from runtime.image.errors import ImageError, ImageReferenceError
from runtime.image.layers.layer_view import LayerView
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore

pytestmark = pytest.mark.root


def tar(files: dict[str, Any]) -> bytes:
    """Bytes are files, a str is a link's target, None a directory; a TarInfo stands for itself."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.uid, info.gid, info.mtime, info.mode = 1234, 1234, 1_000_000_000, 0o640
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            elif content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o750
                archive.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Bench:
    """A store, and builds in it."""

    def __init__(self, root: Path) -> None:
        self.store = ImageStore(root)
        self.service: Any = SimpleNamespace(images=self.store, events=EventBus(), registry=None)
        self.said: list[dict[str, Any]] = []

    def build(self, text: str, files: dict[str, Any] | None = None, **options: Any) -> Image:
        named = options.get("dockerfile", "Dockerfile")
        return self.build_tar(tar({named: text.encode(), **(files or {})}), **options)

    def build_tar(self, data: bytes, **options: Any) -> Image:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), 1000):
                yield data[start : start + 1000]

        async def run() -> None:
            wanted = BuildOptions(**options)
            work = lambda say: build(self.service, chunks(), wanted, say)  # noqa: E731
            async for line in run_reporting(work):
                self.said.append(line)

        self.said = []
        asyncio.run(run())
        ids = [line["aux"]["ID"] for line in self.said if "aux" in line]
        return self.store.verify(ids[-1] if ids else self.text().strip())

    def text(self) -> str:
        return "".join(line.get("stream", "") for line in self.said)

    def config(self, image: Image) -> Any:
        return read_document(self.store.content.read_blob(image.id))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "store")


def content(image: Image) -> dict[str, tuple[str, str, int]]:
    """Path → (`uid:gid`, mode, size) of all in an image."""
    tree = LayerView(image.layer_dirs)
    root = tree.find("")
    assert root is not None
    return {
        node.path: (
            f"{node.status.st_uid}:{node.status.st_gid}",
            stat.filemode(node.status.st_mode),
            node.status.st_size if node.is_file else 0,
        )
        for node in tree.walk(root)
        if node.path
    }


def names(image: Image) -> list[str]:
    return sorted(content(image))


# ---- what it says ---------------------------------------------------------------------------------------


def test_it_says_what_docker_says(bench: Bench) -> None:
    image = bench.build("FROM scratch\nCOPY a /\nLABEL x=y\n", {"a": b"1"}, tags=("app", "app:2"))
    first, second, third = (bench.store.resolve(text) for text in (image.parent, image.id, image.id))
    assert bench.text() == (
        "Step 1/3 : FROM scratch\n ---> \nStep 2/3 : COPY a /\n"
        f" ---> {first.id[7:19]}\nStep 3/3 : LABEL x=y\n ---> {second.id[7:19]}\n"
        f"Successfully built {third.id[7:19]}\nSuccessfully tagged app:latest\nSuccessfully tagged app:2\n"
    )
    assert bench.store.resolve("app").id == bench.store.resolve("app:2").id == image.id


def test_a_quiet_build_says_the_id(bench: Bench) -> None:
    image = bench.build("FROM scratch\nLABEL a=b", quiet=True)
    assert bench.said == [{"stream": f"{image.id}\n"}]


def test_the_history_lists_each_step(bench: Bench) -> None:
    image = bench.build("FROM scratch\nCOPY a /b/\nENV A=$A B=2\nMAINTAINER me\nCMD x", {"a": b"1"})
    rows = [row.created_by for row in bench.config(image).history]
    assert rows[0].startswith("/bin/sh -c #(nop) COPY file:")
    assert rows[0].endswith(" in /b/ ")
    assert rows[1:] == [
        "/bin/sh -c #(nop)  ENV A= B=2",
        "/bin/sh -c #(nop)  MAINTAINER me",
        '/bin/sh -c #(nop)  CMD ["/bin/sh" "-c" "x"]',
    ]
    assert bench.config(image).author == "me"
    assert [row.empty_layer for row in bench.config(image).history] == [False, True, True, True]


# ---- settings -------------------------------------------------------------------------------------------


def test_arguments_and_variables(bench: Bench) -> None:
    text = (
        "ARG base=scratch\nFROM $base\nARG who\nARG word=default\nENV word=env\nUSER $who\n"
        "WORKDIR /$word/${missing:-x}\nEXPOSE $port 80\nVOLUME /$who\n"
    )
    image = bench.build(text, buildargs={"who": "OK", "extra": "1", "none": None})
    config = bench.config(image).config
    assert (config.user, config.working_dir) == ("OK", "/env/x")
    assert (config.exposed_ports, config.volumes) == ({"80/tcp": {}}, {"/OK": {}})
    assert "[Warning] One or more build-args [extra none] were not consumed\n" in bench.text()
    assert names(image) == ["env", "env/x"]


def test_an_image_shows_its_parent_and_an_empty_command(bench: Bench) -> None:
    image = bench.build("FROM scratch\nCMD x\nCMD []")
    assert (bench.config(image).config.image, bench.config(image).config.cmd) == (image.parent, [])


def test_labels_of_the_request_come_last_and_are_literal(bench: Bench) -> None:
    image = bench.build("FROM scratch\nLABEL a=1", labels={"a": "$2", "b": 'it\'s "x"'})
    assert bench.config(image).config.labels == {"a": "$2", "b": 'it\'s "x"'}
    assert "Step 3/4 : LABEL a=$2\n" in bench.text()


def test_on_build_triggers_run_in_the_next_build_only(bench: Bench) -> None:
    bench.build("FROM scratch\nONBUILD COPY a /\nONBUILD LABEL t=1", tags=("base",))
    image = bench.build("FROM base\nLABEL x=1", {"a": b"1"})
    assert "# Executing 2 build triggers\n" in bench.text()
    assert names(image) == ["a"]
    config = bench.config(image).config
    assert (config.on_build, config.labels) == (None, {"t": "1", "x": "1"})


# ---- files ----------------------------------------------------------------------------------------------


def test_copies_belong_to_root_and_keep_mode_and_time(bench: Bench) -> None:
    image = bench.build("FROM scratch\nCOPY a d /t/", {"a": b"12", "d": None, "d/x": b"1", "d/l": "x"})
    found = content(image)
    assert found["t/a"] == ("0:0", "-rw-r-----", 2)
    assert found["t/x"] == ("0:0", "-rw-r-----", 1)
    assert found["t/l"][1].startswith("l")
    assert (image.layer_dirs[0] / "t/a").stat().st_mtime == 1_000_000_000


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY a /x", ["x"]),
        ("COPY a /x/", ["x", "x/a"]),
        ("COPY a .", ["a"]),
        ("COPY d /x", ["x", "x/e", "x/e/f"]),
        ("COPY d/ /", ["e", "e/f"]),
        ("COPY d/e/f /", ["f"]),
        ("COPY *.txt /x/", ["x", "x/1.txt", "x/2.txt"]),
        ("COPY d*/e /x", ["x", "x/f"]),
        ("COPY [12].txt /x/", ["x", "x/1.txt", "x/2.txt"]),
        ('COPY ["a", "1.txt", "/x y/"]', ["x y", "x y/1.txt", "x y/a"]),
        ("COPY link /x", ["x"]),
        ("COPY up /x", ["x", "x/f"]),
        ("COPY . /x", ["x", "x/1.txt", "x/2.txt", "x/Dockerfile", "x/a", "x/d", "x/d/e", "x/d/e/f", "x/link",
                       "x/up"]),
    ],
)  # fmt: skip
def test_where_copies_go(bench: Bench, line: str, expected: list[str]) -> None:
    files = {
        "a": b"a",
        "1.txt": b"1",
        "2.txt": b"2",
        "d": None,
        "d/e": None,
        "d/e/f": b"f",
        "link": "a",
        "up": "d/e",
    }
    assert names(bench.build(f"FROM scratch\n{line}", files)) == expected


def test_relative_targets_lie_in_the_working_directory(bench: Bench) -> None:
    image = bench.build("FROM scratch\nWORKDIR /w\nCOPY a b/\nCOPY a .", {"a": b"1"})
    assert names(image) == ["w", "w/a", "w/b", "w/b/a"]


def test_owner_and_mode_may_be_chosen(bench: Bench) -> None:
    files = {
        "passwd": b"bob:x:7:8::/:\n",
        "group": b"bob:x:9:\nwheel:x:10:\n",
        "a": b"1",
        "d": None,
        "d/x": b"",
    }
    text = (
        "FROM scratch\nCOPY passwd group /etc/\nARG who=bob\nCOPY --chown=$who --chmod=4711 a /1\n"
        "COPY --chown=bob:wheel a /new/2\nCOPY --chown=55 d /d\nCOPY --chown=1:2 a /3\n"
    )
    found = content(bench.build(text, files))
    assert found["1"][:2] == ("7:9", "-rws--x--x")
    assert (found["new"][0], found["new/2"][0]) == ("7:10", "7:10")
    assert (found["d"][0], found["d/x"][0], found["3"][0]) == ("55:55", "55:55", "1:2")
    with pytest.raises(BuildError, match="can't find uid for user eve"):
        bench.build("FROM scratch\nCOPY --chown=eve a /", {"a": b""})
    with pytest.raises(BuildError, match=r"'u\+x'"):
        bench.build("FROM scratch\nCOPY --chmod=u+x a /", {"a": b""})


def test_directories_of_the_image_keep_their_looks(bench: Bench) -> None:
    info = tarfile.TarInfo("d")
    info.type, info.mode, info.uid = tarfile.DIRTYPE, 0o1777, 42
    (bench.store.root / "x.tar").write_bytes(tar({"d": info, "link": "d"}))
    bench.store.create("base", [bench.store.root / "x.tar"])
    image = bench.build("FROM base\nCOPY a /d/\nCOPY a /link/b\nCOPY a /d/c/", {"a": b"1"})
    found = content(image)
    assert found["d"][:2] == ("42:0", "drwxrwxrwt")
    assert sorted(found) == ["d", "d/a", "d/b", "d/c", "d/c/a", "link"]


def test_links_of_an_image_never_lead_a_copy_out(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (bench.store.root / "x.tar").write_bytes(tar({"out": str(tmp_path / "host"), "up": "../../../../tmp"}))
    bench.store.create("base", [bench.store.root / "x.tar"])
    image = bench.build("FROM base\nCOPY a /out/x\nCOPY a /up/y", {"a": b"1"})
    assert list((tmp_path / "host").iterdir()) == []
    assert f"{str(tmp_path / 'host').lstrip('/')}/x" in names(image)
    assert "tmp/y" in names(image)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "COPY nothing /",
            "COPY failed: file not found in build context .* stat nothing: file does not exist",
        ),
        ("ADD *.none /", "ADD failed: no source files were specified"),
        ("COPY ../x /", "forbidden path outside the build context: ../x"),
        ("COPY a b /x", "When using COPY with more than one source file"),
        ("COPY a /f/x", "/f:"),
        ("COPY --from=0 a /", "invalid from flag value 0: refers to current build stage"),
        ("COPY --from=1 a /", "invalid from flag value 1: index out of bounds"),
        ("VOLUME /f", "cannot mount volume over existing file, file exists /f"),
        ("WORKDIR /f", "WORKDIR /f:"),
        ("COPY ring /", "'ring'"),
        ("RUN ls", "Please provide a source image"),
    ],
)
def test_what_cannot_be_copied(bench: Bench, line: str, said: str) -> None:
    prefix = "" if line.startswith("RUN") else "COPY a /f\n"
    with pytest.raises((BuildError, ImageError, BadParameterError), match=said):
        bench.build(f"FROM scratch\n{prefix}{line}", {"a": b"1", "b": b"2", "ring": "ring"})
    assert not list((bench.store.root / "tmp").iterdir())


def test_links_of_a_context_stay_in_it(bench: Bench) -> None:
    with pytest.raises(BuildError, match="file does not exist"):
        bench.build("FROM scratch\nCOPY passwd /", {"passwd": "/etc/passwd"})
    with pytest.raises(BuildError, match="file does not exist"):
        bench.build("FROM scratch\nCOPY d/passwd /", {"d": "../../../../../etc"})


def test_hard_links_inside_a_copy_stay_linked(bench: Bench) -> None:
    info = tarfile.TarInfo("d/b")
    info.type, info.linkname = tarfile.LNKTYPE, "d/a"
    image = bench.build("FROM scratch\nCOPY d /d", {"d": None, "d/a": b"1", "d/b": info})
    assert (image.layer_dirs[0] / "d/a").samefile(image.layer_dirs[0] / "d/b")


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_add_unpacks_archives_and_copy_does_not(bench: Bench, compress: Callable[[bytes], bytes]) -> None:
    files = {"a.tar": compress(tar({"x": b"1", "y": None, "y/z": b"2"})), "b.tar": b"no tar"}
    added = bench.build("FROM scratch\nADD a.tar /t\nADD b.tar /t/", files)
    assert names(added) == ["t", "t/b.tar", "t/x", "t/y", "t/y/z"]
    assert content(added)["t/x"][0] == "1234:1234"
    assert names(bench.build("FROM scratch\nCOPY a.tar /t/", files)) == ["t", "t/a.tar"]


def test_an_archive_ends_with_a_whole_end_mark_or_none(bench: Bench) -> None:
    whole = tar({"x": b"1"})[: 3 * 512]  # and half of the mark
    for data in (whole, whole + bytes(512), whole[:1024], whole[:513]):
        assert names(bench.build("FROM scratch\nADD a.tar /t", {"a.tar": data})) == ["t", "t/x"]
    for data in (whole + bytes(511), whole[:-1], tar({"x": b"1", "y": b"2"})[: 2 * 512 + 100]):
        with pytest.raises(BuildError, match=r"a\.tar"):
            bench.build("FROM scratch\nADD a.tar /t", {"a.tar": data})


@pytest.mark.parametrize("name", ["../x", "/etc/evil"])
def test_a_hostile_archive_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(BuildError, match=rf"a\.tar.*{name!r}"):
        bench.build("FROM scratch\nADD a.tar /t", {"a.tar": tar({name: b"1"})})


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = tar({"Dockerfile": b"FROM scratch\nCOPY a /", "a": b"1"})
            data = b"FROM scratch\nLABEL from=url\n" if self.path == "/plain" else data
            self.send_response(200 if self.path != "/missing" else 404)
            self.send_header("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_add_fetches_and_does_not_unpack(bench: Bench, url: str) -> None:
    image = bench.build(f"FROM scratch\nADD {url}/file.tar /t/\nADD {url}/file.tar /named", {})
    assert names(image) == ["named", "t", "t/file.tar"]
    assert content(image)["named"][:2] == ("0:0", "-rw-------")
    assert (image.layer_dirs[-1] / "named").stat().st_mtime == 1_000_000_000
    with pytest.raises(EngineError, match=f"{url}/missing: .*404"):
        bench.build(f"FROM scratch\nADD {url}/missing /x", {})


def test_a_context_may_be_an_url(bench: Bench, url: str) -> None:
    assert names(bench.build_tar(b"", remote=f"{url}/context")) == ["a"]
    image = bench.build_tar(b"", remote=f"{url}/plain", dockerfile="ignored")
    assert bench.config(image).config.labels == {"from": "url"}
    with pytest.raises(DockerfileError, match=r"https://example.invalid/x.git"):
        bench.build_tar(b"", remote="https://example.invalid/x.git")


# ---- the context ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_context_may_be_compressed(bench: Bench, compress: Callable[[bytes], bytes]) -> None:
    data = compress(tar({"Dockerfile": b"FROM scratch\nCOPY a /", "a": b"1"}))
    assert names(bench.build_tar(data)) == ["a"]


def test_the_dockerfile_may_lie_elsewhere(bench: Bench) -> None:
    text = "FROM scratch\nCOPY . /x"
    assert names(bench.build(text, {"d": None}, dockerfile="d/my.dockerfile")) == [
        "x",
        "x/d",
        "x/d/my.dockerfile",
    ]
    assert names(bench.build_tar(tar({"dockerfile": text.encode()}))) == ["x", "x/dockerfile"]
    for wrong, said in (
        ("none", "Cannot locate specified Dockerfile: none"),
        ("../x", "Forbidden path outside"),
    ):
        with pytest.raises(DockerfileError, match=said):
            bench.build_tar(tar({"Dockerfile": text.encode()}), dockerfile=wrong)


@pytest.mark.parametrize(
    ("text", "said"), [("", "cannot be empty"), (" \n\t\n", "no instructions"), ("# only", "no instructions")]
)
def test_a_dockerfile_that_asks_for_nothing_is_refused(bench: Bench, text: str, said: str) -> None:
    with pytest.raises(DockerfileError, match=said):
        bench.build(text)


def test_the_client_leaves_out_what_is_ignored_and_the_daemon_its_own_two_files(bench: Bench) -> None:
    """A second reading here took away what the first had kept: f[!a] left nothing of either."""
    files = {".dockerignore": b"Docker*\n.dockerignore\nf[!a]\n", "f1": b"", "fb": b"", "Dockerfile.md": b""}
    assert names(bench.build("FROM scratch\nCOPY . /", files)) == ["Dockerfile.md", "f1", "fb"]
    files[".dockerignore"] = b"[a\n*\n"
    everything = sorted((*files, "Dockerfile"))
    assert names(bench.build("FROM scratch\nCOPY . /", files)) == everything


def test_a_pattern_names_sources(bench: Bench) -> None:
    files = {"f[a": b"", "fa": b"", "fb": b"", "f!": b"", "d": None, "d/fa": b""}
    assert names(bench.build("FROM scratch\nCOPY f[!b] /", files)) == ["f!", "fb"]
    assert names(bench.build("FROM scratch\nCOPY f[^b] /", files)) == ["f!", "fa"]
    assert names(bench.build("FROM scratch\nCOPY f[[]* /", files)) == ["f[a"]
    with pytest.raises(BuildError, match="COPY failed: syntax error in pattern: x\\["):
        bench.build("FROM scratch\nCOPY x[ /", files)


@pytest.mark.parametrize(
    "data", [b"", b"no tar at all", gzip.compress(b"x" * 600), tar({"../Dockerfile": b"FROM scratch"})]
)
def test_what_is_not_a_context_is_refused(bench: Bench, data: bytes) -> None:
    with pytest.raises((BuildError, DockerfileError)):
        bench.build_tar(data)
    assert bench.store.list() == []
    assert not list((bench.store.root / "tmp").iterdir())


def test_a_context_as_dockers_client_changes_it_has_no_end_mark(bench: Bench) -> None:
    context = tar({"a": b"1", "Dockerfile": b"FROM scratch\nCOPY a /"}).rstrip(b"\0")
    assert names(bench.build_tar(context)) == ["a"]
    with pytest.raises(BuildError, match=r"\btar\b"):
        bench.build_tar(context[:-1])


def test_names_that_mean_whiteouts_in_layers_mean_nothing_in_a_context(bench: Bench) -> None:
    assert names(bench.build("FROM scratch\nCOPY a /", {".wh.a": b"", "a": b"1"})) == ["a"]


# ---- stages ---------------------------------------------------------------------------------------------


def test_a_stage_takes_from_those_before(bench: Bench) -> None:
    text = (
        "FROM scratch AS One\nCOPY a /d/\nFROM scratch\nCOPY --from=one /d /x\nCOPY --from=0 d/a /y\n"
        "FROM one AS last\nLABEL l=1\n"
    )
    image = bench.build(text, {"a": b"1"}, target="1")
    assert names(image) == ["x", "x/a", "y"]
    image = bench.build(text, {"a": b"1"})
    assert names(image) == ["d", "d/a"]
    assert [line["aux"] for line in bench.said if "aux" in line][-1] == {"ID": image.id}


def test_a_copy_may_come_from_another_image(bench: Bench) -> None:
    bench.build("FROM scratch\nCOPY a /d/", {"a": b"1"}, tags=("lib:1",))
    assert names(bench.build("FROM scratch\nCOPY --from=lib:1 /d/a /b")) == ["b"]


# ---- the cache ------------------------------------------------------------------------------------------


def hits(bench: Bench) -> int:
    return bench.text().count(" ---> Using cache\n")


def test_equal_steps_are_reused(bench: Bench) -> None:
    text = "FROM scratch\nENV A=1\nCOPY a /\nWORKDIR /w\nCMD x"
    first = bench.build(text, {"a": b"1"})
    assert hits(bench) == 0
    assert bench.build(text, {"a": b"1", "other": b""}).id == first.id
    assert hits(bench) == 4
    assert bench.build(text, {"a": b"1"}, no_cache=True).id != first.id
    assert hits(bench) == 0


@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        ("FROM scratch\nENV A=1\nCOPY a /\nCMD x", {"a": b"2"}, 1),
        ("FROM scratch\nENV A=2\nCOPY a /\nCMD x", {"a": b"1"}, 0),
        ("FROM scratch\nENV A=1\nCOPY a /b\nCMD x", {"a": b"1"}, 1),
        ("FROM scratch\nENV A=1\nCOPY --chmod=600 a /\nCMD x", {"a": b"1"}, 1),
        ("FROM scratch\nENV A=1\nCOPY a /\nCMD y", {"a": b"1"}, 2),
    ],
)
def test_a_change_is_noticed_and_all_after_it_is_made_anew(
    bench: Bench, text: str, files: dict[str, Any], expected: int
) -> None:
    bench.build("FROM scratch\nENV A=1\nCOPY a /\nCMD x", {"a": b"1"})
    bench.build(text, files)
    assert hits(bench) == expected


def test_an_argument_that_counts_breaks_the_cache(bench: Bench) -> None:
    text = "FROM scratch\nARG v\nLABEL v=$v\nCOPY a /"
    bench.build(text, {"a": b"1"}, buildargs={"v": "1"})
    bench.build(text, {"a": b"1"}, buildargs={"v": "2"})
    assert hits(bench) == 1


def test_only_named_images_are_a_cache_when_some_are_named(bench: Bench) -> None:
    text = "FROM scratch\nENV A=1\nLABEL a=1"
    bench.build(text, tags=("build1",))
    bench.build(text, cache_from=("build1",))
    assert hits(bench) == 2
    bench.build(text, cache_from=("nosuchtag",))
    assert hits(bench) == 0


def test_a_history_from_elsewhere_is_a_cache(bench: Bench, tmp_path: Path) -> None:
    text = "FROM scratch\nENV A=1\nCOPY a /\nWORKDIR /w\nLABEL x=y"
    origin = bench.build(text, {"a": b"1"}, tags=("app",))

    async def saved() -> bytes:
        return b"".join([piece async for piece in await images.save(bench.service, ["app"])])

    here = Bench(tmp_path / "other")
    load(here.store, io.BytesIO(asyncio.run(saved())))
    assert here.store.resolve("app").parent == ""
    for _ in range(2):
        assert here.build(text, {"a": b"1"}, cache_from=("app",)).id == origin.id
        assert hits(here) == 4
    assert here.store.resolve("app").parent != ""
    other = here.build(text.replace("/w", "/v"), {"a": b"1"}, cache_from=("app",))
    assert (hits(here), names(other)) == (2, ["a", "v"])
    here.build(text, {"a": b"2"}, cache_from=("app",))
    assert hits(here) == 1


def test_a_damaged_step_is_made_again(bench: Bench) -> None:
    first = bench.build("FROM scratch\nENV A=1")
    (bench.store.root / "blobs/sha256" / first.digest[7:]).write_bytes(b"{}")
    assert bench.build("FROM scratch\nENV A=1").id != first.id


def test_what_a_build_needs_stays_whatever_is_removed_meanwhile(bench: Bench) -> None:
    """Each step is followed by a prune of all that nobody has, and by the removal of the base."""
    bench.build("FROM scratch\nCOPY a /", {"a": b"1"}, tags=("base",))
    bench.service.containers = SimpleNamespace(list=lambda **_: [])
    base = bench.store.find_id("base")
    said: list[Exception] = []

    def prune() -> None:
        used_by = images.uses(bench.service)
        for reference in ("base", base):
            try:
                bench.store.remove(reference, force=True, used_by=used_by)
            except ImageError as error:
                said.append(error)
        bench.store.prune_images({"dangling": ["false"]}, used_by)

    real = bench.store.register
    bench.store.register = lambda *args, **kwargs: (real(*args, **kwargs), prune())[0]  # type: ignore[method-assign]
    text = "FROM base AS one\nCOPY a /b\nENV A=1\nFROM scratch\nCOPY --from=one /b /c\nLABEL x=y\n"
    image = bench.build(text, {"a": b"2"}, no_cache=True, tags=("made",))
    assert names(image) == ["c"]
    assert said
    bench.store.register = real  # type: ignore[method-assign]
    bench.store.prune_images({}, images.uses(bench.service))
    assert [row.names for row in bench.store.summaries()] == [("made:latest",)]
    assert len(list((bench.store.root / "layers").iterdir())) == 1


# ---- one layer ------------------------------------------------------------------------------------------


def test_a_squashed_image_has_its_base_and_one_layer(bench: Bench) -> None:
    files = {"a": b"1", "b": b"2", "d/x": b"3", "d/y": b"4"}
    base = bench.build("FROM scratch\nCOPY a b /keep/\nCOPY d /d/", files, tags=("base",))
    text = "FROM base\nCOPY a /new/1\nCOPY b /new/1\nCOPY --chown=7 a /keep/b\nENV A=1\nWORKDIR /w\n"
    whole = bench.build(text, files)
    image = bench.build(text, files, squash=True, tags=("one",))
    assert " ---> Using cache" in bench.text()
    assert len(image.layers) == len(base.layers) + 1 < len(whole.layers)
    assert content(image) == content(whole)
    assert bench.store.resolve("one").id == image.id != whole.id
    document = bench.config(image)
    assert (document.config.working_dir, document.history[-1].comment) == (
        "/w",
        f"merge {whole.id} to {base.id}",
    )
    rows = [row for row in document.history if not row.empty_layer]
    assert len(rows) == len(image.layers)
    assert bench.build("FROM scratch\nLABEL a=b", squash=True).layers == ()


# ---- refusals -------------------------------------------------------------------------------------------


def test_what_is_not_supported_is_said_clearly(bench: Bench) -> None:
    with pytest.raises(ImageReferenceError, match="'UPPER'"):
        bench.build("FROM scratch\nLABEL a=b", tags=("UPPER",))
    with pytest.raises(BadParameterError, match="NAME=value"):
        bench.build("FROM scratch\nLABEL a=b", buildargs={"": "x"})
    with pytest.raises(BuildError, match="No image was generated"):
        bench.build("FROM scratch")
    with pytest.raises(BuildError, match="should not be blank"):
        bench.build("ARG x\nFROM $x")


def test_an_image_for_another_machine_is_looked_for_elsewhere(bench: Bench) -> None:
    bench.build("FROM scratch\nLABEL a=b", tags=("base",))
    here = bench.store.resolve("base").config.architecture
    other = "riscv64" if here != "riscv64" else "amd64"
    asked: list[str] = []

    def pull(store: ImageStore, name: str, *, platform: str, **_: Any) -> None:
        asked.append(platform)
        raise ImageError("no such host")

    bench.service.registry = SimpleNamespace(pull=pull)
    bench.build("FROM base\nLABEL c=d", platform=f"linux/{here}")
    bench.build("ARG P\nFROM --platform=$P base\nLABEL c=d", buildargs={"P": f"linux/{here}"})
    assert asked == []
    for text, platform in ((f"FROM --platform=linux/{other} base", ""), ("FROM base", f"linux/{other}")):
        with pytest.raises(BuildError, match="no such host"):
            bench.build(text, platform=platform)
    assert asked == [f"linux/{other}"] * 2


def test_a_failed_build_leaves_nothing_but_its_steps(bench: Bench) -> None:
    with pytest.raises(BuildError):
        bench.build("FROM scratch\nLABEL a=b\nCOPY none /", tags=("app",))
    assert [image.names for image in bench.store.list()] == [()]
    assert not list((bench.store.root / "tmp").iterdir())
    bench.store.prune_images()
    assert bench.store.list() == []


def test_an_image_never_changes_when_another_is_built_on_it(bench: Bench) -> None:
    bench.build("FROM scratch\nCOPY a b /d/", {"a": b"1", "b": b"2"}, tags=("base",))
    before = [
        (path, os.lstat(path).st_mtime_ns) for path in sorted(bench.store.root.rglob("layers/*/tree/**/*"))
    ]
    bench.build("FROM base\nCOPY a /d/b\nADD a /d/c", {"a": b"3"})
    for path, mtime in before:
        assert os.lstat(path).st_mtime_ns == mtime
    bench.store.verify("base")
