"""Keeps a context in a task of its own.

FastMCP leaves a server's lifespan within a cancel scope that it opened after entering it, so a lifespan must not hold
a task group itself (fastmcp 4.1, `_lifespan_manager`).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def in_own_task(context: AbstractAsyncContextManager[T]) -> AsyncGenerator[T]:
    """Enter and leave `context` in one task, whatever scopes are open here by then."""
    opened: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()
    task = asyncio.create_task(_live(context, opened, leave))
    try:
        yield await opened
    finally:
        leave.set()
        await task


async def _live(context: AbstractAsyncContextManager[T], opened: "asyncio.Future[T]", leave: asyncio.Event) -> None:
    try:
        async with context as value:
            opened.set_result(value)
            await leave.wait()
    except Exception as error:
        if opened.done():
            raise
        opened.set_exception(error)
