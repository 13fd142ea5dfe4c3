from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.spawn import capabilities


@given(st.integers(0, (1 << len(capabilities.NAMES)) - 1))
def test_names_and_mask_are_inverse(bits):
    assert capabilities.mask(capabilities.names(bits)) == bits


@pytest.mark.parametrize("name", ["CHOWN", "CAP_CHOWN", "cap_chown"])
def test_any_spelling_will_do(name):
    assert capabilities.mask([name]) == 1


def test_an_unknown_name_is_refused():
    with pytest.raises(capabilities.UnknownCapabilityError, match="'CAP_FLY'"):
        capabilities.mask(["CAP_FLY"])


def test_a_containers_inheritable_and_ambient_sets_are_empty():
    sets = capabilities.CapabilitySets.of(capabilities.DEFAULT)
    assert (sets.inheritable, sets.ambient) == (0, 0)
    assert sets.bounding == sets.permitted == sets.effective == 0xA80425FB
