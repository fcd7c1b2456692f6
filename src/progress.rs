//! How long work tells what it is doing, and how it is asked to stop.
//!
//! The library speaks to an [`Observer`]; the command line draws bars and
//! turns Ctrl-C into [`Observer::stop_requested`].

/// Watches a piece of long work.
pub trait Observer: Sync {
    /// A stage begins: what it does and how many steps it has (0: unknown).
    fn begin(&self, _what: &str, _steps: u64) {}
    /// Steps done since the last call.
    fn advance(&self, _steps: u64) {}
    /// Steps done by an earlier run: they say nothing of the rate.
    fn skip(&self, steps: u64) {
        self.advance(steps);
    }
    /// A short text beside the bar (a loss, a rate).
    fn detail(&self, _text: &str) {}
    /// The stage is over.
    fn end(&self) {}
    /// Something a person should read.
    fn note(&self, _text: &str) {}
    /// Whether the work should stop at the next safe point.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Watches nothing and never asks to stop.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
