//! The range of a sweep: `pre-delay=0s..6s:1s`.

use std::time::Duration;

use softstop::duration::show;

use crate::duration;
use crate::rehearsal::Sweep;

/// A sweep over more values would take hours.
const MAX_VALUES: u128 = 60;

/// A setting that can be swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SweptSetting {
    PreDelay,
    DrainTimeout,
    Lag,
}

impl SweptSetting {
    const ALL: [Self; 3] = [Self::PreDelay, Self::DrainTimeout, Self::Lag];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PreDelay => "pre-delay",
            Self::DrainTimeout => "drain-timeout",
            Self::Lag => "lag",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SweepRange {
    pub(crate) setting: SweptSetting,
    pub(crate) values: Vec<Duration>,
}

impl SweepRange {
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        let form = || "write it as SETTING=FROM..TO:STEP, for example pre-delay=0s..6s:1s".to_owned();
        let (name, range) = word.split_once('=').ok_or_else(form)?;
        let setting = SweptSetting::ALL.into_iter().find(|each| each.name() == name.trim()).ok_or_else(|| {
            format!("`{name}` cannot be swept, only {}", SweptSetting::ALL.map(SweptSetting::name).join(", "))
        })?;
        let (from, rest) = range.split_once("..").ok_or_else(form)?;
        let (to, step) = rest.split_once(':').ok_or_else(form)?;
        let read = |word: &str| duration::parse(word.trim()).map_err(|why| format!("`{}`: {why}", word.trim()));
        let (from, to, step) = (read(from)?, read(to)?, read(step)?);
        if step.is_zero() {
            return Err("the step must be above zero".to_owned());
        }
        let Some(span) = to.checked_sub(from) else {
            return Err(format!("it begins at {} but ends before, at {}", show(from), show(to)));
        };
        let count = span.as_nanos() / step.as_nanos() + 1;
        if count > MAX_VALUES {
            return Err(format!("these are {count} values; the maximum is {MAX_VALUES}: use a longer step"));
        }
        let values = std::iter::successors(Some(from), |value| value.checked_add(step));
        Ok(Self { setting, values: values.take_while(|value| *value <= to).collect() })
    }

    /// The form in `rehearsal.json`.
    pub(crate) fn to_record(&self) -> Sweep {
        let values = self.values.iter().map(Duration::as_secs_f64).collect();
        Sweep { setting: self.setting.name().to_owned(), values }
    }
}
