"""A day of a million tasks, simulated from what one task was measured to cost (`python -m benchmarks.scale`).

Second by second: tasks arrive, agents hold a slot while they run, and each thing that has to be done takes its measured
seconds of the process that does it; what a second has no room for waits for the next one. Deterministic: told dice.
"""

import argparse
import json
import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from benchmarks.empty import MEASURED

DAY = 86_400
UNITS_OF_A_LIFE = 4
"""Writes of a task's life in the ledger: submit, begin, bind, finish."""
UNITS_OF_A_CALL = 2
"""Writes of a model call: it is on the books before it goes out, and its cost before its end is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds that one thing takes of what does it, measured in one run."""

    tool_call: float
    """A call of `omni-mcp serve` by one of 500 HTTP clients."""
    task: float
    """A task in the engine, from its submit to its end, with an executor that answers at once."""
    life: float
    """The ledger's writes of a task's life, in groups of fifty callers."""
    model_call: float
    """A call through the relay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What comes in a day."""

    tasks: int = 1_000_000
    looks: int = 3
    """Calls of a client for each task beside the submit."""
    model_calls: int = 10
    run_seconds: float = 60.0
    """Of the middle run."""
    spread: float = 1.0
    """Sigma of the log-normal of the runs: the mean is 1.65 times the middle, one of a hundred ten times."""
    swing: float = 0.8
    """How far the busiest hour is above the mean, and the quietest below."""
    in_bursts: float = 0.2
    """Share that comes in bursts: cron rows at each quarter of an hour."""
    burst_seconds: int = 10

    @property
    def mean_run(self) -> float:
        """Seconds of the mean run."""
        return self.run_seconds * math.exp(self.spread**2 / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """What became of one resource."""

    used: float
    """Share of the day that it was busy."""
    busiest: float
    """Work that came in the busiest minute, as a share of it."""
    p50: float
    """Seconds that a task waited there."""
    p99: float
    longest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a day came to."""

    process: Mapping[int, Waited]
    """By how many there are of them."""
    writer: Waited
    running: tuple[int, int, int]
    """Runs at once: the middle second, 99 of 100 seconds, the most."""


def arrivals(day: Day, dice: random.Random) -> Sequence[int]:
    """Return how many tasks come in each second."""
    plain = [1 - day.swing * math.cos(2 * math.pi * second / DAY) for second in range(DAY)]
    burst = [float(second % 900 < day.burst_seconds) for second in range(DAY)]
    shares = ((1 - day.in_bursts) / sum(plain), day.in_bursts / sum(burst))
    weights = accumulate(shares[0] * one + shares[1] * other for one, other in zip(plain, burst, strict=True))
    counts = Counter(dice.choices(range(DAY), cum_weights=list(weights), k=day.tasks))
    return [counts[second] for second in range(DAY)]


def running(day: Day, came: Sequence[int], dice: random.Random) -> Sequence[int]:
    """Return how many run in each second, with a slot for each."""
    change = [0] * (DAY + 1)
    for second, count in enumerate(came):
        change[second] += count
        for _ in range(count):
            ends = second + dice.lognormvariate(math.log(day.run_seconds), day.spread)
            change[min(math.ceil(ends), DAY)] -= 1
    return list(accumulate(change[:DAY]))


def waited(came: Sequence[int], work: Sequence[float], servers: int) -> Waited:
    """Return what a resource of so many equal servers made of the work of each second."""
    left, waits = 0.0, Counter[float]()
    for count, seconds in zip(came, work, strict=True):
        waits[round(left / servers, 1)] += count
        left = max(0.0, left + seconds - servers)
    minutes = [sum(work[at : at + 60]) / 60 / servers for at in range(0, DAY, 60)]
    return Waited(
        used=min(sum(work) / DAY / servers, 1.0),
        busiest=max(minutes),
        p50=_percentile(waits, 0.5),
        p99=_percentile(waits, 0.99),
        longest=max(waits),
    )


def _percentile(counts: Mapping[float, int], share: float) -> float:
    seen, wanted = 0, share * sum(counts.values())
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    raise AssertionError(share)


def process_work(cost: Costs, day: Day) -> tuple[float, float]:
    """Return the seconds of a process for each task that comes, and for each second of a run."""
    return cost.tool_call * (1 + day.looks) + cost.task, cost.model_call * day.model_calls / day.mean_run


def writer_work(cost: Costs, day: Day) -> tuple[float, float]:
    """Return the same of the ledger's writer."""
    unit = cost.life / UNITS_OF_A_LIFE
    return cost.life, unit * UNITS_OF_A_CALL * day.model_calls / day.mean_run


def simulated(cost: Costs, day: Day, *, processes: Sequence[int] = (1, 2, 3, 4), seed: int = 1) -> Found:
    """Live through a day, with so many processes."""
    dice = random.Random(seed)
    came = arrivals(day, dice)
    runs = running(day, came, dice)

    def work(of: tuple[float, float]) -> Sequence[float]:
        return [of[0] * count + of[1] * many for count, many in zip(came, runs, strict=True)]

    mine, ordered = work(process_work(cost, day)), sorted(runs)
    return Found(
        process={count: waited(came, mine, count) for count in processes},
        writer=waited(came, work(writer_work(cost, day)), 1),
        running=(ordered[DAY // 2], ordered[DAY * 99 // 100], ordered[-1]),
    )


def costs(parts: Mapping[str, Any]) -> Costs:
    """Return what `make bench` measured: each a rate, turned around."""

    def rate(part: str, name: str) -> float:
        return next(row["ours"] for row in parts[part]["rows"] if row["name"].startswith(name))

    return Costs(
        tool_call=1 / rate("load", "500 HTTP clients: calls a second"),
        task=1 / rate("engines", "our engine, 50 callers"),
        life=1 / rate("engines", "our ledger: submit"),
        model_call=1 / rate("litellm", "20 callers, our relay alone"),
    )


def tables(cost: Costs) -> Mapping[str, str]:
    """Return the tables of docs/scale.md by name."""
    day = Day()
    return {"costs": _costs(cost, day), "million": _million(simulated(cost, day)), "paper": _paper(cost, day)}


def _costs(cost: Costs, day: Day) -> str:
    (task, run), (life, books) = process_work(cost, day), writer_work(cost, day)
    process, writer = task + run * day.mean_run, life + books * day.mean_run
    rows = [
        (f"{1 + day.looks} tool calls over HTTP", cost.tool_call * (1 + day.looks), 0.0),
        ("its way through the engine", cost.task, cost.life),
        (f"{day.model_calls} model calls through the relay", cost.model_call * day.model_calls, books * day.mean_run),
        ("**a task in all**", process, writer),
        ("so one of it is enough for, tasks a day", DAY / process, DAY / writer),
    ]
    lines = ["| of a task | process, ms | ledger's writer, ms |", "|---|---|---|"]
    told = [f"| {name} | {one * 1000:.1f} | {other * 1000:.2f} |" for name, one, other in rows[:-1]]
    name, one, other = rows[-1]
    return "\n".join([*lines, *told, f"| {name} | {one:,.0f} | {other:,.0f} |"])


def _million(found: Found) -> str:
    head = "| | busy | in the busiest minute | a task waits: p50 | p99 | longest |"
    lines = [head, "|---|---|---|---|---|---|"]
    lines += [_waited(f"{count} process{'es' if count > 1 else ''}", each) for count, each in found.process.items()]
    lines.append(_waited("the ledger's writer", found.writer))
    middle, nearly, most = found.running
    runs = f"Runs at once: {middle:,} in the middle second, {nearly:,} in 99 of 100, {most:,} at the most."
    return "\n".join([*lines, "", runs])


def _waited(name: str, each: Waited) -> str:
    waits = " | ".join(f"{seconds:,.1f} s" for seconds in (each.p50, each.p99, each.longest))
    return f"| {name} | {each.used:.0%} | {each.busiest:.0%} | {waits} |"


def _paper(cost: Costs, day: Day) -> str:
    (task, run), (life, books) = process_work(cost, day), writer_work(cost, day)
    rate = 100_000_000 / DAY
    cores = 2 * rate * (task + run * day.mean_run)
    units = UNITS_OF_A_LIFE + UNITS_OF_A_CALL * day.model_calls
    rows = [
        ("tasks a second, mean", f"{rate:,.0f}"),
        ("tool calls a second", f"{rate * (1 + day.looks):,.0f}"),
        ("model calls a second", f"{rate * day.model_calls:,.0f}"),
        ("runs at once, mean", f"{rate * day.mean_run:,.0f}"),
        (
            "processes (cores) for faces, engines and relays, half busy",
            f"{cores:,.0f}",
        ),
        ("writes a second", f"{rate * units:,.0f}"),
        ("of those for the books of model calls", f"{UNITS_OF_A_CALL * day.model_calls / units:.0%}"),
        ("writers like ours that it takes, half busy", f"{2 * rate * (life + books * day.mean_run):,.0f}"),
    ]
    return "\n".join(["| 100,000,000 a day | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def filled(text: str, cost: Costs) -> str:
    """Return the page with its tables written anew: each stands between `<!-- table NAME -->` and `<!-- end -->`."""
    made = tables(cost)
    return re.sub(
        r"(<!-- table (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{made[found[2]]}\n\n{found[3]}",
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.parse_args()
    print("\n\n".join(tables(costs(json.loads(MEASURED.read_text(encoding="utf-8")))).values()))


if __name__ == "__main__":
    main()
