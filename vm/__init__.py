"""A harness for libvirt/QEMU virtual machines that boot an OCI image, independent of the suite.

Importing this package needs neither libvirt nor QEMU; starting a VM without them raises VmUnavailableError.
"""

from vm.config import SavedVm, VmCompleted, VmConfig, VmImage, VmNetwork, VmRecord
from vm.errors import GuestError, GuestTimeoutError, VmError, VmUnavailableError
from vm.harness import Harness
from vm.machine import Vm, VmChannel

__all__ = [
    "GuestError",
    "GuestTimeoutError",
    "Harness",
    "SavedVm",
    "Vm",
    "VmChannel",
    "VmCompleted",
    "VmConfig",
    "VmError",
    "VmImage",
    "VmNetwork",
    "VmRecord",
    "VmUnavailableError",
]
