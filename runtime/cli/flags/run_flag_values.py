"""Flags of `run` and `create` whose value has a form of its own: mounts, ports, sizes, networks, health, …"""

from runtime.cli.connection import jsontext
from runtime.cli.errors import CliError, misuse
from runtime.cli.flags import flag_values, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.flags.parser import Options

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


def apply(options: "Options", config: "dict[str, Any]", host: "dict[str, Any]") -> None:
    """Put all of them into the two parts of the body."""
    for key, name in _SIZES.items():
        if options.given(key):
            host[name] = flag_values.size("--" + key, options.text(key))
    for key, name in _PAIRS.items():
        if options.given(key):
            host[name] = flag_values.mapping("--" + key, options.many(key))
    _program(options, config)
    _storage(options, config, host)
    _limits(options, host)
    _ports(options, config, host)
    _security(options, host)
    _network(options, config, host)
    if any(key.startswith("health-") or key == "no-healthcheck" for key in options):
        config["Healthcheck"] = health(options)


def _program(options: "Options", config: "dict[str, Any]") -> None:
    if options.given("entrypoint"):
        config["Entrypoint"] = [options.text("entrypoint")]
    if options.given("label") or options.given("label-file"):
        config["Labels"] = flag_values.labels(options.many("label"), options.many("label-file"))
    if options.given("stop-timeout"):
        config["StopTimeout"] = options.number("stop-timeout")


def _storage(options: "Options", config: "dict[str, Any]", host: "dict[str, Any]") -> None:
    if options.given("volume"):
        host["Binds"], anonymous = mounts.volumes(options.many("volume"))
        if anonymous:
            config["Volumes"] = anonymous
    if options.given("mount"):
        host["Mounts"] = [mounts.mount(text) for text in options.many("mount")]
    if options.given("tmpfs"):
        host["Tmpfs"] = mounts.tmpfs(options.many("tmpfs"))
    if options.given("device"):
        host["Devices"] = [mounts.device(text) for text in options.many("device")]
    if options.given("log-driver") or options.given("log-opt"):
        host["LogConfig"] = {
            "Type": options.text("log-driver"),
            "Config": flag_values.mapping("--log-opt", options.many("log-opt")),
        }


def _limits(options: "Options", host: "dict[str, Any]") -> None:
    if options.given("memory-swappiness"):
        host["MemorySwappiness"] = value = options.number("memory-swappiness") or 0
        if not -1 <= value <= 100:
            raise CliError(f"invalid value: {value}. Valid memory swappiness range is 0-100")
    if options.given("cpus"):
        host["NanoCpus"] = flag_values.cores("--cpus", options.text("cpus"))
    if options.given("ulimit"):
        limits = [flag_values.ulimit("--ulimit", text) for text in options.many("ulimit")]
        host["Ulimits"] = sorted(limits, key=lambda one: str(one["Name"]))
    if options.given("restart"):
        host["RestartPolicy"] = flag_values.restart_policy(options.text("restart"))
    if options.given("gpus"):
        host["DeviceRequests"] = [gpus(text) for text in options.many("gpus")]
    if options.given("blkio-weight-device"):
        pairs = [_rate("--blkio-weight-device", text, False) for text in options.many("blkio-weight-device")]
        host["BlkioWeightDevice"] = [{"Path": path, "Weight": number} for path, number in pairs]
    for key, (name, bytes_) in _RATES.items():
        if options.given(key):
            pairs = [_rate("--" + key, text, bytes_) for text in options.many(key)]
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


def _ports(options: "Options", config: "dict[str, Any]", host: "dict[str, Any]") -> None:
    if not options.given("publish") and not options.given("expose"):
        return
    from runtime.cli.flags import ports

    bindings = ports.published(options.many("publish"))
    config["ExposedPorts"] = ports.exposed(options.many("expose")) | {port: {} for port in bindings}
    if bindings:
        host["PortBindings"] = bindings


def _security(options: "Options", host: "dict[str, Any]") -> None:
    given = []
    for text in options.many("security-opt"):
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


def _network(options: "Options", config: "dict[str, Any]", host: "dict[str, Any]") -> None:
    if options.given("link"):
        host["Links"] = [text if ":" in text else f"{text}:{text}" for text in options.many("link")]
    if options.given("add-host"):
        host["ExtraHosts"] = [flag_values.extra_host(text) for text in options.many("add-host")]
    asked = [network(text) for text in options.many("network")]
    if asked:
        host["NetworkMode"] = asked[0][0]
    own = _endpoint(options)
    if own and any(settings for _, settings in asked):
        raise CliError("say addresses and aliases in --network, or in --ip and --network-alias, not in both")
    if own:
        asked = [(asked[0][0] if asked else "default", own), *asked[1:]]
    if own or len(asked) > 1 or any(settings for _, settings in asked):
        config["NetworkingConfig"] = {"EndpointsConfig": dict(asked)}


def _endpoint(options: "Options") -> "dict[str, Any]":
    found: dict[str, Any] = {}
    if options.given("network-alias"):
        found["Aliases"] = options.many("network-alias")
    addresses = {
        "IPv4Address": options.text("ip"),
        "IPv6Address": options.text("ip6"),
        "LinkLocalIPs": options.many("link-local-ip"),
    }
    addresses = {name: value for name, value in addresses.items() if value}
    if addresses:
        found["IPAMConfig"] = addresses
    if options.given("mac-address"):
        found["MacAddress"] = mac_address(options.text("mac-address"))
    return found


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
            raise misuse("--network", text, f"{key} is not known; write NAME, or name=NAME,alias=ALIAS,ip=IP")
    if not name:
        raise misuse("--network", text, "the name is missing; write name=NAME,…")
    return name, settings


def health(options: "Options") -> "dict[str, Any]":
    """`--health-…` → the API's form."""
    if options.on("no-healthcheck"):
        if any(key.startswith("health-") for key in options):
            raise CliError("--no-healthcheck conflicts with --health-* options; leave one of them away")
        return {"Test": ["NONE"]}
    found: dict[str, Any] = {}
    if options.given("health-cmd"):
        found["Test"] = ["CMD-SHELL", options.text("health-cmd")]
    times = {
        "health-interval": "Interval",
        "health-timeout": "Timeout",
        "health-start-period": "StartPeriod",
        "health-start-interval": "StartInterval",
    }
    for key, name in times.items():
        if options.given(key):
            found[name] = flag_values.duration("--" + key, options.text(key))
    if options.given("health-retries"):
        found["Retries"] = options.number("health-retries")
    return found
