//! Progress bars on a terminal, plain notes elsewhere, and Ctrl-C.

use super::Common;
use goma::progress::Observer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static STOP: AtomicBool = AtomicBool::new(false);

/// Talks to the person at the terminal, on standard error.
pub struct Terminal {
    bar: Mutex<Option<ProgressBar>>,
    quiet: bool,
    verbose: u8,
}

impl Terminal {
    /// Ready to talk; a first Ctrl-C from now on asks for a clean stop, a
    /// second one ends the program at once.
    pub fn new(common: &Common) -> Self {
        // The handler takes hang-ups too, and nohup wants them ignored. Then
        // Ctrl-C ends the program at once; journal and checkpoints cover that.
        if !hangup_is_ignored() {
            // Fails only if a handler is set already, which then serves as well.
            let _ = ctrlc::set_handler(|| {
                if STOP.swap(true, Ordering::SeqCst) {
                    std::process::exit(130);
                }
                eprintln!("\nstopping at the next safe point (Ctrl-C again: at once)");
            });
        }
        Self {
            bar: Mutex::new(None),
            quiet: common.quiet,
            verbose: common.verbose,
        }
    }

    /// A line for people, unless `--quiet`.
    pub fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &*self.bar.lock().unwrap_or_else(|e| e.into_inner()) {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// A line only with `--verbose`.
    pub fn detail_line(&self, text: &str) {
        if self.verbose > 0 {
            self.say(text);
        }
    }
}

/// Whether whoever started the program (nohup) has hang-ups ignored.
fn hangup_is_ignored() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0) // bit 0: SIGHUP
}

impl Observer for Terminal {
    fn begin(&self, what: &str, steps: u64) {
        let target = if self.quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr() // hidden by itself where there is no terminal
        };
        let bar = if steps == 0 {
            ProgressBar::with_draw_target(None, target)
        } else {
            ProgressBar::with_draw_target(Some(steps), target)
        };
        let template = if steps == 0 {
            "{msg:28} {spinner} {human_pos} {per_sec} {prefix}"
        } else {
            "{msg:28} {wide_bar} {human_pos}/{human_len} {per_sec} left {eta} {prefix}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_string());
        bar.enable_steady_tick(Duration::from_millis(250));
        *self.bar.lock().unwrap_or_else(|e| e.into_inner()) = Some(bar);
    }

    fn advance(&self, steps: u64) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(|e| e.into_inner()) {
            bar.inc(steps);
        }
    }

    fn skip(&self, steps: u64) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(|e| e.into_inner()) {
            bar.inc(steps);
            // Makes the position known before the estimate begins anew.
            bar.tick();
            bar.reset_eta();
        }
    }

    fn detail(&self, text: &str) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(|e| e.into_inner()) {
            bar.set_prefix(text.to_string());
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(|e| e.into_inner()).take() {
            bar.finish_and_clear();
        }
    }

    fn note(&self, text: &str) {
        self.say(text);
    }

    fn stop_requested(&self) -> bool {
        STOP.load(Ordering::SeqCst)
    }
}
