//! Deadlines that are fair to the server even if this process itself did not run for some time.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// A timer that fires this late shows that the process itself did not run.
const STALLED: Duration = Duration::from_millis(50);

/// The output of the future, if it is ready before the deadline.
pub(crate) async fn within<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Ok(output) = timeout_at(deadline, future.as_mut()).await {
        return Some(output);
    }
    let late = deadline.elapsed();
    if late < STALLED {
        return None;
    }
    // What arrived while the process did not run is still in the socket's buffer.
    timeout_at(Instant::now() + late, future).await.ok()
}

/// `from` plus a duration, which is capped at a year so that the sum cannot overflow.
pub(crate) fn later(from: Instant, by: Duration) -> Instant {
    const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    from + by.min(A_YEAR)
}
