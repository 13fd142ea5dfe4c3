"""Start, save, restore and end VMs; leave nothing behind.

    with Harness(Path("/run/nnvm"), Path("/var/cache/nnvm")) as harness:
        image = harness.prepare(rootfs, digest)
        with harness.start(VmConfig(image=image)) as vm:
            print(vm.exec(["uname", "-r"]).stdout, vm.record.phases)

A harness's life: it makes `root/<id>/`, writes its owner there and keeps every file of a run below; libvirt
runs in a child process (`vm.driver`) that ends all VMs when this process dies, also by kill -9; the next
harness on the same root sweeps what is left even if both were killed. No thread runs in the calling
process.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vm import owner
from vm.client import AgentClient, Stream
from vm.config import Accelerator, SavedVm, VmConfig, VmImage, VmRecord
from vm.disk import build_data, copy_sparse, data_template
from vm.domain import Files, Request, domain_xml
from vm.driver_client import Driver, DriverProcess, prepare_home
from vm.errors import VmError
from vm.host import HostAbilities, look
from vm.image import build_image
from vm.initramfs import BASE_MODULES
from vm.leftovers import Ledger, clear_home, sweep_root
from vm.machine import Vm
from vm.network import add_tap, remove_tap
from vm.probe import usable_kvm

EMBED = "qemu:///embed"
SOCKET_PATH_MAX = 107
Connect = Callable[[Files, str], AgentClient]


def connect_guest(files: Files, name: str) -> AgentClient:
    """Connect both sockets of a paused guest, so that its first byte is not lost."""
    with contextlib.ExitStack() as undo:
        sockets = []
        for path in (files.agent, files.console):
            sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
            try:
                sock.connect(str(path))
            except OSError as error:
                raise VmError(f"connect to {name}: {path}: {error.strerror}; did QEMU start?") from error
            sockets.append(sock)
        undo.pop_all()
        return AgentClient(sockets[0], sockets[1], name)


class Harness:
    """All VMs of one caller. Several may live at once, also on one root, in one process or in many.

    root: a short directory for sockets and overlays (socket paths hold 107 bytes), on a real file system.
    cache: kernel, initramfs, base disks; shared and kept.
    accel: `kvm` or `tcg`; None takes KVM when guest code really runs under it.
    uri: `qemu:///embed` (no daemon) or `qemu:///system`.
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
        self._accel = accel
        self._driver, self._connect = driver, connect
        self._owner = owner.current()
        self._home: Path | None = None
        self._ledger = Ledger(owner=self._owner)
        self._host: HostAbilities | None = None
        self._vms: dict[str, Vm] = {}

    @property
    def accel(self) -> Accelerator:
        """The accelerator in use; the first call may run the KVM probe."""
        if self._accel is None:
            self._accel = "kvm" if usable_kvm().usable else "tcg"
        return self._accel

    def version(self) -> str:
        """Versions of libvirt and QEMU; connects. VmUnavailableError when that fails."""
        return self._open()[0].version()

    def prepare(self, rootfs: Path, digest: str, modules: Sequence[str] = BASE_MODULES) -> VmImage:
        """Make the image of a flattened root, cached by digest."""
        return build_image(rootfs, digest, self._cache, modules)

    def start(self, config: VmConfig) -> Vm:
        """Boot one VM until its agent says hello (or its program its first byte). On any error nothing is
        left."""
        requested = time.monotonic_ns()
        driver, home = self._open()
        name = f"nv{secrets.token_hex(4)}"
        files = Files.of(home, name, config)
        self._check_config(config, files)
        self._enter(name, files)
        try:
            return self._boot(driver, name, config, files, requested)
        except BaseException:
            self._free(name, files)
            raise

    def restore(self, saved: SavedVm) -> Vm:
        """Start from a saved state. The guest gets our wall clock and fresh random bytes before this
        returns."""
        requested = time.monotonic_ns()
        driver, home = self._open()
        if saved.name in self._vms:
            raise VmError(f"restore {saved.path}: {saved.name} still runs; stop it first")
        files = Files.of(home, saved.name, saved.config)
        self._enter(saved.name, files)
        try:
            return self._wake(driver, saved, files, requested)
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
            vm.stop()
        if self._driver is not None:
            self._driver.close()
            self._driver = None
        if self._home is not None:
            clear_home(self._home)
            self._home = None

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the driver and this harness's directory

    def _open(self) -> tuple[Driver, Path]:
        if self._home is None:
            self._home = self._make_home()
        if self._driver is None:
            process = DriverProcess(self._uri, self._home)
            self._ledger.driver = process.owner
            self._ledger.write(self._home)
            self._driver = process
            process.sweep()
            self._accel = self.accel  # probed now, so that no start pays for it
        return self._driver, self._home

    def _make_home(self) -> Path:
        home = self._root / secrets.token_hex(3)
        longest = f"{home}/lib/qemu/domain-99-nv01234567/monitor.sock"
        if len(longest) > SOCKET_PATH_MAX:
            raise VmError(
                f"use {self._root} for VMs: its path is {len(longest) - SOCKET_PATH_MAX} bytes too long for "
                "libvirt's sockets; choose a shorter root such as /run/ninetynine"
            )
        self._root.mkdir(parents=True, exist_ok=True)
        sweep_root(self._root)
        home.mkdir(mode=0o755)
        self._ledger.write(home)
        prepare_home(home, self._cache / "libvirt-capabilities")
        self._host = look(home)
        return home

    def _check_config(self, config: VmConfig, files: Files) -> None:
        if config.until_output and not config.argv:
            raise VmError("start a VM until its program's output: no program given; set argv")
        if files.data is not None and not files.data.parent.is_dir():
            raise VmError(f"start a VM: {files.data.parent} for its data disk is no directory; make it first")

    # -- starting

    def _boot(self, driver: Driver, name: str, config: VmConfig, files: Files, requested: int) -> Vm:
        assert self._host is not None
        self._make_disks(config, files)
        if config.network:
            add_tap(name, config.network, self._owner)
        request = Request(
            name=name, config=config, accel=self.accel, files=files, host=self._host, owner=self._owner
        )
        prepared = time.monotonic_ns()
        defined, _ = driver.start(name, domain_xml(request))
        client = self._connect(files, name)
        try:
            main = client.spawn(config.argv, config.env or None) if config.argv else None
            resumed = time.monotonic_ns()
            driver.resume(name)
            boot, init_boot, _ = client.wait_hello(config.timeout_s)
            first = client.wait_first_output(main, config.timeout_s) if main and config.until_output else None
        except BaseException:
            client.close()
            raise
        zero = client.hello_ns - boot
        init = client.link.init_ns or zero + init_boot
        phases = _phases(
            ("prepare", requested, prepared),
            ("define", prepared, defined),
            ("create", defined, resumed),
            ("firmware", resumed, zero),
            ("kernel", zero, init),
            ("init", init, client.hello_ns),
            *([("program", client.hello_ns, first)] if first else []),
        )
        record = VmRecord(
            way="start",
            requested_ns=requested,
            ready_ns=client.hello_ns,
            first_output_ns=first,
            phases=phases,
        )
        return self._adopt(driver, name, config, files, client, record, main)

    def _make_disks(self, config: VmConfig, files: Files) -> None:
        copy_sparse(config.image.overlay, files.overlay)
        if files.data is not None and config.data_content is not None:
            build_data(files.data, config.data_disk_mib, config.data_content)
        elif files.data is not None:
            copy_sparse(data_template(config.data_disk_mib, self._cache), files.data)

    def _wake(self, driver: Driver, saved: SavedVm, files: Files, requested: int) -> Vm:
        for copy, disk in saved.disks:
            copy_sparse(copy, disk)
        if saved.config.network:
            add_tap(saved.name, saved.config.network, self._owner)
        prepared = time.monotonic_ns()
        created = driver.restore(saved.name, str(saved.path))
        client = self._connect(files, saved.name)
        try:
            driver.resume(saved.name)
            ready = client.ping(saved.config.timeout_s, wake=True)[3]
        except BaseException:
            client.close()
            raise
        phases = _phases(
            ("prepare", requested, prepared), ("create", prepared, created), ("resume", created, ready)
        )
        record = VmRecord(
            way="restore", requested_ns=requested, ready_ns=ready, first_output_ns=None, phases=phases
        )
        return self._adopt(driver, saved.name, saved.config, files, client, record, None)

    def _adopt(
        self,
        driver: Driver,
        name: str,
        config: VmConfig,
        files: Files,
        client: AgentClient,
        record: VmRecord,
        main: Stream | None,
    ) -> Vm:
        vm = Vm(name, config, files, client, driver.pid(name), record, self._end, self._save, main)
        self._vms[name] = vm
        return vm

    # -- ending

    def _end(self, vm: Vm) -> None:
        self._vms.pop(vm.name, None)
        vm.client.close()
        self._free(vm.name, vm.files)

    def _save(self, vm: Vm, path: Path) -> SavedVm:
        driver, _ = self._open()
        path = path.absolute()
        driver.save(vm.name, str(path))
        copies = []
        try:
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

    def _enter(self, name: str, files: Files) -> None:
        """Write the VM into the owner file before anything of it exists."""
        assert self._home is not None
        self._ledger.names.append(name)
        self._ledger.files += [str(p) for p in files.disks() if p.parent != self._home]
        self._ledger.write(self._home)

    def _free(self, name: str, files: Files) -> None:
        """Take a VM apart, as far as it had come."""
        if self._driver is None or self._home is None:
            return
        self._driver.destroy(name)
        remove_tap(name)
        for path in (files.agent, files.console, *files.disks()):
            path.unlink(missing_ok=True)
        if name in self._ledger.names:
            self._ledger.names.remove(name)
        self._ledger.files = [f for f in self._ledger.files if f not in set(map(str, files.disks()))]
        self._ledger.write(self._home)


def _phases(*stamps: tuple[str, int, int | None]) -> tuple[tuple[str, int], ...]:
    return tuple((name, (end or start) - start) for name, start, end in stamps)
