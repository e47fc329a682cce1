"""The one way in for faces: all verbs together."""

from omni_mcp.service.books import BookVerbs
from omni_mcp.service.executors import ExecutorVerbs
from omni_mcp.service.memories import MemoryVerbs
from omni_mcp.service.mode import ModeVerbs
from omni_mcp.service.notices import NoticeVerbs
from omni_mcp.service.questions import QuestionVerbs
from omni_mcp.service.result import ResultVerbs
from omni_mcp.service.resume import ResumeVerbs
from omni_mcp.service.schedules import ScheduleVerbs
from omni_mcp.service.submit import SubmitVerbs
from omni_mcp.service.tasks import TaskVerbs


class Service(
    SubmitVerbs,
    TaskVerbs,
    ResultVerbs,
    QuestionVerbs,
    ResumeVerbs,
    ModeVerbs,
    ScheduleVerbs,
    MemoryVerbs,
    NoticeVerbs,
    ExecutorVerbs,
    BookVerbs,
):
    """The one way in for faces."""
