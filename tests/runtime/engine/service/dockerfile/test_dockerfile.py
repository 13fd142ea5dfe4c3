"""Dockerfiles as text: lines, instructions, flags, and what is refused with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.service.build.stages import Arguments, plan_stages
from runtime.engine.service.dockerfile.lexer import DockerfileError
from runtime.engine.service.dockerfile.parser import Instruction, parse_dockerfile


def parsed(text: str) -> tuple[Instruction, ...]:
    return parse_dockerfile(text.encode()).instructions


def one(text: str) -> Instruction:
    (instruction,) = parsed(text)
    return instruction


def test_comments_and_empty_lines_go_and_continued_lines_are_joined() -> None:
    text = "# top\n\nFROM a \\\n  AS b\n  # not here\nRUN x \\\n# a comment\n\n    y\\\n z  \n"
    first, second = parsed(text)
    assert (first.text, first.args, first.line) == ("FROM a   AS b", ("a", "AS", "b"), 3)
    assert (second.text, second.line) == ("RUN x     y z", 6)
    assert "Empty continuation line" in parse_dockerfile(text.encode()).warnings[0]


def test_a_windows_file_and_a_byte_order_mark_are_read() -> None:
    assert [item.text for item in parsed("\ufeffFROM a\r\nRUN x \\\r\n y\r\n")] == ["FROM a", "RUN x  y"]


def test_an_escaped_escape_does_not_continue_a_line() -> None:
    assert [item.text for item in parsed("RUN a\\\\\nRUN b")] == ["RUN a\\\\", "RUN b"]


def test_the_escape_directive_counts_only_at_the_top() -> None:
    assert [item.text for item in parsed("# escape=`\nFROM a\nRUN dir c:\\\nRUN b `\n c")] == [
        "FROM a",
        "RUN dir c:\\",
        "RUN b  c",
    ]
    assert [item.text for item in parsed("# words\n# escape=`\nRUN b `\nRUN c")] == ["RUN b `", "RUN c"]
    with pytest.raises(DockerfileError, match="'x'"):
        parsed("# escape=x\nFROM a")
    with pytest.raises(DockerfileError, match="only one escape"):
        parsed("# escape=`\n# escape=`\nFROM a")


@pytest.mark.parametrize(
    ("text", "args", "is_json"),
    [
        ('CMD ["a", "b c"]', ("a", "b c"), True),
        ("CMD a  b", ("a  b",), False),
        ("CMD ['a']", ("['a']",), False),
        ("ENTRYPOINT []", (), True),
        ('RUN ["/bin/sh", "-c", "x"]', ("/bin/sh", "-c", "x"), True),
        ("RUN [ -f /x ]", ("[ -f /x ]",), False),
        ('COPY ["a b", "/c d/"]', ("a b", "/c d/"), True),
        ("COPY a b  c/", ("a", "b", "c/"), False),
        ("volume /a /b", ("/a", "/b"), False),
        ("EXPOSE 80 443/tcp", ("80", "443/tcp"), False),
        ("HEALTHCHECK none", ("NONE",), False),
        ("HEALTHCHECK CMD curl x", ("CMD-SHELL", "curl x"), False),
        ('HEALTHCHECK cmd ["curl", "x"]', ("CMD", "curl", "x"), True),
        ("ONBUILD RUN x", ("RUN x",), False),
        ("ONBUILD /bin/later --unknown", ("/bin/later --unknown",), False),
        ("ARG a b=c d='e f'", ("a", "b=c", "d='e f'"), False),
    ],
)
def test_arguments_have_their_instructions_form(text: str, args: tuple[str, ...], is_json: bool) -> None:
    instruction = one(text)
    assert (instruction.args, instruction.is_json) == (args, is_json)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("ENV a=b c='d e' f=\"g\"", (("a", "b"), ("c", "'d e'"), ("f", '"g"'))),
        ("ENV a b c", (("a", "b c"),)),
        ("ENV a=b\\ c", (("a", "b\\ c"),)),
        ('LABEL "a b"=c', (('"a b"', "c"),)),
        ("LABEL a=", (("a", ""),)),
    ],
)
def test_pairs(text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    assert one(text).pairs == pairs


def test_flags_come_before_arguments() -> None:
    instruction = one("COPY --from=x --chown=a:b --chmod=755 c d")
    assert instruction.flags == {"from": "x", "chown": "a:b", "chmod": "755"}
    assert instruction.args == ("c", "d")
    assert one("HEALTHCHECK --interval=5s --retries=2 CMD x").flags == {"interval": "5s", "retries": "2"}


@pytest.mark.parametrize(
    "text", ["RUN echo $((1<<n))", "RUN echo '<<'", 'RUN ["cat", "<<EOF"]', "RUN cat <<<word"]
)
def test_what_only_looks_like_a_heredoc_is_a_command(text: str) -> None:
    assert one(text).name == "RUN"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "failed to parse Dockerfile: file with no instructions"),
        ("# only\n", "no instructions"),
        (
            "FROM a\nNOTADOCKERFILECOMMAND",
            "parse error on line 2: unknown instruction: NOTADOCKERFILECOMMAND",
        ),
        ("FROM a\n\nCOPY x", "on line 3: COPY requires at least two arguments"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=b c", 'can\'t find = in "c"'),
        ("ENV =b", "names can not be blank"),
        ("USER", "USER requires exactly one argument"),
        ("RUN", "RUN requires at least one argument"),
        ("SHELL a b", "JSON form"),
        ("RUN --mount=type=cache,target=/x y", "--mount option requires BuildKit"),
        ("COPY --parents a b", "--parents option requires BuildKit"),
        ("COPY --other a b", "unknown flag: --other"),
        ("COPY <<EOF /x", "COPY .*BuildKit"),
        ("RUN <<EOF\ntouch /x\nEOF", "RUN .*BuildKit"),
        ("RUN cat <<-'EOF' > /x\nx\nEOF", "RUN .*BuildKit"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK x", 'Unknown type "X"'),
        ("HEALTHCHECK NONE x", "takes no arguments"),
        ("HEALTHCHECK CMD", "missing command"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
        ("ONBUILD FROM x", "isn't allowed as an ONBUILD trigger"),
        ("ONBUILD ENV x", "must have two arguments"),
    ],
)
def test_what_makes_no_sense_is_refused_in_dockers_words(text: str, said: str) -> None:
    with pytest.raises(DockerfileError, match=said):
        parsed(text)


@given(text=st.text(st.sampled_from("FROMCPYaEN =\\\"'\n#$[]{},-`:"), max_size=60))
def test_any_text_is_a_dockerfile_or_an_error_of_ours(text: str) -> None:
    try:
        parse_dockerfile(text.encode())
    except DockerfileError as error:
        assert str(error)


@given(data=st.binary(max_size=60))
def test_bytes_that_are_no_text_are_no_surprise(data: bytes) -> None:
    try:
        parse_dockerfile(b"FROM a\nRUN " + data)
    except DockerfileError as error:
        assert str(error)


@given(pieces=st.lists(st.text(st.sampled_from("abc &|"), min_size=1, max_size=6), min_size=1, max_size=5))
def test_a_line_may_be_broken_anywhere(pieces: list[str]) -> None:
    assert one("RUN x" + "\\\n".join(f"{piece}." for piece in pieces)).args[0] == "x" + "".join(
        f"{piece}." for piece in pieces
    )


# ---- stages ---------------------------------------------------------------------------------------------


def test_stages_have_names_and_end_at_the_target() -> None:
    text = "ARG v=1\nFROM a:$v AS First\nRUN x\nFROM first\nRUN y\nFROM scratch as last\n"
    plan = plan_stages(parsed(text))
    assert [(stage.base, stage.name) for stage in plan.stages] == [
        ("a:$v", "first"),
        ("first", ""),
        ("scratch", "last"),
    ]
    assert plan.steps == 6
    for target in ("First", "0"):
        assert plan_stages(parsed(text), target).steps == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [("RUN x", "no build stage"), ("ARG x", "no build stage"), ("FROM a b", "either one or three"),
     ("FROM a AS 1x", "invalid name"), ("FROM a AS b\nFROM a AS B", "duplicate name"),
     ("FROM a FOR b", "either one or three")],
)  # fmt: skip
def test_stages_that_make_no_sense(text: str, said: str) -> None:
    with pytest.raises(DockerfileError, match=said):
        plan_stages(parsed(text))
    with pytest.raises(DockerfileError, match='target stage "x" could not be found'):
        plan_stages(parsed("FROM a"), "x")


def test_arguments_have_the_scope_of_their_stage() -> None:
    arguments = Arguments({"given": "G", "HTTP_PROXY": "P", "unasked": "U", "absent": None})
    arguments.declare_global(one("ARG global=1"))
    assert arguments.globals == {"global": "1"}
    arguments.begin_stage()
    assert arguments.values({}) == {}
    arguments.declare("global", None)
    arguments.declare("given", "default")
    arguments.declare("unset", None)
    assert arguments.values({"given": "env"}) == {"global": "1", "given": "env"}
    assert arguments.for_run({"global": "env"}) == (["HTTP_PROXY=P", "given=G"], ["given=G"])
    arguments.begin_stage()
    assert arguments.for_run({}) == (["HTTP_PROXY=P"], [])
    assert arguments.unused() == ["absent", "unasked"]
