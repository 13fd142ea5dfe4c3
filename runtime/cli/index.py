"""All verbs: where each lives and what it does, in a line. Nothing is imported before a verb is chosen."""

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.flags import Verb

VERBS = {
    "container attach": ("attaching", "ATTACH", "join a running container's input and output"),
    "container commit": ("images", "COMMIT", "make an image of a container's changes"),
    "container cp": ("copying", "CP", "copy files between a container and here"),
    "container create": ("running", "CREATE", "make a container, do not start it"),
    "container diff": ("containers", "DIFF", "list what a container changed in its files"),
    "container exec": ("attaching", "EXEC", "run a program in a running container"),
    "container export": ("transfer", "EXPORT", "write a container's files as a tar"),
    "container inspect": ("inspecting", "CONTAINER", "show all of a container"),
    "container kill": ("lifecycle", "KILL", "send a signal, KILL by default"),
    "container logs": ("logs", "LOGS", "show what a container printed"),
    "container ls": ("listing", "LS", "list containers"),
    "container pause": ("lifecycle", "PAUSE", "freeze all processes"),
    "container port": ("containers", "PORT", "list published ports"),
    "container prune": ("pruning", "CONTAINERS", "remove all stopped containers"),
    "container rename": ("containers", "RENAME", "give a container another name"),
    "container restart": ("lifecycle", "RESTART", "stop and start again"),
    "container rm": ("lifecycle", "RM", "remove containers"),
    "container run": ("running", "RUN", "make a container and run a program in it"),
    "container start": ("attaching", "START", "start stopped containers"),
    "container stats": ("stats", "STATS", "show what containers use, live"),
    "container stop": ("lifecycle", "STOP", "stop: the stop signal, then KILL"),
    "container top": ("containers", "TOP", "list a container's processes"),
    "container unpause": ("lifecycle", "UNPAUSE", "thaw all processes"),
    "container update": ("updating", "UPDATE", "change limits of containers"),
    "container wait": ("lifecycle", "WAIT", "wait for the end, print the exit status"),
    "image build": ("building", "BUILD", "build an image from a Dockerfile"),
    "image history": ("images", "HISTORY", "list the steps that made an image"),
    "image import": ("transfer", "IMPORT", "make an image of a tar"),
    "image inspect": ("inspecting", "IMAGE", "show all of an image"),
    "image load": ("transfer", "LOAD", "take in images that `save` wrote"),
    "image ls": ("images", "LS", "list images"),
    "image prune": ("pruning", "IMAGES", "remove unused images"),
    "image pull": ("transfer", "PULL", "get an image from a registry"),
    "image push": ("transfer", "PUSH", "send an image to a registry"),
    "image rm": ("images", "RM", "remove images"),
    "image save": ("transfer", "SAVE", "write images to a file"),
    "image tag": ("images", "TAG", "give an image another name"),
    "network connect": ("networks", "CONNECT", "plug a container into a network"),
    "network create": ("networks", "CREATE", "make a network"),
    "network disconnect": ("networks", "DISCONNECT", "unplug a container from a network"),
    "network inspect": ("inspecting", "NETWORK", "show all of a network"),
    "network ls": ("networks", "LS", "list networks"),
    "network prune": ("pruning", "NETWORKS", "remove unused networks"),
    "network rm": ("networks", "RM", "remove networks"),
    "volume create": ("volumes", "CREATE", "make a volume"),
    "volume inspect": ("inspecting", "VOLUME", "show all of a volume"),
    "volume ls": ("volumes", "LS", "list volumes"),
    "volume prune": ("pruning", "VOLUMES", "remove unused volumes"),
    "volume rm": ("volumes", "RM", "remove volumes"),
    "system df": ("usage", "DF", "show what takes up space"),
    "system dial-stdio": ("system", "DIAL", "join stdin and stdout to the daemon (ssh uses it)"),
    "system events": ("system", "EVENTS", "show what happens, as it happens"),
    "system info": ("system", "INFO", "show the daemon's facts"),
    "system prune": ("pruning", "SYSTEM", "remove all that is unused"),
    "builder prune": ("pruning", "BUILDER", "forget the build cache"),
    "context create": ("contexts", "CREATE", "give a daemon's address a name"),
    "context inspect": ("contexts", "INSPECT", "show all of a context"),
    "context ls": ("contexts", "LS", "list contexts"),
    "context rm": ("contexts", "RM", "remove contexts"),
    "context show": ("contexts", "SHOW", "print the current one's name"),
    "context update": ("contexts", "UPDATE", "change a context"),
    "context use": ("contexts", "USE", "make a context the current one"),
    "inspect": ("inspecting", "ANY", "show all of anything, by its name or id"),
    "login": ("login", "LOGIN", "keep a registry's user and password"),
    "logout": ("login", "LOGOUT", "forget them"),
    "search": ("searching", "SEARCH", "look for images in a registry"),
    "version": ("system", "VERSION", "our version and the daemon's"),
    "serve registry": ("serving", "REGISTRY", "be a registry"),
    "completion": ("completion", "COMPLETION", "print a completion script for bash, zsh or fish"),
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
"""Other words for a verb → its full name."""

GROUPS = {
    "builder": "the build cache",
    "container": "containers",
    "context": "daemons and their names",
    "image": "images",
    "network": "networks",
    "serve": "servers of our own",
    "system": "the daemon as a whole",
    "volume": "volumes",
}


HIDDEN = {"__complete": ("completion", "COMPLETE", "print what may come next (completion scripts ask)")}
"""Verbs for programs, which no list shows."""


LOCAL = {
    "verify": ("local", "VERIFY", "hash images' blobs and layers again (with --local)"),
    "sweep": ("local", "SWEEP", "free what was killed and has left something (with --local)"),
}
"""Verbs that work on a root, not on a daemon, and are only there with --local."""


def split(words: list[str], *, local: bool = False) -> tuple[str, list[str]]:
    """Return the verb as typed, of one or two words, and the words after it. CliError for an unknown one."""
    first = words[0]
    if first not in GROUPS:
        if first in VERBS or first in SHORT or first in HIDDEN:
            return first, words[1:]
        if first in LOCAL and local:
            return first, words[1:]
        if first in LOCAL:
            raise CliError(f"{first} works on a directory, not a daemon: nn --local [--root DIR] {first}", 1)
        raise CliError(f"{first!r} is no verb of nn; `nn --help` lists them", 1)
    if len(words) == 1 or words[1] in ("--help", "-h"):
        return first, ["--help"]
    name = f"{first} {words[1]}"
    if name not in VERBS and name not in SHORT:
        raise CliError(f"{name!r} is no verb of nn; `nn {first} --help` lists them", 1)
    return name, words[2:]


def entry(name: str) -> tuple[str, str, str]:
    """Return a verb's module, its constant there, and what it does."""
    return HIDDEN.get(name) or LOCAL.get(name) or VERBS[SHORT.get(name, name)]


def load(name: str) -> "Verb":
    """Import a verb. A group alone is one that only has a help page."""
    if name in GROUPS:
        from runtime.cli.flags import Verb

        return Verb(lambda client, options: 0, "VERB")
    module, constant, _ = entry(name)
    package = __import__("runtime.cli", fromlist=[module])
    __import__(f"runtime.cli.{module}")
    verb: Verb = getattr(getattr(package, module), constant)
    return verb
