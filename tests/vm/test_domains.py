"""`Domains` on libvirt's in-process test driver."""

import pytest

from tests.vm.vm_builders import request
from vm import Harness
from vm.domain import domain_xml
from vm.errors import VmError, VmUnavailableError
from vm.owner import MARK, Owner, current

libvirt = pytest.importorskip("libvirt")
from vm.libvirt_domains import Domains  # noqa: E402

NAME = "nv00c0ffee"


@pytest.fixture
def domains(tmp_path):
    domains = Domains("test:///default", tmp_path)
    yield domains
    domains.destroy(NAME)
    domains.close()


def test_start_and_destroy(domains):
    defined, created = domains.start(NAME, domain_xml(request()))
    assert defined <= created
    assert domains.active(NAME)
    domains.destroy(NAME)
    domains.destroy(NAME)
    assert not domains.active(NAME)


def test_a_domain_that_cannot_be_defined_is_named(domains):
    with pytest.raises(VmError, match=NAME):
        domains.start(NAME, "<domain type='test'/>")


def test_an_unknown_domain_is_named(domains):
    with pytest.raises(VmError, match="nvmissing"):
        domains.resume("nvmissing")


def test_sweep_ends_only_domains_of_dead_owners(domains):
    xml = domain_xml(request())
    mark = f"{MARK}{Owner(7, 42)}"
    domains.start(NAME, xml.replace(mark, f"{MARK}{current()}"))
    assert domains.sweep() == []
    domains.destroy(NAME)
    domains.start(NAME, xml.replace(mark, f"{MARK}{Owner(2**22, 1)}"))
    assert domains.sweep() == [NAME]
    assert not domains.active(NAME)


def test_an_unreachable_libvirt_is_unavailable_with_a_way_out(tmp_path):
    with pytest.raises(VmUnavailableError, match=r"socket=/nonesuch: .*qemu:///embed"):
        Domains("qemu+unix:///system?socket=/nonesuch", tmp_path)


def test_a_refused_connection_does_not_spoil_the_next(short_root, tmp_path):
    with Harness(short_root / "vm", tmp_path, "tcg", "test:///nowhere.xml") as harness:
        for _ in range(2):
            with pytest.raises(VmUnavailableError, match=r"test:///nowhere\.xml"):
                harness.version()
    assert not list((short_root / "vm").iterdir())
