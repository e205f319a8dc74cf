//! The description of a rehearsal: its components, its settings, and the method of measurement.

use std::collections::BTreeMap;
use std::fmt::Write;

use softstop::duration::show;

use super::components::Components;
use super::{Options, SHORT_WEIGHT, SLOW_WEIGHT};
use crate::format::counted;
use crate::load::{Load, Pace};
use crate::rehearsal::Sweep;
use crate::update::balancer::{CONNECT_TIMEOUT, RETRIES};
use crate::update::content::SHORT_BODY;
use crate::update::pod_runtime::PodRuntime;

/// The components, one a line.
pub(crate) fn opening(components: &Components, missing: &[&str], note: Option<&str>) -> String {
    let mut text = String::new();
    for name in ["ingress", "application", "pods", "softstop", "tini", "dumb-init"] {
        if let Some(version) = components.versions.get(name) {
            let _ = writeln!(text, "{name:<12} {version}");
        }
    }
    for name in missing {
        let _ = writeln!(text, "{name:<12} is not installed, and is left out");
    }
    if let Some(note) = note {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// The settings and versions, by name.
pub(crate) fn settings(options: &Options, components: &Components, missing: &[&str]) -> BTreeMap<String, String> {
    let versions = components.versions.iter();
    let mut settings: BTreeMap<String, String> =
        versions.map(|(name, version)| ((*name).to_owned(), version.clone())).collect();
    let mut set = |name: &str, value: String| drop(settings.insert(name.to_owned(), value));
    for (name, duration) in [
        ("lag", options.lag),
        ("slow", options.slow),
        ("drain-timeout", options.times.drain_timeout),
        ("grace-period", options.grace_period),
        ("timeout", options.load.timeout),
        ("before", options.before),
        ("grace", options.after),
    ] {
        set(name, show(duration));
    }
    set("pre-delay", options.times.pre_delay.to_string());
    set("pods", options.pods.to_string());
    set("updates", options.updates.to_string());
    for (name, value) in options.load.pace.settings() {
        set(name, value);
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    set("cores of the machine", cores.to_string());
    if !missing.is_empty() {
        set("not installed", missing.join(", "));
    }
    settings
}

/// How it is measured, in sentences.
pub(crate) fn method(
    options: &Options,
    components: &Components,
    runtime: &PodRuntime,
    load: &Load,
    sweep: Option<&Sweep>,
) -> Vec<String> {
    let Options { slow, grace_period, pods, updates, lag, .. } = options;
    let times = if *updates == 1 { "once".to_owned() } else { format!("{updates} times") };
    let pods = counted(u64::from(*pods), "pod");
    let (lag, grace_period, slow) = (show(*lag), show(*grace_period), show(*slow));
    let total = SHORT_WEIGHT + SLOW_WEIGHT;
    let shares = match options.load.pace {
        Pace::Open { .. } => format!(
            "Of {total} requests, {SHORT_WEIGHT} are short ones with a body of {SHORT_BODY} bytes, and {SLOW_WEIGHT} are slow ones \
             whose answers take {slow}. {total} is a prime number, so that not all slow requests go to the same pod."
        ),
        Pace::Closed { .. } => format!(
            "About one user in ten sends slow requests only, whose answers take {slow}; the others send short ones, with a body \
             of {SHORT_BODY} bytes."
        ),
    };
    let requests = format!(
        "{shares} A request is answered if its status is 200 and the SHA-256 of its whole body is the expected one."
    );
    let mut update = format!(
        "Each contender gets the same rolling update of {pods}, {times}: a new pod is started, answers, and is added to the \
         balancer; then the old one is told to stop, and at the same moment its removal from the balancer begins, which takes \
         effect after {lag}. The next pod follows when the old one has ended and is removed. After the grace period of \
         {grace_period} the platform would send SIGKILL."
    );
    if let Some(sweep) = sweep {
        let _ = write!(update, " The sweep sets another {} for each run.", sweep.setting);
    }
    let connect = show(CONNECT_TIMEOUT);
    let balancer = if components.balancer.is_embedded() {
        format!(
            "The balancer is embedded: pods take turns, connecting to one may take {connect}, a failed connection is retried \
             {RETRIES} times with the same pod, and a request that was sent is never sent again."
        )
    } else {
        format!(
            "HAProxy has its default settings: pods take turns (roundrobin), and a failed connection is retried {RETRIES} times \
             with the same pod (no `option redispatch`); connecting may take {connect} (`timeout connect`). Its servers are \
             changed through its runtime socket."
        )
    };
    let isolation = if runtime.is_containers() {
        "Each pod is a container with an address of its own, which disappears with the pod. The preStop hook is `sleep`, run in \
         the container."
    } else {
        "Each pod is a PID namespace with a loopback address of its own. When a pod has ended, the kernel refuses connections to \
         it at once. The preStop hook is a pause outside the pod."
    };
    let mut method = load.method();
    method.extend([requests, update, balancer, isolation.to_owned()]);
    if components.application.is_embedded() {
        method.push(
            "The server is embedded. As nginx does, it ends at once on SIGTERM, and on SIGQUIT when its requests are done."
                .to_owned(),
        );
    }
    method.push("Everything runs on one machine, including the load generator.".to_owned());
    method
}
