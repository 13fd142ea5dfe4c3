"""Which image of an index runs here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.image.registry.platforms import Platform, from_document, host_platform, parse_platform, rank
from runtime.image.registry.registry_errors import RegistryError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("aarch64", f"{host_platform().os}/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/armv6l", "linux/arm/v6"),
        ("LINUX/ARM/V5", "linux/arm/v5"),
        ("windows", f"windows/{host_platform().architecture}"),
        ("macos/arm64", "darwin/arm64"),
        ("linux/sparc64", "linux/sparc64"),
        ("", str(host_platform())),
    ],
)
def test_spellings(text, expected):
    assert str(parse_platform(text)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a/b/c/d", "cannot parse platform specifier"),
        ("nintendo64", "unknown operating system or architecture"),
        ("linux/", '"" is an invalid component of "linux/"'),
        ("/", '"" is an invalid component of "/"'),
        ("  ", "is an invalid component"),
        ("linux/amd 64", '"amd 64" is an invalid component'),
        ("linux/../x", '".." is an invalid component'),
    ],
)
def test_no_platform(text, words):
    with pytest.raises(RegistryError, match=words):
        parse_platform(text)


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/386", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/386", "linux/arm64"], "linux/386"),
        ("linux/amd64", ["linux/amd64/v3"], None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/arm64", ["linux/arm/v7", "linux/amd64"], "linux/arm/v7"),
        ("linux/s390x", ["linux/amd64", "linux/s390x"], "linux/s390x"),
        ("linux/amd64", ["windows/amd64"], None),
    ],
)
def test_the_best_that_runs(wanted, offered, chosen):
    ranks = {text: rank(parse_platform(wanted), parse_platform(text)) for text in offered}
    running = {text: value for text, value in ranks.items() if value is not None}
    assert (min(running, key=running.__getitem__) if running else None) == chosen


PARTS = st.sampled_from(["amd64", "arm", "arm64", "386", "s390x", "x86_64", "armv7l"])


@given(PARTS, st.sampled_from(["", "v1", "v6", "v7", "v8", "v9", "8"]))
def test_each_runs_its_own(architecture, variant):
    document = {"os": "linux", "architecture": architecture, "variant": variant}
    platform = from_document(document)
    assert rank(platform, platform) == 0
    again = {"os": platform.os, "architecture": platform.architecture, "variant": platform.variant}
    assert from_document(again) == platform


FIELDS = st.sampled_from(["os", "architecture", "variant"])


@given(st.dictionaries(FIELDS, st.none() | st.integers() | st.text()))
def test_nonsense_does_not_run(document):
    found = from_document(document)
    assert isinstance(found, Platform)
    if not document.get("os"):
        assert rank(host_platform(), found) is None
