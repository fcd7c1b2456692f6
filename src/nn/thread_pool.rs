//! Where a training step runs.

use candle_core::Device;

/// Calls `work`, which computes on `device`, and returns its result: on a thread
/// of rayon's pool if that is the CPU. From there an operation's tasks are
/// shared with the other threads at once; from outside each operation, of which
/// a step has hundreds, would be handed over to the pool and waited for. What is
/// computed is the same.
///
/// # Panics
/// If `work` does.
pub fn on_pool<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    if device.is_cpu() {
        rayon::scope(|_| work())
    } else {
        // A GPU's context belongs to the thread that made it.
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_the_cpu_is_done_by_the_pool() {
        let number = || rayon::current_thread_index();
        assert_eq!(number(), None);
        assert!(on_pool(&Device::Cpu, number).is_some());
    }
}
