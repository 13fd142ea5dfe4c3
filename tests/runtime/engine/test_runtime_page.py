from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.paths import REPOSITORY


@pytest.mark.root
def test_the_example_of_the_runtimes_page_runs(tmp_path, rootfs):
    (program,) = re.findall(r"^```py\n(.*?)^```$", (REPOSITORY / "docs/runtime.md").read_text(), re.S | re.M)
    (tmp_path / "layer").symlink_to(rootfs)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
