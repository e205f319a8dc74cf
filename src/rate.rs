//! How much silence proves, at a given rate of calls.

use std::time::Duration;

/// The silence that a stop needs if `calls_per_second` come while the server is in rotation: ln(100 max(1, r U)) / r.
///
/// If a balancer still sends calls at the rate r, none comes for s seconds with a probability of e^(-r s). Until the upper
/// bound U there are about r U gaps that may be so long. With this s at most 1 in 100 stops meets one.
#[must_use]
pub fn needed_silence(calls_per_second: f64, upper_bound: Duration) -> Duration {
    let gaps = (calls_per_second * upper_bound.as_secs_f64()).max(1.0);
    // Without calls no silence is long enough.
    Duration::try_from_secs_f64((100.0 * gaps).ln() / calls_per_second).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPPER_BOUND: Duration = Duration::from_secs(10);

    fn needed_ms(calls_per_second: f64) -> u128 {
        needed_silence(calls_per_second, UPPER_BOUND).as_millis()
    }

    #[test]
    fn the_fewer_calls_the_longer_the_silence() {
        assert_eq!(needed_ms(10.0), 921, "ln(100 * 10 * 10) / 10");
        assert_eq!(needed_ms(1.0), 6_907, "ln(100 * 10) / 1");
        assert_eq!(needed_ms(0.1), 46_051, "ln(100) / 0.1, since at most one gap is so long");
    }

    #[test]
    fn without_calls_no_silence_is_long_enough() {
        assert_eq!(needed_silence(0.0, UPPER_BOUND), Duration::MAX);
    }
}
