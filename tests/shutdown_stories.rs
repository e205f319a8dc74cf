//! Scenarios for the state machine: which event happens when, and which actions follow.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::time::Duration;

use softstop::shutdown::Action::{Continue, Forward, KillAll, Stop, StopRest, Suspend};
use softstop::shutdown::{
    Action, Activity, Event, Exit, Moment, Note, Plan, Quiet, Rules, Shutdown, Step, StopSignal, Wait, WaitFor,
};
use softstop::signal::{Origin, Rewrite, Signal, SignalMap, SignalSet};

fn at(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

fn arrives(signal: Signal) -> Event {
    Event::Signal(signal, Origin::Outside)
}

const EXITS: Event = Event::MainExited { exit: Exit::Code(0), last: true };
const EXITS_BEFORE_OTHERS: Event = Event::MainExited { exit: Exit::Code(3), last: false };

/// The rules of a plain program, without a profile or settings.
fn plain() -> Rules {
    Rules {
        stop_on: Signal::TERM.into(),
        hurry_on: Signal::INT.into(),
        rewrite: SignalMap::default(),
        plan: Plan::soft(Wait::fixed(at(0)), StopSignal::Mapped(None), Wait::up_to(None)),
        drain_gets_the_rest: false,
        once_idle: None,
        suspend_on: SignalSet::default(),
        wait_for: WaitFor::Main,
    }
}

/// The rules of nginx: a pre-delay of 5 s, SIGQUIT, a drain timeout of 20 s.
fn nginx() -> Rules {
    Rules {
        stop_on: [Signal::TERM, Signal::QUIT].into_iter().collect(),
        plan: Plan::soft(Wait::fixed(at(5)), StopSignal::Mapped(Some(Signal::QUIT)), Wait::up_to(Some(at(20)))),
        ..plain()
    }
}

/// The rules of a plain program with a pre-delay of 2 s to 15 s, until no request arrives for 2 s.
fn watching(drain: Wait) -> Rules {
    let quiet = Quiet { of: Activity::Requests, lasts: at(2) };
    Rules { plan: Plan::soft(Wait::until(quiet, at(2), at(15)), StopSignal::Mapped(None), drain), ..plain() }
}

/// A state machine without its notes: only what it does, not what it logs.
struct Story(Shutdown);

impl Story {
    fn of(rules: Rules) -> Self {
        Self(Shutdown::new(rules))
    }

    fn on(&mut self, event: Event, now: Moment) -> Vec<Action> {
        self.0.on(event, now).into_iter().filter(|action| !matches!(action, Action::Note(_))).collect()
    }

    #[track_caller]
    fn ends_with(&self, code: u8) {
        assert_eq!(self.0.exit_code(), Some(code), "{:?}", self.0);
        assert_eq!(self.0.deadline(), None);
    }

    #[track_caller]
    fn goes_on(&self) {
        assert_eq!(self.0.exit_code(), None, "{:?}", self.0);
    }
}

#[test]
fn a_soft_stop_waits_sends_the_signal_waits_and_exits_with_the_childs_code() {
    let mut nginx = Story::of(nginx());
    assert_eq!(nginx.0.deadline(), None, "there is a deadline before the stop");
    assert_eq!(nginx.on(arrives(Signal::TERM), at(100)), []);
    assert_eq!(nginx.0.deadline(), Some(at(105)));
    assert_eq!(nginx.on(Event::Time, at(104)), []);
    assert_eq!(nginx.on(Event::Time, at(105)), [Stop(Signal::QUIT)]);
    assert_eq!(nginx.0.deadline(), Some(at(125)));
    assert_eq!(nginx.on(Event::Time, at(124)), []);
    nginx.goes_on();
    assert_eq!(nginx.on(Event::MainExited { exit: Exit::Code(7), last: true }, at(124)), []);
    nginx.ends_with(7);
}

#[test]
fn everybody_is_killed_at_the_drain_timeout_and_nobody_before() {
    let mut nginx = Story::of(nginx());
    nginx.on(arrives(Signal::TERM), at(0));
    nginx.on(Event::Time, at(5));
    assert_eq!(nginx.on(Event::Time, at(24)), []);
    assert_eq!(nginx.on(Event::Time, at(25)), [KillAll]);
    nginx.goes_on();
    nginx.on(Event::MainExited { exit: Exit::Signal(Signal::KILL), last: true }, at(25));
    nginx.ends_with(137);
}

#[test]
fn a_process_that_survives_sigkill_is_left_after_a_second() {
    let mut nginx = Story::of(nginx());
    nginx.on(arrives(Signal::TERM), at(0));
    nginx.on(Event::Time, at(5));
    nginx.on(Event::Time, at(25));
    assert_eq!(nginx.0.deadline(), Some(at(26)));
    assert_eq!(nginx.0.on(Event::Time, at(26)), [Action::Note(Note::Unkillable)]);
    nginx.ends_with(137);
}

#[test]
fn the_childs_exit_ends_the_pre_delay_at_once() {
    let mut nginx = Story::of(nginx());
    nginx.on(arrives(Signal::TERM), at(0));
    assert_eq!(nginx.on(EXITS, at(1)), []);
    nginx.ends_with(0);
}

#[test]
fn a_plain_program_gets_every_stop_request_as_it_came() {
    let mut plain = Story::of(plain());
    assert_eq!(plain.on(arrives(Signal::TERM), at(0)), [Stop(Signal::TERM)]);
    assert_eq!(plain.0.deadline(), None, "there is a deadline without a drain timeout");
    assert_eq!(plain.on(arrives(Signal::TERM), at(1)), [Forward(Signal::TERM)]);
    assert_eq!(plain.on(arrives(Signal::TERM), at(2)), [Forward(Signal::TERM)]);
    plain.goes_on();
}

#[test]
fn sigint_and_sigquit_are_passed_on_to_a_plain_program_before_and_during_its_stop() {
    let mut plain = Story::of(plain());
    for signal in [Signal::QUIT, Signal::INT] {
        assert_eq!(plain.on(arrives(signal), at(0)), [Forward(signal)]);
    }
    plain.on(arrives(Signal::TERM), at(1));
    for signal in [Signal::QUIT, Signal::INT] {
        assert_eq!(plain.on(arrives(signal), at(2)), [Forward(signal)], "a wait without an end cannot be ended early");
    }
}

#[test]
fn a_repeated_stop_request_changes_no_deadline_and_repeats_no_mapped_signal() {
    let mut nginx = Story::of(nginx());
    nginx.on(arrives(Signal::TERM), at(0));
    assert_eq!(nginx.on(arrives(Signal::TERM), at(4)), []);
    assert_eq!(nginx.0.deadline(), Some(at(5)));
    nginx.on(Event::Time, at(5));
    assert_eq!(nginx.on(arrives(Signal::TERM), at(10)), []);
    assert_eq!(nginx.on(arrives(Signal::QUIT), at(11)), []);
    assert_eq!(nginx.0.deadline(), Some(at(25)));
}

#[test]
fn a_profiles_signal_is_not_repeated_even_where_it_is_the_one_received() {
    // For lighttpd a second SIGINT means a fast stop.
    let rules = Rules {
        stop_on: [Signal::TERM, Signal::INT].into_iter().collect(),
        hurry_on: SignalSet::default(),
        plan: Plan::soft(Wait::fixed(at(0)), StopSignal::Mapped(Some(Signal::INT)), Wait::up_to(None)),
        ..plain()
    };
    let mut lighttpd = Story::of(rules);
    assert_eq!(lighttpd.on(arrives(Signal::INT), at(0)), [Stop(Signal::INT)]);
    assert_eq!(lighttpd.on(arrives(Signal::INT), at(1)), []);
}

#[test]
fn a_second_stop_request_during_the_pre_delay_is_not_passed_on() {
    let rules = Rules { plan: Plan::soft(Wait::fixed(at(5)), StopSignal::Mapped(None), Wait::up_to(None)), ..plain() };
    let mut app = Story::of(rules);
    app.on(arrives(Signal::TERM), at(0));
    assert_eq!(app.on(arrives(Signal::TERM), at(1)), []);
    assert_eq!(app.on(Event::Time, at(5)), [Stop(Signal::TERM)]);
    assert_eq!(app.on(arrives(Signal::TERM), at(6)), [Forward(Signal::TERM)]);
}

#[test]
fn other_signals_are_passed_on_in_every_phase_before_sigkill() {
    let mut nginx = Story::of(nginx());
    for (event, now) in [(arrives(Signal::HUP), 0), (arrives(Signal::TERM), 1), (Event::Time, 6), (Event::Time, 26)] {
        nginx.on(event, at(now));
        let passed_on = nginx.on(arrives(Signal::USR1), at(now));
        assert_eq!(passed_on, if now < 26 { vec![Forward(Signal::USR1)] } else { vec![] });
    }
}

#[test]
fn a_hurry_signal_advances_to_the_next_step_and_finally_to_sigkill() {
    let mut nginx = Story::of(nginx());
    assert_eq!(nginx.on(arrives(Signal::INT), at(0)), [Forward(Signal::INT)], "before a stop it is passed on");
    nginx.on(arrives(Signal::TERM), at(1));
    assert_eq!(nginx.on(arrives(Signal::INT), at(2)), [Stop(Signal::QUIT)]);
    assert_eq!(nginx.0.deadline(), Some(at(22)));
    assert_eq!(nginx.on(arrives(Signal::INT), at(3)), [KillAll]);
    assert_eq!(nginx.on(arrives(Signal::INT), at(3)), []);
}

#[test]
fn a_stopped_child_is_continued_after_its_stop_signal() {
    let mut nginx = Story::of(nginx());
    nginx.on(Event::MainStopped, at(0));
    nginx.on(arrives(Signal::TERM), at(1));
    assert_eq!(nginx.on(Event::Time, at(6)), [Stop(Signal::QUIT), Continue]);
}

#[test]
fn a_child_that_is_not_stopped_is_not_continued() {
    let mut nginx = Story::of(nginx());
    nginx.on(Event::MainStopped, at(0));
    nginx.on(Event::MainContinued, at(0));
    nginx.on(arrives(Signal::TERM), at(1));
    assert_eq!(nginx.on(Event::Time, at(6)), [Stop(Signal::QUIT)]);
}

#[test]
fn a_child_that_is_seen_to_stop_after_its_stop_signal_is_continued_once() {
    let mut plain = Story::of(plain());
    assert_eq!(plain.on(arrives(Signal::TERM), at(0)), [Stop(Signal::TERM)]);
    assert_eq!(plain.on(Event::MainStopped, at(0)), [Continue]);
    plain.on(Event::MainContinued, at(0));
    assert_eq!(plain.on(Event::MainStopped, at(1)), [], "a second stop of the child is its own decision");
}

#[test]
fn a_rewritten_signal_reaches_the_app_as_another_one_or_not_at_all() {
    let usr2 = Signal::from_number(12).unwrap();
    let rules = Rules {
        rewrite: SignalMap::from_iter([(Signal::HUP, Rewrite::To(Signal::USR1)), (usr2, Rewrite::Ignore)]),
        ..plain()
    };
    let mut app = Story::of(rules);
    assert_eq!(app.on(arrives(Signal::HUP), at(0)), [Forward(Signal::USR1)]);
    assert_eq!(app.on(arrives(usr2), at(0)), []);
}

#[test]
fn a_rewrite_of_the_stop_request_overrides_the_profiles_stop_signal() {
    let rules = Rules { rewrite: SignalMap::from_iter([(Signal::TERM, Rewrite::To(Signal::WINCH))]), ..nginx() };
    let mut nginx = Story::of(rules);
    nginx.on(arrives(Signal::TERM), at(0));
    assert_eq!(nginx.on(Event::Time, at(5)), [Stop(Signal::WINCH)]);
}

#[test]
fn a_configured_stop_signal_is_sent_whatever_was_received() {
    let rules = Rules {
        rewrite: SignalMap::from_iter([(Signal::TERM, Rewrite::To(Signal::WINCH))]),
        plan: Plan::soft(Wait::fixed(at(0)), StopSignal::Always(Signal::USR1), Wait::up_to(None)),
        ..plain()
    };
    let mut app = Story::of(rules);
    assert_eq!(app.on(arrives(Signal::TERM), at(0)), [Stop(Signal::USR1)]);
}

#[test]
fn a_terminal_resize_is_no_stop_request_for_httpd_but_a_sent_sigwinch_is() {
    let rules = Rules { stop_on: Signal::WINCH.into(), ..plain() };
    let mut httpd = Story::of(rules);
    assert_eq!(httpd.on(Event::Signal(Signal::WINCH, Origin::Kernel), at(0)), []);
    assert_eq!(httpd.on(arrives(Signal::WINCH), at(0)), [Stop(Signal::WINCH)]);
    let mut plain = Story::of(plain());
    let resize = Event::Signal(Signal::WINCH, Origin::Kernel);
    assert_eq!(plain.on(resize, at(0)), [Forward(Signal::WINCH)], "a plain program gets the resize");
}

#[test]
fn signals_that_are_for_softstop_itself_are_never_passed_on() {
    let mut plain = Story::of(plain());
    for signal in Signal::all().filter(|signal| !signal.is_forwarded()) {
        assert_eq!(plain.on(arrives(signal), at(0)), [], "{signal}");
    }
}

#[test]
fn with_wait_for_all_the_others_get_the_stop_signal_and_the_rest_of_the_drain() {
    let mut nginx = Story::of(Rules { wait_for: WaitFor::All, ..nginx() });
    nginx.on(arrives(Signal::TERM), at(0));
    nginx.on(Event::Time, at(5));
    assert_eq!(nginx.on(EXITS_BEFORE_OTHERS, at(15)), [StopRest(Signal::QUIT)]);
    assert_eq!(nginx.0.deadline(), Some(at(25)), "the drain has a new deadline");
    nginx.on(Event::NobodyLeft, at(16));
    nginx.ends_with(3);
}

#[test]
fn with_wait_for_all_the_others_are_stopped_when_the_child_exits_by_itself() {
    let mut app = Story::of(Rules { wait_for: WaitFor::All, ..plain() });
    assert_eq!(app.on(EXITS_BEFORE_OTHERS, at(0)), [StopRest(Signal::TERM)]);
    app.goes_on();
    app.on(Event::NobodyLeft, at(1));
    app.ends_with(3);
}

#[test]
fn with_wait_for_all_a_child_that_exits_in_the_pre_delay_leaves_the_others_a_whole_drain() {
    let mut nginx = Story::of(Rules { wait_for: WaitFor::All, ..nginx() });
    nginx.on(arrives(Signal::TERM), at(0));
    assert_eq!(nginx.on(EXITS_BEFORE_OTHERS, at(2)), [StopRest(Signal::QUIT)]);
    assert_eq!(nginx.0.deadline(), Some(at(22)));
    assert_eq!(nginx.on(Event::Time, at(22)), [KillAll]);
    nginx.on(Event::NobodyLeft, at(22));
    nginx.ends_with(3);
}

#[test]
fn a_stop_request_after_the_child_has_exited_is_passed_on_unless_the_signal_is_mapped() {
    let mut app = Story::of(Rules { wait_for: WaitFor::All, ..plain() });
    app.on(EXITS_BEFORE_OTHERS, at(0));
    assert_eq!(app.on(arrives(Signal::TERM), at(1)), [Forward(Signal::TERM)]);
    let mut nginx = Story::of(Rules { wait_for: WaitFor::All, ..nginx() });
    nginx.on(EXITS_BEFORE_OTHERS, at(0));
    let requested = Action::Note(Note::Requested(Signal::TERM, Origin::Outside));
    assert_eq!(nginx.0.on(arrives(Signal::TERM), at(1)), [requested]);
    assert_eq!(nginx.0.deadline(), Some(at(20)), "the deadline has changed");
}

#[test]
fn with_wait_for_main_the_others_are_not_waited_for() {
    let mut plain = Story::of(plain());
    plain.on(EXITS_BEFORE_OTHERS, at(0));
    plain.ends_with(3);
}

#[test]
fn a_plan_may_have_more_than_one_stop_signal() {
    // sidekiq: SIGTSTP makes it take no new work, SIGTERM ends it.
    let send = |signal| Some(StopSignal::Always(signal));
    let steps = vec![
        Step { send: send(Signal::TSTP), wait: Wait::fixed(at(10)) },
        Step { send: send(Signal::TERM), wait: Wait::up_to(Some(at(25))) },
    ];
    let mut sidekiq = Story::of(Rules { plan: Plan(steps), ..plain() });
    assert_eq!(sidekiq.on(arrives(Signal::TERM), at(0)), [Stop(Signal::TSTP)]);
    assert_eq!(sidekiq.on(Event::Time, at(10)), [Stop(Signal::TERM)]);
    assert_eq!(sidekiq.on(Event::Time, at(35)), [KillAll]);
}

#[test]
fn quiet_ends_a_wait_with_two_bounds_but_not_before_the_lower_one() {
    let mut app = Story::of(watching(Wait::up_to(None)));
    assert_eq!(app.0.watches(), None, "traffic is watched before the stop");
    app.on(arrives(Signal::TERM), at(0));
    assert_eq!(app.0.watches(), Some(Activity::Requests));
    assert_eq!(app.on(Event::Quiet(at(9)), at(1)), []);
    assert_eq!(app.on(Event::Quiet(at(9)), at(2)), [Stop(Signal::TERM)]);
    assert_eq!(app.0.watches(), None);
}

#[test]
fn quiet_ends_a_wait_only_after_it_has_lasted_long_enough() {
    let mut app = Story::of(watching(Wait::up_to(None)));
    app.on(arrives(Signal::TERM), at(0));
    assert_eq!(app.on(Event::Quiet(at(1)), at(6)), []);
    assert_eq!(app.on(Event::Quiet(at(0)), at(7)), [], "a request has come");
    assert_eq!(app.on(Event::Quiet(at(2)), at(9)), [Stop(Signal::TERM)]);
}

#[test]
fn endless_traffic_prolongs_a_wait_to_its_upper_bound() {
    let mut app = Story::of(watching(Wait::up_to(None)));
    app.on(arrives(Signal::TERM), at(0));
    for second in 0..15 {
        assert_eq!(app.on(Event::Quiet(at(0)), at(second)), []);
    }
    assert_eq!(app.on(Event::Time, at(15)), [Stop(Signal::TERM)]);
}

#[test]
fn a_fixed_wait_is_not_ended_by_quiet() {
    let mut nginx = Story::of(nginx());
    nginx.on(arrives(Signal::TERM), at(0));
    assert_eq!(nginx.on(Event::Quiet(at(60)), at(4)), []);
}

#[test]
fn a_pre_delay_that_is_left_out_is_added_to_a_drain_that_is_the_rest_of_a_grace_period() {
    for (drain_gets_the_rest, end) in [(false, 20), (true, 5 + 20)] {
        let mut rules = Rules { drain_gets_the_rest, ..nginx() };
        rules.leave_out_pre_delay();
        let mut app = Story::of(rules);
        assert_eq!(app.on(arrives(Signal::TERM), at(0)), [Stop(Signal::QUIT)]);
        assert_eq!(app.0.deadline(), Some(at(end)));
    }
}

#[test]
fn a_drain_that_is_the_rest_of_a_grace_period_gets_the_time_that_quiet_saved() {
    let drain = Wait::up_to(Some(at(10)));
    for (drain_gets_the_rest, end) in [(false, 3 + 10), (true, 15 + 10)] {
        let mut app = Story::of(Rules { drain_gets_the_rest, ..watching(drain) });
        app.on(arrives(Signal::TERM), at(0));
        assert_eq!(app.on(Event::Quiet(at(2)), at(3)), [Stop(Signal::TERM)]);
        assert_eq!(app.0.deadline(), Some(at(end)));
        assert_eq!(app.on(Event::Time, at(end)), [KillAll]);
    }
}

#[test]
fn a_hurry_signal_does_not_lengthen_the_drain() {
    let mut app = Story::of(Rules { drain_gets_the_rest: true, ..watching(Wait::up_to(Some(at(10)))) });
    app.on(arrives(Signal::TERM), at(0));
    assert_eq!(app.on(arrives(Signal::INT), at(3)), [Stop(Signal::TERM)]);
    assert_eq!(app.0.deadline(), Some(at(13)));
}

#[test]
fn an_app_that_has_closed_all_connections_and_does_not_exit_gets_the_next_step_early() {
    let closed = Quiet { of: Activity::Connections, lasts: at(2) };
    let mut app = Story::of(watching(Wait::until(closed, at(0), at(20))));
    app.on(arrives(Signal::TERM), at(0));
    app.on(Event::Quiet(at(2)), at(2));
    assert_eq!(app.0.watches(), Some(Activity::Connections));
    assert_eq!(app.on(Event::Quiet(at(0)), at(5)), [], "a connection is open");
    assert_eq!(app.on(Event::Quiet(at(2)), at(8)), [KillAll]);
}

#[test]
fn a_drain_timeout_of_zero_kills_right_after_the_stop_signal() {
    let plan = Plan::soft(Wait::fixed(at(0)), StopSignal::Mapped(None), Wait::up_to(Some(at(0))));
    let mut app = Story::of(Rules { plan, ..plain() });
    assert_eq!(app.on(arrives(Signal::TERM), at(0)), [Stop(Signal::TERM), KillAll]);
}

/// The rules of dumb-init with the app in a session of its own, where only SIGSTOP can stop it.
fn suspending() -> Rules {
    Rules {
        rewrite: SignalMap::from_iter([(Signal::TSTP, Rewrite::To(Signal::STOP)), (Signal::TTIN, Rewrite::Ignore)]),
        suspend_on: [Signal::TSTP, Signal::TTIN, Signal::TTOU].into_iter().collect(),
        ..nginx()
    }
}

#[test]
fn an_init_that_obeys_job_control_suspends_itself_after_the_app() {
    let mut app = Story::of(suspending());
    assert_eq!(app.on(arrives(Signal::TSTP), at(0)), [Forward(Signal::STOP), Suspend]);
    assert_eq!(app.on(arrives(Signal::CONT), at(9)), [Forward(Signal::CONT)]);
    assert_eq!(
        app.on(arrives(Signal::TTIN), at(10)),
        [Suspend],
        "the rewrite of SIGTTIN to nothing keeps dumb-init from suspending itself"
    );
    assert_eq!(app.on(arrives(Signal::TTOU), at(20)), [Suspend], "SIGTTOU is passed on");
    // The control: any other init passes SIGTSTP on and does not suspend itself.
    assert_eq!(Story::of(plain()).on(arrives(Signal::TSTP), at(0)), [Forward(Signal::TSTP)]);
}

#[test]
fn during_a_stop_the_init_does_not_suspend_itself() {
    let mut app = Story::of(suspending());
    app.on(arrives(Signal::TERM), at(0));
    assert_eq!(app.on(arrives(Signal::TSTP), at(1)), []);
    app.on(Event::Time, at(5));
    assert_eq!(app.on(arrives(Signal::TSTP), at(6)), []);
    assert_eq!(app.on(Event::Time, at(25)), [KillAll]);
}

#[test]
fn a_rewritten_job_control_signal_reaches_the_app_during_a_stop_too() {
    let to_usr1 = SignalMap::from_iter([(Signal::TSTP, Rewrite::To(Signal::USR1)), (Signal::TTIN, Rewrite::Ignore)]);
    let mut app = Story::of(Rules { rewrite: to_usr1, ..suspending() });
    app.on(arrives(Signal::TERM), at(0));
    for time in [1, 6] {
        app.on(Event::Time, at(time));
        assert_eq!(app.on(arrives(Signal::TSTP), at(time)), [Forward(Signal::USR1)]);
        assert_eq!(app.on(arrives(Signal::TTIN), at(time)), []);
    }
    // Without a rewrite SIGTSTP is passed on during a stop: for sidekiq it means "take no new work".
    let mut app = Story::of(Rules { rewrite: SignalMap::default(), ..suspending() });
    app.on(arrives(Signal::TERM), at(0));
    assert_eq!(app.on(arrives(Signal::TSTP), at(1)), [Forward(Signal::TSTP)]);
}

#[test]
fn with_an_empty_stop_on_every_signal_is_passed_on() {
    let mut app = Story::of(Rules { stop_on: SignalSet::default(), ..nginx() });
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT, Signal::TERM] {
        assert_eq!(app.0.on(arrives(signal), at(0)), [Forward(signal)]);
    }
    assert_eq!(app.0.deadline(), None);
    app.on(EXITS, at(1));
    app.ends_with(0);
}

// Behind a script: the server is another process than the main child.

/// nginx behind a script that waits for it.
fn behind_a_script() -> Story {
    let mut shutdown = Shutdown::new(plain());
    shutdown.prepare_stop(Rules { wait_for: WaitFor::AllInStop, ..nginx() }, true);
    Story(shutdown)
}

/// The same without a drain timeout.
fn behind_a_script_without_a_limit() -> Story {
    let mut story = behind_a_script();
    let plan = Plan::soft(Wait::fixed(at(5)), StopSignal::Mapped(Some(Signal::QUIT)), Wait::up_to(None));
    story.0.prepare_stop(Rules { plan, wait_for: WaitFor::AllInStop, ..nginx() }, true);
    story
}

#[test]
fn a_script_that_exits_after_its_server_is_sent_nothing() {
    let mut script = behind_a_script();
    script.on(arrives(Signal::TERM), at(0));
    assert_eq!(script.on(Event::Time, at(5)), [Stop(Signal::QUIT)]);
    assert_eq!(script.on(Event::ServersExited, at(6)), []);
    script.goes_on();
    assert_eq!(script.on(EXITS, at(7)), []);
    script.ends_with(0);
}

#[test]
fn a_script_that_stays_is_asked_after_five_seconds_and_killed_at_the_drain_timeout() {
    let mut script = behind_a_script();
    script.on(arrives(Signal::TERM), at(0));
    script.on(Event::Time, at(5));
    script.on(Event::ServersExited, at(6));
    assert_eq!(script.0.deadline(), Some(at(11)));
    assert_eq!(script.on(Event::Time, at(11)), [Action::StopMain(Signal::TERM)]);
    assert_eq!(script.0.deadline(), Some(at(25)), "the end of the drain timeout");
    assert_eq!(script.on(Event::Time, at(25)), [KillAll]);
}

#[test]
fn a_script_that_exits_first_leaves_its_server_the_whole_plan() {
    let mut script = behind_a_script();
    script.on(arrives(Signal::TERM), at(0));
    assert_eq!(script.on(EXITS_BEFORE_OTHERS, at(1)), []);
    assert_eq!(script.on(Event::Time, at(5)), [Stop(Signal::QUIT)], "the server, and not what the script left");
    script.on(Event::ServersExited, at(6));
    script.goes_on();
    assert_eq!(script.on(Event::NobodyLeft, at(6)), []);
    script.ends_with(3);
}

#[test]
fn with_wait_for_main_a_script_that_exits_ends_the_stop() {
    let mut script = behind_a_script();
    script.0.prepare_stop(Rules { wait_for: WaitFor::Main, ..nginx() }, true);
    script.on(arrives(Signal::TERM), at(0));
    assert_eq!(script.on(EXITS_BEFORE_OTHERS, at(1)), []);
    script.ends_with(3);
}

#[test]
fn what_serves_nobody_has_two_seconds_then_a_signal_then_two_seconds() {
    let mut script = behind_a_script_without_a_limit();
    script.on(arrives(Signal::TERM), at(0));
    script.on(Event::Time, at(5));
    script.on(Event::ServersExited, at(6));
    script.on(EXITS_BEFORE_OTHERS, at(6));
    assert_eq!(script.0.deadline(), Some(at(8)));
    assert_eq!(script.on(Event::Time, at(8)), [StopRest(Signal::TERM)]);
    assert_eq!(script.0.on(Event::Time, at(10)), [Action::Note(Note::LeftBehind)]);
    script.ends_with(3);
}

#[test]
fn with_a_drain_timeout_what_is_left_has_all_of_it() {
    let mut script = behind_a_script();
    script.on(arrives(Signal::TERM), at(0));
    script.on(Event::Time, at(5));
    script.on(Event::ServersExited, at(6));
    script.on(EXITS_BEFORE_OTHERS, at(6));
    script.on(Event::Time, at(8));
    assert_eq!(script.on(Event::Time, at(10)), []);
    script.goes_on();
    assert_eq!(script.on(Event::Time, at(25)), [KillAll]);
}

#[test]
fn who_holds_a_clients_connection_is_waited_for() {
    let mut script = behind_a_script_without_a_limit();
    script.on(arrives(Signal::TERM), at(0));
    script.on(Event::Time, at(5));
    script.on(Event::ServersExited, at(6));
    script.on(EXITS_BEFORE_OTHERS, at(6));
    script.on(Event::Serving(true), at(7));
    assert_eq!(script.0.deadline(), None);
    assert_eq!(script.on(Event::Serving(false), at(60)), []);
    assert_eq!(script.on(Event::Time, at(62)), [StopRest(Signal::TERM)]);
}

#[test]
fn hurry_ends_the_time_of_what_is_left() {
    let mut script = behind_a_script();
    script.on(arrives(Signal::TERM), at(0));
    script.on(Event::Time, at(5));
    script.on(Event::ServersExited, at(6));
    assert_eq!(script.on(arrives(Signal::INT), at(6)), [Action::StopMain(Signal::TERM)]);
    assert_eq!(script.on(arrives(Signal::INT), at(7)), [KillAll]);
}

/// A plain program that leaves others in a stop. The control is [`with_wait_for_main_a_script_that_exits_ends_the_stop`].
#[test]
fn what_a_plain_program_leaves_in_a_stop_has_the_same_times() {
    let mut plain = Story::of(Rules { wait_for: WaitFor::AllInStop, ..plain() });
    assert_eq!(plain.on(arrives(Signal::TERM), at(0)), [Stop(Signal::TERM)]);
    plain.on(EXITS_BEFORE_OTHERS, at(1));
    plain.goes_on();
    assert_eq!(plain.on(Event::Time, at(3)), [StopRest(Signal::TERM)]);
    plain.on(Event::Time, at(5));
    plain.ends_with(3);
}

#[test]
fn outside_a_stop_nobody_waits_for_what_is_left() {
    let mut plain = Story::of(Rules { wait_for: WaitFor::AllInStop, ..plain() });
    plain.on(EXITS_BEFORE_OTHERS, at(1));
    plain.ends_with(3);
}

// Before the execve.

#[test]
fn before_the_execve_the_child_is_sent_the_request_itself_and_the_clocks_run() {
    let mut nginx = Story(Shutdown::starting(nginx()));
    assert_eq!(nginx.on(arrives(Signal::TERM), at(0)), [Forward(Signal::TERM)]);
    assert_eq!(nginx.0.deadline(), Some(at(5)));
    assert_eq!(nginx.on(arrives(Signal::TERM), at(1)), [Forward(Signal::TERM)], "it may have started since");
    nginx.on(Event::Started, at(2));
    assert_eq!(nginx.on(arrives(Signal::TERM), at(3)), [], "the control: it has started");
    assert_eq!(nginx.on(Event::Time, at(5)), [Stop(Signal::QUIT)]);
}

#[test]
fn a_plain_program_is_sent_the_request_once_before_its_execve() {
    let mut plain = Story(Shutdown::starting(plain()));
    assert_eq!(plain.on(arrives(Signal::TERM), at(0)), [Stop(Signal::TERM)]);
}
