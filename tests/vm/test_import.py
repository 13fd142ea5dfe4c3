import subprocess
import sys

import vm


def test_the_package_loads_without_libvirt():
    code = "import sys; sys.modules['libvirt'] = None; import vm; assert vm.Harness"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_libvirt_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['libvirt'] = None\n"
        "from vm.libvirt_domains import load_libvirt\n"
        "from vm import VmUnavailableError\n"
        "try: load_libvirt()\n"
        "except VmUnavailableError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "libvirt-dev" in said


def test_every_public_name_exists():
    assert all(hasattr(vm, name) for name in vm.__all__)
