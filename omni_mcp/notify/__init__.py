"""Telling the user: channels through which a notice goes out. The log, the tools and the resource need none."""
