//! How often something may happen that happens in so many of 100 cases.

/// Of this many stops: more are it in about 1 of 1,000 runs, if `percent` of 100 are on average.
pub fn most_of_100(percent: f64, stops: usize) -> usize {
    const CHANCE: f64 = 0.001_21;
    let share = percent / 100.0;
    // The binomial distribution, from one number to the next. By logarithms, since (1 - share)^stops may be too small.
    let mut logarithm = stops as f64 * (-share).ln_1p();
    let mut more = 1.0 - logarithm.exp();
    let mut most = 0;
    while more > CHANCE {
        logarithm += ((stops - most) as f64 / (most + 1) as f64 * share / (1.0 - share)).ln();
        more -= logarithm.exp();
        most += 1;
    }
    most
}

#[test]
fn of_10000_stops_131_may_lose() {
    assert_eq!(most_of_100(1.0, 10_000), 131);
    assert_eq!(most_of_100(1.0, 200), 7);
}
