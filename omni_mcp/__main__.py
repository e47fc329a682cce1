"""`python -m omni_mcp` and the `omni-mcp` command."""

from omni_mcp.cli import app


def main() -> None:
    """Run the command line; without a command it is the stdio face."""
    app()


if __name__ == "__main__":
    main()
