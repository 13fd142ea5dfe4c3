from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.vm.vm_builders import host, request
from vm.config import VmNetwork
from vm.domain import domain_xml, kernel_command_line, mac_address, pinned

NETWORK = VmNetwork(address="10.0.0.2/24", gateway="10.0.0.1", bridge="br0")


def xml(**settings) -> ElementTree.Element:
    return ElementTree.fromstring(domain_xml(request(**settings)))


@pytest.mark.parametrize("accel", ["kvm", "tcg"])
@pytest.mark.parametrize("profile", ["tuned", "untuned"])
@pytest.mark.parametrize("machine", ["q35", "microvm"])
def test_libvirt_accepts_every_variant(accel, profile, machine):
    libvirt = pytest.importorskip("libvirt")
    settings = {"vcpus": 2, "cpus": (0, 1), "network": NETWORK, "data_disk_mib": 64}
    text = domain_xml(request(accel=accel, profile=profile, machine=machine, **settings))
    connection = libvirt.open("test:///default")
    connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE).undefine()


def test_tuned_takes_what_the_host_has():
    domain = xml(host_=host(vhost_net=True, free_hugepages_mib=4096), vcpus=2, cpus=(2, 3), network=NETWORK)
    assert domain.find("cpu").get("mode") == "host-passthrough"
    assert domain.find("memoryBacking/hugepages") is not None
    assert [(p.get("vcpu"), p.get("cpuset")) for p in domain.iter("vcpupin")] == [("0", "2"), ("1", "3")]
    assert domain.find("cputune/emulatorpin").get("cpuset") == "2,3"
    disk = domain.find("devices/disk/driver")
    assert (disk.get("cache"), disk.get("io"), disk.get("iothread")) == ("none", "io_uring", "1")
    assert domain.find("devices/interface/driver").get("name") == "vhost"


def test_tuned_does_without_what_the_host_lacks():
    domain = xml(
        host_=host(direct_io=False, io_uring=False, free_hugepages_mib=100, qboot=None), network=NETWORK
    )
    assert domain.find("memoryBacking") is None
    assert domain.find("os/loader") is None
    assert domain.find("devices/interface/driver") is None
    assert domain.find("devices/disk/driver").get("cache") is None


def test_without_io_uring_direct_io_is_native():
    assert xml(host_=host(io_uring=False)).find("devices/disk/driver").get("io") == "native"


def test_untuned_writes_what_a_default_tool_writes():
    domain = xml(profile="untuned", cpus=(0,), network=NETWORK)
    for absent in ("cputune", "iothreads", "memoryBacking", "os/loader", "devices/memballoon"):
        assert domain.find(absent) is None
    assert domain.find("os/kernel").text.endswith("vmlinuz")
    assert domain.find("cpu").get("mode") == "host-model"


def test_emulation_has_its_own_cpu_and_domain_type():
    domain = xml(accel="tcg")
    assert (domain.get("type"), domain.find("cpu").get("mode")) == ("qemu", "maximum")


def test_command_line_gives_the_agent_all_it_needs():
    words = kernel_command_line(request(network=NETWORK, data_disk_mib=8, hostname="box")).split()
    for word in (
        "nn.root=/dev/vda",
        "nn.data=/dev/vdb",
        "nn.ip=10.0.0.2/24",
        "nn.gw=10.0.0.1",
        "nn.host=box",
    ):
        assert word in words


def test_systemd_is_given_the_network_in_its_own_words_and_may_start_anew():
    settings = {"network": NETWORK, "init": "/sbin/init"}
    words = kernel_command_line(request(**settings)).split()
    assert {"nn.init=/sbin/init", "net.ifnames=0", "ip=10.0.0.2::10.0.0.1:255.255.255.0::eth0:none"} <= set(
        words
    )
    assert not [word for word in words if word.startswith("nn.ip")]
    assert xml(**settings).find("on_reboot").text == "restart"
    assert xml(network=NETWORK).find("on_reboot").text == "destroy"


def test_emulated_microvm_is_given_its_clock_or_it_would_hang():
    assert "tsc_early_khz=2600000" in kernel_command_line(request(accel="tcg", machine="microvm"))
    assert "tsc_early_khz" not in kernel_command_line(request(accel="kvm", machine="microvm"))


def test_host_cpus_are_used_in_turn():
    assert pinned(request(vcpus=3, cpus=(4, 6)).config) == ((0, 4), (1, 6), (2, 4))
    assert pinned(request(vcpus=3).config) == ()


def test_names_are_escaped():
    domain = xml(data_disk_mib=1, data_dir=Path("/a & 'b'"))
    assert domain.findall("devices/disk/source")[1].get("file") == "/a & 'b'/nv00c0ffee.data"


def test_owner_is_written_into_the_domain():
    assert xml().find("description").text == "ninetynine vm of 7:42"


def test_mac_address_is_local_and_follows_the_name():
    assert mac_address("nv00c0ffee") == "52:54:00:c0:ff:ee"
