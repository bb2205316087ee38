//! A task that ends when nobody wants it any more.

use tokio::task::AbortHandle;

/// Ends its task when it is dropped.
#[derive(Debug)]
pub(super) struct Task(AbortHandle);

impl Task {
    /// Starts a task on the current runtime.
    pub(super) fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work).abort_handle())
    }

    /// Tells one task from another.
    #[cfg(test)]
    pub(super) fn id(&self) -> tokio::task::Id {
        self.0.id()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
