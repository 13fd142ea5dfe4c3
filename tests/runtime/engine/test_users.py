from __future__ import annotations

from pathlib import Path

import pytest

from runtime.engine import EngineError
from runtime.engine.users import resolve_user
from runtime.oci.spec import User


@pytest.fixture
def layers(tmp_path: Path) -> tuple[str, ...]:
    for name, passwd in (
        ("low", "root:x:0:0::/:\nbob:x:7:7::/:\n"),
        ("high", "root:x:0:0::/:\nann:x:5:6::/:\n"),
    ):
        etc = tmp_path / name / "etc"
        etc.mkdir(parents=True)
        (etc / "passwd").write_text(passwd)
    (tmp_path / "low/etc/group").write_text("wheel:x:10:ann,bob\nann:x:6:\nbroken line\n")
    return str(tmp_path / "low"), str(tmp_path / "high")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", User(uid=0, gid=0, additional_gids=(0, 44))),
        ("ann", User(uid=5, gid=6, additional_gids=(6, 44, 10))),
        ("5", User(uid=5, gid=6, additional_gids=(6, 44, 10))),
        ("ann:wheel", User(uid=5, gid=10, additional_gids=(10, 44))),
        ("1234", User(uid=1234, gid=0, additional_gids=(0, 44))),
        ("1234:4321", User(uid=1234, gid=4321, additional_gids=(4321, 44))),
    ],
)
def test_names_and_numbers(layers, text, expected):
    assert resolve_user(text, layers, (44,), None) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bob", "user bob:"),
        ("ann:staff", "group staff:"),
        ("4294967296", "in range 0-2147483647"),
        ("0:2147483648", "in range 0-2147483647"),
        ("-1", "in range 0-2147483647"),
        ("0:-1", "in range 0-2147483647"),
        ("9" * 5000, "user 9+:"),
    ],
)
def test_what_the_topmost_layer_does_not_know_or_nobody_can_have(layers, text, message):
    with pytest.raises(EngineError, match=message):
        resolve_user(text, layers, (), None)


def test_groups_may_be_named(layers):
    found = resolve_user("1234", layers, ("wheel", 44), None)
    assert found.additional_gids == (0, 10, 44)


def test_a_symlink_is_not_followed(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd")
    with pytest.raises(EngineError, match="user daemon:"):
        resolve_user("daemon", (str(tmp_path),), (), None)
