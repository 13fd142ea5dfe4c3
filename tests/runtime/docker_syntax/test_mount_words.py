"""Options of mounts. Read by: service/validate (create), translate (start); cli/mounts, mounting."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, mounts
from tests.runtime.docker_syntax.refused import TMPFS_OPTIONS

DEFAULTS = ("nosuid", "nodev", "noexec")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", DEFAULTS),
        (",,", DEFAULTS),
        ("exec", ("nosuid", "nodev", "exec")),
        ("exec,noexec", DEFAULTS),
        ("rw,ro", (*DEFAULTS, "ro")),
        ("size=64m,mode=1777", (*DEFAULTS, "size=64m", "mode=1777")),
        ("size=1k,size=2K", (*DEFAULTS, "size=2K")),
        ("size=50%", (*DEFAULTS, "size=50%")),
        ("size=0x10,nr_inodes=1k,nr_blocks=010", (*DEFAULTS, "size=0x10", "nr_inodes=1k", "nr_blocks=010")),
        ("uid=1000,gid=0", (*DEFAULTS, "uid=1000", "gid=0")),
        ("mpol=bind:0", (*DEFAULTS, "mpol=bind:0")),
        ("private,rshared", (*DEFAULTS, "rshared")),
    ],
)
def test_options_override_dockers_own(text: str, options: tuple[str, ...]):
    assert mounts.tmpfs_options(text) == options


@pytest.mark.parametrize("text", TMPFS_OPTIONS)
def test_what_the_kernel_would_not_take_is_refused(text: str):
    with pytest.raises(MalformedError) as caught:
        mounts.tmpfs_options(f"ro,{text}")
    assert str(caught.value).startswith(f"invalid tmpfs option ['{text}']")


@given(st.text("sizemod=uidgr_n,xwk%0123456789", max_size=20))
def test_any_text_is_options_or_refused(text: str):
    with contextlib.suppress(MalformedError):
        assert set(mounts.tmpfs_options(text)) >= set(filter(None, [text.split(",")[-1]]))
