"""An executor that does nothing: the bare server over stdio, for what is measured is us."""

from benchmarks.bare import server

if __name__ == "__main__":
    server.run(show_banner=False, log_level="WARNING")
