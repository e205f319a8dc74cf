//! Where pods run: in containers if a Docker engine answers, else in PID namespaces.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::addresses::Addresses;
use super::application::Application;
use super::contender::Contender;
use super::engine::Engine;
use super::pod::Pod;
use super::{container, namespace};
use crate::failure::Failure;

/// How a pod is isolated from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    Container,
    Namespace,
}

#[derive(Debug)]
pub(crate) struct PodRuntime {
    kind: RuntimeKind,
    home: PathBuf,
    addresses: Addresses,
    started: AtomicU32,
}

#[derive(Debug)]
enum RuntimeKind {
    Containers(Engine),
    Namespaces,
}

impl PodRuntime {
    /// The isolation that was asked for, or the first one in which a probe pod could be started and answered. If that is not
    /// containers although they were tried first, also returns a sentence that says why.
    pub(crate) async fn find(
        asked: Option<Isolation>,
        engine: &Engine,
        home: &Path,
        addresses: Addresses,
        application: &Application,
    ) -> Result<(Self, Option<String>), Failure> {
        let runtime = |kind| Self { kind, home: home.to_owned(), addresses, started: AtomicU32::new(0) };
        let mut no_container = None;
        if asked != Some(Isolation::Namespace) {
            let containers = runtime(RuntimeKind::Containers(engine.clone()));
            let works = match engine.open().await {
                Ok(()) => containers.probe(application).await,
                Err(why) => Err(why),
            };
            match works {
                Ok(()) => return Ok((containers, None)),
                Err(why) if asked.is_some() => {
                    return Err(Failure::not_measured(format!("no pod in a container: {why}")));
                }
                Err(why) => no_container = Some(why),
            }
        }
        let namespaces = runtime(RuntimeKind::Namespaces);
        match (namespaces.probe(application).await, no_container) {
            (Ok(()), None) => Ok((namespaces, None)),
            (Ok(()), Some(why)) => {
                let note = format!("pods are in PID namespaces, as containers do not work here: {why}");
                Ok((namespaces, Some(note)))
            }
            (Err(why), None) => Err(Failure::not_measured(format!("no pod in a PID namespace: {why}"))),
            (Err(why), Some(no_container)) => Err(Failure::not_measured(format!(
                "no pod can be started here, neither in a PID namespace ({why}) nor in a container ({no_container})"
            ))),
        }
    }

    async fn probe(&self, application: &Application) -> Result<(), String> {
        let pod = self.start("probe", &Contender::probe(), application).await?;
        let answered = pod.answers().await;
        pod.clear().await;
        answered
    }

    pub(crate) fn is_containers(&self) -> bool {
        matches!(self.kind, RuntimeKind::Containers(_))
    }

    /// The name in the output.
    pub(crate) async fn title(&self) -> String {
        match &self.kind {
            RuntimeKind::Containers(engine) => format!("containers of {}", engine.title().await),
            RuntimeKind::Namespaces if namespace::is_root() => "PID namespaces on loopback addresses".to_owned(),
            RuntimeKind::Namespaces => "PID namespaces (of a user namespace) on loopback addresses".to_owned(),
        }
    }

    /// Starts a pod, which may not answer yet.
    pub(crate) async fn start(
        &self,
        name: &str,
        contender: &Contender,
        application: &Application,
    ) -> Result<Pod, String> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        match &self.kind {
            RuntimeKind::Containers(engine) => {
                container::start(engine, &self.home, number, name, contender, application).await
            }
            RuntimeKind::Namespaces => {
                namespace::start(self.addresses, &self.home, number, name, contender, application).await
            }
        }
    }
}
