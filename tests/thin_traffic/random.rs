//! A small generator, so that a seed gives the same arrivals on every machine.

use std::time::Duration;

/// `SplitMix64`.
pub struct Random(u64);

impl Random {
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Self(seed);
        // The first state of neighbouring seeds differs in few bits, the second one in half of them.
        Self(random.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 up to, but not including, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The pause before the next arrival of a Poisson process.
    pub fn pause(&mut self, rate: f64) -> Duration {
        Duration::from_secs_f64(-(1.0 - self.fraction()).ln() / rate)
    }
}
