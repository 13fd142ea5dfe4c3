"""`nn images`, `rmi`, `tag`, `history`, `commit`, `search`."""

from __future__ import annotations

from runtime.cli.connection.client import filters
from runtime.cli.connection.http import quote
from runtime.cli.errors import CliError
from runtime.cli.flags import times
from runtime.cli.flags.parser import FILTER, FORMAT, JSON, NO_TRUNC, QUIET, Verb
from runtime.cli.output import tables, units
from runtime.cli.verbs import batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from runtime.cli.connection.client import Client, Query
    from runtime.cli.flags.parser import CommandLine, Flag

_HEADINGS = {"ID": "IMAGE ID", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT"}
_SEARCH_COLUMNS = ("Name", "Description", "StarCount", "IsOfficial")
_SEARCH_HEADINGS = {"StarCount": "STARS", "IsOfficial": "OFFICIAL"}


def images(client: Client, args: CommandLine) -> int:
    """List images: a row for each name, or one for an image without names."""
    tables.choose_format(args, "imagesFormat")
    wanted = list(args.many("filter"))
    if args.words:
        wanted.append(f"reference={args.words[0]}")
    query: Query = {"all": args.on("all"), "filters": filters(wanted)}
    found = client.get("/images/json", query)
    if args.on("json"):
        return tables.documents(found)
    digests = args.on("digests") or ".Digest" in args.text("format")
    short = not args.on("no-trunc")
    shown = [row for image in found for row in rows(image, digests=digests, short=short)]
    columns = (
        "Repository",
        "Tag",
        *(("Digest",) if args.on("digests") else ()),
        "ID",
        "CreatedSince",
        "Size",
    )
    return tables.show(args, shown, columns, _HEADINGS)


def rows(image: Mapping[str, Any], *, digests: bool, short: bool) -> Iterator[dict[str, Any]]:
    """One image of the API's list → fields by docker's names, for each of its names."""
    tags = [name.rpartition(":")[::2] for name in image.get("RepoTags") or () if name != "<none>:<none>"]
    digested = [
        name.partition("@")[::2] for name in image.get("RepoDigests") or () if name != "<none>@<none>"
    ]
    known = dict(digested)
    pairs = [(repository, tag, known.get(repository, "<none>")) for repository, tag in tags]
    named = {repository for repository, _ in tags}
    pairs += [(repository, "<none>", digest) for repository, digest in digested if repository not in named]
    for repository, tag, digest in pairs or [("<none>", "<none>", "<none>")]:
        yield {
            "Repository": repository,
            "Tag": tag,
            "Digest": digest if digests else "<none>",
            "ID": units.short_id(image["Id"]) if short else image["Id"],
            "CreatedSince": times.since(image["Created"]),
            "CreatedAt": times.shown(image["Created"]),
            "Size": units.size(image["Size"], 3),
            "VirtualSize": units.size(image["Size"]),
            "SharedSize": _or_unknown(image.get("SharedSize", -1)),
            "UniqueSize": _or_unknown(image.get("SharedSize", -1), image["Size"]),
            "Containers": "N/A" if image.get("Containers", -1) < 0 else str(image["Containers"]),
        }


def _or_unknown(shared: int, whole: int | None = None) -> str:
    if shared < 0:
        return "N/A"
    return units.size(shared if whole is None else whole - shared)


def remove(client: Client, args: CommandLine) -> int:
    """Remove images; print what was removed."""
    query: Query = {"force": args.on("force"), "noprune": args.on("no-prune")}

    def act(name: str) -> str:
        gone = client.delete(f"/images/{quote(name, b'/:@')}", query)
        return "\n".join(_gone(one) for one in gone)

    return batch.in_order(args.words, act, forced=args.on("force"))


def _gone(one: Mapping[str, str]) -> str:
    return f"Untagged: {one['Untagged']}" if one.get("Untagged") else f"Deleted: {one['Deleted']}"


def tag(client: Client, args: CommandLine) -> int:
    """Give an image another name."""
    source, target = args.words
    repository, name = split_tag(target)
    client.post(f"/images/{quote(source, b'/:@')}/tag", {"repo": repository, "tag": name or None})
    return 0


def split_tag(name: str) -> tuple[str, str]:
    """`host:5000/app:1` → `host:5000/app`, `1`; "" for no tag. A digest counts as a tag.

    A name with a colon too many stays whole, so that the daemon refuses it.
    """
    if "@" in name:
        repository, _, digest = name.partition("@")
        return split_tag(repository)[0], digest
    repository, colon, last = name.rpartition(":")
    if not colon or "/" in last or ":" in repository.rpartition("/")[2]:
        return name, ""
    return repository, last


def history(client: Client, args: CommandLine) -> int:
    """List the steps that made an image."""
    found = client.get(f"/images/{quote(args.words[0], b'/:@')}/history")
    if args.on("json"):
        return tables.documents(found)
    short, human = not args.on("no-trunc"), args.on("human", True)
    rows = []
    for step in found:
        made = (step.get("CreatedBy") or "").replace("\t", " ")
        identity, at = step["Id"], times.rfc3339(step["Created"] * 10**9, fraction=False)
        rows.append(
            {
                "ID": units.short_id(identity) if short and identity != "<missing>" else identity,
                "CreatedSince": times.since(step["Created"]) if human else at,
                "CreatedAt": at,
                "CreatedBy": units.shorten(made, 45) if short else made,
                "Size": units.size(step["Size"], 3) if human else str(step["Size"]),
                "Comment": step.get("Comment") or "",
            }
        )
    headings = {
        "ID": "IMAGE",
        "CreatedSince": "CREATED" if human else "CREATED AT",
        "CreatedBy": "CREATED BY",
        "CreatedAt": "CREATED AT",
    }
    return tables.show(args, rows, ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"), headings)


def commit(client: Client, args: CommandLine) -> int:
    """Make an image from a container's changes; print its id."""
    container, *target = args.words
    repository, name = split_tag(target[0]) if target else ("", "")
    if "@" in "".join(target):
        raise CliError(f"{target[0]} has a digest, which cannot be chosen; write NAME[:TAG]", 1)
    query: Query = {
        "container": container,
        "repo": repository or None,
        "tag": name or None,
        "author": args.text("author") or None,
        "comment": args.text("message") or None,
        "changes": args.many("change"),
        "pause": None if args.on("pause", True) else "0",
    }
    print(client.post("/commit", query, {})["Id"])
    return 0


def search(client: Client, args: CommandLine) -> int:
    """Search a registry (Docker Hub unless the term names one) for images by a word of their name."""
    query: Query = {
        "term": args.words[0],
        "limit": args.number("limit"),
        "filters": filters(args.many("filter")),
    }
    found = client.get("/images/search", query) or []
    found.sort(key=lambda one: -one.get("star_count", 0))
    if args.on("json"):
        return tables.documents(found)
    whole = args.text("format").replace(" ", "") in ("json", "{{json.}}")
    marks = ("false", "true") if whole else ("", "[OK]")
    rows = [_search_row(one, marks, truncate=not args.on("no-trunc")) for one in found]
    return tables.show(args, rows, _SEARCH_COLUMNS, _SEARCH_HEADINGS)


def _search_row(found: Mapping[str, Any], marks: tuple[str, str], *, truncate: bool) -> dict[str, Any]:
    """One image found. marks: the words for no and yes."""
    described = " ".join((found.get("description") or "").split())
    return {
        "Name": found["name"],
        "Description": units.shorten(described, 45) if truncate else described,
        "StarCount": str(found.get("star_count", 0)),
        "IsOfficial": marks[bool(found.get("is_official"))],
        "IsAutomated": marks[bool(found.get("is_automated"))],
    }


_LS_FLAGS: tuple[Flag, ...] = (
    ("all", "a", "bool", "", "intermediate ones, too"),
    ("digests", "", "bool", "", "show digests"),
    FILTER,
    FORMAT,
    JSON,
    NO_TRUNC,
    QUIET,
)
_RM_FLAGS: tuple[Flag, ...] = (
    ("force", "f", "bool", "", "even if stopped containers use it or it has several names"),
    ("no-prune", "", "bool", "", "keep parents without a name"),
)
_HISTORY_FLAGS: tuple[Flag, ...] = (
    FORMAT,
    ("human", "H", "bool", "", "readable sizes and times (on by default)"),
    JSON,
    NO_TRUNC,
    QUIET,
)
_COMMIT_FLAGS: tuple[Flag, ...] = (
    ("author", "a", "text", "NAME", "its author"),
    ("change", "c", "many", "LINE", "a Dockerfile instruction, as in 'CMD [\"sh\"]'"),
    ("message", "m", "text", "TEXT", "a comment"),
    ("pause", "p", "bool", "", "freeze the container meanwhile (on by default)"),
)
LS = Verb(images, "[NAME[:TAG]]", _LS_FLAGS, example="nn images --filter dangling=true -q")
RM = Verb(remove, "IMAGE...", _RM_FLAGS, example="nn rmi debian:12")
TAG = Verb(tag, "IMAGE NAME[:TAG]", example="nn tag app 127.0.0.1:5000/app:1")
HISTORY = Verb(history, "IMAGE", _HISTORY_FLAGS, example="nn history --no-trunc debian")
COMMIT = Verb(
    commit, "CONTAINER [NAME[:TAG]]", _COMMIT_FLAGS, example="nn commit -c 'CMD [\"top\"]' box box:2"
)
_SEARCH_FLAGS: tuple[Flag, ...] = (
    FILTER,
    FORMAT,
    JSON,
    ("limit", "", "int", "N", "show at most N"),
    NO_TRUNC,
)
SEARCH = Verb(search, "TERM", _SEARCH_FLAGS, example="nn search --filter stars=10 nginx")
