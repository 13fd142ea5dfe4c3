"""The errors of this package: each names the operation, the object, and what to do next."""

from __future__ import annotations


class VmError(Exception):
    """Something about a virtual machine could not be done. The text is complete as it stands."""


class VmUnavailableError(VmError):
    """Virtual machines cannot run here at all (no libvirt, no QEMU); the text says what to install or ask
    for."""


class GuestError(VmError):
    """The guest refused or ended: a program that is not there, a lost agent, a kernel that never came up."""


class GuestTimeoutError(GuestError):
    """The guest did not answer in the time given."""
