//! Who waits for a place at an upstream, first come first served, over all workers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The exchanges that wait for a place at one upstream.
///
/// Whoever gives a place back calls one that waits; the one that is called tries, and either is served or goes on
/// waiting where it stands. So nobody is overtaken for long, a free place wakes one and not all, and one that is called
/// and cannot use the place (it was there before, or wants others) passes the call on.
///
/// The line is locked by those who wait and, while somebody waits, by those who give places back; while nobody does, the
/// counts are all that is read. It belongs to the upstream's name and survives reloads.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: AtomicU32,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// How many have been called and have not tried yet.
    called: u32,
    /// In the order of their numbers.
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    called: bool,
    waker: Waker,
}

/// A place in the queue. Dropping it leaves the queue, at once and without a trace.
#[derive(Debug)]
pub struct Ticket {
    queue: Arc<Queue>,
    number: u64,
    served: bool,
}

/// As many wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull {
    /// Whether nobody who waits could use what is free, so that trying takes nothing away from them.
    pub settled: bool,
}

impl Queue {
    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Goes to the end of the queue, if fewer than `most` wait.
    ///
    /// # Errors
    /// The queue is full.
    pub fn join(self: &Arc<Self>, most: u32, waker: &Waker) -> Result<Ticket, QueueFull> {
        let mut line = self.lock();
        // If nobody is about to try, this one must: a place may have become free before it was seen here.
        let settled = line.called == 0;
        if line.waiters.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(QueueFull { settled });
        }
        let number = line.next;
        line.next += 1;
        line.waiters.push_back(Waiter {
            number,
            called: settled,
            waker: waker.clone(),
        });
        line.called += u32::from(settled);
        self.count(&line);
        drop(line);
        Ok(Ticket {
            queue: Arc::clone(self),
            number,
            served: false,
        })
    }

    /// Calls the first that has not been called. For whoever gives a place back, after having done so, and for whatever
    /// else may have made room.
    pub fn call(&self) {
        // Pairs with the fence in `is_turn`: either this sees who waits, or they see the place.
        fence(Ordering::SeqCst);
        if self.waiting() > 0 {
            self.call_from(0);
        }
    }

    /// The same for whoever has given the place back by sequentially consistent writes: these order as the fence does and
    /// cost nothing, and every exchange does this, also where nobody ever waits.
    pub(super) fn call_after_write(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.call_from(0);
        }
    }

    fn call_from(&self, number: u64) {
        let mut line = self.lock();
        let start = line.place(number);
        let next = line.waiters.range_mut(start..).find(|one| !one.called);
        let waker = next.map(|waiter| {
            waiter.called = true;
            waiter.waker.clone()
        });
        line.called += u32::from(waker.is_some());
        self.count(&line);
        drop(line);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Tells those who do not lock.
    fn count(&self, line: &Line) {
        let waiting = u32::try_from(line.waiters.len()).unwrap_or(u32::MAX);
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Where the waiter of that number stands, or would.
    fn place(&self, number: u64) -> usize {
        self.waiters
            .partition_point(|waiter| waiter.number < number)
    }

    fn is_one_called_before(&self, number: u64) -> bool {
        let place = self.place(number);
        self.waiters.range(..place).any(|waiter| waiter.called)
    }

    fn find(&mut self, number: u64) -> Option<&mut Waiter> {
        let place = self.place(number);
        self.waiters
            .get_mut(place)
            .filter(|waiter| waiter.number == number)
    }
}

impl Ticket {
    /// Whether this one was called since it last asked. If not, `waker` is woken when it is.
    #[must_use]
    pub fn is_turn(&self, waker: &Waker) -> bool {
        let mut line = self.queue.lock();
        let Some(waiter) = line.find(self.number) else {
            return false;
        };
        // Not called from here on: a place that becomes free while this one tries is a new call.
        let called = std::mem::take(&mut waiter.called);
        line.called -= u32::from(called);
        // One before this that has been called goes first, and calls this one when it has tried.
        let is_turn = called && (line.called == 0 || !line.is_one_called_before(self.number));
        if !is_turn
            && let Some(waiter) = line.find(self.number)
            && !waiter.waker.will_wake(waker)
        {
            waiter.waker.clone_from(waker);
        }
        drop(line);
        fence(Ordering::SeqCst);
        is_turn
    }

    /// Calls the next one behind: there is a place, but this one cannot use it.
    pub fn pass(&self) {
        self.queue.call_from(self.number + 1);
    }

    /// Leaves with a place. The next one is called, in case there is another.
    pub fn served(mut self) {
        self.served = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut line = self.queue.lock();
        let place = line.place(self.number);
        let left = line.waiters.remove(place);
        let called = left.as_ref().is_some_and(|waiter| waiter.called);
        line.called -= u32::from(called);
        self.queue.count(&line);
        drop(line);
        // Also after an unused call: it was for someone.
        if self.served || called {
            self.queue.call_from(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Bell {
        fn new() -> (Arc<Self>, Waker) {
            let bell = Arc::new(Self::default());
            (Arc::clone(&bell), Waker::from(bell))
        }

        fn rung(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    struct Waiting {
        bell: Arc<Bell>,
        waker: Waker,
        ticket: Option<Ticket>,
    }

    impl Waiting {
        fn join(queue: &Arc<Queue>) -> Self {
            let (bell, waker) = Bell::new();
            let ticket = queue.join(100, &waker).unwrap();
            Self {
                bell,
                waker,
                ticket: Some(ticket),
            }
        }

        fn is_turn(&self) -> bool {
            self.ticket.as_ref().unwrap().is_turn(&self.waker)
        }

        fn served(&mut self) {
            self.ticket.take().unwrap().served();
        }
    }

    /// Some that wait and have tried in vain.
    fn settled(queue: &Arc<Queue>, count: usize) -> Vec<Waiting> {
        (0..count)
            .map(|_| {
                let one = Waiting::join(queue);
                assert!(one.is_turn(), "who joins tries");
                assert!(!one.is_turn(), "but once");
                one
            })
            .collect()
    }

    #[test]
    fn places_are_given_in_the_order_of_joining() {
        let queue = Arc::new(Queue::default());
        let mut line = settled(&queue, 4);
        assert_eq!(queue.waiting(), 4);
        for next in 0..4 {
            queue.call();
            let rung: Vec<_> = line.iter().map(|one| one.bell.rung()).collect();
            let expected: Vec<_> = (0..4).map(|place| usize::from(place == next)).collect();
            assert_eq!(rung, expected, "one is woken and not all");
            assert!(line[next].is_turn());
            line[next].served();
            if let Some(after) = line.get(next + 1) {
                assert_eq!(after.bell.rung(), 1, "there may be another place");
                assert!(after.is_turn());
            }
        }
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn places_that_become_free_together_wake_as_many() {
        let queue = Arc::new(Queue::default());
        let line = settled(&queue, 3);
        queue.call();
        queue.call();
        let rung: Vec<_> = line.iter().map(|one| one.bell.rung()).collect();
        assert_eq!(rung, [1, 1, 0]);
    }

    #[test]
    fn who_was_called_first_tries_first() {
        let queue = Arc::new(Queue::default());
        let mut line = settled(&queue, 2);
        queue.call();
        queue.call();
        assert!(!line[1].is_turn(), "the one before has not tried yet");
        assert!(line[0].is_turn());
        line[0].served();
        assert!(line[1].is_turn(), "the second place is not lost");
    }

    #[test]
    fn who_joins_while_someone_is_called_waits_for_a_call() {
        let queue = Arc::new(Queue::default());
        let mut line = settled(&queue, 1);
        queue.call();
        let late = Waiting::join(&queue);
        assert!(!late.is_turn(), "the place is the first one's");
        line[0].served();
        assert_eq!(late.bell.rung(), 1);
        assert!(late.is_turn());
    }

    #[test]
    fn a_call_outlives_whoever_was_called() {
        let queue = Arc::new(Queue::default());
        let mut line = settled(&queue, 3);
        queue.call();
        line[0].ticket = None;
        assert_eq!(line[1].bell.rung(), 1);
        line[1].ticket = None;
        assert!(line[2].is_turn());
        line[2].ticket = None;
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn who_leaves_uncalled_wakes_nobody() {
        let queue = Arc::new(Queue::default());
        let mut line = settled(&queue, 2);
        line[0].ticket = None;
        assert_eq!(line[1].bell.rung(), 0);
        assert_eq!(queue.waiting(), 1);
    }

    #[test]
    fn a_place_that_does_not_suit_is_passed_to_those_behind() {
        let queue = Arc::new(Queue::default());
        let line = settled(&queue, 3);
        queue.call();
        assert!(line[0].is_turn());
        line[0].ticket.as_ref().unwrap().pass();
        let rung: Vec<_> = line.iter().map(|one| one.bell.rung()).collect();
        assert_eq!(rung, [1, 1, 0]);
        assert!(!line[0].is_turn());
        line[2].ticket.as_ref().unwrap().pass();
        assert!(!line[0].is_turn(), "those before have had their try");
    }

    #[test]
    fn a_place_that_becomes_free_during_a_try_is_another_call() {
        let queue = Arc::new(Queue::default());
        let line = settled(&queue, 1);
        queue.call();
        assert!(line[0].is_turn());
        queue.call();
        assert!(line[0].is_turn());
    }

    #[test]
    fn a_full_queue_takes_nobody_and_says_whether_somebody_is_about_to_try() {
        let queue = Arc::new(Queue::default());
        let line = settled(&queue, 2);
        let (_, waker) = Bell::new();
        let full = |settled| Err(QueueFull { settled });
        assert_eq!(queue.join(2, &waker).map(drop), full(true));
        queue.call();
        assert_eq!(queue.join(2, &waker).map(drop), full(false));
        drop(line);
        assert!(queue.join(2, &waker).is_ok());
    }

    #[test]
    fn no_call_is_lost_between_threads() {
        const PLACES: u32 = 3;
        const THREADS: usize = 4;
        const ROUNDS: usize = 2_000;
        let queue = Arc::new(Queue::default());
        let in_flight = AtomicU32::new(0);
        let take = || {
            let below = |taken| (taken < PLACES).then_some(taken + 1);
            in_flight
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, below)
                .is_ok()
        };
        std::thread::scope(|scope| {
            for _ in 0..THREADS * 2 {
                scope.spawn(|| {
                    struct Unpark(std::thread::Thread);
                    impl Wake for Unpark {
                        fn wake(self: Arc<Self>) {
                            self.0.unpark();
                        }
                    }
                    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                    for _ in 0..ROUNDS {
                        if queue.waiting() > 0 || !take() {
                            let ticket = queue.join(100, &waker).unwrap();
                            // Parked for ever if a call is lost; the runner of the tests ends it then.
                            while !(ticket.is_turn(&waker) && take()) {
                                std::thread::park();
                            }
                            ticket.served();
                        }
                        assert!(in_flight.load(Ordering::Relaxed) <= PLACES);
                        in_flight.fetch_sub(1, Ordering::Relaxed);
                        queue.call();
                    }
                });
            }
        });
        assert_eq!((queue.waiting(), in_flight.into_inner()), (0, 0));
    }
}
