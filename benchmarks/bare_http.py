"""What `omni-mcp serve` is measured against: the smallest FastMCP server over HTTP. `bare_http.py PORT`."""

import sys

from benchmarks.bare import server

if __name__ == "__main__":
    server.run("http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="WARNING")
