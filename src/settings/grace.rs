//! The platform's budget for a stop: how much of it the pre-delay and the drain get.

use std::time::Duration;

use super::{DrainUntil, Error, Settings, Source, Sourced, UpperBound};
use crate::duration::show;
use crate::shutdown::KILL_WAIT;

/// A profile's pre-delay leaves the drain at least this much of the grace period, or half of a short grace period.
const SHORTEST_DRAIN: Duration = Duration::from_secs(2);

impl Settings {
    /// Fits the plan into the platform's budget. The drain gets the rest after the pre-delay and [`KILL_WAIT`]. It is an error
    /// if values that the user has set do not fit. A profile's pre-delay is shortened.
    pub(super) fn fit_into_grace_period(&mut self) -> Result<(), Error> {
        let Some(grace) = self.grace_period.value else { return Ok(()) };
        let usable = grace.saturating_sub(KILL_WAIT);
        if usable.is_zero() {
            return Err(Error::GraceTooShort { source: self.grace_period.source.clone(), grace });
        }
        let drain = self.drain_timeout.value;
        // The room for the pre-delay is everything except the drain timeout. If no drain timeout is set, some time must remain
        // for the drain: at least `SHORTEST_DRAIN` if the pre-delay is a profile's.
        let room = match drain {
            Some(drain) => usable.checked_sub(drain),
            None if self.pre_delay.source.is_set_by_user() => usable.checked_sub(Duration::from_millis(1)),
            None => usable.checked_sub(SHORTEST_DRAIN.min(usable / 2)),
        };
        match room {
            Some(room) if self.pre_delay.value.most <= room => {}
            Some(room) if !self.pre_delay.source.is_set_by_user() => {
                let shortened = self.pre_delay.value.capped(room);
                // Without a drain timeout nobody chose anything that the pre-delay does not fit to: it is just shorter.
                if let Some(drain) = drain {
                    self.warnings.push(format!(
                        "the pre-delay of {} ({}) and a drain timeout of {} ({}) do not fit into the grace period of {} ({}): the pre-delay is shortened to {shortened}",
                        self.pre_delay.value,
                        self.pre_delay.source,
                        show(drain),
                        self.drain_timeout.source,
                        show(grace),
                        self.grace_period.source,
                    ));
                }
                self.pre_delay.value = shortened;
                self.upper_bound = Some(UpperBound::LeftByDrain(room));
            }
            _ => {
                return Err(Error::DoesNotFit {
                    pre_delay: (self.pre_delay.value, self.pre_delay.source.clone()),
                    drain: drain.map(|drain| (drain, self.drain_timeout.source.clone())),
                    grace: (grace, self.grace_period.source.clone()),
                });
            }
        }
        if drain.is_none() {
            let rest = usable.saturating_sub(self.pre_delay.value.most);
            self.drain_timeout = Sourced::new(Some(rest), Source::GracePeriod);
        }
        Ok(())
    }

    /// Fits the quiet into the pre-delay: if it were longer, it could never end the pre-delay. It is an error if the user has
    /// set both. The pre-delay of a profile depends on the platform, where the same settings must not fail.
    pub(super) fn fit_quiet(&mut self) -> Result<(), Error> {
        let most = self.pre_delay.value.most;
        if !self.pre_delay.value.is_range() || self.quiet.value <= most {
            return self.check_drain_until();
        }
        let [has_quiet, has_bounds] = [&self.quiet.source, &self.pre_delay.source].map(Source::is_set_by_user);
        if has_quiet && has_bounds {
            return Err(Error::QuietTooLong {
                quiet: (self.quiet.value, self.quiet.source.clone()),
                pre_delay: (self.pre_delay.value, self.pre_delay.source.clone()),
            });
        }
        if has_quiet || has_bounds {
            self.warnings.push(format!(
                "the quiet of {} ({}) is longer than the pre-delay of {} ({}): shortened to {}",
                show(self.quiet.value),
                self.quiet.source,
                self.pre_delay.value,
                self.pre_delay.source,
                show(most)
            ));
        }
        self.quiet.value = most;
        self.check_drain_until()
    }

    /// `drain_until` ends a drain before its timeout, so there must be one.
    fn check_drain_until(&self) -> Result<(), Error> {
        if self.drain_until.value != DrainUntil::Exit && self.drain_timeout.value.is_none() {
            return Err(Error::DrainUnlimited { source: self.drain_until.source.clone() });
        }
        Ok(())
    }
}
