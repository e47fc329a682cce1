"""Refusals of what is no tool: a protocol error has one text, so that names the next call, too; nobody logs a trace."""

import logging
from collections.abc import Awaitable
from typing import TypeVar

from fastmcp.exceptions import FastMCPError

from omni_mcp.errors import OmniError

T = TypeVar("T")
LOOK = "system_mode says how the whole is"


async def answered(answer: Awaitable[T], refusal: type[FastMCPError]) -> T:
    """Return the answer, or raise the refusal in our words."""
    try:
        return await answer
    except OmniError as error:
        raise refused(refusal, error.message, error.next_step or LOOK) from error


def refused(refusal: type[FastMCPError], message: str, next_step: str) -> FastMCPError:
    """Return a refusal that a client can show."""
    return refusal(f"{message}; next: {next_step}", log_level=logging.DEBUG)
