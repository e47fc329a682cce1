"""Clouds whose keys `init` knows by name, and the models to begin with. The names are LiteLLM's."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cloud:
    """A provider: the variable of its key, a strong model and a quick one."""

    key: str
    strong: str
    quick: str


CLOUDS = (
    Cloud("ANTHROPIC_API_KEY", "anthropic/claude-sonnet-4-6", "anthropic/claude-haiku-4-5"),
    Cloud("OPENAI_API_KEY", "openai/gpt-5", "openai/gpt-5-mini"),
    Cloud("GEMINI_API_KEY", "gemini/gemini-2.5-pro", "gemini/gemini-2.5-flash"),
    Cloud("DEEPSEEK_API_KEY", "deepseek/deepseek-chat", "deepseek/deepseek-chat"),
    Cloud("ZAI_API_KEY", "zai/glm-4.7", "zai/glm-4.5-air"),
    Cloud("MOONSHOT_API_KEY", "moonshot/kimi-k2.5", "moonshot/kimi-k2.5"),
    Cloud("DASHSCOPE_API_KEY", "dashscope/qwen3-coder-plus", "dashscope/qwen-plus"),
    Cloud("OPENROUTER_API_KEY", "openrouter/anthropic/claude-sonnet-4.6", "openrouter/anthropic/claude-haiku-4.5"),
)
"""In the order in which they are tried: of several keys the first serves, and the next ones when it fails."""

MASTER_KEY = "LITELLM_MASTER_KEY"

OTHER_KEYS = (MASTER_KEY, "GITHUB_LITELLM_KEY", "ANTHROPIC_BACKUP_KEY", "OPENCLAW_GATEWAY_TOKEN")
"""Other variables that a servers.yaml may use."""
