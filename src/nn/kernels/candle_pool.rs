//! Keeps candle's pool of threads from spinning.

/// What candle 0.11.1 asks for the number of its threads, at its first operation.
const VARIABLE: &str = "CANDLE_NUM_THREADS";

/// Has candle's own element-wise operations run on the thread that calls them,
/// unless the environment says otherwise. Called before anything else runs.
///
/// In training they are the additions of gradients in candle's backward pass,
/// short of work and short of memory bandwidth. candle shares them out to
/// threads that spin while they wait, beside rayon's, and heeds no `--threads`:
/// on two busy cores a fifth of a training's processor time went there.
///
/// Does nothing once the process has several threads, and on systems that do
/// not tell (all but Linux).
pub fn keep_candle_on_one_thread() {
    if std::env::var_os(VARIABLE).is_none() && single_threaded() {
        // SAFETY: the environment may be changed while no other thread reads it,
        // and this process has no other.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}

fn single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_is_changed_while_other_threads_run() {
        // The test runs on a thread of its own, beside the main one.
        let before = std::env::var_os(super::VARIABLE);
        super::keep_candle_on_one_thread();
        assert_eq!(std::env::var_os(super::VARIABLE), before);
    }
}
