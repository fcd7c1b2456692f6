//! How far the whole comparison is, told from within one of its stages.
//!
//! The bar runs over milliseconds of estimated work, so that a training step
//! and a fit count for what they cost; what the cache holds counts as skipped.

use crate::progress::Observer;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Watches one stage and moves the bar of the whole by its share.
pub struct Meter<'a> {
    overall: &'a dyn Observer,
    label: String,
    /// What the stage is worth.
    worth: u64,
    /// Steps of its main part; other parts do not move the bar.
    steps: u64,
    counting: AtomicBool,
    done: AtomicU64,
    told: AtomicU64,
}

impl<'a> Meter<'a> {
    /// A meter for a stage of so many steps, worth so many milliseconds.
    #[must_use]
    pub fn new(
        overall: &'a dyn Observer,
        label: impl Into<String>,
        worth: f64,
        steps: u64,
    ) -> Self {
        Self {
            overall,
            label: label.into(),
            worth: worth.round().max(0.0) as u64,
            steps: steps.max(1),
            counting: AtomicBool::new(false),
            done: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// What moving on by `steps` adds to the bar.
    fn due(&self, steps: u64) -> u64 {
        let done = self.done.fetch_add(steps, Ordering::SeqCst) + steps;
        let due = self.worth * done.min(self.steps) / self.steps;
        due - self.told.fetch_max(due, Ordering::SeqCst).min(due)
    }

    /// The stage is over: the rest of its share is told, as skipped where it
    /// came from the cache.
    pub fn finish(&self, cached: bool) {
        let rest = self.worth - self.told.swap(self.worth, Ordering::SeqCst);
        match cached {
            true => self.overall.skip(rest),
            false => self.overall.advance(rest),
        }
    }
}

impl Observer for Meter<'_> {
    fn begin(&self, what: &str, steps: u64) {
        self.counting.store(steps == self.steps, Ordering::SeqCst);
        self.overall.detail(&format!("{}: {what}", self.label));
    }

    fn advance(&self, steps: u64) {
        if self.counting.load(Ordering::SeqCst) {
            self.overall.advance(self.due(steps));
        }
    }

    fn skip(&self, steps: u64) {
        if self.counting.load(Ordering::SeqCst) {
            self.overall.skip(self.due(steps));
        }
    }

    fn detail(&self, text: &str) {
        self.overall.detail(&format!("{}: {text}", self.label));
    }

    fn note(&self, text: &str) {
        self.overall.note(&format!("{}: {text}", self.label));
    }

    fn stop_requested(&self) -> bool {
        self.overall.stop_requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Sum(AtomicU64, AtomicU64);

    impl Observer for Sum {
        fn advance(&self, steps: u64) {
            self.0.fetch_add(steps, Ordering::SeqCst);
        }
        fn skip(&self, steps: u64) {
            self.1.fetch_add(steps, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_stage_moves_the_bar_by_just_its_worth() {
        let sum = Sum::default();
        let meter = Meter::new(&sum, "fold 1", 1000.0, 7);
        meter.begin("reading", 3);
        meter.advance(3);
        meter.begin("training", 7);
        meter.skip(2);
        for _ in 0..5 {
            meter.advance(1);
        }
        meter.finish(false);
        let told = || (sum.0.load(Ordering::SeqCst), sum.1.load(Ordering::SeqCst));
        assert_eq!(told(), (715, 285));
        Meter::new(&sum, "fold 2", 40.0, 1).finish(true);
        assert_eq!(told(), (715, 325));
    }
}
