//! What the pods serve: a short answer and a slow one.

use std::time::Duration;

/// The path of the short answer.
pub(crate) const SHORT: &str = "/short";
/// The path of the slow answer.
pub(crate) const SLOW: &str = "/slow";

/// The body of the short answer, in bytes.
pub(crate) const SHORT_BODY: usize = 8 * 1024;
/// The slow answer comes in chunks of this size, in bytes.
pub(crate) const CHUNK: usize = 2 * 1024;

/// The shortest slow answer. Below it a chunk would be due every few milliseconds, for which nginx's timers are too coarse.
pub(crate) const SHORTEST_SLOW: Duration = Duration::from_millis(100);

pub(crate) fn short_body() -> Vec<u8> {
    pseudo_random_bytes(SHORT_BODY)
}

/// How the slow answer is sent: one chunk at once, then one after each pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlowAnswer {
    pauses: usize,
    pub(crate) pause: Duration,
}

impl SlowAnswer {
    pub(crate) fn lasting(duration: Duration) -> Self {
        let pauses = (duration.as_millis() / 100).clamp(10, 100_000) as usize;
        Self { pauses, pause: duration / u32::try_from(pauses).unwrap_or(u32::MAX) }
    }

    pub(crate) fn body(self) -> Vec<u8> {
        pseudo_random_bytes(CHUNK * (self.pauses + 1))
    }

    /// The value of nginx's `limit_rate`, in bytes a second.
    pub(crate) fn rate(self) -> u128 {
        CHUNK as u128 * 1_000_000 / self.pause.as_micros().max(1)
    }
}

/// The same bytes each time (xorshift). They do not repeat, so a chunk at the wrong place changes the hash.
#[expect(clippy::cast_possible_truncation, reason = "only the lowest byte is wanted")]
fn pseudo_random_bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_takes_as_long_as_asked() {
        for (slow, pauses) in [(4000, 40), (100, 10), (750, 10), (2500, 25)] {
            let answer = SlowAnswer::lasting(Duration::from_millis(slow));
            assert_eq!(answer.pauses, pauses);
            assert_eq!(answer.pause * u32::try_from(pauses).unwrap(), Duration::from_millis(slow));
            // nginx waits after each chunk for the time that the rate gives it.
            let waits = CHUNK as u128 * 1000 / answer.rate() * pauses as u128;
            assert!(waits.abs_diff(slow.into()) <= pauses as u128, "{slow} ms became {waits} ms");
        }
    }

    #[test]
    fn no_two_chunks_of_a_body_are_equal() {
        let body = SlowAnswer::lasting(Duration::from_secs(4)).body();
        let mut chunks: Vec<_> = body.chunks(CHUNK).collect();
        chunks.sort_unstable();
        chunks.dedup();
        assert_eq!(chunks.len(), 41);
    }
}
