//! The environment: variables with our prefix are settings. A name that is close to a setting's is a typing error.

use std::ffi::OsString;

use super::key::KEYS;
use super::{Error, Key, Layer, RawSetting, Source, value};

const PREFIX: &str = "SOFTSTOP_";
/// A switch of this project's own tests, which is in their environment. It is not a setting.
const REQUIRE_ALL: &str = "SOFTSTOP_REQUIRE_ALL";
/// Turns the soft stop off, whatever else is set.
const DISABLED: &str = "DISABLED";

/// The source `SOFTSTOP_DISABLED`, if it turns the soft stop off.
///
/// # Errors
///
/// Its value is not a truth value.
pub fn disabled(variables: &[(OsString, OsString)]) -> Result<Option<Source>, Error> {
    let name = format!("{PREFIX}{DISABLED}");
    let found = variables.iter().find(|(variable, value)| *variable == *name && !value.is_empty());
    let Some((_, value)) = found else { return Ok(None) };
    let source = Source::Environment(name);
    let Some(text) = value.to_str().map(str::to_owned) else { return Err(Error::NotText { source }) };
    let disabled = value::boolean(&RawSetting { key: Key::Disabled, text, source: source.clone() })?;
    Ok(disabled.then_some(source))
}

/// Reads our variables, except those that `stronger` overrides. `None`: there are none. An empty variable counts as not set,
/// since `${NAME:-}` in a Compose file produces empty ones. If a variable is not a setting, it is an error if its name is close
/// to a setting's. Otherwise it is a warning, since Dockerfiles have such variables (`SOFTSTOP_VERSION`).
pub(super) fn read(
    variables: Vec<(OsString, OsString)>,
    stronger: &Layer,
    warnings: &mut Vec<String>,
) -> Result<Option<Layer>, Error> {
    let (mut layer, mut has_any) = (Layer::default(), false);
    for (name, value) in variables.into_iter().filter(|(_, value)| !value.is_empty()) {
        let Some((name, suffix)) = name.to_str().and_then(|name| Some((name, name.strip_prefix(PREFIX)?))) else {
            continue;
        };
        let source = Source::Environment(name.to_owned());
        match KEYS.iter().find(|(_, known, _)| *known == suffix) {
            Some((Key::Disabled, ..)) => {} // read before, and false
            Some(&(key, ..)) => {
                has_any = true;
                let Ok(text) = value.into_string() else { return Err(Error::NotText { source }) };
                if !stronger.overrides(key) {
                    layer.read(&RawSetting { key, text, source })?;
                }
            }
            None if name == REQUIRE_ALL || is_service_link(suffix) => {}
            None => match value::nearest(suffix, &mut KEYS.iter().map(|&(_, known, _)| known)) {
                Some(nearest) => {
                    let nearest = Some(format!("{PREFIX}{nearest}"));
                    return Err(Error::UnknownKey { source, key: name.to_owned(), nearest });
                }
                None => warnings.push(format!("{name} is not a setting: ignored")),
            },
        }
    }
    Ok(has_any.then_some(layer))
}

/// Whether Kubernetes or Docker sets this variable for a service called "softstop" or "softstop-...":
/// `SOFTSTOP_SERVICE_HOST`, `SOFTSTOP_PORT_80_TCP_ADDR` and the like.
fn is_service_link(suffix: &str) -> bool {
    let padded = format!("_{suffix}_");
    ["_SERVICE_HOST_", "_SERVICE_PORT_", "_PORT_"].iter().any(|link| padded.contains(link))
}
