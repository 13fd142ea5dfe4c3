from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.oci.options import FLAGS, MountOptions, parse_options
from runtime.spawn import linux


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), MountOptions()),
        (("rw", "suid", "defaults"), MountOptions()),
        (("ro",), MountOptions(flags=linux.MS_RDONLY, attributes=linux.MOUNT_ATTR_RDONLY)),
        (("bind",), MountOptions(bind=True)),
        (("rbind",), MountOptions(bind=True, recursive=True)),
        (("rslave",), MountOptions(propagation=linux.MS_SLAVE | linux.MS_REC)),
        (("mode=755", "size=64k"), MountOptions(data="mode=755,size=64k")),
    ],
)
def test_options_are_sorted_by_kind(options, expected):
    assert parse_options(options) == expected


@given(st.lists(st.sampled_from([*FLAGS, "rw", "bind", "size=1", "uid=5"])))
def test_every_option_ends_up_in_one_place(options):
    found = parse_options(tuple(options))
    assert found.flags == sum({FLAGS[o] for o in options if o in FLAGS})
    assert found.data.split(",") == [o for o in options if "=" in o] or not found.data
