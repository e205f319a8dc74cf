//! Finds the components of a rehearsal: the balancer, the server and the inits that are installed.

use std::collections::BTreeMap;

use super::Options;
use super::plan::{Plan, PlannedUpdate};
use crate::failure::Failure;
use crate::programs;
use crate::update::application::Application;
use crate::update::balancer::BalancerKind;
use crate::update::contender::{Contender, ContenderKind, Inits};
use crate::update::softstop_program;

/// Each planned update with its contender.
pub(crate) type ContenderUpdates = Vec<(PlannedUpdate, Contender)>;

#[derive(Debug)]
pub(crate) struct Components {
    pub(crate) application: Application,
    pub(crate) balancer: BalancerKind,
    inits: Inits,
    /// The version of each, by name, for the output and the report.
    pub(crate) versions: BTreeMap<&'static str, String>,
}

impl Components {
    pub(crate) async fn find(options: &Options, plan: &Plan) -> Result<Self, Failure> {
        let installed = |program: &str| if options.embedded { None } else { programs::find(program) };
        let application = match installed("nginx") {
            Some(program) => {
                let version = programs::version(&program, "-v").await.unwrap_or_default();
                let version = version.trim_start_matches("nginx version: ").to_owned();
                Application::nginx(program, version, options.slow)
            }
            None => Application::embedded(options.slow)?,
        };
        let balancer = match installed("haproxy") {
            Some(program) => {
                let version = programs::version(&program, "-v").await.unwrap_or_default();
                let number = version.split_ascii_whitespace().nth(2).unwrap_or("of an unknown version");
                BalancerKind::Haproxy { program, version: format!("HAProxy {number}") }
            }
            None => BalancerKind::Embedded,
        };
        let why = if options.embedded { "because of --embedded" } else { "which is not installed" };
        let instead = |title: String, of: &str, is_embedded: bool| {
            if is_embedded { format!("{title}, in place of {of}, {why}") } else { title }
        };
        let mut versions = BTreeMap::new();
        versions.insert("ingress", instead(balancer.title(), "HAProxy", balancer.is_embedded()));
        versions.insert("application", instead(application.title(), "nginx", application.is_embedded()));

        let softstop = if plan.has(ContenderKind::Softstop) {
            Some(softstop_program::find(options.softstop.as_deref()).await?)
        } else {
            None
        };
        let inits = Inits { tini: programs::find("tini"), dumb_init: programs::find("dumb-init"), softstop };
        for (name, program, contender) in [
            ("softstop", &inits.softstop, ContenderKind::Softstop),
            ("tini", &inits.tini, ContenderKind::Tini),
            ("dumb-init", &inits.dumb_init, ContenderKind::DumbInit),
        ] {
            let Some(program) = program.as_ref().filter(|_| plan.has(contender)) else { continue };
            let version = programs::version(program, "--version").await;
            let version =
                version.ok_or_else(|| Failure::not_measured(format!("{} does not run", program.display())))?;
            let number = version.split_ascii_whitespace().find(|word| word.contains('.')).unwrap_or(&version);
            versions.insert(name, format!("{} ({})", number.trim_start_matches('v'), program.display()));
        }
        Ok(Self { application, balancer, inits, versions })
    }

    /// The contender of each planned update, and the names of those that are not installed.
    ///
    /// # Errors
    ///
    /// A contender that was asked for is not installed.
    pub(crate) fn contenders(
        &self,
        options: &Options,
        plan: &Plan,
    ) -> Result<(ContenderUpdates, Vec<&'static str>), Failure> {
        let (mut contenders, mut missing) = (Vec::new(), Vec::new());
        for update in &plan.updates {
            let contender = Contender::new(update.contender, &self.inits, update.times, &self.application);
            let Some(mut contender) = contender else {
                missing.push(update.contender.name());
                continue;
            };
            if let Some(name) = &update.name {
                contender.name.clone_from(name);
                contender.directory.clone_from(name);
            }
            contenders.push((update.clone(), contender));
        }
        match missing.first() {
            Some(name) if !options.contenders.is_empty() => Err(Failure::not_measured(format!(
                "{name} is not installed: install it, or leave it out of --contender"
            ))),
            _ => Ok((contenders, missing)),
        }
    }
}
