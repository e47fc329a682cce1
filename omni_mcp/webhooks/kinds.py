"""Which kinds of senders there are, by the `kind` of a row."""

from collections.abc import Mapping

from omni_mcp.webhooks import github, openclaw, standard
from omni_mcp.webhooks.base import Kind

KINDS: Mapping[str, Kind] = {"openclaw": openclaw, "standard": standard, "github": github}
