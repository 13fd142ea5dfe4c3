"""Split a Dockerfile's lines into words, by their quotes, and expand `$name` and `${name:-word}`.

The rules are those of docker's own lexer, a small part of a shell's. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.engine.errors import BadParameterError

_SPACES = " \t\n\r\v\f"


class DockerfileError(BadParameterError):
    """The Dockerfile or an option of its build is invalid: nothing was built."""


def on_line(line: int, message: str) -> DockerfileError:
    """Return the error of a line of the Dockerfile (the first is 1)."""
    return DockerfileError(f"dockerfile parse error on line {line}: {message}")


def split_words(text: str, escape: str = "\\") -> list[str]:
    """Split at white space outside of quotes; quotes and escapes stay in the words."""
    words: list[str] = []
    word, quote, place = "", "", 0
    begun = False
    while place < len(text):
        char = text[place]
        place += 1
        if not quote and char in _SPACES:
            if begun:
                words.append(word)
            word, begun = "", False
            continue
        begun = True
        if char == escape and quote != "'":
            if place == len(text):  # an escape at the very end says nothing
                break
            word += char + text[place]
            place += 1
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        word += char
    if begun and word:
        words.append(word)
    return words


def expand(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """Return a word with quotes taken away and variables replaced; an unknown one is empty.

    Raises DockerfileError for quotes and braces that are not closed, and for `${name:?message}`.
    """
    return _Lexer(text, values, escape).whole()


def expand_words(text: str, values: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Like expand(), but what a variable brings is split at white space too."""
    return _Lexer(text, values, escape).words()


class _Lexer:
    def __init__(self, text: str, values: Mapping[str, str], escape: str) -> None:
        self._text, self._values, self._escape = text, values, escape
        self._at = 0

    def whole(self) -> str:
        return "".join(piece for piece, _ in self._pieces(""))

    def words(self) -> list[str]:
        found: list[str] = []
        word, begun = "", False
        for piece, quoted in self._pieces(""):
            if quoted:
                word, begun = word + piece, True
                continue
            for char in piece:
                if char not in _SPACES:
                    word, begun = word + char, True
                elif begun:
                    found.append(word)
                    word, begun = "", False
        return [*found, word] if begun else found

    # ---- pieces ----------------------------------------------------------------------------------------

    def _pieces(self, end: str) -> list[tuple[str, bool]]:
        """Read up to the character `end` (or the text's end): texts, and whether each was quoted."""
        found: list[tuple[str, bool]] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == end:
                return found
            self._at += 1
            if char == "'":
                found.append((self._single(), True))
            elif char == '"':
                found.append((self._double(), True))
            elif char == "$":
                found.append((self._dollar(), False))
            elif char == self._escape and self._at < len(self._text):
                found.append((self._text[self._at], True))
                self._at += 1
            else:
                found.append((char, False))
        if end:
            raise DockerfileError(f"syntax error: missing {end!r} in {self._text!r}")
        return found

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise DockerfileError("unexpected end of statement while looking for matching single-quote")
        text, self._at = self._text[self._at : end], end + 1
        return text

    def _double(self) -> str:
        found = ""
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char == '"':
                return found
            following = self._text[self._at : self._at + 1]
            if char == "$":
                found += self._dollar()
            elif char == self._escape and following and following in f'"${self._escape}':
                found += following
                self._at += 1
            else:
                found += char
        raise DockerfileError("unexpected end of statement while looking for matching double-quote")

    # ---- variables -------------------------------------------------------------------------------------

    def _dollar(self) -> str:
        if self._text[self._at : self._at + 1] == "{":
            self._at += 1
            return self._braced()
        name = self._name()
        return self._values.get(name, "") if name else "$"

    def _name(self) -> str:
        start = self._at
        rest = self._text[start:]
        if rest[:1].isdigit() or rest[:1] in ("@", "*", "#"):  # a shell's own, never set here
            self._at += 1
            return rest[:1]
        while self._at < len(self._text) and _is_letter(self._text[self._at], first=self._at == start):
            self._at += 1
        return self._text[start : self._at]

    def _braced(self) -> str:
        name = self._name()
        rest = self._text[self._at : self._at + 2]
        if not rest:
            raise DockerfileError(f"syntax error: missing '}}' in {self._text!r}")
        if not name:
            raise DockerfileError(f"unsupported variable name in {self._text!r}: use letters, digits and _")
        if rest[0] == "}":
            self._at += 1
            return self._values.get(name, "")
        colon = rest[0] == ":"
        modifier = rest[1:2] if colon else rest[0]
        if modifier not in tuple("-+?"):
            raise DockerfileError(f"unsupported modifier ({rest[: 1 + colon]}) in substitution")
        self._at += 1 + colon
        word = "".join(piece for piece, _ in self._pieces("}"))
        self._at += 1
        return self._modified(name, modifier, word, colon=colon)

    def _modified(self, name: str, modifier: str, word: str, *, colon: bool) -> str:
        value = self._values.get(name)
        is_set = value is not None and (bool(value) or not colon)
        if modifier == "+":
            return word if is_set else ""
        if is_set:
            return value or ""
        if modifier == "?":
            raise DockerfileError(f"{name}: {word or 'is not allowed to be unset'}")
        return word


def _is_letter(char: str, *, first: bool) -> bool:
    return char == "_" or (char.isascii() and (char.isalpha() if first else char.isalnum()))
