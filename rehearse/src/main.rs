//! `softstop-rehearse`: a rolling update under load. It shows the requests that are lost without softstop, and that none are
//! lost with it.
//!
//! A rehearsal, in order:
//!
//! 1. [`cli`] reads the command line. [`local`] and [`run`] are the two verbs that rehearse.
//! 2. [`load`] sends requests for a [`target`] and records each: when it was due, how long it took, and the [`verdict`] on it.
//! 3. Meanwhile `local` replaces pods behind a balancer, once for each contender ([`update`]), or `run` runs a user's own
//!    command.
//! 4. Everything that was recorded is one [`rehearsal::Rehearsal`], which [`report`] prints and writes, and compares with
//!    another.
//!
//! `load`, `update` and `report` depend on each other in one direction only: `update` uses `load`, and `report` uses neither.
//! What they share is in the small modules below them.
#![allow(
    clippy::disallowed_methods,
    reason = "those rules are for an init, which must not sleep or wait for a child outside its loop; this is not an init"
)]

mod cli;
mod duration;
mod failure;
mod format;
mod load;
mod local;
mod programs;
mod progress;
mod rehearsal;
mod report;
mod run;
mod signals;
mod target;
mod update;
mod verdict;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Verb};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return report_failure(&Failure::not_measured(format!("cannot start the load generator: {error}")));
        }
    };
    let done = runtime.block_on(async {
        match cli.verb {
            Verb::Local(arguments) => local::local(arguments.into_options()?).await,
            Verb::Run(arguments) => run::run(arguments.into_options()?).await,
            Verb::Compare(arguments) => report::compare::compare(&arguments.a, &arguments.b),
            Verb::Report(arguments) => report::rewrite(&arguments.rehearsal, arguments.output()),
            Verb::Serve(arguments) => update::embedded_server::serve(arguments.listen, arguments.slow).await,
        }
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => report_failure(&failure),
    }
}

fn report_failure(failure: &Failure) -> ExitCode {
    let _ = writeln!(io::stderr(), "softstop-rehearse: {}", failure.sentence); // stderr may be closed
    ExitCode::from(failure.code)
}
