//! The environment: each variable of ours is one setting, and one that is no setting is a slip of somebody's keyboard.

use std::ffi::OsString;

use super::{Error, Given, KEYS, Key, Source, value};

const PREFIX: &str = "SOFTSTOP_";
/// The switch of the project's own tests: no setting, but theirs to find in the environment.
const REQUIRE_ALL: &str = "SOFTSTOP_REQUIRE_ALL";
/// By custom a Dockerfile's own variable: which version it fetches (`TINI_VERSION`).
const VERSION: &str = "VERSION";
/// The way out: whoever sets it wants a plain init, whatever else is set.
const DISABLED: &str = "DISABLED";

/// Whether `SOFTSTOP_DISABLED` turns everything of ours off, and so where that is said.
pub(super) fn disabled(variables: &[(OsString, OsString)]) -> Result<Option<Source>, Error> {
    let name = format!("{PREFIX}{DISABLED}");
    let found = variables.iter().find(|(variable, value)| *variable == *name && !value.is_empty());
    let Some((_, value)) = found else { return Ok(None) };
    let source = Source::Environment(name);
    let Some(text) = value.to_str().map(str::to_owned) else { return Err(Error::NotText { source }) };
    let disabled = value::boolean(&Given { key: Key::Disabled, text, source: source.clone() })?;
    Ok(disabled.then_some(source))
}

/// Reads the variables that are ours. An empty one counts as not set, which is what `${NAME:-}` in a Compose file makes.
pub(super) fn read(variables: Vec<(OsString, OsString)>) -> Result<Vec<Given>, Error> {
    let mut given = Vec::new();
    for (name, value) in variables.into_iter().filter(|(_, value)| !value.is_empty()) {
        let Some((name, suffix)) = name.to_str().and_then(|name| Some((name, name.strip_prefix(PREFIX)?))) else {
            continue;
        };
        let source = Source::Environment(name.to_owned());
        match KEYS.iter().find(|(_, known, _)| *known == suffix) {
            Some((Key::Disabled, ..)) => {} // it was read before all others, and says no more than that they count
            Some(&(key, ..)) => match value.into_string() {
                Ok(text) => given.push(Given { key, text, source }),
                Err(_) => return Err(Error::NotText { source }),
            },
            None if name == REQUIRE_ALL || suffix == VERSION || is_service_link(suffix) => {}
            None => {
                let nearest = value::nearest(suffix, KEYS.iter().map(|&(_, known, _)| known));
                let nearest = nearest.map(|suffix| format!("{PREFIX}{suffix}"));
                return Err(Error::UnknownKey { source, key: name.to_owned(), nearest });
            }
        }
    }
    Ok(given)
}

/// Whether Kubernetes or Docker made this variable for a service called "softstop" or "softstop-...":
/// `SOFTSTOP_SERVICE_HOST`, `SOFTSTOP_PORT_80_TCP_ADDR` and the like.
fn is_service_link(suffix: &str) -> bool {
    let padded = format!("_{suffix}_");
    ["_SERVICE_HOST_", "_SERVICE_PORT_", "_PORT_"].iter().any(|link| padded.contains(link))
}
