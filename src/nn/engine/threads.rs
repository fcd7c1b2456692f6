//! Keeps the threads that share a picture apart, on a processor each.
//!
//! A virtual machine counts an idle processor that its host has taken back as
//! busy: Linux then wakes a thread on the processor of whoever wakes it, and two
//! threads of the pool take turns on one while another idles. A picture that
//! comes after a rest so takes as long as with one thread. The threads are bound
//! while they share a picture, and not longer, so that between pictures they
//! make room for other programs.

/// Binds each thread of the pool to a processor of its own until the guard is
/// dropped, if there is one for each and the caller is not of the pool (its other
/// threads would be at work elsewhere).
pub(super) fn apart() -> Option<Apart> {
    let outside = rayon::current_thread_index().is_none();
    (cfg!(target_os = "linux") && outside && rayon::current_num_threads() > 1).then(|| {
        rayon::spawn_broadcast(|thread| affinity::bind(thread.index(), thread.num_threads()));
        Apart
    })
}

/// Sets the threads free when it is dropped.
pub(super) struct Apart;

impl Drop for Apart {
    fn drop(&mut self) {
        rayon::spawn_broadcast(|_| affinity::set_free());
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    pub(super) fn bind(_index: usize, _threads: usize) {}
    pub(super) fn set_free() {}
}

#[cfg(target_os = "linux")]
mod affinity {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::cell::Cell;

    thread_local! {
        /// Where this thread may run when it is free; how many guards hold it.
        static HELD: Cell<(Option<CpuSet>, usize)> = const { Cell::new((None, 0)) };
    }

    /// Binds this thread, number `index` of `threads`. Where the system refuses
    /// it stays free.
    pub(super) fn bind(index: usize, threads: usize) {
        let (permitted, guards) = HELD.get();
        let permitted = permitted.or_else(|| {
            let permitted = sched_getaffinity(None).ok()?;
            let own = (0..CpuSet::MAX_CPU)
                .filter(|&cpu| permitted.is_set(cpu))
                .nth(index)?;
            let mut alone = CpuSet::new();
            alone.set(own);
            let fits = permitted.count() as usize == threads;
            (fits && sched_setaffinity(None, &alone).is_ok()).then_some(permitted)
        });
        HELD.set((permitted, guards + 1));
    }

    /// Undoes [`bind`] for the last guard.
    pub(super) fn set_free() {
        let (permitted, guards) = HELD.get();
        if guards > 1 {
            HELD.set((permitted, guards - 1));
            return;
        }
        if let Some(permitted) = permitted {
            // The same set was permitted before.
            let _ = sched_setaffinity(None, &permitted);
        }
        HELD.set((None, 0));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::affinity::{bind, set_free};
    use rustix::thread::sched_getaffinity;

    fn permitted() -> u32 {
        sched_getaffinity(None).unwrap().count()
    }

    #[test]
    fn a_thread_is_bound_while_anyone_wants_it() {
        // A thread of its own, so that no other test is bound.
        std::thread::spawn(|| {
            let all = sched_getaffinity(None).unwrap();
            let threads = all.count() as usize;
            bind(threads - 1, threads);
            bind(threads - 1, threads);
            assert_eq!(permitted(), 1);
            set_free();
            assert_eq!(permitted(), 1);
            set_free();
            assert_eq!(sched_getaffinity(None).unwrap(), all);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn threads_without_a_processor_each_stay_free() {
        std::thread::spawn(|| {
            let all = permitted();
            bind(0, all as usize + 1);
            assert_eq!(permitted(), all);
            set_free();
            assert_eq!(permitted(), all);
        })
        .join()
        .unwrap();
    }
}
