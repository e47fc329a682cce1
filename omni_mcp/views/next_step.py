"""The call that makes sense next, by where a task stands."""

from collections.abc import Mapping

from omni_mcp.task import SYSTEM_REPAIR, Task, TaskState, WaitingFor

NEXT_STEP: Mapping[TaskState, str] = {
    TaskState.IDLE: "task_status with wait_seconds=50",
    TaskState.DISPATCHING: "task_status with wait_seconds=50",
    TaskState.EXECUTING: "task_status with wait_seconds=50",
    TaskState.COMPLETED: "task_result",
    TaskState.FAILED: "task_result; to try again, submit_task",
    TaskState.CANCELLED: "nothing; to try again, submit_task",
}
REPAIRED = "task_result says what was found; system_mode, how LiteLLM is now"
"""After a repair, which nobody can ask for again."""
NEXT_STEP_WAITING: Mapping[WaitingFor, str] = {
    WaitingFor.BUDGET: "do what the text says; task_result has what it produced, if anything; cancel_task ends it",
    WaitingFor.CONSENT: "resume_pending with this task_id runs it again, cancel_task ends it",
    WaitingFor.INPUT: "answer_task with its question_id; what is for_people a person answers: omni-mcp answer",
    WaitingFor.DEPENDENCY: "task_status with wait_seconds=50, when those have completed; cancel_task ends it",
    WaitingFor.EXECUTOR: "mend what the text says; it goes on by itself, at once with resume_pending",
}
"""What is to be done about a wait."""
BY_ITSELF = "it goes on by itself: do other things, then task_status with wait_seconds=50"
"""The other waits."""


def next_step(task: Task) -> str:
    """Name the call that makes sense now."""
    if task.waiting_for is not None:
        return NEXT_STEP_WAITING.get(task.waiting_for, BY_ITSELF)
    if task.spec.type == SYSTEM_REPAIR and task.terminal:
        return REPAIRED
    return NEXT_STEP[task.state]
