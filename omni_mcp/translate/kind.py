"""Recognise a file by its top-level keys, and translate it. Pure: what it says depends on the file alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.translate.client_file import from_client
from omni_mcp.translate.draft import Draft, Rewrite, Tree
from omni_mcp.translate.litellm_file import KEYS, OURS, from_litellm
from omni_mcp.yaml_file import Document, Flaw


class Kind(StrEnum):
    """Whose words a file is in."""

    OURS = "servers.yaml"
    PLAN = "the plan's config.yaml"
    LITELLM = "a LiteLLM configuration"
    CLIENT = "the mcpServers of an MCP client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A file in our words."""

    kind: Kind
    document: Document
    rewrites: Sequence[Rewrite] = ()
    flaws: Sequence[Flaw] = ()
    """What cannot be translated, by its place in our tree."""


def kind_of(tree: Tree) -> Kind:
    """Return whose words these are; what nobody knows is taken for ours, and refused there."""
    keys = tree.keys()
    if keys & (ServersFile.model_fields.keys() - {*OURS}):
        return Kind.OURS
    if "mcpServers" in keys:
        return Kind.CLIENT
    if not keys & KEYS:
        return Kind.OURS
    return Kind.PLAN if keys & ({*OURS, "mcp_servers"}) else Kind.LITELLM


def translate(document: Document, *, gateway: str | None = None) -> Translation:
    """Return a document in our words; ours comes back as it is.

    `gateway` is the base URL of a proxy that runs with this LiteLLM configuration: it then serves the calls, and its
    models stay there.
    """
    kind, draft = kind_of(document.tree), Draft()
    if kind is Kind.OURS:
        return Translation(kind=kind, document=document)
    if kind is Kind.CLIENT:
        from_client(document.tree, draft)
    else:
        from_litellm(document.tree, draft, gateway=gateway)
    ours = replace(document, tree=draft.tree, origins=draft.origins)
    return Translation(kind=kind, document=ours, rewrites=draft.rewrites, flaws=draft.flaws)
