"""All verbs: the module of each, its constant there, one line of help. Only the chosen verb is imported."""

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.flags.parser import Verb

VERBS = {
    "container attach": ("verbs.attaching", "ATTACH", "join a running container's input and output"),
    "container commit": ("verbs.images", "COMMIT", "make an image from a container's changes"),
    "container cp": ("verbs.copying", "CP", "copy files between a container and here"),
    "container create": ("verbs.running", "CREATE", "create a container, do not start it"),
    "container diff": ("verbs.containers", "DIFF", "list what a container changed in its files"),
    "container exec": ("verbs.attaching", "EXEC", "run a program in a running container"),
    "container export": ("verbs.transfer", "EXPORT", "write a container's files as a tar"),
    "container inspect": ("verbs.inspecting", "CONTAINER", "show a container's details"),
    "container kill": ("verbs.lifecycle", "KILL", "send a signal, KILL by default"),
    "container logs": ("verbs.containers", "LOGS", "show what a container printed"),
    "container ls": ("verbs.listing", "LS", "list containers"),
    "container pause": ("verbs.lifecycle", "PAUSE", "freeze all processes of containers"),
    "container port": ("verbs.containers", "PORT", "list published ports"),
    "container prune": ("verbs.pruning", "CONTAINERS", "remove all stopped containers"),
    "container rename": ("verbs.containers", "RENAME", "rename a container"),
    "container restart": ("verbs.lifecycle", "RESTART", "stop and start again"),
    "container rm": ("verbs.lifecycle", "RM", "remove containers"),
    "container run": ("verbs.running", "RUN", "create a container and run a program in it"),
    "container start": ("verbs.attaching", "START", "start stopped containers"),
    "container stats": ("verbs.stats", "STATS", "show containers' resource use, live"),
    "container stop": ("verbs.lifecycle", "STOP", "send the stop signal, then KILL"),
    "container top": ("verbs.containers", "TOP", "list a container's processes"),
    "container unpause": ("verbs.lifecycle", "UNPAUSE", "thaw all processes of containers"),
    "container update": ("verbs.containers", "UPDATE", "change limits of containers"),
    "container wait": ("verbs.lifecycle", "WAIT", "wait until containers end, print their exit status"),
    "image build": ("verbs.building", "BUILD", "build an image from a Dockerfile"),
    "image history": ("verbs.images", "HISTORY", "list the steps that made an image"),
    "image import": ("verbs.transfer", "IMPORT", "make an image from a tar"),
    "image inspect": ("verbs.inspecting", "IMAGE", "show an image's details"),
    "image load": ("verbs.transfer", "LOAD", "load images that `save` wrote"),
    "image ls": ("verbs.images", "LS", "list images"),
    "image prune": ("verbs.pruning", "IMAGES", "remove unused images"),
    "image pull": ("verbs.transfer", "PULL", "get an image from a registry"),
    "image push": ("verbs.transfer", "PUSH", "send an image to a registry"),
    "image rm": ("verbs.images", "RM", "remove images"),
    "image save": ("verbs.transfer", "SAVE", "write images to a file"),
    "image tag": ("verbs.images", "TAG", "give an image another name"),
    "network connect": ("verbs.networks", "CONNECT", "plug a container into a network"),
    "network create": ("verbs.networks", "CREATE", "create a network"),
    "network disconnect": ("verbs.networks", "DISCONNECT", "unplug a container from a network"),
    "network inspect": ("verbs.inspecting", "NETWORK", "show a network's details"),
    "network ls": ("verbs.networks", "LS", "list networks"),
    "network prune": ("verbs.pruning", "NETWORKS", "remove unused networks"),
    "network rm": ("verbs.networks", "RM", "remove networks"),
    "volume create": ("verbs.volumes", "CREATE", "make a volume"),
    "volume inspect": ("verbs.inspecting", "VOLUME", "show all of a volume"),
    "volume ls": ("verbs.volumes", "LS", "list volumes"),
    "volume prune": ("verbs.pruning", "VOLUMES", "remove unused volumes"),
    "volume rm": ("verbs.volumes", "RM", "remove volumes"),
    "system df": ("verbs.usage", "DF", "show what takes up space"),
    "system dial-stdio": ("verbs.system", "DIAL", "join stdin and stdout to the daemon (ssh uses it)"),
    "system events": ("verbs.system", "EVENTS", "show events as they happen"),
    "system info": ("verbs.system", "INFO", "show facts about the daemon"),
    "system prune": ("verbs.pruning", "SYSTEM", "remove all that is unused"),
    "builder prune": ("verbs.pruning", "BUILDER", "forget the build cache"),
    "context create": ("verbs.contexts", "CREATE", "give a daemon's address a name"),
    "context inspect": ("verbs.contexts", "INSPECT", "show a context's details"),
    "context ls": ("verbs.contexts", "LS", "list contexts"),
    "context rm": ("verbs.contexts", "RM", "remove contexts"),
    "context show": ("verbs.contexts", "SHOW", "print the current one's name"),
    "context update": ("verbs.contexts", "UPDATE", "change a context"),
    "context use": ("verbs.contexts", "USE", "make a context the current one"),
    "inspect": ("verbs.inspecting", "ANY", "show details of any object, by its name or id"),
    "login": ("verbs.registries", "LOGIN", "keep a registry's user and password"),
    "logout": ("verbs.registries", "LOGOUT", "forget a registry's user and password"),
    "search": ("verbs.images", "SEARCH", "look for images in a registry"),
    "version": ("verbs.system", "VERSION", "show the versions of nn and the daemon"),
    "serve registry": ("verbs.daemonless", "REGISTRY", "run a registry"),
    "completion": ("start.completion", "COMPLETION", "print a completion script for bash, zsh or fish"),
}

SHORT = {
    "ps": "container ls",
    "images": "image ls",
    "rmi": "image rm",
    **{
        f"container {old}": f"container {new}"
        for old, new in (("list", "ls"), ("ps", "ls"), ("remove", "rm"))
    },
    **{f"{group} list": f"{group} ls" for group in ("image", "network", "volume", "context")},
    **{f"{group} remove": f"{group} rm" for group in ("image", "network", "volume", "context")},
    **{
        name.partition(" ")[2]: name
        for name in VERBS
        if name.startswith("container ")
        and name not in ("container ls", "container prune", "container inspect")
    },
    **{
        f"{one}": f"image {one}"
        for one in ("build", "history", "import", "load", "pull", "push", "save", "tag")
    },
    "builder build": "image build",
    "events": "system events",
    "info": "system info",
}
"""Short and other names of verbs → the full name."""

GROUPS = {
    "builder": "the build cache",
    "container": "containers",
    "context": "daemons and their names",
    "image": "images",
    "network": "networks",
    "serve": "servers that nn runs itself",
    "system": "the daemon as a whole",
    "volume": "volumes",
}


HIDDEN = {"__complete": ("start.completion", "COMPLETE", "print what may come next, for completion scripts")}
"""Verbs for programs; lists do not show them."""


LOCAL = {
    "verify": ("verbs.daemonless", "VERIFY", "hash images' blobs and layers again (with --local)"),
    "sweep": ("verbs.daemonless", "SWEEP", "free what killed daemons have left (with --local)"),
}
"""Verbs that work on a root directory, without a daemon; they need --local."""


def split(words: list[str], *, local: bool = False) -> tuple[str, list[str]]:
    """Return the verb as typed (one word or two) and the words after it. CliError for an unknown verb."""
    first = words[0]
    if first not in GROUPS:
        if first in VERBS or first in SHORT or first in HIDDEN:
            return first, words[1:]
        if first in LOCAL and local:
            return first, words[1:]
        if first in LOCAL:
            raise CliError(f"{first} works on a directory, not a daemon: nn --local [--root DIR] {first}", 1)
        raise CliError(f"{first!r} is not a verb of nn; `nn --help` lists them", 1)
    if len(words) == 1 or words[1] in ("--help", "-h"):
        return first, ["--help"]
    name = f"{first} {words[1]}"
    if name not in VERBS and name not in SHORT:
        raise CliError(f"{name!r} is not a verb of nn; `nn {first} --help` lists them", 1)
    return name, words[2:]


def entry(name: str) -> tuple[str, str, str]:
    """Return a verb's module, its constant there, and what it does."""
    return HIDDEN.get(name) or LOCAL.get(name) or VERBS[SHORT.get(name, name)]


def load(name: str) -> "Verb":
    """Import a verb. A group without a verb only has a help page."""
    if name in GROUPS:
        from runtime.cli.flags.parser import Verb

        return Verb(lambda client, args: 0, "VERB")
    module, constant, _ = entry(name)
    verb: Verb = getattr(__import__(f"runtime.cli.{module}", fromlist=[constant]), constant)
    return verb
