"""Errors of virtual machines. Each names the operation, the object, and what to do next."""

from __future__ import annotations


class VmError(Exception):
    """An operation on a virtual machine failed."""


class VmUnavailableError(VmError):
    """Virtual machines cannot run here (no libvirt, no QEMU); the message says what to install."""


class GuestError(VmError):
    """The guest failed: a missing program, a lost agent, a kernel that did not boot."""


class GuestTimeoutError(GuestError):
    """The guest did not answer in time."""
