//! A team of threads that share the tasks of one step after another.
//!
//! A thread of rayon's that finds nothing to do goes to sleep, and waking it
//! takes longer than many a step of a small network. The members of a team wait
//! awake, as long as one picture takes. Each has its own stretch of a step's
//! tasks, mostly the rows of an image that it computed in the step before and
//! has in its cache; whoever is done first goes on with the others' last ones.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A task is called by its number.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Turns of waiting before a member lets other programs have the processor.
const PATIENCE: usize = 2_000;

/// Waits until `done`.
fn wait(done: impl Fn() -> bool) {
    let mut turns = 0;
    while !done() {
        turns += 1;
        if turns < PATIENCE {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// A leader, member number 0, who hands out the tasks, and as many helpers as come.
pub(in crate::nn) struct Team {
    stretches: Vec<Stretch>,
    /// Whether a step is being led.
    leading: AtomicBool,
    /// Steps begun and ended: odd while there is one to help with.
    steps: AtomicUsize,
    /// That step's work, which helpers may call while they are counted in `busy`.
    work: UnsafeCell<Option<&'static Work<'static>>>,
    /// Helpers at work.
    busy: AtomicUsize,
    dismissed: AtomicBool,
}

// SAFETY: all but `work` is shared by its type. `work` is written by whoever
// has set `leading`, before a step begins, and read by helpers during one.
unsafe impl Sync for Team {}

impl Team {
    /// A team of up to `members`.
    pub fn new(members: usize) -> Self {
        assert!(members > 0);
        Self {
            stretches: (0..members).map(|_| Stretch::default()).collect(),
            leading: AtomicBool::new(false),
            steps: AtomicUsize::new(0),
            work: UnsafeCell::new(None),
            busy: AtomicUsize::new(0),
            dismissed: AtomicBool::new(false),
        }
    }

    pub fn members(&self) -> usize {
        self.stretches.len()
    }

    /// Calls `work` with `0..tasks`, together with the helpers who are there.
    ///
    /// # Panics
    /// Within another step of the same team.
    pub fn for_each(&self, tasks: usize, work: &Work<'_>) {
        let step = Step::begin(self);
        let members = self.members();
        for (i, stretch) in self.stretches.iter().enumerate() {
            stretch.set(tasks * i / members, tasks * (i + 1) / members);
        }
        step.share(work);
        self.take(0, work);
    }

    /// Helper number `member` works along until the team is dismissed.
    pub fn help(&self, member: usize) {
        let steps = || self.steps.load(Ordering::SeqCst);
        let dismissed = || self.dismissed.load(Ordering::Acquire);
        let mut last = 0;
        loop {
            wait(|| dismissed() || (steps() % 2 == 1 && steps() != last));
            if dismissed() {
                return;
            }
            last = steps();
            let _busy = Busy::new(&self.busy);
            // It may have ended meanwhile. If not, it will not end without us:
            // the end comes first and then a look at who is busy; here we are
            // busy first, and then look whether it has ended.
            if last % 2 == 1 && steps() == last {
                // SAFETY: during a step the work is not written, and what it
                // borrows is there.
                let work = unsafe { *self.work.get() };
                self.take(member, work.expect("a step has work"));
            }
        }
    }

    /// Sends the helpers home.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
    }

    /// Works on tasks until none are left: own ones, then the others'.
    fn take(&self, member: usize, work: &Work<'_>) {
        while let Some(task) = self.stretches[member].first() {
            work(task);
        }
        let (before, after) = self.stretches.split_at(member);
        for other in after.iter().chain(before) {
            while let Some(task) = other.last() {
                work(task);
            }
        }
    }
}

/// A step from its beginning to its end, which waits for the helpers.
struct Step<'a>(&'a Team);

impl<'a> Step<'a> {
    fn begin(team: &'a Team) -> Self {
        let under_way = team.leading.swap(true, Ordering::Acquire);
        assert!(!under_way, "a team takes one step at a time");
        Self(team)
    }

    /// Gives helpers the work until `self` is dropped, which it is before the
    /// work is.
    fn share(&self, work: &'a Work<'_>) {
        // SAFETY: only the lifetime is changed. Nobody calls the work after the
        // step's end, for which it is borrowed, come what may.
        let lasting = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        // SAFETY: this step alone is led, and no helper reads before it is shared.
        unsafe { *self.0.work.get() = Some(lasting) };
        self.0.steps.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let team = self.0;
        // If it was never shared, a panic kept it from it.
        if team.steps.load(Ordering::SeqCst) % 2 == 1 {
            team.steps.fetch_add(1, Ordering::SeqCst);
        }
        wait(|| team.busy.load(Ordering::SeqCst) == 0);
        team.leading.store(false, Ordering::Release);
    }
}

/// Counts a helper as busy until it is dropped.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The tasks of a member that nobody has begun: first, and after the last, in
/// the upper and the lower half; on lines of the cache of its own.
#[derive(Default)]
#[repr(align(128))]
struct Stretch(AtomicU64);

impl Stretch {
    fn packed(begin: usize, end: usize) -> u64 {
        let half = |task: usize| u64::from(u32::try_from(task).expect("fewer than 2^32 tasks"));
        half(begin) << 32 | half(end)
    }

    fn set(&self, begin: usize, end: usize) {
        self.0.store(Self::packed(begin, end), Ordering::Relaxed);
    }

    fn first(&self) -> Option<usize> {
        self.take(|begin, end| (begin, Self::packed(begin + 1, end)))
    }

    fn last(&self) -> Option<usize> {
        self.take(|begin, end| (end - 1, Self::packed(begin, end - 1)))
    }

    /// Takes the task that `split` names, and leaves the rest.
    fn take(&self, split: impl Fn(usize, usize) -> (usize, u64)) -> Option<usize> {
        let split = |packed: u64| {
            let (begin, end) = (packed >> 32, packed & u64::from(u32::MAX));
            (begin < end).then(|| split(begin as usize, end as usize))
        };
        let rest = |packed| split(packed).map(|(_, rest)| rest);
        let order = Ordering::Relaxed;
        let before = self.0.fetch_update(order, order, rest).ok()?;
        split(before).map(|(task, _)| task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    /// Runs `lead` with a team of `members`, whose helpers come when they come.
    fn with_team(members: usize, lead: impl FnOnce(&Team)) {
        let team = Team::new(members);
        std::thread::scope(|scope| {
            for member in 1..members {
                let team = &team;
                scope.spawn(move || team.help(member));
            }
            // Helpers go home if the leader fails, too.
            let result = catch_unwind(AssertUnwindSafe(|| lead(&team)));
            team.dismiss();
            result.unwrap();
        });
    }

    #[test]
    fn every_task_is_done_once_before_the_next_step_begins() {
        for members in 1..5 {
            with_team(members, |team| {
                let done: Vec<AtomicU32> = (0..23).map(|_| AtomicU32::new(0)).collect();
                for step in 0..500 {
                    let tasks = step as usize % 24;
                    team.for_each(tasks, &|task| {
                        done[task].fetch_add(1, Ordering::Relaxed);
                    });
                    for (task, done) in done.iter().enumerate() {
                        let done = done.swap(0, Ordering::Relaxed);
                        assert_eq!(done, u32::from(task < tasks), "{members} {step}");
                    }
                }
            });
        }
    }

    #[test]
    fn members_work_at_the_same_time() {
        with_team(2, |team| {
            // Each task waits for the other: one member alone would not end.
            let there = AtomicUsize::new(0);
            team.for_each(2, &|_| {
                there.fetch_add(1, Ordering::SeqCst);
                wait(|| there.load(Ordering::SeqCst) == 2);
            });
        });
    }

    #[test]
    fn a_leader_without_helpers_does_all() {
        let team = Team::new(3);
        let done = AtomicUsize::new(0);
        team.for_each(10, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 10);
    }

    #[test]
    fn a_step_that_panics_has_ended_for_all() {
        with_team(3, |team| {
            let at_work = AtomicUsize::new(0);
            let step = catch_unwind(AssertUnwindSafe(|| {
                team.for_each(60, &|_| {
                    let _at_work = Busy::new(&at_work);
                    assert!(std::thread::current().name().is_none(), "the leader alone");
                    std::thread::sleep(Duration::from_millis(1));
                });
            }));
            assert!(step.is_err());
            assert_eq!(at_work.load(Ordering::SeqCst), 0);
            let done = AtomicUsize::new(0);
            team.for_each(5, &|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.into_inner(), 5);
        });
    }

    #[test]
    #[should_panic(expected = "one step at a time")]
    fn a_step_within_a_step_is_refused() {
        let team = Team::new(2);
        team.for_each(1, &|_| team.for_each(1, &|_| ()));
    }
}
