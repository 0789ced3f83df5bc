//! When the next request of a kind is due. Pure.

use std::time::Duration;

/// An even pace from the start of a run: request `n` is due `n / rate` seconds after the start, whatever became of
/// the others.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: f64,
    next: u32,
}

impl Pace {
    /// A pace of `rate` requests a second; none ever when it is 0.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self { rate, next: 0 }
    }

    /// Time from the start until the next request is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        (self.rate > 0.0).then(|| Duration::from_secs_f64(f64::from(self.next) / self.rate))
    }

    /// Takes the next request when it is due `elapsed` after the start, and says when exactly it was due.
    pub fn take(&mut self, elapsed: Duration) -> Option<Duration> {
        let due = self.next_due()?;
        (due <= elapsed).then(|| {
            self.next += 1;
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_look_finds_all_that_was_due_with_its_own_due_time() {
        let mut pace = Pace::new(4.0);
        let due: Vec<_> = std::iter::from_fn(|| pace.take(Duration::from_millis(800))).collect();
        assert_eq!(due, [0, 250, 500, 750].map(Duration::from_millis));
        assert_eq!(pace.next_due(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_rate_of_zero_never_sends() {
        assert_eq!(Pace::new(0.0).next_due(), None);
    }
}
