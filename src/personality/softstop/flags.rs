//! The flags that are settings, each with the key of its setting and its line in the help.

use clap::{Arg, ArgAction, ArgMatches};

use crate::settings::Key;

/// A flag that is a setting.
pub(super) struct Flag {
    pub(super) key: Key,
    /// With its hyphens, as messages name it. It is the argument's id for clap too.
    pub(super) name: &'static str,
    short: Option<char>,
    value: FlagValue,
    help: &'static str,
}

/// Where the text of a flag's setting comes from.
enum FlagValue {
    /// From the word after the flag, which the help calls by this name.
    Given { name: &'static str, may_begin_with_hyphen: bool, repeatable: bool },
    /// The flag takes no value. The text depends on how often it is given; if there is only one text, it is given once.
    Fixed(&'static [&'static str]),
}

impl Flag {
    /// A flag that takes a value.
    const fn new(key: Key, name: &'static str, value: &'static str) -> Self {
        let value = FlagValue::Given { name: value, may_begin_with_hyphen: false, repeatable: false };
        Self { key, name, short: None, value, help: "" }
    }

    /// A flag that takes no value and stands for this text; repeated, for the next.
    const fn fixed(key: Key, name: &'static str, texts: &'static [&'static str]) -> Self {
        Self { key, name, short: None, value: FlagValue::Fixed(texts), help: "" }
    }

    const fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// Negative numbers get a message of their own.
    const fn or_negative(mut self) -> Self {
        if let FlagValue::Given { may_begin_with_hyphen, .. } = &mut self.value {
            *may_begin_with_hyphen = true;
        }
        self
    }

    const fn repeatable(mut self) -> Self {
        if let FlagValue::Given { repeatable, .. } = &mut self.value {
            *repeatable = true;
        }
        self
    }

    /// The flag as clap takes it.
    pub(super) fn argument(&self) -> Arg {
        let argument = Arg::new(self.name).long(long(self.name)).short(self.short).help(self.help);
        match self.value {
            FlagValue::Given { name, may_begin_with_hyphen, repeatable } => argument
                .value_name(name)
                .allow_hyphen_values(may_begin_with_hyphen)
                .action(if repeatable { ArgAction::Append } else { ArgAction::Set }),
            FlagValue::Fixed([_]) => argument.action(ArgAction::SetTrue),
            FlagValue::Fixed(_) => argument.action(ArgAction::Count),
        }
    }

    /// The text of the setting, if the flag is given.
    pub(super) fn text(&self, given: &ArgMatches) -> Option<String> {
        match self.value {
            FlagValue::Given { .. } => {
                let texts: Vec<&str> = given.get_many::<String>(self.name)?.map(String::as_str).collect();
                Some(texts.join(","))
            }
            FlagValue::Fixed(texts) => {
                let times = match texts {
                    [_] => given.get_flag(self.name).into(),
                    _ => given.get_count(self.name).into(),
                };
                texts.iter().take(times).next_back().map(|text| (*text).to_owned())
            }
        }
    }
}

/// A flag's name as clap takes it.
pub(super) fn long(name: &'static str) -> &'static str {
    name.trim_start_matches('-')
}

/// In the order of the help.
pub(super) const FLAGS: &[Flag] = &[
    Flag::new(Key::Config, "--config", "FILE")
        .help("Read settings from FILE [default: /etc/softstop.toml where it exists]"),
    Flag::new(Key::Profile, "--profile", "NAME")
        .help("Use the known good settings of a server [default: auto, the server that runs; none: no profile]"),
    Flag::new(Key::StopOn, "--stop-on", "SIG,..")
        .help("Signals that are a stop request [default: TERM and the profile's stop signal]"),
    Flag::new(Key::HurryOn, "--hurry-on", "SIG,..")
        .help("Signals that end the present wait during a stop [default: INT]"),
    Flag::new(Key::StopSignal, "--stop-signal", "SIG").help(
        "The signal that asks COMMAND to stop [default: what the received signal is rewritten to, else the \
         profile's, else the received signal]",
    ),
    Flag::new(Key::PreDelay, "--pre-delay", "DUR").or_negative().help(
        "How long COMMAND keeps serving after a stop request: 5s, or 2s..15s to end it early when traffic has \
         stopped [default: the profile's, else 0s]",
    ),
    Flag::new(Key::Quiet, "--quiet", "DUR")
        .or_negative()
        .help("A pre-delay with two bounds ends on a silence of DUR at least, and longer where requests are rare [default: 2s]"),
    Flag::new(Key::QuietMeans, "--quiet-means", "WHAT").help(
        "What must be quiet: `requests`, `traffic` to include responses and unanswered requests, or new \
         `connections` alone [default: the server's]",
    ),
    Flag::new(Key::Ports, "--ports", "PORT,..")
        .or_negative()
        .help("The TCP ports whose traffic counts [default: those on which COMMAND listens]"),
    Flag::new(Key::IgnorePeers, "--ignore-peers", "ADDRESS,..")
        .help("Peers whose requests do not count, such as probes: addresses or CIDRs [default: none]"),
    Flag::new(Key::CountPeers, "--count-peers", "ADDRESS,..")
        .help("Peers that call evenly and are no probes: addresses or CIDRs [default: none]"),
    Flag::new(Key::DrainTimeout, "--drain-timeout", "DUR").or_negative().help(
        "How long COMMAND may take after its stop signal, before SIGKILL [default: the rest of the grace \
         period, else no limit]",
    ),
    Flag::new(Key::DrainUntil, "--drain-until", "WHEN").help(
        "End the drain on COMMAND's `exit`, or also when all its connections are `closed` or `idle` [default: \
         exit]",
    ),
    Flag::new(Key::GracePeriod, "--grace-period", "DUR").or_negative().help(
        "The platform's whole budget for a stop (terminationGracePeriodSeconds, docker stop -t) [default: \
         unknown]",
    ),
    Flag::new(Key::Rewrite, "--rewrite", "FROM:TO")
        .short('r')
        .repeatable()
        .help("Send COMMAND the signal TO when FROM is received; TO may be `ignore` (repeatable)"),
    Flag::fixed(Key::Target, "--group", &["group"]).short('g').help("Send signals to COMMAND's whole process group"),
    Flag::new(Key::Target, "--target", "WHAT").help(
        "What is sent the stop signal: the `server` alone, the `child`, or its process `group` [default: the \
         server, or a process above it that stops it]",
    ),
    Flag::new(Key::WaitFor, "--wait-for", "WHOM").help(
        "Exit after the `main` child, or after `all` its descendants too [default: all in a stop, main \
         otherwise]",
    ),
    Flag::fixed(Key::Subreaper, "--subreaper", &["true"])
        .short('s')
        .help("Adopt orphans, as PID 1 does [default: yes, unless PID 1]"),
    Flag::new(Key::ParentDeathSignal, "--parent-death-signal", "SIG")
        .short('p')
        .help("Ask the kernel to send softstop SIG when softstop's parent dies"),
    Flag::new(Key::RemapExit, "--remap-exit", "CODE")
        .short('e')
        .or_negative()
        .repeatable()
        .help("Exit with 0 if COMMAND's exit code is CODE (repeatable)"),
    Flag::fixed(Key::WarnOnReap, "--warn-on-reap", &["true"])
        .short('w')
        .help("Log a warning for each orphan that is reaped"),
    Flag::fixed(Key::Log, "--verbose", &["info", "debug", "trace"]).short('v').help(
        "Log more: -v info, -vv debug [environment: `SOFTSTOP_LOG=level`; default: warnings, and the lines \
         about a stop]",
    ),
    Flag::new(Key::LogFormat, "--log-format", "FORMAT").help("Write log lines as `text` or `json` [default: text]"),
];
