from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from bench.backends.base import BenchImage
from bench.image import ImageError, assemble, build, digest, imported, recipe, trim, workloads
from bench.image.difference import difference
from runtime.image.store.image_store import ImageStore


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def host(tmp_path: Path, text: str) -> recipe.Recipe:
    path = tmp_path / "os-release"
    path.write_text(text)
    return recipe.for_host(os_release=path)


@pytest.mark.parametrize(
    "text, suite, components",
    [
        ("ID=debian\nVERSION_CODENAME=trixie\n", "trixie", "main"),
        ('ID=ubuntu\nVERSION_CODENAME="noble"\n', "noble", "main,universe"),
        ("ID=debian\nVERSION_CODENAME=buster\n", "trixie", "main"),
        ("ID=fedora\nVERSION_ID=42\n", "trixie", "main"),
    ],
)
def test_suite_is_the_hosts_own_where_it_serves(
    tmp_path: Path, text: str, suite: str, components: str
) -> None:
    found = host(tmp_path, text)
    assert (found.suite, found.components) == (suite, components)


def test_digest_changes_with_every_part_of_the_recipe() -> None:
    plain = recipe.for_host()
    changed = msgspec.structs.replace(plain, packages=(*plain.packages, "hello"))
    programs = msgspec.structs.replace(plain, workloads=(("new.c", "00"),))
    assert len({plain.digest, changed.digest, programs.digest}) == 3
    assert programs.system_digest == plain.system_digest != changed.system_digest


def test_flags_of_a_program_come_from_its_first_line() -> None:
    assert workloads.flags("/* cc: -nostdlib -static\n * more */") == ("-nostdlib", "-static")
    assert workloads.flags("/* no flags here */") == ("-static",)


def test_the_first_program_writes_one_byte(tmp_path: Path) -> None:
    source = recipe.WORKLOADS / "first.c"
    (program,) = workloads.compile_all([source], tmp_path, recipe.EPOCH)
    done = subprocess.run([program], capture_output=True)
    assert (done.stdout, done.returncode) == (b"1", 0)
    again = workloads.compile_all([source], tmp_path / "again", recipe.EPOCH)
    assert again[0].read_bytes() == program.read_bytes(), "the same source gives the same bytes"


def test_a_program_that_does_not_compile_says_why(tmp_path: Path) -> None:
    source = write(tmp_path, **{"bad.c": "int main(void) { return x; }"}) / "bad.c"
    with pytest.raises(ImageError, match=r"\bbad\.c: .*\bx\b"):
        workloads.compile_all([source], tmp_path / "out", recipe.EPOCH)


def test_trim_removes_the_marks_of_the_building_machine(tmp_path: Path) -> None:
    root = write(tmp_path, etc__hostname="builder\n", var__log__apt__log="x", usr__sbin__tool="kept")
    trim.trim(root)
    assert (root / "etc/hostname").read_text() == "ninetynine\n"
    assert (root / "var/log/apt").is_dir()
    assert not (root / "var/log/apt/log").exists()
    assert (root / "usr/sbin/tool").read_text() == "kept"


def test_all_times_are_one(tmp_path: Path) -> None:
    root = write(tmp_path / "root", a__b="x")
    (root / "link").symlink_to("nowhere")
    trim.set_times(root, 1000)
    assert {path.lstat().st_mtime for path in (root, *root.rglob("*"))} == {1000}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="owners and device nodes need root")
def test_difference_holds_changes_additions_and_whiteouts(tmp_path: Path) -> None:
    lower = write(tmp_path / "lower", same="1", changed="1", gone="1", dir__same="1", dir__gone="1")
    upper = write(tmp_path / "upper", same="1", changed="2", added="3", dir__same="1")
    difference(lower, upper, tmp_path / "layer")
    found = {str(path.relative_to(tmp_path / "layer")): path for path in (tmp_path / "layer").rglob("*")}
    assert set(found) == {"changed", "added", "gone", "dir", "dir/gone"}
    whiteouts = {name for name, path in found.items() if stat.S_ISCHR(path.lstat().st_mode)}
    assert whiteouts == {"gone", "dir/gone"}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="owners and device nodes need root")
def test_a_layer_made_later_has_the_same_digest(tmp_path: Path) -> None:
    found = set()
    for number in range(2):
        lower = write(tmp_path / f"lower{number}", gone="1", dir__gone="1", dir__same="1")
        upper = write(tmp_path / f"upper{number}", dir__same="1", dir__added="2")
        layer = tmp_path / f"layer{number}"
        difference(lower, upper, layer)
        trim.set_times(layer, recipe.EPOCH)
        found.add(ImageStore(tmp_path / "layout").add_layer(layer).digest)
        time.sleep(0.01)
    assert len(found) == 1


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="owners and device nodes need root")
def test_a_changed_layer_is_noticed(tmp_path: Path) -> None:
    """In an image of its own: other processes use the shared one."""
    images = tmp_path / "image"
    images.mkdir()
    made = assemble.store(images).create("small", [write(tmp_path / "root", dir__file="kept")])
    final = assemble.directory_of(images, made.digest.removeprefix("sha256:"))
    assemble.finish(images, "small", "tests", final)
    image = assemble.load(final)
    assert digest(image) == image.digest
    (image.layers[-1] / "dir/extra").write_text("not in the digest")
    with pytest.raises(ImageError, match="changed"):
        digest(image)


@pytest.mark.parametrize("broken", ["", "{}", '{"manifests": []}'])
def test_what_is_not_a_layout_is_named(tmp_path: Path, broken: str) -> None:
    (tmp_path / "index.json").write_text(broken)
    with pytest.raises(ImageError, match=str(tmp_path)):
        imported.adopt(str(tmp_path), tmp_path / "images", print)


@pytest.mark.root
@pytest.mark.slow
class TestBuilt:
    def test_it_has_layers_of_its_own_and_the_needed_programs(self, bench_image: BenchImage) -> None:
        assert len(bench_image.layers) == len(bench_image.layer_digests) >= 2
        for name in imported.NEEDED:
            assert (bench_image.rootfs / name).exists(), name
        for name in recipe.DIRECTORIES:
            assert (bench_image.rootfs / name).is_dir(), name

    def test_the_flattened_root_is_the_layers_overlaid(self, bench_image: BenchImage) -> None:
        top = bench_image.layers[-1] / "opt/ninetynine/first"
        assert (bench_image.rootfs / "opt/ninetynine/first").read_bytes() == top.read_bytes()
        assert (bench_image.layers[0] / "bin").is_symlink()
        assert not (bench_image.layers[0] / "usr/bin/sysbench").exists()

    def test_a_second_build_finds_the_first(self, bench_image: BenchImage, image_cache: Path) -> None:
        assert build(image_cache) == bench_image

    def test_its_bytes_have_its_digest(self, bench_image: BenchImage) -> None:
        assert digest(bench_image) == bench_image.digest

    def test_it_is_below_a_quarter_of_a_gigabyte(self, bench_image: BenchImage) -> None:
        used = subprocess.run(
            ["du", "-sm", str(bench_image.rootfs)], capture_output=True, text=True, check=True
        )
        assert int(used.stdout.split()[0]) < 250

    def test_two_imports_at_once_make_one_image(self, bench_image: BenchImage, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from bench.image import build;"
            "print(build(Path(sys.argv[1])).digest)"
        )
        environment = {**os.environ, "NINETYNINE_IMAGE": f"{bench_image.layout}:{bench_image.reference}"}
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE
            )
            for _ in range(2)
        ]
        assert [process.communicate()[0] for process in both] == [f"{bench_image.digest}\n".encode()] * 2
        assert not list((tmp_path / "image").glob(".building-*"))
