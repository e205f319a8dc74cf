//! The state machine under any order of events: what must never happen, and what must always happen.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use softstop::shutdown::{
    Action, Activity, Event, Exit, KILL_WAIT, Moment, Note, Plan, Quiet, Rules, Shutdown, Step, StopSignal, Wait,
    WaitFor,
};
use softstop::signal::{Origin, Rewrite, Signal, SignalMap, SignalSet};

fn any_signal() -> impl Strategy<Value = Signal> {
    // Signals with a meaning of their own are more frequent.
    prop_oneof![
        Just(Signal::TERM),
        Just(Signal::QUIT),
        Just(Signal::INT),
        Just(Signal::WINCH),
        (1..=64).prop_map(|number| Signal::from_number(number).unwrap()),
    ]
}

fn any_set() -> impl Strategy<Value = SignalSet> {
    vec(any_signal(), 0..4).prop_map(|signals| signals.into_iter().collect())
}

fn any_length() -> impl Strategy<Value = Duration> {
    (0..30_000_u64).prop_map(Duration::from_millis)
}

fn any_wait() -> impl Strategy<Value = Wait> {
    let of = prop_oneof![Just(Activity::Requests), Just(Activity::Traffic), Just(Activity::Connections)];
    let quiet = option::of((of, any_length()).prop_map(|(of, lasts)| Quiet { of, lasts }));
    (any_length(), option::of(any_length()), quiet).prop_map(|(at_least, more, quiet)| Wait {
        at_least,
        at_most: more.map(|more| at_least + more),
        quiet,
    })
}

fn any_stop_signal() -> impl Strategy<Value = StopSignal> {
    prop_oneof![any_signal().prop_map(StopSignal::Always), option::of(any_signal()).prop_map(StopSignal::Mapped)]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let step = (option::of(any_stop_signal()), any_wait()).prop_map(|(send, wait)| Step { send, wait });
    let rewrite = prop_oneof![any_signal().prop_map(Rewrite::To), Just(Rewrite::Ignore)];
    let wait_for = prop_oneof![Just(WaitFor::Main), Just(WaitFor::All), Just(WaitFor::AllInStop)];
    let sets = (any_set(), any_set(), any_set());
    (sets, btree_map(any_signal(), rewrite, 0..3), vec(step, 0..4), any::<bool>(), wait_for).prop_map(
        |((stop_on, hurry_on, suspend_on), rewrite, steps, drain_gets_the_rest, wait_for)| Rules {
            stop_on,
            hurry_on,
            rewrite: rewrite.into_iter().collect(),
            plan: Plan(steps),
            drain_gets_the_rest,
            once_idle: None,
            suspend_on,
            wait_for,
        },
    )
}

/// An event that can happen: the main child exits only once, and no process exits after the last one.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Signal(Signal, bool),
    Stopped,
    Continued,
    MainExits(u8, bool),
    LastExits,
    ServersExit,
    Serving(bool),
    Started,
    Quiet(Duration),
    TimePasses,
}

fn any_happening() -> impl Strategy<Value = (Happening, Duration)> {
    let happening = prop_oneof![
        6 => (any_signal(), any::<bool>()).prop_map(|(signal, kernel)| Happening::Signal(signal, kernel)),
        1 => Just(Happening::Stopped),
        1 => Just(Happening::Continued),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(code, last)| Happening::MainExits(code, last)),
        1 => Just(Happening::LastExits),
        1 => Just(Happening::ServersExit),
        1 => any::<bool>().prop_map(Happening::Serving),
        1 => Just(Happening::Started),
        2 => any_length().prop_map(Happening::Quiet),
        6 => Just(Happening::TimePasses),
    ];
    (happening, any_length())
}

#[derive(Default)]
struct World {
    now: Moment,
    main_gone: bool,
    nobody_left: bool,
    servers_gone: bool,
}

impl World {
    /// Advances the clock. Returns the event for the state machine, or `None` if this cannot happen now.
    fn event(&mut self, happening: Happening, after: Duration) -> Option<Event> {
        self.now += after;
        match happening {
            Happening::Signal(signal, true) => Some(Event::Signal(signal, Origin::Kernel)),
            Happening::Signal(signal, false) => Some(Event::Signal(signal, Origin::Outside)),
            Happening::Stopped if !self.main_gone => Some(Event::MainStopped),
            Happening::Continued if !self.main_gone => Some(Event::MainContinued),
            Happening::MainExits(code, last) if !self.main_gone => {
                self.main_gone = true;
                self.nobody_left = last;
                Some(Event::MainExited { exit: Exit::Code(code), last })
            }
            Happening::LastExits if self.main_gone && !self.nobody_left => {
                self.nobody_left = true;
                Some(Event::NobodyLeft)
            }
            Happening::ServersExit if !self.servers_gone => {
                self.servers_gone = true;
                Some(Event::ServersExited)
            }
            Happening::Serving(serving) => Some(Event::Serving(serving)),
            Happening::Started => Some(Event::Started),
            Happening::Quiet(so_far) => Some(Event::Quiet(so_far)),
            Happening::TimePasses => Some(Event::Time),
            Happening::Stopped
            | Happening::Continued
            | Happening::MainExits(..)
            | Happening::LastExits
            | Happening::ServersExit => None,
        }
    }
}

/// What the state machine has done so far, how often and when.
#[derive(Default)]
struct Done {
    requested: Option<Moment>,
    killed: Vec<Moment>,
    steps: Vec<usize>,
    stops: usize,
    stops_of_the_rest: usize,
    stops_of_main: usize,
    hurried: bool,
    main_exit: Option<u8>,
}

impl Done {
    fn record(&mut self, action: Action, now: Moment) {
        match action {
            Action::KillAll => self.killed.push(now),
            Action::Stop(_) => self.stops += 1,
            Action::StopRest(_) => self.stops_of_the_rest += 1,
            Action::Note(Note::Requested(..)) => {
                assert_eq!(self.requested, None, "a stop began twice");
                self.requested = Some(now);
            }
            Action::Note(Note::Waiting { step, .. }) => self.steps.push(step),
            Action::Note(Note::Hurried(..)) => self.hurried = true,
            Action::Suspend => assert_eq!(self.requested, None, "no stop waits for somebody who would wake us"),
            Action::StopMain(_) => self.stops_of_main += 1,
            Action::Forward(_) | Action::Continue | Action::Note(_) => {}
        }
    }
}

fn upper_bounds(plan: &Plan) -> Option<Duration> {
    plan.0.iter().map(|step| step.wait.at_most).sum()
}

/// The shortest time for the whole plan without a hurry signal, when each quiet comes as early as possible.
fn lower_bounds(plan: &Plan) -> Duration {
    plan.0.iter().map(|step| step.wait.at_least).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_that_always_hold(rules in any_rules(), happenings in vec(any_happening(), 0..40), has_server in any::<bool>()) {
        let mut shutdown = Shutdown::starting(rules.clone());
        shutdown.prepare_stop(rules.clone(), has_server);
        let mut world = World::default();
        let mut done = Done::default();
        for (happening, after) in happenings {
            let Some(event) = world.event(happening, after) else { continue };
            let was_gone = shutdown.exit_code();
            let actions = shutdown.on(event, world.now);
            if let Event::MainExited { exit, .. } = event {
                done.main_exit = Some(exit.code());
            }

            // After the exit nothing happens, and the exit code does not change.
            if was_gone.is_some() {
                prop_assert_eq!(&actions, &[]);
                prop_assert_eq!(shutdown.exit_code(), was_gone);
            }
            for action in actions {
                // After SIGKILL no signal is sent.
                if !done.killed.is_empty() {
                    prop_assert!(matches!(action, Action::Note(_)), "{:?} after SIGKILL", action);
                }
                done.record(action, world.now);
            }

            // Steps never go backwards.
            prop_assert!(done.steps.is_sorted_by(|a, b| a < b), "{:?}", done.steps);
            // SIGKILL at most once, a stop signal at most once per step, and one more for what the main child left
            // behind.
            prop_assert!(done.killed.len() <= 1);
            prop_assert!(done.stops <= rules.plan.0.len());
            prop_assert!(done.stops_of_the_rest <= 1 + rules.plan.0.len());
            prop_assert!(done.stops_of_main <= 1);
            // SIGKILL never before its time.
            if let (Some(&killed), Some(requested), false) = (done.killed.first(), done.requested, done.hurried) {
                if !world.main_gone && !world.servers_gone {
                    prop_assert!(killed >= requested + lower_bounds(&rules.plan));
                    prop_assert!(upper_bounds(&rules.plan).is_some(), "a wait without an end never leads to SIGKILL");
                }
            }
            // Time alone always moves the machine past a deadline.
            if let Some(deadline) = shutdown.deadline() {
                let mut later = shutdown.clone();
                later.on(Event::Time, deadline);
                prop_assert!(later.deadline() != Some(deadline) || later.exit_code().is_some());
            }
            // With wait_for = "main" the exit code of the main child is final at once.
            if rules.wait_for == WaitFor::Main && done.killed.is_empty() {
                prop_assert_eq!(shutdown.exit_code(), done.main_exit);
            }
        }
    }

    #[test]
    fn a_stop_always_ends(mut rules in any_rules(), happenings in vec(any_happening(), 0..20)) {
        for step in &mut rules.plan.0 {
            step.wait.at_most.get_or_insert(step.wait.at_least);
        }
        let mut shutdown = Shutdown::new(rules.clone());
        let mut world = World::default();
        for (happening, after) in happenings {
            let Some(event) = world.event(happening, after) else { continue };
            shutdown.on(event, world.now);
        }
        if shutdown.is_running() {
            let term = Event::Signal(Signal::TERM, Origin::Outside);
            rules.stop_on = Signal::TERM.into();
            rules.rewrite = SignalMap::default();
            shutdown = Shutdown::new(rules.clone());
            shutdown.on(term, world.now);
        }
        prop_assert!(!shutdown.is_running());
        // From here on only time passes. Each deadline must lead to the next one, and the last one to the exit.
        let mut rounds = 0;
        while let Some(deadline) = shutdown.deadline() {
            world.now = world.now.max(deadline);
            shutdown.on(Event::Time, world.now);
            rounds += 1;
            prop_assert!(rounds <= rules.plan.0.len() + 5);
        }
        prop_assert!(shutdown.exit_code().is_some());
    }

    #[test]
    fn a_child_that_ignores_everything_is_killed_exactly_at_the_end_of_the_plan(
        pre_delay in any_length(),
        drain in any_length(),
        begun in any_length(),
    ) {
        let plan = Plan::soft(Wait::fixed(pre_delay), StopSignal::Mapped(None), Wait::up_to(Some(drain)));
        let rules = Rules {
            stop_on: Signal::TERM.into(),
            hurry_on: SignalSet::default(),
            rewrite: SignalMap::default(),
            plan,
            drain_gets_the_rest: false,
            once_idle: None,
        suspend_on: SignalSet::default(),
            wait_for: WaitFor::Main,
        };
        let mut shutdown = Shutdown::new(rules);
        let mut killed = None;
        let mut note = |actions: Vec<Action>, now| {
            if actions.contains(&Action::KillAll) {
                killed = Some(now);
            }
        };
        note(shutdown.on(Event::Signal(Signal::TERM, Origin::Outside), begun), begun);
        while let Some(deadline) = shutdown.deadline() {
            let early = deadline.saturating_sub(Duration::from_nanos(1));
            note(shutdown.on(Event::Time, early), early);
            note(shutdown.on(Event::Time, deadline), deadline);
        }
        prop_assert_eq!(killed, Some(begun + pre_delay + drain));
        prop_assert_eq!(shutdown.exit_code(), Some(137));
        prop_assert!(KILL_WAIT >= Duration::from_secs(1));
    }
}
