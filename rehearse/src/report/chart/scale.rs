//! Scales from values to pixels, and ticks at round numbers.

use std::ops::RangeInclusive;

/// A linear scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Linear {
    /// Maps `from` to the pixel `start` and `to` to `end`.
    pub(crate) fn new(from: f64, to: f64, start: f64, end: f64) -> Self {
        Self { from, to, start, end }
    }

    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }
}

/// A logarithmic scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log(Linear);

impl Log {
    pub(crate) fn new(decades: &RangeInclusive<i32>, start: f64, end: f64) -> Self {
        Self(Linear::new(f64::from(*decades.start()), f64::from(*decades.end()), start, end))
    }

    pub(crate) fn at(&self, value: f64) -> f64 {
        self.0.at(value.max(f64::MIN_POSITIVE).log10())
    }
}

/// The powers of ten that enclose these values: at least one decade, from 0.1 to 1e8, which exceeds a day in
/// milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "the logarithm of a float is small")]
pub(crate) fn decades(least: f64, most: f64) -> RangeInclusive<i32> {
    let low = least.clamp(0.1, 1e7).log10().floor() as i32;
    let high = most.clamp(0.1, 1e8).log10().ceil() as i32;
    low..=high.max(low + 1)
}

/// The smallest of 1, 2 or 5 times a power of ten that is not less than the value.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= value * 0.999_999).unwrap_or(value)
}

/// At most about `most` round numbers from zero on; only the last reaches `to`.
pub(crate) fn ticks_beyond(to: f64, most: u32) -> Vec<f64> {
    let step = round_up(to.max(1e-9) / f64::from(most.max(1)));
    let mut ticks = vec![0.0];
    for number in 1..=most.saturating_mul(3) {
        if ticks.last().is_some_and(|last| *last >= to * 0.999_999) {
            break;
        }
        ticks.push(f64::from(number) * step);
    }
    ticks
}

/// Round numbers from zero up to `to`.
pub(crate) fn ticks_within(to: f64, most: u32) -> Vec<f64> {
    ticks_beyond(to, most).into_iter().filter(|tick| *tick <= to * 1.000_001).collect()
}

/// A short label: `0.5`, `250`, `1,000`, `20k`, `1.5M`.
pub(crate) fn tick_label(value: f64) -> String {
    let (divided, unit) = match value {
        _ if value >= 1e9 => return format!("{value:.0e}"),
        _ if value >= 1e6 => (value / 1e6, "M"),
        _ if value >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = format!("{divided:.2}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    match digits.split_at_checked(1) {
        Some((thousands, rest)) if rest.len() == 3 && !digits.contains('.') && unit.is_empty() => {
            format!("{thousands},{rest}")
        }
        _ => format!("{digits}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_whole_range() {
        assert_eq!(ticks_beyond(213.0, 5), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]);
        assert_eq!(ticks_beyond(200.0, 4), [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(ticks_within(25.3, 10), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
        for to in [1e-300, 0.3, 1.0, 7.0, 99_999.0, 1e300] {
            let ticks = ticks_beyond(to, 5);
            assert!(ticks.len() <= 12 && *ticks.last().unwrap() >= to * 0.99, "{to}: {ticks:?}");
        }
    }

    #[test]
    fn a_scale_clamps_every_value_to_its_range() {
        assert_eq!(decades(2.0, 3100.0), 0..=4);
        assert_eq!(decades(0.0, 0.0), -1..=0);
        let log = Log::new(&(0..=4), 100.0, 0.0);
        assert_eq!([0.0, 1.0, 100.0, 1e9].map(|value| log.at(value).to_string()), ["100", "100", "50", "0"]);
    }

    #[test]
    fn a_label_is_short() {
        let labels = [0.0, 0.5, 250.0, 1000.0, 2500.0, 20_000.0, 100_000.0, 1_500_000.0, 1e300].map(tick_label);
        assert_eq!(labels, ["0", "0.5", "250", "1,000", "2,500", "20k", "100k", "1.5M", "1e300"]);
    }
}
