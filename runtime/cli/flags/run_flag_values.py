"""Flags of `run` and `create` whose values need parsing: mounts, ports, sizes, networks, health, …"""

from runtime.cli.connection import jsontext
from runtime.cli.errors import CliError, misuse
from runtime.cli.flags import flag_values, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.flags.parser import CommandLine

_SIZES = {
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "shm-size": "ShmSize",
}
_PAIRS = {"annotation": "Annotations", "storage-opt": "StorageOpt", "sysctl": "Sysctls"}
_RATES = {
    "device-read-bps": ("BlkioDeviceReadBps", True),
    "device-write-bps": ("BlkioDeviceWriteBps", True),
    "device-read-iops": ("BlkioDeviceReadIOps", False),
    "device-write-iops": ("BlkioDeviceWriteIOps", False),
}


def apply(args: "CommandLine", config: "dict[str, Any]", host: "dict[str, Any]") -> None:
    """Add all of them to the two parts of the body."""
    for key, name in _SIZES.items():
        if args.given(key):
            host[name] = flag_values.size("--" + key, args.text(key))
    for key, name in _PAIRS.items():
        if args.given(key):
            host[name] = flag_values.mapping("--" + key, args.many(key))
    _program(args, config)
    _storage(args, config, host)
    _limits(args, host)
    _ports(args, config, host)
    _security(args, host)
    _network(args, config, host)
    if any(key.startswith("health-") or key == "no-healthcheck" for key in args):
        config["Healthcheck"] = health(args)


def _program(args: "CommandLine", config: "dict[str, Any]") -> None:
    if args.given("entrypoint"):
        config["Entrypoint"] = [args.text("entrypoint")]
    if args.given("label") or args.given("label-file"):
        config["Labels"] = flag_values.labels(args.many("label"), args.many("label-file"))
    if args.given("stop-timeout"):
        config["StopTimeout"] = args.number("stop-timeout")


def _storage(args: "CommandLine", config: "dict[str, Any]", host: "dict[str, Any]") -> None:
    if args.given("volume"):
        host["Binds"], anonymous = mounts.volumes(args.many("volume"))
        if anonymous:
            config["Volumes"] = anonymous
    if args.given("mount"):
        host["Mounts"] = [mounts.mount(text) for text in args.many("mount")]
    if args.given("tmpfs"):
        host["Tmpfs"] = mounts.tmpfs(args.many("tmpfs"))
    if args.given("device"):
        host["Devices"] = [mounts.device(text) for text in args.many("device")]
    if args.given("log-driver") or args.given("log-opt"):
        host["LogConfig"] = {
            "Type": args.text("log-driver"),
            "Config": flag_values.mapping("--log-opt", args.many("log-opt")),
        }


def _limits(args: "CommandLine", host: "dict[str, Any]") -> None:
    if args.given("memory-swappiness"):
        host["MemorySwappiness"] = value = args.number("memory-swappiness") or 0
        if not -1 <= value <= 100:
            raise CliError(f"invalid value: {value}. Valid memory swappiness range is 0-100")
    if args.given("cpus"):
        host["NanoCpus"] = flag_values.cores("--cpus", args.text("cpus"))
    if args.given("ulimit"):
        limits = [flag_values.ulimit("--ulimit", text) for text in args.many("ulimit")]
        host["Ulimits"] = sorted(limits, key=lambda one: str(one["Name"]))
    if args.given("restart"):
        host["RestartPolicy"] = flag_values.restart_policy(args.text("restart"))
    if args.given("gpus"):
        host["DeviceRequests"] = [gpus(text) for text in args.many("gpus")]
    if args.given("blkio-weight-device"):
        pairs = [_rate("--blkio-weight-device", text, False) for text in args.many("blkio-weight-device")]
        host["BlkioWeightDevice"] = [{"Path": path, "Weight": number} for path, number in pairs]
    for key, (name, bytes_) in _RATES.items():
        if args.given(key):
            pairs = [_rate("--" + key, text, bytes_) for text in args.many(key)]
            host[name] = [{"Path": path, "Rate": number} for path, number in pairs]


def _rate(flag: str, text: str, bytes_: bool) -> tuple[str, int]:
    path, _, value = text.rpartition(":")
    if not path.startswith("/dev/") or not (bytes_ or value.isdecimal()):
        raise misuse(flag, text, "write /dev/NAME:NUMBER")
    return path, flag_values.size(flag, value) if bytes_ else int(value)


def gpus(text: str) -> "dict[str, Any]":
    """`all`, `2`, `device=0`, `driver=nvidia,count=2,capabilities=gpu` → a device request."""
    asked: dict[str, Any] = {
        "Driver": "",
        "Count": 0,
        "DeviceIDs": None,
        "Capabilities": [["gpu"]],
        "Options": {},
    }
    for one in mounts.fields("--gpus", text):
        name, equals, value = one.partition("=")
        if not equals:
            name, value = "count", name
        if name == "count" and (value == "all" or value.isdecimal()):
            asked["Count"] = -1 if value == "all" else int(value)
        elif name == "device":
            asked["DeviceIDs"] = value.split(",")
        elif name == "driver":
            asked["Driver"] = value
        elif name == "capabilities":
            asked["Capabilities"] = [value.split(",") + ([] if "gpu" in value.split(",") else ["gpu"])]
        else:
            raise misuse("--gpus", text, "write all, a number, or device=LIST")
    return asked


def _ports(args: "CommandLine", config: "dict[str, Any]", host: "dict[str, Any]") -> None:
    if not args.given("publish") and not args.given("expose"):
        return
    from runtime.cli.flags import ports

    bindings = ports.published(args.many("publish"))
    config["ExposedPorts"] = ports.exposed(args.many("expose")) | {port: {} for port in bindings}
    if bindings:
        host["PortBindings"] = bindings


def _security(args: "CommandLine", host: "dict[str, Any]") -> None:
    given = []
    for text in args.many("security-opt"):
        name, _, value = text.replace(":", "=", 1).partition("=") if "=" not in text else text.partition("=")
        if text == "systempaths=unconfined":
            host["MaskedPaths"], host["ReadonlyPaths"] = [], []
        elif name == "seccomp" and value not in ("unconfined", "builtin"):
            given.append("seccomp=" + _profile(value))
        elif name in ("apparmor", "label", "seccomp", "no-new-privileges"):
            given.append(text)
        else:
            hint = "write seccomp=FILE, seccomp=unconfined, apparmor=…, label=… or no-new-privileges"
            raise misuse("--security-opt", text, hint)
    if given:
        host["SecurityOpt"] = given


def _profile(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to import
            return jsontext.dumps(jsontext.loads(file.read()))
    except (OSError, ValueError) as error:
        raise misuse(
            "--security-opt seccomp", path, str(getattr(error, "strerror", None) or error)
        ) from error


def _network(args: "CommandLine", config: "dict[str, Any]", host: "dict[str, Any]") -> None:
    if args.given("link"):
        host["Links"] = [text if ":" in text else f"{text}:{text}" for text in args.many("link")]
    if args.given("add-host"):
        host["ExtraHosts"] = [flag_values.extra_host(text) for text in args.many("add-host")]
    asked = [network(text) for text in args.many("network")]
    if asked:
        host["NetworkMode"] = asked[0][0]
    own = _endpoint(args)
    if own and any(settings for _, settings in asked):
        raise CliError("give addresses and aliases either in --network, or in --ip and --network-alias")
    if own:
        asked = [(asked[0][0] if asked else "default", own), *asked[1:]]
    if own or len(asked) > 1 or any(settings for _, settings in asked):
        config["NetworkingConfig"] = {"EndpointsConfig": dict(asked)}


def _endpoint(args: "CommandLine") -> "dict[str, Any]":
    found: dict[str, Any] = {}
    if args.given("network-alias"):
        found["Aliases"] = args.many("network-alias")
    add_addresses(args, found)
    if args.given("mac-address"):
        found["MacAddress"] = mac_address(args.text("mac-address"))
    return found


def add_addresses(args: "CommandLine", endpoint: "dict[str, Any]") -> None:
    """Add --ip, --ip6 and --link-local-ip to the settings of a container on a network."""
    asked = (("IPv4Address", args.text("ip")), ("IPv6Address", args.text("ip6")))
    addresses = {
        name: value for name, value in (*asked, ("LinkLocalIPs", args.many("link-local-ip"))) if value
    }
    if addresses:
        endpoint["IPAMConfig"] = addresses


def mac_address(text: str) -> str:
    """`02:42:ac:11:00:02`, `02-42-…`, `0242.ac11.0002` → itself."""
    dotted = "." in text
    parts = text.split("." if dotted else "-" if "-" in text else ":")
    digits = "".join(parts)
    even = all(len(part) == (4 if dotted else 2) for part in parts)
    if not even or len(digits) not in (12, 16, 40) or digits.strip("0123456789abcdefABCDEF"):
        raise CliError(f"{text} is not a valid mac address; write it as in 02:42:ac:11:00:02")
    return text


def network(text: str) -> "tuple[str, dict[str, Any]]":
    """`NAME`, or `name=NAME,alias=A,ip=IP,…` → the network and its settings."""
    if "=" not in text:
        return text, {}
    name, settings = "", {}  # type: tuple[str, dict[str, Any]]
    for one in mounts.fields("--network", text):
        key, equals, value = one.partition("=")
        key = key.strip().lower()
        if not equals or not value:
            raise misuse("--network", text, "write NAME, or name=NAME,alias=ALIAS,ip=IP")
        if key == "name":
            name = value
        elif key == "alias":
            settings.setdefault("Aliases", []).append(value)
        elif key in ("ip", "ip6"):
            field = "IPv4Address" if key == "ip" else "IPv6Address"
            settings.setdefault("IPAMConfig", {})[field] = value
        elif key == "link-local-ip":
            settings.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(value)
        elif key == "mac-address":
            settings["MacAddress"] = mac_address(value)
        elif key == "driver-opt":
            option, setting = flag_values.pair("--network driver-opt", value)
            settings.setdefault("DriverOpts", {})[option] = setting
        else:
            raise misuse("--network", text, f"{key} is unknown; write NAME, or name=NAME,alias=ALIAS,ip=IP")
    if not name:
        raise misuse("--network", text, "the name is missing; write name=NAME,…")
    return name, settings


def health(args: "CommandLine") -> "dict[str, Any]":
    """`--health-…` → the API's form."""
    if args.on("no-healthcheck"):
        if any(key.startswith("health-") for key in args):
            raise CliError("--no-healthcheck conflicts with --health-* options; leave out one of them")
        return {"Test": ["NONE"]}
    found: dict[str, Any] = {}
    if args.given("health-cmd"):
        found["Test"] = ["CMD-SHELL", args.text("health-cmd")]
    times = {
        "health-interval": "Interval",
        "health-timeout": "Timeout",
        "health-start-period": "StartPeriod",
        "health-start-interval": "StartInterval",
    }
    for key, name in times.items():
        if args.given(key):
            found[name] = flag_values.duration("--" + key, args.text(key))
    if args.given("health-retries"):
        found["Retries"] = args.number("health-retries")
    return found
