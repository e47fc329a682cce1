"""The mode machine, edge by edge, with told time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from omni_mcp.decide.health import Look, Verdict
from omni_mcp.decide.modes.machine import after, due, next_probe_at, taken_up
from omni_mcp.decide.modes.state import (
    LITELLM,
    Asked,
    Called,
    Forced,
    ModeState,
    Override,
    Probed,
    Ran,
    Round,
    Seen,
    Setup,
    Tick,
    begin,
    dumped,
    in_force,
    loaded,
)
from omni_mcp.decide.permit import Permit, Serves, meaning, permit
from omni_mcp.servers_file.fault_handler import FaultHandler
from omni_mcp.task import Mode
from omni_mcp.testing import START

CLOUDS = ("anthropic", "openrouter")
OK = Look(verdict=Verdict.OK, said="answers")
GONE = Look(verdict=Verdict.BROKEN, said="refused the connection")
BAD_KEY = Look(verdict=Verdict.REFUSED, said="HTTP 401")
PROXY = Setup(providers=CLOUDS)
WITHOUT_KEY = Setup()
ROUTER = Setup(probed=False)
NO_LITELLM = Setup(litellm=False, probed=False)


def span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@dataclass(kw_only=True)
class World:
    """A machine, its clock, and what its probes would see; keeps each change of mode in `changes`."""

    setup: Setup = PROXY
    now: datetime = START
    litellm: Look = OK
    clouds: Mapping[str, Look] = field(default_factory=lambda: dict.fromkeys(CLOUDS, OK))
    state: ModeState = field(default_factory=lambda: begin(START))
    changes: list[tuple[float, Mode]] = field(default_factory=list[tuple[float, Mode]])
    asked: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    @property
    def mode(self) -> Mode:
        return in_force(self.state, self.now)

    @property
    def allowed(self) -> Permit:
        return permit(self.state, self.setup, self.now)

    def see(self, seen: Seen) -> None:
        before = self.mode
        self.state = after(self.state, seen, self.setup, now=self.now)
        if self.mode is not before:
            self.changes.append(((self.now - START).total_seconds(), self.mode))

    def call(self, verdict: Verdict, *, target: str = LITELLM, trial: bool = False) -> None:
        self.see(Called(target=target, verdict=verdict, said="HTTP 503", trial=trial))

    def work(self) -> None:
        """Do all that is due at this moment."""
        while (wanted := due(self.state, self.setup, self.now)).anything:
            at = (self.now - START).total_seconds()
            if wanted.providers:
                self.asked += [(at, name) for name in (*self.setup.providers, *([LITELLM] if wanted.litellm else ()))]
                looks = {name: self.clouds[name] for name in self.setup.providers}
                self.see(Round(providers=looks, litellm=self.litellm if wanted.litellm else None))
            else:
                self.asked.append((at, LITELLM))
                self.see(Probed(look=self.litellm))

    def live(self, seconds: float) -> None:
        """Let time pass, a second at a time."""
        end = self.now + span(seconds)
        while self.now < end:
            self.now = min(end, self.now + span(1))
            self.see(Tick())
            self.work()

    def darken(self, look: Look = GONE) -> None:
        self.litellm, self.clouds = look, dict.fromkeys(CLOUDS, look)


def a_world(**changes: Any) -> World:
    """Return a world that has been well for a moment."""
    world = World(**changes)
    world.work()
    return world


def degraded(**changes: Any) -> World:
    world = a_world(litellm=GONE, **changes)
    world.live(3)
    assert world.mode is Mode.DEGRADED
    return world


def dark(**changes: Any) -> World:
    world = a_world(**changes)
    world.darken()
    world.live(60)
    assert world.mode is Mode.BRAINSTEM
    return world


# into degraded


def test_a_failed_probe_is_confirmed_after_two_seconds_with_more_patience() -> None:
    world = a_world(litellm=GONE)
    assert world.mode is Mode.NORMAL
    assert next_probe_at(world.state, world.setup) == START + span(2)
    assert due(world.state, world.setup, START + span(2)).limit == span(3)
    world.live(2)
    assert world.changes == [(2, Mode.DEGRADED)]
    assert "refused the connection" in world.state.cause
    assert world.allowed.serves is Serves.DIRECT


def test_one_lost_probe_changes_nothing() -> None:
    world = a_world(litellm=GONE)
    world.litellm = OK
    world.live(300)
    assert not world.changes


@pytest.mark.parametrize("failures", [1, 2, 3, 5])
def test_as_many_failures_count_as_the_settings_say(failures: int) -> None:
    world = a_world(setup=replace(PROXY, numbers=FaultHandler(consecutive_failures=failures)), litellm=GONE)
    world.live(20)
    assert world.changes == [(2 * (failures - 1), Mode.DEGRADED)] if failures > 1 else world.mode is Mode.DEGRADED


def test_a_last_look_at_litellm_saves_it_from_a_suspicion() -> None:
    world = a_world(litellm=GONE)
    world.now += span(2)
    world.see(Probed(look=GONE))
    assert world.state.suspect
    world.litellm = OK
    world.work()
    assert (world.mode, world.state.litellm.failures, world.state.suspect) == (Mode.NORMAL, 0, False)


def test_calls_that_fail_bring_the_probe_forward_and_count() -> None:
    world = a_world()
    world.live(5)
    world.litellm = GONE
    world.call(Verdict.BROKEN)
    world.work()
    assert world.mode is Mode.DEGRADED


def test_a_call_that_worked_within_ten_seconds_outweighs_a_failure() -> None:
    world = a_world()
    world.live(20)
    world.call(Verdict.OK)
    world.litellm = GONE
    world.now += span(9)
    world.call(Verdict.BROKEN)
    world.call(Verdict.BROKEN)
    world.see(Probed(look=GONE))
    assert (world.mode, world.state.litellm.failures) == (Mode.NORMAL, 0)
    world.now += span(2)
    world.call(Verdict.BROKEN)
    assert world.state.litellm.failures == 1


def test_a_slow_gateway_under_load_stays_normal() -> None:
    world = a_world(litellm=Look(verdict=Verdict.BROKEN, said="no answer in 1 s"))
    for _ in range(120):
        world.call(Verdict.OK)
        world.live(5)
    assert not world.changes
    assert len([at for at, _ in world.asked if at > 10]) < 130


@pytest.mark.parametrize("verdict", [Verdict.REFUSED])
def test_a_refused_key_is_said_and_changes_nothing(verdict: Verdict) -> None:
    world = a_world()
    for _ in range(9):
        world.call(verdict)
    world.live(60)
    assert not world.changes
    world.see(Probed(look=BAD_KEY))
    assert (world.mode, world.state.litellm.said) == (Mode.NORMAL, "HTTP 401")


def test_a_gateway_whose_clouds_fail_is_degraded_while_a_provider_answers_directly() -> None:
    world = a_world()
    world.call(Verdict.UPSTREAM)
    assert not world.state.suspect
    world.call(Verdict.UPSTREAM)
    world.work()
    assert (world.mode, world.state.fault) == (Mode.DEGRADED, Verdict.UPSTREAM)


def test_failures_of_clouds_that_a_success_clears_change_nothing() -> None:
    world = a_world()
    for _ in range(20):
        world.call(Verdict.UPSTREAM)
        world.now += span(30)
        world.call(Verdict.OK)
        world.now += span(30)
    world.work()
    assert not world.changes


# out of degraded


def test_the_way_back_takes_two_successes_and_a_minute() -> None:
    world = degraded()
    world.litellm = OK
    world.live(57)
    assert world.mode is Mode.DEGRADED
    world.live(5)
    assert world.changes[1:] == [(62, Mode.NORMAL)]


def test_one_success_is_not_enough_after_a_minute() -> None:
    world = degraded()
    world.live(75)
    world.litellm = OK
    world.live(20)
    assert world.state.litellm.successes == 1
    assert world.mode is Mode.DEGRADED
    world.live(30)
    assert world.mode is Mode.NORMAL


def test_each_relapse_doubles_the_stay_up_to_ten_minutes() -> None:
    world = a_world()
    stays: list[float] = []
    for _ in range(6):
        world.litellm = GONE
        world.live(40)
        world.litellm = OK
        world.live(700)
        (began, _), (ended, _) = world.changes[-2:]
        stays.append(ended - began)
        world.state = replace(world.state, recovered_at=world.now)
    assert stays == [60, 120, 240, 480, 600, 600]


def test_a_long_good_time_wipes_the_slate() -> None:
    world = degraded()
    world.litellm = OK
    world.live(2000)
    world.litellm = GONE
    world.live(40)
    assert (world.mode, world.state.relapses) == (Mode.DEGRADED, 0)


def test_half_of_all_probes_lost_soon_changes_the_mode_no_more_than_once_in_ten_minutes() -> None:
    world = a_world()
    for n in range(3600):
        world.litellm = GONE if (n * 7919) % 97 < 48 else OK
        world.live(2)
    settled = [at for at, mode in world.changes if mode is Mode.DEGRADED][5:]
    assert len(settled) > 3
    assert all(later - at >= 600 for at, later in pairwise(settled))


def test_after_its_clouds_failed_litellm_is_tried_with_one_call_at_a_time() -> None:
    world = a_world()
    for _ in range(2):
        world.call(Verdict.UPSTREAM)
    world.work()
    world.live(59)
    assert (world.mode, world.allowed.trial) == (Mode.DEGRADED, False)
    world.live(2)
    assert world.allowed.trial
    world.call(Verdict.UPSTREAM, trial=True)
    assert not world.allowed.trial
    world.live(119)
    assert not world.allowed.trial
    world.live(1)
    world.call(Verdict.OK, trial=True)
    assert world.mode is Mode.DEGRADED
    world.call(Verdict.OK, trial=True)
    assert world.mode is Mode.NORMAL


def test_a_late_success_of_a_call_that_began_before_is_no_trial() -> None:
    world = degraded()
    world.call(Verdict.OK)
    world.call(Verdict.OK)
    assert world.mode is Mode.DEGRADED


# without a backup key


def test_without_a_backup_key_tasks_wait_and_the_variable_is_named() -> None:
    world = a_world(setup=WITHOUT_KEY, litellm=GONE)
    world.live(2)
    assert (world.mode, world.allowed.serves) == (Mode.DEGRADED, Serves.NOBODY)
    assert "GITHUB_LITELLM_KEY" in (world.allowed.held or "")
    assert world.allowed.admits(needs_cloud=True, relayed=True) == 0
    assert world.allowed.admits(needs_cloud=True, relayed=False) is None
    assert world.allowed.admits(needs_cloud=False, relayed=False) is None
    world.litellm = OK
    world.live(61)
    assert world.mode is Mode.NORMAL


def test_without_a_backup_key_clouds_that_fail_behind_litellm_are_brainstem() -> None:
    world = a_world(setup=WITHOUT_KEY)
    for _ in range(2):
        world.call(Verdict.UPSTREAM)
    world.work()
    assert world.mode is Mode.BRAINSTEM
    world.live(29)
    assert not world.allowed.trial
    world.live(2)
    assert world.allowed.admits(needs_cloud=True, relayed=True) == 1
    world.call(Verdict.OK, trial=True)
    assert world.mode is Mode.NORMAL


def test_refused_backup_keys_are_no_outage_and_their_refusal_is_told() -> None:
    world = degraded(clouds=dict.fromkeys(CLOUDS, BAD_KEY))
    world.live(300)
    assert world.mode is Mode.DEGRADED
    assert "refused (anthropic: HTTP 401; openrouter: HTTP 401)" in (world.allowed.held or "")
    assert len(world.changes) == 1


def test_one_refused_key_leaves_the_other_provider() -> None:
    world = degraded(clouds={"anthropic": BAD_KEY, "openrouter": OK})
    assert (world.allowed.serves, world.allowed.providers) == (Serves.DIRECT, ("openrouter",))


# into brainstem and back


def test_when_nothing_answers_it_is_brainstem_at_once() -> None:
    world = a_world()
    world.live(29)
    world.darken()
    world.live(4)
    assert world.changes == [(32, Mode.BRAINSTEM)]
    assert world.allowed.admits(needs_cloud=True, relayed=False) == 0
    assert world.allowed.admits(needs_cloud=False, relayed=True) is None
    assert "nothing is to be done" in meaning(world.state, world.setup, world.now)


def test_one_provider_that_answers_is_enough() -> None:
    assert degraded(clouds={"anthropic": GONE, "openrouter": OK}).mode is Mode.DEGRADED


def test_from_degraded_two_dark_rounds_are_needed() -> None:
    world = degraded()
    world.darken()
    world.live(30)
    assert (world.mode, world.state.rounds) == (Mode.DEGRADED, 1)
    world.live(2)
    assert world.mode is Mode.BRAINSTEM


def test_a_dark_round_between_bright_ones_changes_nothing() -> None:
    world = degraded()
    for _ in range(5):
        assert world.state.round_at is not None
        world.now = world.state.round_at
        world.darken()
        world.work()
        assert world.state.rounds == 1
        world.clouds = dict.fromkeys(CLOUDS, OK)
        world.live(30)
    assert world.mode is Mode.DEGRADED


def test_providers_whose_doors_are_open_but_whose_calls_all_fail_are_no_cloud() -> None:
    world = degraded()
    for _ in range(2):
        for name in CLOUDS:
            world.call(Verdict.UPSTREAM, target=name)
    world.work()
    world.live(3)
    assert world.mode is Mode.BRAINSTEM


def test_out_of_brainstem_it_takes_three_rounds_five_seconds_apart() -> None:
    world = dark()
    world.litellm, world.clouds = OK, dict.fromkeys(CLOUDS, OK)
    began = len(world.asked)
    world.live(60)
    rounds = [at for at, name in world.asked[began:] if name == "anthropic"]
    assert [later - at for at, later in pairwise(rounds[:3])] == [5, 5]
    assert world.changes[-1] == (rounds[2], Mode.NORMAL)


def test_out_of_brainstem_the_way_leads_to_degraded_while_litellm_is_broken() -> None:
    world = dark()
    world.clouds = {"anthropic": OK, "openrouter": GONE}
    world.live(60)
    assert world.mode is Mode.DEGRADED
    world.litellm = OK
    world.live(90)
    assert world.mode is Mode.NORMAL


def test_a_cloud_that_answers_only_now_and_then_does_not_end_brainstem() -> None:
    world = dark()
    for n in range(40):
        world.clouds = dict.fromkeys(CLOUDS, OK if n % 3 == 0 else GONE)
        world.live(5)
    assert world.mode is Mode.BRAINSTEM


def test_a_second_outage_soon_after_the_first_lasts_its_dwell() -> None:
    world = dark()
    world.clouds, world.litellm = dict.fromkeys(CLOUDS, OK), OK
    world.live(60)
    assert world.mode is Mode.NORMAL
    world.darken()
    world.live(60)
    (began, mode) = world.changes[-1]
    world.clouds, world.litellm = dict.fromkeys(CLOUDS, OK), OK
    assert (mode, world.state.relapses) == (Mode.BRAINSTEM, 1)
    world.live(200)
    assert world.changes[-1][0] - began >= 60


def test_in_an_outage_each_provider_is_asked_once_an_interval() -> None:
    world = dark()
    world.asked.clear()
    world.live(900)
    assert all(len([1 for _, asked in world.asked if asked == name]) == 30 for name in (*CLOUDS, LITELLM))


def test_while_all_is_well_no_provider_is_asked() -> None:
    world = a_world()
    world.live(600)
    assert {name for _, name in world.asked} == {LITELLM}


def test_an_interval_is_up_to_a_tenth_longer_or_shorter() -> None:
    times = [after(begin(START), Probed(look=OK), PROXY, now=START, jitter=j).probe_at - START for j in (-1, 0, 1)]
    assert times == [span(27), span(30), span(33)]


def test_every_fifth_probe_asks_for_the_models_too() -> None:
    world = World()
    deep: list[bool] = []
    for _ in range(10):
        deep.append(due(world.state, world.setup, world.state.probe_at).deep)
        world.now = world.state.probe_at
        world.see(Probed(look=OK))
    assert deep == [False, False, False, False, True] * 2


# the ramp


def test_what_was_held_is_let_go_one_first_and_with_each_success_one_more() -> None:
    world = dark()
    world.litellm, world.clouds = OK, dict.fromkeys(CLOUDS, OK)
    while world.mode is not Mode.NORMAL:
        world.live(1)
    limits = [world.allowed.limit]
    for _ in range(40):
        world.call(Verdict.OK)
        limits.append(world.allowed.limit)
    assert limits[:5] == [1, 2, 3, 4, 5]
    assert limits[-1] is None


def test_without_news_the_ramp_doubles_with_each_interval() -> None:
    world = dark()
    world.litellm, world.clouds = OK, dict.fromkeys(CLOUDS, OK)
    while world.mode is not Mode.NORMAL:
        world.live(1)
    limits: list[int | None] = []
    for _ in range(6):
        limits.append(world.allowed.limit)
        world.live(30)
    assert limits == [1, 2, 4, 8, 16, None]


# the Router in process, and no LiteLLM at all


def test_a_litellm_that_cannot_be_loaded_is_degraded_and_one_call_finds_out_when_it_can() -> None:
    world = a_world(setup=replace(ROUTER, providers=CLOUDS))
    for _ in range(2):
        world.call(Verdict.BROKEN)
    world.work()
    assert (world.mode, world.allowed.serves) == (Mode.DEGRADED, Serves.DIRECT)
    world.live(61)
    for _ in range(2):
        world.call(Verdict.OK, trial=True)
    assert world.mode is Mode.NORMAL


def test_a_router_without_backup_keys_that_is_broken_lets_one_task_find_out() -> None:
    world = a_world(setup=ROUTER)
    for _ in range(2):
        world.call(Verdict.BROKEN)
    world.work()
    assert (world.mode, world.allowed.admits(needs_cloud=True, relayed=True)) == (Mode.DEGRADED, 0)
    world.live(61)
    assert world.allowed.admits(needs_cloud=True, relayed=True) == 1


def test_a_router_is_never_probed() -> None:
    world = a_world(setup=replace(ROUTER, providers=CLOUDS))
    world.live(300)
    assert not world.asked


def test_without_litellm_there_is_only_normal_and_brainstem() -> None:
    world = a_world(setup=NO_LITELLM)
    lost = Ran(executor="claude_code", verdict=Verdict.UPSTREAM, said="overloaded")
    world.see(lost)
    assert world.mode is Mode.NORMAL
    world.see(lost)
    assert world.mode is Mode.BRAINSTEM
    world.live(29)
    assert world.allowed.admits(needs_cloud=True, relayed=False) == 0
    world.live(1)
    assert world.allowed.admits(needs_cloud=True, relayed=False) == 1
    world.see(lost)
    assert world.allowed.admits(needs_cloud=True, relayed=False) == 0
    world.live(30)
    world.see(Ran(executor="claude_code", verdict=Verdict.OK, said="completed a task"))
    assert [mode for _, mode in world.changes] == [Mode.BRAINSTEM, Mode.NORMAL]
    assert not world.asked


def test_an_executor_that_works_proves_that_the_clouds_are_not_all_away() -> None:
    world = a_world(setup=NO_LITELLM)
    world.see(Ran(executor="other", verdict=Verdict.OK, said="completed a task"))
    for _ in range(5):
        world.see(Ran(executor="claude_code", verdict=Verdict.UPSTREAM, said="overloaded"))
    assert world.mode is Mode.NORMAL


def test_an_executor_with_a_login_of_its_own_says_nothing_of_litellm() -> None:
    world = a_world()
    for _ in range(5):
        world.see(Ran(executor="claude_code", verdict=Verdict.UPSTREAM, said="overloaded"))
    assert world.mode is Mode.NORMAL
    assert world.state.executors["claude_code"].upstream == 5


# by hand


def test_a_mode_that_is_set_holds_for_its_time_and_the_machine_goes_on_below() -> None:
    world = a_world()
    world.see(Forced(override=Override(mode=Mode.BRAINSTEM, at=START, until=START + span(1800))))
    assert world.allowed.admits(needs_cloud=True, relayed=True) == 0
    assert "set by hand" in (world.allowed.held or "")
    world.litellm = GONE
    world.live(1799)
    assert (world.mode, world.state.mode) == (Mode.BRAINSTEM, Mode.DEGRADED)
    world.live(1)
    assert world.mode is Mode.DEGRADED
    assert world.allowed.limit == 1


def test_letting_go_ends_it_at_once_with_a_ramp() -> None:
    world = a_world()
    world.see(Forced(override=Override(mode=Mode.BRAINSTEM, at=START, until=START + span(1800))))
    world.see(Forced(override=None))
    assert (world.mode, world.allowed.limit) == (Mode.NORMAL, 1)


# the clock, and the next engine


def test_a_clock_that_jumps_back_delays_no_probe() -> None:
    world = degraded()
    world.now -= timedelta(hours=3)
    world.asked.clear()
    world.live(1)
    assert {name for _, name in world.asked} == {LITELLM, *CLOUDS}
    world.litellm = OK
    world.live(90)
    assert world.mode is Mode.NORMAL


def test_a_laptop_that_slept_finds_out_anew_and_keeps_its_mode_until_then() -> None:
    world = degraded()
    world.now += timedelta(hours=8)
    world.work()
    assert world.mode is Mode.DEGRADED
    world.litellm = OK
    world.live(61)
    assert world.mode is Mode.NORMAL


@pytest.mark.parametrize("make", [a_world, degraded, dark])
def test_the_next_engine_goes_on_from_what_was_written(make: Callable[[], World]) -> None:
    world = make()
    kept = loaded(dumped(world.state))
    assert kept == world.state
    taken = taken_up(world.state, world.setup, world.now + span(5))
    assert (taken.mode, taken.since, taken.probe_at) == (world.state.mode, world.state.since, world.now + span(5))


def test_a_suspicion_outlives_the_engine() -> None:
    world = a_world()
    for _ in range(2):
        world.call(Verdict.UPSTREAM)
    kept = loaded(dumped(world.state))
    assert kept is not None
    assert due(taken_up(kept, world.setup, world.now), world.setup, world.now).providers


def test_what_another_release_wrote_in_another_shape_is_not_believed() -> None:
    assert loaded('{"mode": "sideways"}') is None


def test_a_mode_that_has_no_way_back_under_new_settings_is_left() -> None:
    world = degraded()
    assert taken_up(world.state, NO_LITELLM, world.now).mode is Mode.NORMAL
    assert taken_up(world.state, ROUTER, world.now).mode is Mode.NORMAL


def test_a_file_that_names_no_litellm_for_a_moment_does_not_earn_an_outage_a_second_repair() -> None:
    world = degraded()
    asked = (Asked(incident=world.now, task_id="t"),)
    state = replace(world.state, incident=world.now, repairs=asked)
    emptied = taken_up(state, NO_LITELLM, world.now)
    assert (emptied.mode, emptied.incident, emptied.repairs) == (Mode.NORMAL, world.now, asked)


def test_a_mended_key_is_believed_after_a_restart() -> None:
    world = degraded(clouds=dict.fromkeys(CLOUDS, BAD_KEY))
    taken = taken_up(world.state, world.setup, world.now)
    assert permit(taken, world.setup, world.now).providers == CLOUDS
