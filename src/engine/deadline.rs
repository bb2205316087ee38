//! Deadlines without a timer per connection: one sleeping timer a worker, and a cell a connection.
//!
//! Setting a deadline is a store into a cell. The worker's one timer sleeps until the earliest deadline that anybody
//! had when it was armed; deadlines mostly move to later, so it seldom has to be armed anew. When it fires, the cells
//! are scanned, the owners of passed ones are woken, and it is armed for the earliest of the rest.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// How early two deadlines may fall together: the timer is not armed anew for less.
const SLACK: Duration = Duration::from_millis(5);

/// All deadlines of one worker. Written by the worker's own tasks alone.
#[derive(Debug)]
pub(crate) struct Deadlines {
    cells: RefCell<Vec<Entry>>,
    free: RefCell<Vec<usize>>,
    /// What the timer is armed for; `None`: it sleeps without end.
    armed: Cell<Option<Instant>>,
    /// Woken when the timer has to be armed for something earlier.
    timer: RefCell<Option<Waker>>,
}

#[derive(Debug, Default)]
struct Entry {
    at: Option<Instant>,
    owner: Option<Waker>,
}

/// One task's deadline. Dropping it gives the cell back.
#[derive(Debug)]
pub(crate) struct Deadline {
    all: Rc<Deadlines>,
    index: usize,
    at: Cell<Option<Instant>>,
}

/// The deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

impl Deadlines {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            cells: RefCell::new(Vec::new()),
            free: RefCell::new(Vec::new()),
            armed: Cell::new(None),
            timer: RefCell::new(None),
        })
    }

    /// A new cell without a deadline.
    pub(crate) fn register(self: &Rc<Self>) -> Deadline {
        let mut cells = self.cells.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            cells.push(Entry::default());
            cells.len() - 1
        });
        if let Some(entry) = cells.get_mut(index) {
            *entry = Entry::default();
        }
        Deadline {
            all: Rc::clone(self),
            index,
            at: Cell::new(None),
        }
    }

    /// Wakes every owner, so that each looks at the world again (the worker drains).
    pub(crate) fn wake_all(&self) {
        for entry in self.cells.borrow_mut().iter_mut() {
            if let Some(owner) = entry.owner.take() {
                owner.wake();
            }
        }
    }

    /// The timer: runs as one task for the life of the worker.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut sleep = pin!(tokio::time::sleep_until(
            (Instant::now() + Duration::from_secs(3600)).into()
        ));
        std::future::poll_fn(|cx| {
            loop {
                let mut timer = self.timer.borrow_mut();
                if !timer
                    .as_ref()
                    .is_some_and(|known| known.will_wake(cx.waker()))
                {
                    *timer = Some(cx.waker().clone());
                }
                drop(timer);
                let Some(armed) = self.armed.get() else {
                    return Poll::<()>::Pending;
                };
                if sleep.deadline() != armed.into() {
                    sleep.as_mut().reset(armed.into());
                }
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.fire(Instant::now());
            }
        })
        .await;
    }

    fn fire(&self, now: Instant) {
        let mut earliest: Option<Instant> = None;
        for entry in self.cells.borrow_mut().iter_mut() {
            let Some(at) = entry.at else { continue };
            if at <= now {
                entry.at = None;
                if let Some(owner) = entry.owner.take() {
                    owner.wake();
                }
            } else if earliest.is_none_or(|known| at < known) {
                earliest = Some(at);
            }
        }
        self.armed.set(earliest.map(|at| at.max(now + SLACK)));
    }

    fn at_the_latest(&self, at: Instant) {
        let sooner = match self.armed.get() {
            None => true,
            Some(armed) => at + SLACK < armed,
        };
        if sooner {
            self.armed.set(Some(at));
            if let Some(timer) = self.timer.borrow().as_ref() {
                timer.wake_by_ref();
            }
        }
    }
}

impl Deadline {
    /// Moves the deadline.
    pub(crate) fn set(&self, at: Instant) {
        self.at.set(Some(at));
        if let Some(entry) = self.all.cells.borrow_mut().get_mut(self.index) {
            entry.at = Some(at);
        }
        self.all.at_the_latest(at);
    }

    /// Takes the deadline away.
    pub(crate) fn clear(&self) {
        self.at.set(None);
        if let Some(entry) = self.all.cells.borrow_mut().get_mut(self.index) {
            entry.at = None;
        }
    }

    /// Whether it has passed. Remembers whom to wake when it does, and when the worker drains.
    pub(crate) fn poll_expired(&self, cx: &Context<'_>) -> Poll<Expired> {
        if let Some(entry) = self.all.cells.borrow_mut().get_mut(self.index) {
            let known = entry
                .owner
                .as_ref()
                .is_some_and(|owner| owner.will_wake(cx.waker()));
            if !known {
                entry.owner = Some(cx.waker().clone());
            }
            // The timer took the mark away when it fired; the owner's own copy tells what it was.
            if entry.at.is_some() || self.at.get().is_none() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Expired)
    }

    /// The future's result, or `Expired` when the deadline passes first.
    ///
    /// The caller pins what has to be pinned: an `async fn` would hold the future twice, as its argument and as its
    /// pinned local, and connections are many.
    pub(crate) fn bound<F: Future + Unpin>(
        &self,
        mut future: F,
    ) -> impl Future<Output = Result<F::Output, Expired>> {
        std::future::poll_fn(move |cx| {
            if let Poll::Ready(output) = Pin::new(&mut future).poll(cx) {
                return Poll::Ready(Ok(output));
            }
            self.poll_expired(cx).map(Err)
        })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let entry = self
            .all
            .cells
            .borrow_mut()
            .get_mut(self.index)
            .map(std::mem::take);
        // A waker may be the last owner of a task: it goes while nothing is borrowed.
        drop(entry);
        self.all.free.borrow_mut().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_worker<F: Future>(scenario: impl FnOnce(Rc<Deadlines>) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime, async move {
            let deadlines = Deadlines::new();
            tokio::task::spawn_local(Rc::clone(&deadlines).run());
            scenario(deadlines).await
        })
    }

    #[test]
    fn a_passed_deadline_ends_what_never_ends() {
        on_a_worker(|deadlines| async move {
            let late = deadlines.register();
            late.set(Instant::now() + Duration::from_secs(600));
            let soon = deadlines.register();
            soon.set(Instant::now() + Duration::from_millis(20));
            assert_eq!(soon.bound(std::future::pending::<()>()).await, Err(Expired));
            assert_eq!(late.bound(std::future::ready(5)).await, Ok(5));
        });
    }

    #[test]
    fn a_deadline_that_moved_to_later_is_kept() {
        on_a_worker(|deadlines| async move {
            let started = Instant::now();
            let deadline = deadlines.register();
            deadline.set(started + Duration::from_millis(10));
            deadline.set(started + Duration::from_millis(60));
            assert_eq!(
                deadline.bound(std::future::pending::<()>()).await,
                Err(Expired)
            );
            assert!(started.elapsed() >= Duration::from_millis(60));
        });
    }

    #[test]
    fn a_cell_is_used_again() {
        let deadlines = Deadlines::new();
        drop(deadlines.register());
        drop(deadlines.register());
        let _third = deadlines.register();
        assert_eq!(deadlines.cells.borrow().len(), 1);
    }
}
