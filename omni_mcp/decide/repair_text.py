"""What the agent that repairs LiteLLM is told: what is broken, how that was found, what it may do. Pure."""

from collections.abc import Sequence

from omni_mcp.decide.modes.state import LITELLM, ModeState, Setup


def text_of(state: ModeState, setup: Setup, *, door: str, commands: Sequence[str], grace: float) -> str:
    """Return the text of the task; `door` is the URL that tells whether LiteLLM lives, `grace` is in seconds."""
    lines = "\n".join(f"  {line}" for line in commands)
    clouds = ", ".join(f"{name}: {state.providers[name].said}" for name in setup.providers if name in state.providers)
    return f"""\
LiteLLM, the proxy through which model calls go on this machine, is broken. Bring it back.

What is known: {state.cause}. It was probed at {door}, again and again, the last time with two tries.
The newest look at {LITELLM}: {state.litellm.said}. Providers asked directly: {clouds or "none"}.

You may run exactly these commands, each as it stands here and nothing else; any other one is denied:
{lines}

You may read files below the working folder. Find out what is wrong, run what is needed, and no more than that. LiteLLM
is well when a GET of {door} answers 200 with "I'm alive!"; you need not ask it yourself. When you have ended,
it is asked for {grace:g} s, and its answer decides, not what you say. If no command helps, say what a person has to do.
"""
