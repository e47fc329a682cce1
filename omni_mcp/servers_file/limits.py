"""`limits`: bounds that hold for every task."""

from typing import Annotated

from pydantic import Field

from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.values import MOST_USD, Usd


class Limits(Row):
    """Bounds that hold for every task."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Faults of a task or its executor before it fails; faults of a cloud do not count."""
    max_depth: Annotated[int, Field(ge=0, le=10)] = 2
    """How deep tasks may submit tasks: 1 lets an executor hand on its work, 0 lets none."""
    silent_seconds: Annotated[float, Field(ge=1)] = 180
    """An executor without a sign of life for so long is told of as silent, and only its `timeout` ends it; a model
    call that streams nothing for so long is given up, and its task waits for the cloud."""
    input_seconds: Annotated[float, Field(ge=1)] = 600
    """How long the run of a task is kept while nobody answers its question; then it ends, and the answer resumes it."""
    keep_days: Annotated[float, Field(gt=0)] | None = None
    """How long tasks that are over are kept; None: until `omni-mcp purge`."""
    daily_usd: Usd | None = None
    """USD that all model calls may cost in a day (local midnight to midnight); then tasks wait."""
    unknown_usd: Annotated[float, Field(ge=0, le=MOST_USD)] = 0
    """USD that a call counts against budgets while its cost is not known; 0: it counts nothing, but is shown."""
    description_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    """The longest description, in bytes."""
    engine_idle_seconds: Annotated[float, Field(gt=0)] = 600
    """The background engine ends after this long without an open task."""
