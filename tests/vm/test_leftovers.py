"""What a killed libvirt process leaves beside its virtual machines."""

import subprocess
import sys
from pathlib import Path

from tests.waiting import eventually
from vm.leftovers import clear_home


def test_a_probe_that_outlived_its_libvirt_is_ended_and_no_other_process(tmp_path):
    home = tmp_path / "home"
    file = home / "lib" / "qemu" / "qmp-AB12" / "qmp.pid"
    other = home / "lib" / "qemu" / "qmp-CD34" / "qmp.pid"
    waiting = [sys.executable, "-c", "import time; time.sleep(600)"]
    probe, stranger = subprocess.Popen([*waiting, str(file)]), subprocess.Popen(waiting)
    try:
        for path, child in ((file, probe), (other, stranger)):
            path.parent.mkdir(parents=True)
            path.write_text(f"{child.pid}\n")
        # Popen returns a moment before the new program has replaced this one's command line.
        eventually(lambda: str(file).encode() in Path(f"/proc/{probe.pid}/cmdline").read_bytes())
        clear_home(home)
        assert probe.wait(20) == -9
        assert stranger.poll() is None
        assert not home.exists()
    finally:
        for child in (probe, stranger):
            child.kill()
            child.wait()
