"""What serves model calls, by the settings: LiteLLM when all is well, the providers themselves when it is broken.

`app` opens them and gives them to the relay, which closes them (`aclose`). They share one classification of failures
(`failures.py`), so whoever switches between them compares like with like.
"""

from omni_mcp.llm.base import Doors, ModelGateway
from omni_mcp.llm.direct import DirectGateway
from omni_mcp.llm.fields import WithDefaults
from omni_mcp.llm.layers import WithLayers
from omni_mcp.llm.proxy import ProxyGateway
from omni_mcp.llm.router import RouterGateway
from omni_mcp.settings import Settings


def primary(settings: Settings) -> ModelGateway | None:
    """Return LiteLLM: the user's proxy (`models.gateway`), else its Router in process (`models.model_list`), else None.

    The model of a call is the one in its body, as `Models.model_for` chose it.
    """
    models, silence = settings.servers.models, settings.servers.limits.silent_seconds
    if models.gateway is not None:
        return WithDefaults(WithLayers(ProxyGateway(models.gateway, silence=silence)), models.defaults.said)
    if models.model_list:
        return WithDefaults(WithLayers(RouterGateway(models, silence=silence)), models.defaults.said)
    return None


def direct(settings: Settings, doors: Doors) -> ModelGateway | None:
    """Return the providers' own APIs (`direct`); None without a backup key for any of them.

    The model of a call is the one that each provider has for its `task_type`; the one in the body is LiteLLM's and not
    looked at. `Spent` says which provider and model served.
    """
    rows = settings.servers.direct
    usable = {name: (rows[name], key) for name, key in settings.backup_keys.items()}
    if not usable:
        return None
    gateway = DirectGateway(usable, doors, silence=settings.servers.limits.silent_seconds)
    return WithDefaults(gateway, settings.servers.models.defaults.said)
