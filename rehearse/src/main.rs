//! `softstop-rehearse`: a rolling update under load, so that one sees the lost requests, and sees them disappear.
//!
//! A rehearsal, in order:
//!
//! 1. The command line is read ([`cli`]); [`local`] and [`run`] are its two verbs, [`compare`] sets two results side by side.
//! 2. [`load`] sends the requests, and keeps one [`figures::Request`] for each: when it was due, how long it took, and what
//!    became of it. [`client`] carries one to its end; [`figures::Kind`] is the verdict.
//! 3. Meanwhile `local` replaces [`pod`]s behind a [`balancer`] once per [`contender`] ([`update`]), or `run` runs a person's
//!    own command.
//! 4. All that was seen is one [`figures::Rehearsal`]. [`table`] prints it, [`report`] writes it down: as HTML with the
//!    pictures of [`chart`], and as JSON ([`saved`]). [`evidence`] searches the servers' own logs. [`words`] says in one
//!    sentence what a run comes to, the same in all of them.
//!
//! Nothing of this reaches the init: it is a package of its own.
#![allow(
    clippy::disallowed_methods,
    reason = "those rules keep an init asleep and its children reaped by one hand; this is no init"
)]

mod balancer;
mod chart;
mod cli;
mod client;
mod compare;
mod contender;
mod evidence;
mod figures;
mod limits;
mod load;
mod local;
mod pod;
mod progress;
mod report;
mod run;
mod saved;
mod server;
mod table;
mod update;
mod words;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Verb};

/// Something was lost.
const LOST: u8 = 1;
/// Wrong usage.
const WRONG_USAGE: u8 = 2;
/// Nothing can be said: the command failed, or the measurement is not whole.
const NOT_MEASURED: u8 = 3;

/// One clear sentence for the person, and the exit code that goes with it.
#[derive(Debug)]
struct Failure {
    code: u8,
    sentence: String,
}

impl Failure {
    fn usage(sentence: impl Into<String>) -> Self {
        Self { code: WRONG_USAGE, sentence: sentence.into() }
    }

    fn not_measured(sentence: impl Into<String>) -> Self {
        Self { code: NOT_MEASURED, sentence: sentence.into() }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(&Failure::not_measured(format!("cannot start the load generator: {error}"))),
    };
    let done = runtime.block_on(async {
        match cli.verb {
            Verb::Local(arguments) => local::local(arguments).await,
            Verb::Run(arguments) => run::run(arguments).await,
            Verb::Compare(arguments) => compare::compare(&arguments),
            Verb::Report(arguments) => report::again(&arguments),
            Verb::Serve(arguments) => server::serve(arguments).await,
        }
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => tell(&failure),
    }
}

fn tell(failure: &Failure) -> ExitCode {
    let _ = writeln!(io::stderr(), "softstop-rehearse: {}", failure.sentence); // nobody is left to tell
    ExitCode::from(failure.code)
}
