"""The flags of `nn run` and `nn create`, and the body of `POST /containers/create` that they make.

run_flag_values.py has the flags whose values need parsing.
"""

import posix

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.flags.parser import CommandLine, Flag

CREATE: "tuple[Flag, ...]" = (
    ("add-host", "", "many", "NAME:IP", "add a line to /etc/hosts"),
    ("annotation", "", "many", "NAME=VALUE", "an annotation of the OCI runtime"),
    ("attach", "a", "many", "STREAM", "attach stdin, stdout or stderr only"),
    ("blkio-weight", "", "int", "N", "weight of its disk I/O, 10 to 1000"),
    ("blkio-weight-device", "", "many", "DEVICE:N", "weight of its I/O on one device"),
    ("cap-add", "", "many", "CAP", "add a capability"),
    ("cap-drop", "", "many", "CAP", "drop a capability"),
    ("cgroup-parent", "", "text", "CGROUP", "parent cgroup"),
    ("cgroupns", "", "text", "MODE", "cgroup namespace: private or host"),
    ("cidfile", "", "text", "FILE", "write the id to a file"),
    ("cpu-period", "", "int", "US", "period of the CPU quota"),
    ("cpu-quota", "", "int", "US", "CPU time in each period"),
    ("cpu-rt-period", "", "int", "US", "period of the real-time quota"),
    ("cpu-rt-runtime", "", "int", "US", "real-time CPU time in each period"),
    ("cpu-shares", "c", "int", "N", "relative weight, 1024 is usual"),
    ("cpus", "", "text", "N", "limit of CPU time, in cores, as in 1.5"),
    ("cpuset-cpus", "", "text", "LIST", "cores it may run on, as in 0-1,3"),
    ("cpuset-mems", "", "text", "LIST", "memory nodes it may use"),
    ("device", "", "many", "HOST[:PATH[:rwm]]", "add a device"),
    ("device-cgroup-rule", "", "many", "RULE", "allow devices, as in 'c 13:* rwm'"),
    ("device-read-bps", "", "many", "DEVICE:RATE", "limit of bytes a second"),
    ("device-read-iops", "", "many", "DEVICE:N", "limit of reads a second"),
    ("device-write-bps", "", "many", "DEVICE:RATE", "limit of bytes a second"),
    ("device-write-iops", "", "many", "DEVICE:N", "limit of writes a second"),
    ("disable-content-trust", "", "bool", "", "accepted and ignored: nn has no content trust"),
    ("dns", "", "many", "IP", "name server"),
    ("dns-opt|dns-option", "", "many", "OPTION", "resolver option"),
    ("dns-search", "", "many", "DOMAIN", "search domain"),
    ("domainname", "", "text", "NAME", "NIS domain name"),
    ("entrypoint", "", "text", "PROGRAM", "in place of the image's entrypoint"),
    ("env", "e", "many", "NAME[=VALUE]", "set a variable"),
    ("env-file", "", "many", "FILE", "set variables, one a line"),
    ("expose", "", "many", "PORT", "declare a port that the program serves"),
    ("gpus", "", "text", "REQUEST", "add GPUs: all, or a number"),
    ("group-add", "", "many", "GROUP", "add a group"),
    ("health-cmd", "", "text", "COMMAND", "shell command that checks its health"),
    ("health-interval", "", "text", "TIME", "time between checks, as in 30s"),
    ("health-retries", "", "int", "N", "failures in a row that make it unhealthy"),
    ("health-start-interval", "", "text", "TIME", "time between checks while it starts"),
    ("health-start-period", "", "text", "TIME", "time to start; failures in it do not count"),
    ("health-timeout", "", "text", "TIME", "time limit of one check"),
    ("hostname", "h", "text", "NAME", "host name inside"),
    ("init", "", "bool", "", "run a small init as pid 1: reaps, forwards signals"),
    ("interactive", "i", "bool", "", "keep standard input open"),
    ("ip", "", "text", "IP", "its IPv4 address"),
    ("ip6", "", "text", "IP", "its IPv6 address"),
    ("ipc", "", "text", "MODE", "IPC namespace: private, shareable, host, container:NAME"),
    ("isolation", "", "text", "KIND", "only 'default' is supported"),
    ("kernel-memory", "", "text", "BYTES", "accepted and ignored: kernels no longer have it"),
    ("label", "l", "many", "NAME[=VALUE]", "set a label"),
    ("label-file", "", "many", "FILE", "set labels, one a line"),
    ("link", "", "many", "NAME[:ALIAS]", "link to another container"),
    ("link-local-ip", "", "many", "IP", "link-local address"),
    ("log-driver", "", "text", "DRIVER", "json-file, local or none"),
    ("log-opt", "", "many", "NAME=VALUE", "option of the log, as in max-size=10m"),
    ("mac-address", "", "text", "MAC", "its MAC address"),
    ("memory", "m", "text", "BYTES", "memory limit, as in 512m"),
    ("memory-reservation", "", "text", "BYTES", "memory it keeps under memory pressure"),
    ("memory-swap", "", "text", "BYTES", "limit of memory and swap together; -1 for no limit"),
    ("memory-swappiness", "", "int", "N", "0 to 100"),
    ("mount", "", "many", "type=…,src=…,dst=…", "mount a path, volume or tmpfs"),
    ("name", "", "text", "NAME", "its name"),
    ("network|net", "", "many", "NETWORK", "bridge, none, host, container:NAME or a network"),
    ("network-alias|net-alias", "", "many", "NAME", "another name on its network"),
    ("no-healthcheck", "", "bool", "", "no health checks, not even the image's"),
    ("oom-kill-disable", "", "bool", "", "do not kill it when memory runs out"),
    ("oom-score-adj", "", "int", "N", "-1000 to 1000"),
    ("pid", "", "text", "MODE", "PID namespace: host or container:NAME"),
    ("pids-limit", "", "int", "N", "limit of processes and threads; -1 for no limit"),
    ("platform", "", "text", "OS/ARCH", "which of an image's platforms"),
    ("privileged", "", "bool", "", "give it all rights and devices"),
    ("publish", "p", "many", "[[IP:]HOST:]PORT[/udp]", "publish a port or a range"),
    ("publish-all", "P", "bool", "", "publish all exposed ports on free ones"),
    ("pull", "", "text", "WHEN", "missing (default), always or never"),
    ("quiet", "q", "bool", "", "do not show the pull's progress"),
    ("read-only", "", "bool", "", "make the root read-only"),
    ("restart", "", "text", "POLICY", "no, on-failure[:N], always, unless-stopped"),
    ("rm", "", "bool", "", "remove it when it has ended"),
    ("runtime", "", "text", "NAME", "OCI runtime of the daemon"),
    ("security-opt", "", "many", "OPTION", "security option, as in seccomp=FILE"),
    ("shm-size", "", "text", "BYTES", "size of /dev/shm"),
    ("stop-signal", "", "text", "SIGNAL", "signal that stops it"),
    ("stop-timeout", "", "int", "SECONDS", "time it may take to stop before KILL"),
    ("storage-opt", "", "many", "NAME=VALUE", "option of the storage"),
    ("sysctl", "", "many", "NAME=VALUE", "a kernel setting of its namespaces"),
    ("tmpfs", "", "many", "PATH[:OPTIONS]", "mount a tmpfs"),
    ("tty", "t", "bool", "", "give it a terminal"),
    ("ulimit", "", "many", "NAME=SOFT[:HARD]", "a resource limit"),
    ("user", "u", "text", "USER[:GROUP]", "names from the image, or numbers"),
    ("userns", "", "text", "MODE", "user namespace: host"),
    ("uts", "", "text", "MODE", "UTS namespace: host"),
    ("volume", "v", "many", "[SOURCE:]PATH[:ro]", "mount a host path or a volume"),
    ("volume-driver", "", "text", "DRIVER", "driver of its volumes"),
    ("volumes-from", "", "many", "CONTAINER", "mount another container's volumes"),
    ("workdir", "w", "text", "DIR", "working directory"),
)

RUN: "tuple[Flag, ...]" = (
    *CREATE,
    ("detach", "d", "bool", "", "run in the background and print its id"),
    ("detach-keys", "", "text", "KEYS", "keys that leave it running, as in ctrl-p,ctrl-q"),
    ("sig-proxy", "", "bool", "", "pass signals on (on by default)"),
)

# ---- the body ---------------------------------------------------------------------------------------------

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


def body(args: "CommandLine", *, detach: bool = False) -> "dict[str, Any]":
    """Return the body. args.words: image, then command. CliError for flags that exclude each other."""
    config: dict[str, Any] = {"Image": args.words[0]}
    host: dict[str, Any] = {}
    if len(args.words) > 1:
        config["Cmd"] = args.words[1:]
    _streams(args, config, host, detach)
    apply(args, config, host)
    if host.get("AutoRemove") and host.get("RestartPolicy", {}).get("Name", "no") != "no":
        raise CliError("Conflicting options: --restart and --rm; leave out one of them")
    config["HostConfig"] = host
    return config


def apply(args: "CommandLine", config: "dict[str, Any]", host: "dict[str, Any]") -> None:
    """Add the given flags to the two parts of the body."""
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


def _is_name(networks: list[str]) -> bool:
    """Whether one network is given, by its name alone; run_flag_values reads all other forms."""
    return len(networks) == 1 and "=" not in networks[0]


def _streams(args: "CommandLine", config: "dict[str, Any]", host: "dict[str, Any]", detach: bool) -> None:
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


def environment(args: "CommandLine") -> list[str]:
    """Return the variables of --env-file and --env; those without a value take it from our environment.

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
