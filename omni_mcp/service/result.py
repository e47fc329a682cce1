"""Read the result of a task, page by page."""

from omni_mcp.errors import BadRequest
from omni_mcp.ledger.base import ResultPage, ResultPart
from omni_mcp.service.part import Part
from omni_mcp.service.tasks import WAIT_LIMIT
from omni_mcp.task import PARTIAL, Task, WaitingFor
from omni_mcp.views.result import ResultView

RESULT_PAGE = 20_000
"""Characters of a result in one page, unless asked for otherwise."""


class ResultVerbs(Part):
    """What came of a task."""

    async def result(
        self, task_id: str, *, offset: int = 0, limit: int = RESULT_PAGE, part: ResultPart = "text"
    ) -> ResultView:
        """Return a page of a part of the result. Raises BadRequest while the task is open."""
        task = await self._find(task_id)
        inline = RESULT_PAGE if (offset, part) == (0, "text") else 0
        page = await self.ledger.result_page(task.id, offset=offset, limit=limit, part=part, inline=inline)
        if page is None and part == "text":
            page = _produced(task, offset, offset + limit)
        if page is None:
            raise BadRequest(
                f"task {task.id} is {task.state} and has no result yet",
                next_step=f"call task_status with task_id {task.id!r} and wait_seconds {WAIT_LIMIT}",
            )
        return _result_view(task, page, part, offset=offset, end=offset + limit)


def _produced(task: Task, offset: int, end: int) -> ResultPage | None:
    """Return a page of what a task has produced that waits for money."""
    produced = (task.snapshot or {}).get(PARTIAL) if task.waiting_for is WaitingFor.BUDGET else None
    return ResultPage(text=produced[offset:end], total_chars=len(produced)) if produced else None


def _result_view(task: Task, page: ResultPage, part: ResultPart, *, offset: int, end: int) -> ResultView:
    """Show a page, and where what it does not hold is found."""
    more = end < page.total_chars
    onward = f"task_result with offset {end}"
    if part != "text":
        onward = f"task_result with part {part} and offset {end}"
    steps = [onward] if more else []
    steps += [f"task_result with part {name}" for name in page.left_out] if offset == 0 and part == "text" else []
    return ResultView(
        task_id=task.id,
        state=task.state,
        text=page.text,
        offset=offset,
        total_chars=page.total_chars,
        next_offset=end if more else None,
        left_out=dict(page.left_out) if offset == 0 and part == "text" and page.left_out else None,
        structured=page.structured,
        notes=dict(page.notes) if page.notes else None,
        error=page.error,
        next_step="; ".join(steps) or None,
    )
