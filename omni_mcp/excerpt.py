"""What of a long text stands in line: its head and its tail, with what lies between them counted."""


def joined(head: str, tail: str, total: int, *, rest: str = "") -> str:
    """Return head and tail of a text of `total` characters; `rest` says where the whole is."""
    left = total - len(head) - len(tail)
    return f"{head} … [{left} of {total} characters left out{rest}] … {tail}" if left > 0 else head + tail


def excerpt(text: str, limit: int, *, rest: str = "") -> str:
    """Return a text of at most `limit` characters as it is, of a longer one so many of head and tail."""
    tail = 0 if len(text) <= limit else limit // 4
    return joined(text[: limit - tail], text[len(text) - tail :], len(text), rest=rest)
