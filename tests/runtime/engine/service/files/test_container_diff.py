"""What `docker diff` tells, of real overlays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runtime.engine.service.files.diff import ADDED, DELETED, MODIFIED, diff
from tests.runtime.engine.service.files.file_boxes import Box, Swapping
from tests.runtime.engine.service.stdio.stream_fakes import ID, NAME

pytestmark = pytest.mark.root


def test_diff_lists_what_is_added_changed_and_deleted(play_box):
    async def scene(box: Box) -> None:
        for name in ("etc/app", "usr/gone/below", "usr/kept", "srv/replaced"):
            (box.lower / name).mkdir(parents=True)
        for name in (
            "etc/conf",
            "usr/gone/below/x",
            "usr/kept/y",
            "srv/replaced/old",
            "srv/replaced/same",
            "kind",
        ):
            (box.lower / name).write_text("lower")
        box.touch()
        place = box.home / "merged"
        place.mkdir()
        subprocess.run(["mount", "-t", "overlay", "overlay", place, "-o", box.options], check=True)
        try:
            (place / "etc/conf").write_text("changed")
            (place / "etc/app/new").write_text("new")
            subprocess.run(
                ["rm", "-r", place / "usr/gone", place / "srv/replaced", place / "kind"], check=True
            )
            (place / "srv/replaced").mkdir()
            (place / "srv/replaced/same").write_text("again")
            (place / "kind").mkdir()
            (place / "kind/inner").touch()
            (place / "opt/deep").mkdir(parents=True)
        finally:
            subprocess.run(["umount", place], check=True)
        for name in ("dev/pts", "proc"):
            (box.upper / name).mkdir(parents=True)
        (box.upper / "etc/hosts").touch()
        found = {change.path: change.kind for change in await diff(box.service, NAME)}
        assert found == {
            "/etc": MODIFIED,
            "/etc/app": MODIFIED,
            "/etc/app/new": ADDED,
            "/etc/conf": MODIFIED,
            "/kind": MODIFIED,
            "/kind/inner": ADDED,
            "/opt": ADDED,
            "/opt/deep": ADDED,
            "/srv": MODIFIED,
            "/srv/replaced": MODIFIED,
            "/srv/replaced/old": DELETED,
            "/srv/replaced/same": MODIFIED,
            "/usr": MODIFIED,
            "/usr/gone": DELETED,
        }
        assert list(found) == sorted(found)

    play_box(scene)


def test_what_never_ran_has_changed_nothing(play_box):
    async def scene(box: Box) -> None:
        assert await diff(box.service, NAME) == []

    play_box(scene)


def test_diff_follows_no_link_of_a_running_container(play_box, secret: Path):
    async def scene(box: Box) -> None:
        box.touch()
        (box.upper / "dir").mkdir()
        (box.upper / "evil").symlink_to(secret)
        with Swapping(box.upper / "dir", box.upper / "evil"):
            for _ in range(100):
                assert not any("secret" in change.path for change in await diff(box.service, ID))

    play_box(scene)
