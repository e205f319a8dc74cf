//! The platform's budget for a stop, and what of it goes to the pre-delay and to the drain.

use std::time::Duration;

use super::{DrainUntil, Error, Settings, Source, Sourced};
use crate::duration::show;
use crate::shutdown::KILL_WAIT;

/// A profile's pre-delay leaves the drain at least this much of the grace period, or half of what there is.
const SHORTEST_DRAIN: Duration = Duration::from_secs(2);

impl Settings {
    /// Makes the plan fit the platform's budget: the drain gets what the pre-delay leaves of it, less the time to report
    /// in. What a person chose must fit; a profile's pre-delay is shortened.
    pub(super) fn fit_into_grace_period(&mut self) -> Result<(), Error> {
        let Some(grace) = self.grace_period.value else { return Ok(()) };
        let usable = grace.saturating_sub(KILL_WAIT);
        if usable.is_zero() {
            return Err(Error::GraceTooShort { source: self.grace_period.source.clone(), grace });
        }
        let drain = self.drain_timeout.value;
        // What the pre-delay may take: all but the drain timeout. Where nobody gave one, there must at least be some time
        // to drain, and where nobody chose the pre-delay either, time worth the name.
        let room = match drain {
            Some(drain) => usable.checked_sub(drain),
            None if self.pre_delay.source.is_a_person() => usable.checked_sub(Duration::from_millis(1)),
            None => usable.checked_sub(SHORTEST_DRAIN.min(usable / 2)),
        };
        match room {
            Some(room) if self.pre_delay.value.most <= room => {}
            Some(room) if !self.pre_delay.source.is_a_person() => {
                let shortened = self.pre_delay.value.capped(room);
                self.warnings.push(format!(
                    "the pre-delay of {} ({}) does not fit into the grace period of {} ({}): shortened to {shortened}",
                    self.pre_delay.value,
                    self.pre_delay.source,
                    show(grace),
                    self.grace_period.source,
                ));
                self.pre_delay.value = shortened;
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

    /// Makes the quiet fit between the bounds of the pre-delay: one that is longer could never end it.
    pub(super) fn fit_quiet(&mut self) -> Result<(), Error> {
        let most = self.pre_delay.value.most;
        if !self.pre_delay.value.is_range() || self.quiet.value <= most {
            return self.check_drain_until();
        }
        if self.quiet.source.is_a_person() {
            return Err(Error::NeverQuiet {
                quiet: (self.quiet.value, self.quiet.source.clone()),
                pre_delay: (self.pre_delay.value, self.pre_delay.source.clone()),
            });
        }
        self.warnings.push(format!(
            "the quiet of {} ({}) is longer than the pre-delay of {} ({}) lasts: shortened to {}",
            show(self.quiet.value),
            self.quiet.source,
            self.pre_delay.value,
            self.pre_delay.source,
            show(most)
        ));
        self.quiet.value = most;
        self.check_drain_until()
    }

    /// What comes early must have a time of its own.
    fn check_drain_until(&self) -> Result<(), Error> {
        if self.drain_until.value == DrainUntil::Closed && self.drain_timeout.value.is_none() {
            return Err(Error::NothingToHasten { source: self.drain_until.source.clone() });
        }
        Ok(())
    }
}
