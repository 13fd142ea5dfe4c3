import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.cpio import archive, character_device, directory, file

NAMES = st.text("abcdef/", min_size=1, max_size=20).map(lambda s: s.strip("/") or "x")


@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=6))
def test_every_member_is_found_again_at_a_multiple_of_four(files):
    data = archive(file(name, body) for name, body in files.items())
    assert parse(data) == files
    assert len(data) % 4 == 0


def test_equal_entries_give_equal_bytes():
    entries = [directory("dev"), character_device("dev/console", 5, 1), file("init", b"x", 0o755)]
    assert archive(entries) == archive(entries)


@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed")
def test_another_cpio_reads_it(tmp_path):
    (tmp_path / "a.cpio").write_bytes(archive([directory("d"), file("d/f", b"hello", 0o755)]))
    with (tmp_path / "a.cpio").open("rb") as stream:
        subprocess.run(["busybox", "cpio", "-i"], stdin=stream, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "d/f").read_bytes() == b"hello"
    assert (tmp_path / "d/f").stat().st_mode & 0o777 == 0o755


def parse(data: bytes) -> dict[str, bytes]:
    """Read a newc archive by the letter of its format."""
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        body = at + 110 + name_size + -(at + 110 + name_size) % 4
        if name == "TRAILER!!!":
            return found
        found[name] = data[body : body + size]
        at = body + size + -(body + size) % 4
