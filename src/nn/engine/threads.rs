//! Threads that share a picture: the caller's and the pool's, a processor each.
//!
//! A virtual machine counts an idle processor that its host has taken back as
//! busy: Linux then wakes a thread on the processor of whoever wakes it, and two
//! threads take turns on one while another idles. A picture that comes after a
//! rest so takes as long as with one thread. The threads are bound while they
//! share a picture, and not longer, so that between pictures they make room for
//! other programs.

use crate::nn::kernels::team::Team;

/// Calls `lead` with a [`Team`] of as many members as the pool has threads: the
/// caller, who need not wait for any other thread, and threads of the pool, as
/// soon as they are free. Each is bound to a processor of its own, if there is
/// one for each and the caller is not of the pool (its other threads would be at
/// work elsewhere).
pub(super) fn as_team<R>(lead: impl FnOnce(&Team) -> R) -> R {
    let outside = rayon::current_thread_index().is_none();
    let threads = rayon::current_num_threads();
    let apart = |member| outside.then(|| affinity::bind(member, threads));
    let team = Team::new(threads);
    rayon::in_place_scope(|scope| {
        for member in 1..threads {
            let (team, apart) = (&team, &apart);
            scope.spawn(move |_| {
                let _bound = apart(member);
                team.help(member);
            });
        }
        let _end = End(&team);
        let _bound = apart(0);
        lead(&team)
    })
}

/// Sends the helpers home when dropped.
struct End<'a>(&'a Team);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.dismiss();
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    pub(super) fn bind(_index: usize, _threads: usize) -> Option<()> {
        None
    }
}

#[cfg(target_os = "linux")]
mod affinity {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// A thread is bound until it is dropped.
    pub(super) struct Bound {
        /// Where the thread may run when it is free.
        permitted: CpuSet,
    }

    /// Binds this thread, number `index` of `threads`, if it may run on as many
    /// processors. Where the system refuses it stays free.
    pub(super) fn bind(index: usize, threads: usize) -> Option<Bound> {
        let permitted = sched_getaffinity(None).ok()?;
        if permitted.count() as usize != threads {
            return None;
        }
        let own = (0..CpuSet::MAX_CPU)
            .filter(|&cpu| permitted.is_set(cpu))
            .nth(index)?;
        let mut alone = CpuSet::new();
        alone.set(own);
        sched_setaffinity(None, &alone).ok()?;
        Some(Bound { permitted })
    }

    impl Drop for Bound {
        fn drop(&mut self) {
            // The same set was permitted before.
            let _ = sched_setaffinity(None, &self.permitted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn counted(team: &Team) -> u32 {
        let done = AtomicU32::new(0);
        for _ in 0..100 {
            team.for_each(7, &|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        done.into_inner()
    }

    #[test]
    fn teams_of_one_pool_side_by_side_and_within_it_all_come_to_an_end() {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(pool.install(|| as_team(counted)), 700));
            }
        });
        let both = pool.install(|| rayon::join(|| as_team(counted), || as_team(counted)));
        assert_eq!(both, (700, 700));
    }

    #[test]
    fn one_thread_is_a_team() {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        assert_eq!(pool.install(|| as_team(counted)), 700);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_is_bound_as_long_as_it_should() {
        use rustix::thread::sched_getaffinity;
        // A thread of its own, so that no other test is bound.
        let alone = std::thread::spawn(|| {
            let permitted = || sched_getaffinity(None).unwrap();
            let all = permitted();
            let threads = all.count() as usize;
            drop(affinity::bind(0, threads + 1));
            assert_eq!(permitted(), all);
            let bound = affinity::bind(threads - 1, threads);
            assert_eq!(permitted().count(), 1);
            if threads > 1 {
                // Within another's work.
                drop(affinity::bind(0, threads));
                assert_eq!(permitted().count(), 1);
            }
            drop(bound);
            assert_eq!(permitted(), all);
        });
        alone.join().unwrap();
    }
}
