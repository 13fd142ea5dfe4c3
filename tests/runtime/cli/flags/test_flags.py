from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cli.errors import CliError
from runtime.cli.flags.parser import CommandLine, HelpAskedError, Verb, parse, parse_flags
from runtime.cli.flags.run_flags import CREATE, RUN

KINDS = {flag[0].partition("|")[0]: flag for flag in RUN}
TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)


@st.composite
def spelled(draw: st.DrawFn) -> tuple[dict[str, list[str]], list[str]]:
    """Flags of run with values, and one of the ways to write them."""
    wanted: dict[str, list[str]] = {}
    words: list[str] = []
    for key in draw(st.lists(st.sampled_from(sorted(KINDS)), max_size=12)):
        names, letter, kind, _, _ = KINDS[key]
        long = draw(st.sampled_from(names.split("|")))
        if kind == "bool":
            value = draw(st.booleans())
            ways = [[f"--{long}={str(value).lower()}"], [f"--{long}={int(value)}"]]
            ways += [[f"--{long}"]] if value else []
            ways += [[f"-{letter}"]] if value and letter else []
            wanted.setdefault(key, []).append(str(value).lower())
        else:
            text = str(draw(st.integers(-9, 99999))) if kind == "int" else draw(TEXT)
            ways = [[f"--{long}", text], [f"--{long}={text}"]]
            ways += [[f"-{letter}", text], [f"-{letter}={text}"]] if letter else []
            ways += [[f"-{letter}{text}"]] if letter and text[:1] not in ("", "=") else []
            wanted.setdefault(key, []).append(text)
        words += draw(st.sampled_from(ways))
    return wanted, words


@given(spelled(), st.lists(TEXT, max_size=4))
def test_every_spelling_of_flags_is_read_back(
    given_flags: tuple[dict[str, list[str]], list[str]], rest: list[str]
):
    wanted, words = given_flags
    options = parse_flags("run", RUN, [*words, "image", *rest], program=True)
    assert {key: options.many(key) for key in options} == wanted
    assert options.words == ["image", *rest]


@given(st.lists(TEXT, max_size=8))
def test_any_words_are_read_or_refused_in_words(words: list[str]):
    try:
        options = parse_flags("run", RUN, words, program=True)
    except CliError as error:
        assert error.status == 125
        assert "nn run --help" in str(error)
    except HelpAskedError:
        assert any(word.startswith("-") for word in words)
    else:
        assert len(options.words) <= len(words)


def test_letters_stand_together_and_the_last_takes_the_rest():
    options = parse_flags("run", RUN, ["-itp80:80", "-hbox", "img"], program=True)
    assert options.on("interactive") and options.on("tty")
    assert options.many("publish") == ["80:80"]
    assert options.text("hostname") == "box"


def test_flags_of_the_program_are_left_alone():
    options = parse_flags("run", RUN, ["--rm", "img", "ls", "--rm", "-la", "--help"], program=True)
    assert options.words == ["img", "ls", "--rm", "-la", "--help"]


def test_flags_may_follow_words_where_no_program_is_named():
    options = parse_flags("x", (("force", "f", "bool", "", ""),), ["a", "-f", "b", "--", "-c"], program=False)
    assert (options.words, options.on("force")) == (["a", "b", "-c"], True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nope", "i"], "unknown flag: --nope"),
        (["-Z", "i"], "unknown flag: -Z"),
        (["--name"], "flag needs an argument: --name"),
        (["--cpu-shares", "many", "i"], r"--cpu-shares .*\bmany\b"),
        (["--cpu-shares", "+-5", "i"], r"--cpu-shares .*\+-5"),
        (["--cpu-shares", "²", "i"], "--cpu-shares .*²"),
        (["--rm=yes", "i"], r"--rm .*\byes\b"),
        (["--rm=perhaps", "i"], r"--rm .*\bperhaps\b"),
    ],
)
def test_wrong_flags_are_named(words: list[str], said: str):
    with pytest.raises(CliError, match="^" + said):
        parse_flags("run", RUN, words, program=True)


@pytest.mark.parametrize(
    ("usage", "count", "said"),
    [
        ("A", 0, r"\b1 .*\b0\b"),
        ("A...", 0, r"least 1 .*\b0\b"),
        ("[A]", 2, r"most 1 .*\b2\b"),
        ("A [B[:C]]", 3, r"most 2 .*\b3\b"),
    ],
)
def test_the_number_of_words_is_checked(usage: str, count: int, said: str):
    verb = Verb(lambda client, options: 0, usage)
    with pytest.raises(CliError, match=said):
        parse("x", verb, ["w"] * count)


def test_the_tables_are_sound():
    letters = [flag[1] for flag in RUN if flag[1]]
    names = [name for flag in RUN for name in flag[0].split("|")]
    assert len(set(letters)) == len(letters)
    assert len(set(names)) == len(names)
    assert {flag[2] for flag in CREATE} == {"bool", "text", "many", "int"}


def test_options_that_were_not_given_have_their_defaults():
    options = CommandLine()
    assert (options.on("x"), options.on("x", True), options.text("x", "y")) == (False, True, "y")
    assert (options.many("x"), options.number("x"), options.given("x")) == ([], None, False)
