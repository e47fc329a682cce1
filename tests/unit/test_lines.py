"""Whole lines, however they come in pieces."""

import codecs

import pytest

from omni_mcp.executors import lines

TEXT = "one\n写一个\n\nand a last one without an end"


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_each_piece_is_whole_lines_and_nothing_is_lost(size: int) -> None:
    decoder, raw = codecs.getincrementaldecoder(lines.NAME)(), TEXT.encode()
    pieces = [decoder.decode(raw[at : at + size]) for at in range(0, len(raw), size)]
    assert all(piece.endswith("\n") for piece in pieces if piece)
    assert "".join([*pieces, decoder.decode(b"", final=True)]) == TEXT


def test_what_is_no_utf8_is_replaced_when_that_is_asked_for() -> None:
    assert codecs.getincrementaldecoder(lines.NAME)("replace").decode(b"a\xffb\n") == "a\N{REPLACEMENT CHARACTER}b\n"


def test_of_a_line_without_end_only_the_beginning_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 1000)
    decoder = codecs.getincrementaldecoder(lines.NAME)()
    for _ in range(1000):
        assert decoder.decode(b"x" * 100) == ""
    assert decoder.decode(b"\nnext\n").endswith("\nnext\n")
    assert len(decoder.decode(b"y\n")) == 2


def test_it_writes_plain_utf8() -> None:
    assert "写".encode(lines.NAME) == "写".encode()
