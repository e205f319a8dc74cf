//! Distributes requests over the targets.

use crate::target::Target;

/// Smooth weighted round-robin, as in nginx: targets take turns by their weights, evenly spread. Each target alternates
/// between kept-alive and fresh connections.
#[derive(Debug)]
pub(crate) struct RoundRobin(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    weight: i64,
    current: i64,
    fresh: bool,
}

impl RoundRobin {
    pub(crate) fn new(targets: &[Target]) -> Self {
        let entry = |target: &Target| Entry { weight: target.weight.into(), current: 0, fresh: true };
        Self(targets.iter().map(entry).collect())
    }
}

/// The index of the target, and whether the request uses a fresh connection.
impl Iterator for RoundRobin {
    type Item = (usize, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let total: i64 = self.0.iter().map(|entry| entry.weight).sum();
        for entry in &mut self.0 {
            entry.current += entry.weight;
        }
        // `max_by_key` returns the last of equals, but the first is wanted: hence `rev`.
        let (index, entry) = self.0.iter_mut().enumerate().rev().max_by_key(|(_, entry)| entry.current)?;
        entry.current -= total;
        entry.fresh = !entry.fresh;
        Some((index, entry.fresh))
    }
}

/// For each user of a closed loop, the target and whether it uses fresh connections. If there are enough users, every target
/// has one.
pub(crate) fn users_of(targets: &[Target], users: u32) -> Vec<(usize, bool)> {
    let mut of_users: Vec<_> = RoundRobin::new(targets).take(users as usize).collect();
    let missing: Vec<_> =
        (0..targets.len()).filter(|target| of_users.iter().all(|(index, _)| index != target)).collect();
    if targets.len() <= of_users.len() {
        for (user, target) in of_users.iter_mut().rev().zip(missing) {
            *user = (target, false);
        }
    }
    of_users
}

#[cfg(test)]
mod tests {
    use hyper::Uri;

    use super::*;

    fn targets(weights: &[u32]) -> Vec<Target> {
        let target = |weight: &u32| Target {
            uri: Uri::from_static("http://localhost/"),
            expected_status: 200,
            expected_sha256: None,
            slow: false,
            weight: *weight,
        };
        weights.iter().map(target).collect()
    }

    #[test]
    fn half_of_the_slow_requests_are_on_fresh_connections() {
        let targets = targets(&[9, 1]);
        let turns: Vec<_> = RoundRobin::new(&targets).take(1000).collect();
        let count = |wanted| turns.iter().filter(|turn| **turn == wanted).count();
        assert_eq!([(0, false), (0, true), (1, false), (1, true)].map(count), [450, 450, 50, 50]);
    }

    #[test]
    fn the_slow_requests_are_spread_among_the_others() {
        let targets = targets(&[9, 1]);
        let turns: Vec<_> = RoundRobin::new(&targets).take(1000).collect();
        assert!(turns.chunks(10).all(|ten| ten.iter().filter(|(target, _)| *target == 1).count() == 1));
    }

    #[test]
    fn every_target_has_a_user_if_there_are_enough_users() {
        let count =
            |users, target| users_of(&targets(&[9, 1]), users).iter().filter(|(index, _)| *index == target).count();
        assert_eq!((count(20, 0), count(20, 1)), (18, 2));
        assert_eq!((count(3, 0), count(3, 1)), (2, 1));
        assert_eq!((count(1, 0), count(1, 1)), (1, 0));
    }
}
