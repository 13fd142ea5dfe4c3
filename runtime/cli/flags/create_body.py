"""Flags of `run` and `create` → the body of `POST /containers/create`, with run_flag_values.py."""

import posix

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.flags.parser import Arguments

OURS = frozenset(
    (
        "attach",
        "cidfile",
        "detach",
        "detach-keys",
        "disable-content-trust",
        "interactive",
        "kernel-memory",
        "name",
        "platform",
        "pull",
        "quiet",
        "sig-proxy",
        "tty",
    )
)
"""Flags that are not part of the body: they control nn itself, or no longer have a meaning."""

_CONFIG_TEXT = {
    "domainname": "Domainname",
    "hostname": "Hostname",
    "stop-signal": "StopSignal",
    "user": "User",
    "workdir": "WorkingDir",
}
_HOST_TEXT = {
    "cgroup-parent": "CgroupParent",
    "cgroupns": "CgroupnsMode",
    "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems",
    "ipc": "IpcMode",
    "isolation": "Isolation",
    "pid": "PidMode",
    "runtime": "Runtime",
    "userns": "UsernsMode",
    "uts": "UTSMode",
    "volume-driver": "VolumeDriver",
}
_HOST_NUMBER = {
    "blkio-weight": "BlkioWeight",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "oom-score-adj": "OomScoreAdj",
    "pids-limit": "PidsLimit",
}
_HOST_BOOL = {
    "init": "Init",
    "oom-kill-disable": "OomKillDisable",
    "privileged": "Privileged",
    "publish-all": "PublishAllPorts",
    "read-only": "ReadonlyRootfs",
    "rm": "AutoRemove",
}
_HOST_MANY = {
    "cap-add": "CapAdd",
    "cap-drop": "CapDrop",
    "device-cgroup-rule": "DeviceCgroupRules",
    "dns": "Dns",
    "dns-opt": "DnsOptions",
    "dns-search": "DnsSearch",
    "group-add": "GroupAdd",
    "volumes-from": "VolumesFrom",
}


def body(args: "Arguments", *, detach: bool = False) -> "dict[str, Any]":
    """Return the body. args.words: image, then command. CliError for flags that exclude each other."""
    config: dict[str, Any] = {"Image": args.words[0]}
    host: dict[str, Any] = {}
    if len(args.words) > 1:
        config["Cmd"] = args.words[1:]
    _streams(args, config, host, detach)
    special = False
    for key in args:
        if key in _HOST_BOOL:
            host[_HOST_BOOL[key]] = args.on(key)
        elif key in _HOST_TEXT:
            host[_HOST_TEXT[key]] = args.text(key)
        elif key in _CONFIG_TEXT:
            config[_CONFIG_TEXT[key]] = args.text(key)
        elif key in _HOST_NUMBER:
            host[_HOST_NUMBER[key]] = args.number(key)
        elif key in _HOST_MANY:
            host[_HOST_MANY[key]] = args.many(key)
        elif key == "network" and _is_name(args.many(key)):
            host["NetworkMode"] = args.text(key)
        elif key == "env":
            continue
        elif key not in OURS:
            special = True
    if args.given("env") or args.given("env-file"):
        config["Env"] = environment(args)
    if special:
        from runtime.cli.flags import run_flag_values

        run_flag_values.apply(args, config, host)
    if host.get("AutoRemove") and host.get("RestartPolicy", {}).get("Name", "no") != "no":
        raise CliError("Conflicting options: --restart and --rm; leave out one of them")
    config["HostConfig"] = host
    return config


def _is_name(networks: list[str]) -> bool:
    """Whether one network is given, by its name alone; run_flag_values reads all other forms."""
    return len(networks) == 1 and "=" not in networks[0]


def _streams(args: "Arguments", config: "dict[str, Any]", host: "dict[str, Any]", detach: bool) -> None:
    """Set what is attached and whether input stays open, as docker does."""
    config["Tty"] = tty = args.on("tty")
    config["OpenStdin"] = args.on("interactive")
    if tty:
        from runtime.cli.connection import terminal

        if size := terminal.size():
            host["ConsoleSize"] = size
    if detach:
        return
    asked = [name.lower() for name in args.many("attach")]
    for name in asked:
        if name not in ("stdin", "stdout", "stderr"):
            raise CliError(f'--attach "{name}": write stdin, stdout or stderr')
    config["AttachStdin"] = config["StdinOnce"] = args.on("interactive") or "stdin" in asked
    config["AttachStdout"] = not asked or "stdout" in asked
    config["AttachStderr"] = not asked or "stderr" in asked
    config["StdinOnce"] = config["OpenStdin"] and config["AttachStdin"]


def environment(args: "Arguments") -> list[str]:
    """Return the variables of --env-file and --env; those without a value get that of our environment.

    Where it has none, a variable of --env-file is left out; one of --env is sent by its name alone, which
    removes it from the container.
    """
    lines: list[str] = []
    if args.given("env-file"):
        from runtime.cli.flags.flag_values import read_lines

        lines = [line for file in args.many("env-file") for line in read_lines("--env-file", file)]
        for line in lines:
            if any(letter.isspace() for letter in line.partition("=")[0]):
                raise CliError(f'--env-file: "{line}" has white space in its name; write NAME=VALUE')
    named = [_with_value(text) for text in args.many("env")]
    return [text for text in map(_with_value, lines) if "=" in text] + named


def _with_value(text: str) -> str:
    """`NAME` → `NAME=VALUE` if our environment has that variable."""
    name, equals, _ = text.partition("=")
    if not name:
        raise CliError(f"invalid environment variable: {text}; write NAME=VALUE or NAME")
    value = None if equals else posix.environ.get(name.encode("utf-8", "surrogateescape"))
    return text if value is None else f"{name}={value.decode('utf-8', 'surrogateescape')}"
