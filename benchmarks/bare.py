"""What our face is measured against: the smallest FastMCP server that does anything."""

from fastmcp import FastMCP

server = FastMCP("bare")


@server.tool
def echo(description: str) -> str:
    """Return what was said."""
    return description


if __name__ == "__main__":
    server.run(show_banner=False, log_level="WARNING")
