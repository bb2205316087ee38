//! A panic in one exchange ends that exchange, not the process (wire rule P11).

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

/// The future panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs a future; a panic in it becomes an error. What it borrowed may be half changed: the caller throws it away.
///
/// The caller pins it: an `async fn` would hold it twice, as its argument and as its pinned local.
pub(crate) fn unwinding<F: Future + Unpin>(
    mut future: F,
) -> impl Future<Output = Result<F::Output, Panicked>> {
    std::future::poll_fn(move |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let outcome = runtime.block_on(unwinding(pin!(async { panic!("one exchange") })));
        assert_eq!(outcome, Err::<(), _>(Panicked));
        assert_eq!(runtime.block_on(unwinding(pin!(async { 5 }))), Ok(5));
    }
}
