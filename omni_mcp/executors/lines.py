"""UTF-8 that comes in whole lines: an encoding for the client library, which adds chunk to chunk to make a line.

That takes the square of its length: two minutes of one processor for an answer of 50 MB, in which nothing else of the
engine runs. Told to read with this encoding, it gets each line at once.
"""

import codecs

NAME = "utf-8-in-lines"
LONGEST = 128 << 20
"""Characters of a line; of a longer one only the beginning is kept: nobody can read it, but it names its call."""
BEGINNING = 200


class LineDecoder(codecs.IncrementalDecoder):
    """Holds text back until its line is whole."""

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors)
        self._held: list[str] = []
        self._size = 0

    def decode(self, input: bytes, final: bool = False) -> str:  # type: ignore[override]  # noqa: A002
        """Return the lines that are whole by now; at the end all that is left."""
        text = self._utf8.decode(input, final)
        whole, newline, rest = text.rpartition("\n")
        if not newline and not final:
            self._hold(text)
            return ""
        lines = "".join([*self._held, whole, newline])
        self._held, self._size = [], 0
        self._hold(rest)
        return lines + rest if final else lines

    def _hold(self, text: str) -> None:
        self._held.append(text)
        self._size += len(text)
        if self._size > LONGEST:
            self._held, self._size = ["".join(self._held[:2])[:BEGINNING]], BEGINNING


def _look_up(name: str) -> codecs.CodecInfo | None:
    if name != NAME.replace("-", "_"):
        return None
    utf8 = codecs.lookup("utf-8")
    return codecs.CodecInfo(utf8.encode, utf8.decode, incrementaldecoder=LineDecoder, name=NAME)


codecs.register(_look_up)
