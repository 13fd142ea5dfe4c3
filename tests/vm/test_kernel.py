import gzip
import lzma
import os
import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vm.errors import VmError, VmUnavailableError
from vm.kernel import Kernel, fetch_kernel, kernel_in, module, uncompressed, with_dependencies

ELF = b"\x7fELF" + b"kernel" * 100
COMPRESSIONS = {"zstd": zstandard.ZstdCompressor().compress, "xz": lzma.compress, "gzip": gzip.compress}


def bzimage(payload: bytes, setup_sectors: int = 3) -> bytes:
    """A boot header with the four fields that lead to the payload, and the payload."""
    image = bytearray((setup_sectors + 1) * 512)
    image[0x1F1] = setup_sectors
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 16, len(payload) + 4)
    return bytes(image) + b"\0" * 16 + payload + struct.pack("<I", len(ELF))


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_the_elf_inside_is_found(name):
    assert uncompressed(bzimage(COMPRESSIONS[name](ELF))) == ELF


@given(st.integers(1, 64))
def test_it_is_found_behind_any_number_of_setup_sectors(sectors):
    assert uncompressed(bzimage(zstandard.compress(ELF), sectors)) == ELF


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", r"bzImage.*2\.08"),
        (b"MZ" + b"\0" * 4096, r"bzImage.*2\.08"),
        (bzimage(b"BZh9rubbish"), b"BZh9ru".hex()),
        (bzimage(zstandard.compress(ELF)[:-9]), "ELF"),
        (bzimage(zstandard.compress(b"text")), "ELF"),
        (bzimage(b"\x28\xb5\x2f\xfd" + b"\xff" * 40), "zstd "),
    ],
)
def test_what_is_not_a_kernel_is_refused(image, message):
    with pytest.raises(VmError, match=message):
        uncompressed(image)


def test_modules_are_unpacked_and_lose_their_signature(tmp_path):
    kernel = fake_kernel(tmp_path)
    assert module(kernel, "virtio_net") == b"code"


def test_a_module_built_in_is_none_and_an_unknown_one_an_error(tmp_path):
    kernel = fake_kernel(tmp_path)
    assert module(kernel, "virtio_blk") is None
    with pytest.raises(VmError, match="floppy"):
        module(kernel, "floppy")


def test_without_apt_a_kernel_fetched_before_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nonesuch")
    with pytest.raises(VmUnavailableError, match=r"\bapt$"):
        fetch_kernel(tmp_path)
    (tmp_path / "kernel-linux-image-6.12").mkdir()
    (tmp_path / "kernel-linux-image-6.12/vmlinux").touch()
    assert fetch_kernel(tmp_path).version == "6.12"


def test_apt_is_asked_again_only_when_its_lists_have_changed(monkeypatch, tmp_path):
    lists, asked = tmp_path / "lists", []
    lists.mkdir()
    for name in ("6.12", "6.13", "6.14"):
        (tmp_path / f"kernel-linux-image-{name}").mkdir()
    monkeypatch.setattr("vm.kernel._LISTS", lists)
    monkeypatch.setattr(
        "vm.kernel.kernel_package", lambda: asked.append(1) or f"linux-image-6.1{1 + len(asked)}"
    )
    assert [fetch_kernel(tmp_path).version for _ in range(2)] == ["6.12", "6.12"]
    os.utime(lists, (2e9, 2e9))
    assert fetch_kernel(tmp_path).version == "6.13"
    lists.rmdir()
    assert fetch_kernel(tmp_path).version == "6.14"


def test_an_answer_that_cannot_be_kept_does_not_matter(monkeypatch, tmp_path):
    (tmp_path / "kernel-linux-image-6.12").mkdir()
    (tmp_path / "kernel-package").mkdir()
    monkeypatch.setattr("vm.kernel.kernel_package", lambda: "linux-image-6.12")
    assert fetch_kernel(tmp_path).version == "6.12"


def test_a_roots_own_kernel_is_taken(tmp_path):
    root, cache = tmp_path / "root", tmp_path / "cache"
    (root / "boot").mkdir(parents=True)
    with pytest.raises(VmError, match="boot/vmlinuz"):
        kernel_in(root, cache)
    (root / "boot/vmlinuz-6.12.9").write_bytes(bzimage(zstandard.compress(ELF)))
    kernel = kernel_in(root, cache)
    assert (kernel.version, kernel.vmlinux.read_bytes()) == ("6.12.9", ELF)
    assert kernel.modules == root / "lib/modules/6.12.9"


def fake_kernel(home) -> Kernel:
    drivers = home / "modules/kernel/drivers"
    drivers.mkdir(parents=True)
    (drivers / "virtio-net.ko.xz").write_bytes(lzma.compress(b"code~Module signature appended~\n"))
    (home / "modules/modules.builtin").write_text("kernel/drivers/block/virtio_blk.ko\n")
    return Kernel(version="6.12", vmlinuz=home / "z", vmlinux=home / "x", modules=home / "modules")


def test_dependencies_load_first_and_built_in_ones_not_at_all(tmp_path):
    kernel = fake_kernel(tmp_path)
    drivers = kernel.modules / "kernel/drivers"
    for name, needs in {"veth": "", "bridge": "stp,llc", "stp": "llc", "llc": "virtio_blk"}.items():
        (drivers / f"{name}.ko").write_bytes(f"\0name=x\0depends={needs}\0".encode())
    assert list(with_dependencies(kernel, ["bridge", "veth", "stp"])) == ["llc", "stp", "bridge", "veth"]
