"""What people and programs are shown: the same fields in tools, CLI `--json` and web page."""
