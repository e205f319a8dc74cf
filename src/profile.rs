//! The known servers: the signal that stops each gracefully, and what it needs from its own configuration.
//!
//! `table` has a row for each, and `recognise` finds the row for a command line or a running process.

#[cfg(test)]
mod examples;
mod recognise;
mod runtime;
mod table;
mod words;
mod wrapper;

use std::ffi::OsStr;
use std::time::Duration;

pub use self::table::PROFILES;
use self::table::SHELL;
use crate::duration::Bounds;
use crate::shutdown::Activity;
use crate::signal::Signal;

/// The known good settings of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What `--profile` calls it.
    pub name: &'static str,
    /// Other names that `--profile` takes.
    pub aliases: &'static [&'static str],
    /// The base names of its programs and scripts, without a version's digits at the end.
    pub programs: &'static [&'static str],
    /// Its names as an argument of a runtime: a Python module, a JVM's main class, an Erlang release. For Python and Erlang
    /// `programs` are such names too.
    pub modules: &'static [&'static str],
    /// The runtime that runs it, if it is not a program by itself. A script of the same name in another language is not this
    /// server.
    pub runtime: Option<Runtime>,
    /// The signal on which it finishes its work and exits.
    pub stop_signal: Signal,
    /// A signal that stops it more gently, and how long that takes. It is sent if the grace period is longer.
    pub slow_stop: Option<(Signal, Duration)>,
    /// How long it keeps serving after the stop request.
    pub pre_delay: PreDelay,
    /// Whether it finishes the requests under way on its stop signal.
    pub finishes: Finishes,
    /// What must be quiet for the pre-delay to end early. If no signal lets the server finish its responses, they must be quiet
    /// too.
    pub quiet_means: Activity,
    /// A signal that ends it at once when no client is connected any more, if it would otherwise wait for a timer.
    pub once_idle: Option<Signal>,
    /// The exit codes after a clean stop, besides 0.
    pub ok_on_stop: &'static [u8],
    /// What it needs in its own configuration, or from the user, to stop gracefully.
    pub note: Option<&'static str>,
}

/// How long a server keeps serving after the stop request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreDelay {
    /// Until a balancer has taken it out of rotation.
    BehindBalancer,
    /// Until the requests under way are answered. The clients of a cache connect to its own address, so no balancer moves them
    /// away.
    RequestsUnderWay,
    /// Not at all: it is sent its stop signal at once.
    None,
}

impl PreDelay {
    /// The bounds of the pre-delay. How long a balancer takes is not the server's to say: the time for the whole stop bounds
    /// such a pre-delay.
    #[must_use]
    pub const fn bounds(self) -> Bounds {
        match self {
            Self::BehindBalancer => Bounds { least: Duration::from_secs(2), most: Duration::MAX },
            Self::RequestsUnderWay => Bounds { least: Duration::ZERO, most: Duration::from_secs(5) },
            Self::None => Bounds::NONE,
        }
    }

    /// What it waits for, in a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::BehindBalancer => "balancer",
            Self::RequestsUnderWay => "requests",
            Self::None => "none",
        }
    }
}

/// Whether a server finishes the requests under way on its stop signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finishes {
    /// It does.
    #[default]
    Yes,
    /// It cuts them off.
    No,
    /// That depends on its configuration or on the application that it runs, or it was not tried.
    Unknown,
}

/// A runtime of servers that are not programs by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Runtime {
    Erlang,
    Java,
    Lua,
    Node,
    Php,
    Python,
    Ruby,
}

type Names = &'static [&'static str];

impl Profile {
    /// The profile with this name or alias.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name || profile.aliases.contains(&name))
    }

    /// The profile of the server that a command line starts, directly or through wrappers (`gosu`, `env`, `tini`). `None`: it
    /// starts no known server, or it is not clear what it starts.
    #[must_use]
    pub fn of_command<S: AsRef<OsStr>>(command: &[S]) -> Option<&'static Self> {
        recognise::started_by(words::words(command))
    }

    /// The profile of a running process, by its command line and `comm` from /proc. A process can overwrite its command line,
    /// so `comm` must agree with it. A wrapper has no profile, whatever it starts.
    #[must_use]
    pub fn of_process<S: AsRef<OsStr>>(cmdline: &[S], comm: &str) -> Option<&'static Self> {
        recognise::running(&words::words(cmdline), comm)
    }

    /// The profile of a shell that reads its commands from stdin. It fits only an interactive shell, which the caller
    /// recognises by its ignoring the signal received.
    #[must_use]
    pub fn of_shell<S: AsRef<OsStr>>(cmdline: &[S]) -> Option<&'static Self> {
        wrapper::is_shell_without_script(&words::words(cmdline)).then_some(&SHELL)
    }

    /// The stop signal for a grace period.
    #[must_use]
    pub fn stop_signal_within(&self, grace_period: Option<Duration>) -> Signal {
        let slow = self.slow_stop.filter(|&(_, takes)| grace_period.is_some_and(|grace| grace > takes));
        slow.map_or(self.stop_signal, |(signal, _)| signal)
    }

    /// Whether this is the stop signal of any known server.
    #[must_use]
    pub fn has_stop_signal(signal: Signal) -> bool {
        PROFILES.iter().any(|profile| profile.stop_signal == signal)
    }

    /// Every name that `--profile` takes, except `auto`, `server` and `none`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().flat_map(|profile| std::iter::once(profile.name).chain(profile.aliases.iter().copied()))
    }
}

/// Whether a process is a shell, or a script that one runs.
#[must_use]
pub fn is_shell<S: AsRef<OsStr>>(cmdline: &[S], comm: &str) -> bool {
    wrapper::is_shell(&words::words(cmdline), comm)
}

/// Whether a program of this name runs scripts or classes, so that the log should not name it but what it runs.
#[must_use]
pub fn is_interpreter(comm: &str) -> bool {
    Runtime::ALL.iter().any(|runtime| runtime.has_comm(comm))
}

/// Whether a process between the main child and the server must not be sent the stop signal in the server's place: an init that
/// only passes signals on, or a program that catches SIGTERM and does not pass it on (npm).
#[must_use]
pub fn is_looked_through<S: AsRef<OsStr>>(cmdline: &[S], comm: &str) -> bool {
    wrapper::is_looked_through(&words::words(cmdline), comm)
}

/// Whether a process is an init that passes every signal on as it is.
#[must_use]
pub fn is_init<S: AsRef<OsStr>>(cmdline: &[S], comm: &str) -> bool {
    wrapper::is_init(&words::words(cmdline), comm)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_stands_for_two_servers() {
        let mut names = HashSet::from(["auto", "none", "server"]);
        for name in Profile::names() {
            assert!(names.insert(name), "{name}");
        }
    }

    #[test]
    fn no_program_and_no_module_is_listed_twice() {
        let mut names = HashSet::new();
        for profile in PROFILES {
            for program in profile.programs {
                assert!(names.insert(program), "{program}");
                assert!(!program.ends_with(|c: char| c.is_ascii_digit()) || *program == "apache2", "{program}");
            }
            for module in profile.modules {
                assert!(names.insert(module), "{module}");
            }
        }
    }

    #[test]
    fn a_server_that_cuts_its_requests_off_waits_for_its_responses() {
        for profile in PROFILES {
            let waits = profile.pre_delay != PreDelay::None;
            let cuts = waits && profile.finishes == Finishes::No;
            assert_eq!(profile.quiet_means == Activity::Traffic, cuts, "{}", profile.name);
        }
    }

    #[test]
    fn notes_are_one_line_without_a_full_stop() {
        for profile in PROFILES {
            let note = profile.note.unwrap_or("fine");
            assert!(!note.is_empty() && !note.ends_with('.') && !note.contains('\n'), "{}", profile.name);
        }
    }

    #[test]
    fn every_server_is_found_by_its_name_and_its_aliases() {
        for name in Profile::names() {
            assert!(
                Profile::named(name).is_some_and(|profile| profile.name == name || profile.aliases.contains(&name))
            );
        }
        assert_eq!(Profile::named("openresty").map(|profile| profile.name), Some("nginx"));
        assert_eq!(Profile::named("nginxx"), None);
    }

    #[test]
    fn the_signals_that_are_not_sigterm() {
        let others = PROFILES.iter().filter(|profile| profile.stop_signal != Signal::TERM);
        let others: Vec<_> = others.map(|profile| (profile.name, profile.stop_signal)).collect();
        assert_eq!(
            others,
            [
                ("nginx", Signal::QUIT),
                ("httpd", Signal::WINCH),
                ("haproxy", Signal::USR1),
                ("lighttpd", Signal::INT),
                ("nghttpx", Signal::QUIT),
                ("pgbouncer", Signal::INT),
                ("php-fpm", Signal::QUIT),
                ("waitress", Signal::INT),
                ("cheroot", Signal::INT),
                ("uwsgi", Signal::INT),
                ("unicorn", Signal::QUIT),
                ("thin", Signal::QUIT),
                ("postgres", Signal::INT),
                ("runsvdir", Signal::HUP),
                ("shell", Signal::HUP),
                ("systemd", Signal::realtime(3)),
            ]
        );
    }

    #[test]
    fn what_a_clean_stop_exits_with() {
        for (name, codes) in
            [("puma", &[143][..]), ("uvicorn", &[143]), ("java", &[143]), ("kafka", &[143]), ("nginx", &[])]
        {
            assert_eq!(Profile::named(name).unwrap().ok_on_stop, codes, "{name}");
        }
    }
}
