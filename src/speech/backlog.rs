//! What waits for a worker: awaited work before early work, and within each the older first.
//!
//! Whether work is awaited, and whether anybody still wants it, may change while it waits; so it is asked
//! at the moment of choice instead of being sorted in.

use std::collections::VecDeque;

/// What can wait.
pub trait Waiting {
    /// Whether somebody waits for it.
    fn is_awaited(&self) -> bool;
    /// Whether nobody wants it any more.
    fn is_dropped(&self) -> bool;
}

/// A bounded queue of work.
#[derive(Debug)]
pub struct Backlog<J> {
    jobs: VecDeque<J>,
    room: usize,
}

impl<J: Waiting> Backlog<J> {
    /// Has room for so many jobs.
    pub fn new(room: usize) -> Self {
        Backlog { jobs: VecDeque::new(), room }
    }

    /// How many jobs wait.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Takes a job in. When there is no room, gives back the job that has to go: awaited work pushes
    /// out the youngest early one, anything else is itself refused.
    pub fn push(&mut self, job: J) -> Option<J> {
        if self.jobs.len() >= self.room {
            self.jobs.retain(|job| !job.is_dropped());
        }
        if self.jobs.len() < self.room {
            self.jobs.push_back(job);
            return None;
        }
        let early = self.jobs.iter().rposition(|waiting| !waiting.is_awaited());
        match early {
            Some(early) if job.is_awaited() => {
                self.jobs.push_back(job);
                self.jobs.remove(early)
            }
            _ => Some(job),
        }
    }

    /// The job to do next.
    pub fn pop(&mut self) -> Option<J> {
        self.jobs.retain(|job| !job.is_dropped());
        let awaited = self.jobs.iter().position(Waiting::is_awaited);
        self.jobs.remove(awaited.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Job {
        name: &'static str,
        awaited: Cell<bool>,
        dropped: Cell<bool>,
    }

    impl Waiting for &Job {
        fn is_awaited(&self) -> bool {
            self.awaited.get()
        }
        fn is_dropped(&self) -> bool {
            self.dropped.get()
        }
    }

    #[test]
    fn awaited_work_is_done_first_and_in_order() {
        let [a, b, c, d] = [early("a"), awaited("b"), early("c"), awaited("d")];
        let mut backlog = Backlog::new(4);
        for job in [&a, &b, &c, &d] {
            assert_eq!(backlog.push(job), None);
        }
        assert_eq!(drain(&mut backlog), ["b", "d", "a", "c"]);
    }

    #[test]
    fn work_whose_urgency_rises_while_it_waits_overtakes() {
        let [a, b] = [early("a"), early("b")];
        let mut backlog = Backlog::new(4);
        backlog.push(&a);
        backlog.push(&b);
        b.awaited.set(true);
        assert_eq!(drain(&mut backlog), ["b", "a"]);
    }

    #[test]
    fn dropped_work_is_not_done() {
        let [a, b] = [awaited("a"), early("b")];
        let mut backlog = Backlog::new(4);
        backlog.push(&a);
        backlog.push(&b);
        a.dropped.set(true);
        assert_eq!(drain(&mut backlog), ["b"]);
    }

    #[test]
    fn full_backlog_refuses_early_work_and_lets_awaited_work_push_it_out() {
        let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(early);
        let mut backlog = Backlog::new(2);
        backlog.push(&a);
        backlog.push(&b);
        assert_eq!(backlog.push(&c), Some(&c));
        d.awaited.set(true);
        assert_eq!(backlog.push(&d), Some(&b), "the youngest early one goes");
        e.awaited.set(true);
        assert_eq!(backlog.push(&e), Some(&a));
        assert_eq!(backlog.len(), 2);
        assert_eq!(drain(&mut backlog), ["d", "e"]);
    }

    #[test]
    fn dropped_work_makes_room() {
        let [a, b] = [early("a"), early("b")];
        let mut backlog = Backlog::new(1);
        backlog.push(&a);
        a.dropped.set(true);
        assert_eq!(backlog.push(&b), None);
        assert_eq!(drain(&mut backlog), ["b"]);
    }

    fn early(name: &'static str) -> Job {
        Job { name, awaited: Cell::new(false), dropped: Cell::new(false) }
    }

    fn awaited(name: &'static str) -> Job {
        Job { name, awaited: Cell::new(true), dropped: Cell::new(false) }
    }

    fn drain(backlog: &mut Backlog<&Job>) -> Vec<&'static str> {
        std::iter::from_fn(|| backlog.pop()).map(|job| job.name).collect()
    }
}
