"""Start, save, restore and end VMs; leave nothing behind.

    with Harness(Path("/run/nnvm"), Path("/var/cache/nnvm")) as harness:
        image = harness.prepare(rootfs, digest)
        with harness.start(VmConfig(image=image)) as vm:
            print(vm.exec(["uname", "-r"]).stdout, vm.record.phases)

A harness makes `root/<id>/`, writes its owner there and keeps all its files below. libvirt runs in a child
process (`vm.driver`) that ends all VMs when this process dies, even by kill -9. If both were killed, the next
harness on the same root cleans up. The calling process gets no extra thread.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from vm.boot import Booted, Connect, boot, connect_guest, wake
from vm.config import Accelerator, SavedVm, VmConfig, VmImage
from vm.disk import build_base, overlay_template
from vm.domain import DomainSpec, VmFiles
from vm.driver_client import Driver, DriverProcess
from vm.errors import VmError
from vm.home import Home
from vm.host_abilities import HostAbilities, look
from vm.initramfs import BASE_MODULES, build_initramfs
from vm.kernel import fetch_kernel, kernel_in
from vm.leftovers import end_vm, sweep_root
from vm.machine import Vm
from vm.probe import usable_kvm

EMBED = "qemu:///embed"


class Harness:
    """All VMs of one caller. Several harnesses may exist at once, also on one root, in one process or more.

    root: a directory for sockets and overlays, with a short path (socket paths hold 107 bytes), on a disk.
    cache: kernel, initramfs, base disks; shared and kept.
    accel: `kvm` or `tcg`; None takes KVM if guest code really runs under it.
    uri: `qemu:///embed` (no daemon) or `qemu:///system`.
    driver, connect: replace libvirt's process and the guest's sockets, for tests.
    """

    def __init__(
        self,
        root: Path,
        cache: Path,
        accel: Accelerator | None = None,
        uri: str = EMBED,
        *,
        driver: Driver | None = None,
        connect: Connect = connect_guest,
    ) -> None:
        self._root, self._cache, self._uri = root.absolute(), cache.absolute(), uri
        self._accel, self._driver, self._connect = accel, driver, connect
        self._home: Home | None = None
        self._host: HostAbilities | None = None
        self._vms: dict[str, Vm] = {}

    @property
    def accel(self) -> Accelerator:
        """The accelerator in use; the first call may run the KVM probe."""
        if self._accel is None:
            self._accel = "kvm" if usable_kvm().usable else "tcg"
        return self._accel

    def version(self) -> str:
        """Return the versions of libvirt and QEMU; connects. VmUnavailableError if that fails."""
        return self._open()[0].version()

    def prepare(
        self, rootfs: Path, digest: str, modules: Sequence[str] = BASE_MODULES, own_kernel: bool = False
    ) -> VmImage:
        """Make kernel, initramfs, ext4 base and empty overlay of an image's root, each cached by its sources.

        The root must be flattened, without whiteouts. The kernel is that of the host's distribution, or with
        `own_kernel` the one installed in the root. The first call takes about ten seconds (kernel download,
        mke2fs), later ones milliseconds.
        """
        kernel = kernel_in(rootfs, self._cache) if own_kernel else fetch_kernel(self._cache)
        base = build_base(rootfs, digest, self._cache)
        return VmImage(
            digest=digest,
            kernel_version=kernel.version,
            vmlinux=kernel.vmlinux,
            vmlinuz=kernel.vmlinuz,
            initramfs=build_initramfs(kernel, self._cache, modules),
            base=base,
            overlay=overlay_template(base),
        )

    def start(self, config: VmConfig) -> Vm:
        """Boot a VM until its agent's hello (or its program's first byte). After an error nothing is left."""
        requested = time.monotonic_ns()
        driver, home, host = self._open()
        name = f"nv{secrets.token_hex(4)}"
        files = VmFiles.of(home.path, name, config)
        _check(config, files)
        request = DomainSpec(
            name=name, config=config, accel=self.accel, files=files, host=host, owner=home.owner
        )
        try:
            home.enter(name, files)
            booted = boot(driver, request, self._cache, self._connect, requested)
            return self._adopt(driver, name, config, files, booted)
        except BaseException:
            self._free(name, files)
            raise

    def restore(self, saved: SavedVm) -> Vm:
        """Restore a saved VM. The guest gets our wall clock and fresh random bytes before this returns."""
        requested = time.monotonic_ns()
        driver, home, _ = self._open()
        if saved.name in self._vms:
            raise VmError(f"restore {saved.path}: {saved.name} still runs; stop it first")
        files = VmFiles.of(home.path, saved.name, saved.config)
        if files.disks() != tuple(disk for _, disk in saved.disks):
            raise VmError(f"restore {saved.path}: it was saved by another harness; restore it with that one")
        try:
            home.enter(saved.name, files)
            booted = wake(driver, saved, files, home.owner, self._connect, requested)
            return self._adopt(driver, saved.name, saved.config, files, booted)
        except BaseException:
            self._free(saved.name, files)
            raise

    def sweep(self) -> list[str]:
        """Remove what dead harnesses left on this root, their taps, and their domains in a shared libvirt."""
        removed = sweep_root(self._root)
        if self._driver is not None:
            removed += self._driver.sweep()
        return removed

    def close(self) -> None:
        """Stop all VMs and remove everything of this harness. Idempotent."""
        for vm in list(self._vms.values()):
            with contextlib.suppress(VmError):  # a dead driver: the directory is cleared below
                vm.stop()
        if self._driver is not None:
            self._driver.close()
            self._driver = None
        if self._home is not None:
            self._home.close()
            self._home = None

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> tuple[Driver, Home, HostAbilities]:
        """Prepare the first start: directory, libvirt, the host's abilities and the accelerator."""
        if self._home is None:
            self._home = Home(self._root, self._cache)
        if self._host is None:
            self._host = look(self._home.path)
        if self._driver is None:
            try:
                process = DriverProcess(self._uri, self._home.path)
            except BaseException:  # the process has cleared the directory, as it always does at its end
                self._home.close()
                self._home = None
                raise
            self._home.set_driver(process.owner)
            self._driver = process
            process.sweep()
            self._accel = self.accel  # probed now, so that no start pays for it
        return self._driver, self._home, self._host

    def _adopt(self, driver: Driver, name: str, config: VmConfig, files: VmFiles, booted: Booted) -> Vm:
        vm = Vm(name, config, files, driver, booted, self._end, self._save)
        self._vms[name] = vm
        return vm

    def _end(self, vm: Vm) -> None:
        self._vms.pop(vm.name, None)
        vm.client.close()
        self._free(vm.name, vm.files)

    def _save(self, vm: Vm, path: Path) -> SavedVm:
        driver, _, _ = self._open()
        path = path.absolute()
        copies = []
        try:
            driver.save(vm.name, str(path))
            for disk in vm.files.disks():
                copy = path.with_name(f"{path.name}{disk.suffix}")
                copy.unlink(missing_ok=True)
                shutil.move(disk, copy)
                copies.append((copy, disk))
        except OSError as error:
            raise VmError(f"save {vm.name} to {path}: {error}; check the free space") from error
        finally:
            vm.stop()
        return SavedVm(path=path, name=vm.name, config=vm.config, disks=tuple(copies))

    def _free(self, name: str, files: VmFiles) -> None:
        """Remove whatever exists of a VM."""
        if self._driver is None or self._home is None:
            return
        try:
            self._driver.destroy(name)
        finally:
            end_vm(name)  # only the tap is left, unless libvirt failed
            self._home.forget(name, files)


def _check(config: VmConfig, files: VmFiles) -> None:
    if config.until_output and not config.argv:
        raise VmError("start a VM until its program's output: no program given; set argv")
    if files.data is not None and not files.data.parent.is_dir():
        raise VmError(f"start a VM: {files.data.parent} for its data disk is not a directory; make it first")
