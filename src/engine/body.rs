//! Bodies in motion: where bytes come from, where they go, and the pump between the two.
//!
//! Both sides of an exchange are a source (of one body) and a sink (of the other). The pump moves a piece at a time, so
//! memory is bounded by the two buffers whatever the size of the body, and a side that does not take stops the other.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::conduit::{Conduit, is_worthwhile};
use crate::{gateway::Fault, http::Fields};

/// What a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// `chunk` is not empty.
    Data,
    /// The body is complete; `trailers` tells what followed it.
    End,
}

/// Where a body comes from.
pub(crate) trait Source {
    /// Makes a piece of the body available.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Fault>>;
    /// The available piece.
    fn chunk(&self) -> &[u8];
    /// Forgets the first bytes of the piece.
    fn consume(&mut self, bytes: usize);
    /// Takes at most so many bytes out, without copying where that can be.
    fn take(&mut self, most: usize) -> Bytes;
    /// Whether the body is known to end with these bytes of the piece.
    fn ends_after(&self, bytes: usize) -> bool;
    /// What followed the body.
    fn trailers(&mut self) -> Option<Fields>;
    /// How much of the body is still in a plain socket, unframed, with nothing of it here.
    fn raw_rest(&self) -> Option<u64> {
        None
    }
    /// Lets the kernel take a part of that rest out.
    fn poll_pour(&mut self, _: &mut Context<'_>, _: &mut Conduit) -> Poll<Result<(), Fault>> {
        Poll::Ready(Err(Fault::Internal))
    }
}

/// Where a body goes.
pub(crate) trait Sink {
    /// Takes what it can of the source's piece, at least one byte when ready.
    fn poll_accept<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Fault>>;
    /// Ends the body. Called once.
    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Fault>;
    /// Pushes out whatever waits.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>>;
    /// Whether the body goes into a plain socket, unframed.
    fn is_raw(&self) -> bool {
        false
    }
    /// Lets the kernel put in what the pipe holds, and tells how much went.
    fn poll_drain(&mut self, _: &mut Context<'_>, _: &mut Conduit) -> Poll<Result<usize, Fault>> {
        Poll::Ready(Err(Fault::Internal))
    }
}

/// One direction of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    step: Step,
    /// What the kernel moves the body through.
    conduit: Option<Box<Conduit>>,
    /// Whether there was no pipe to be had.
    copies: bool,
}

/// How far a direction has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// Pieces may still come.
    #[default]
    Moving,
    /// All is handed over, not all of it is out.
    Flushing,
    /// All is out.
    Done,
}

/// On whom a direction waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// The source has nothing.
    Source,
    /// The sink does not take.
    Sink,
}

impl Flow {
    /// Whether all is out.
    pub(crate) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Moves what can be moved now. `moved` counts the bytes; `waits` tells on whom it waits when it is pending.
    pub(crate) fn poll<S: Source, K: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut K,
        moved: &mut u64,
        waits: &mut Waits,
    ) -> Poll<Result<(), (Waits, Fault)>> {
        loop {
            match self.step {
                Step::Done => return Poll::Ready(Ok(())),
                Step::Flushing => {
                    *waits = Waits::Sink;
                    ready!(sink.poll_flush(cx)).map_err(|fault| (Waits::Sink, fault))?;
                    self.step = Step::Done;
                }
                Step::Moving if self.conduit.is_some() || self.may_pour(source, sink) => {
                    ready!(self.poll_pour(cx, source, sink, moved, waits))?;
                }
                Step::Moving => match source.poll_fill(cx) {
                    Poll::Pending => return flush_meanwhile(cx, sink, waits),
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err((Waits::Source, fault))),
                    Poll::Ready(Ok(Fill::Data)) => {
                        let before = source.chunk().len();
                        match sink.poll_accept(cx, source) {
                            Poll::Pending => {
                                *waits = Waits::Sink;
                                return Poll::Pending;
                            }
                            Poll::Ready(Err(fault)) => {
                                return Poll::Ready(Err((Waits::Sink, fault)));
                            }
                            Poll::Ready(Ok(())) => {
                                let taken = before.saturating_sub(source.chunk().len());
                                *moved = moved.saturating_add(taken as u64);
                            }
                        }
                    }
                    Poll::Ready(Ok(Fill::End)) => {
                        let trailers = source.trailers();
                        if let Err(fault) = sink.finish(trailers.as_ref()) {
                            return Poll::Ready(Err((Waits::Sink, fault)));
                        }
                        self.step = Step::Flushing;
                    }
                },
            }
        }
    }

    fn may_pour<S: Source, K: Sink>(&self, source: &S, sink: &K) -> bool {
        !self.copies && source.raw_rest().is_some_and(is_worthwhile) && sink.is_raw()
    }

    /// Moves the body through a pipe until nothing of it is left in the source.
    fn poll_pour<S: Source, K: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut K,
        moved: &mut u64,
        waits: &mut Waits,
    ) -> Poll<Result<(), (Waits, Fault)>> {
        let Some(conduit) = &mut self.conduit else {
            match Conduit::new() {
                Ok(conduit) => self.conduit = Some(Box::new(conduit)),
                Err(_) => self.copies = true,
            }
            return Poll::Ready(Ok(()));
        };
        if conduit.is_filled() {
            *waits = Waits::Sink;
            let count =
                ready!(sink.poll_drain(cx, conduit)).map_err(|fault| (Waits::Sink, fault))?;
            *moved = moved.saturating_add(count as u64);
        } else if source.raw_rest().is_some() {
            match source.poll_pour(cx, conduit) {
                Poll::Pending => return flush_meanwhile(cx, sink, waits),
                Poll::Ready(Err(fault)) => return Poll::Ready(Err((Waits::Source, fault))),
                Poll::Ready(Ok(())) => {}
            }
        } else {
            self.conduit = None;
        }
        Poll::Ready(Ok(()))
    }
}

/// The source has nothing more for now: what has come so far must not wait for what may never come.
fn flush_meanwhile<K: Sink>(
    cx: &mut Context<'_>,
    sink: &mut K,
    waits: &mut Waits,
) -> Poll<Result<(), (Waits, Fault)>> {
    *waits = Waits::Source;
    match sink.poll_flush(cx) {
        Poll::Ready(Err(fault)) => Poll::Ready(Err((Waits::Sink, fault))),
        Poll::Pending => {
            *waits = Waits::Sink;
            Poll::Pending
        }
        Poll::Ready(Ok(())) => Poll::Pending,
    }
}

/// A body that is there already.
#[derive(Debug)]
pub(crate) struct Present(Bytes);

impl Present {
    pub(crate) const fn new(body: Bytes) -> Self {
        Self(body)
    }
}

impl Source for Present {
    fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<Fill, Fault>> {
        Poll::Ready(Ok(if self.0.is_empty() {
            Fill::End
        } else {
            Fill::Data
        }))
    }

    fn chunk(&self) -> &[u8] {
        &self.0
    }

    fn consume(&mut self, bytes: usize) {
        drop(self.take(bytes));
    }

    fn take(&mut self, most: usize) -> Bytes {
        self.0.split_to(most.min(self.0.len()))
    }

    fn ends_after(&self, bytes: usize) -> bool {
        self.0.len() == bytes
    }

    fn trailers(&mut self) -> Option<Fields> {
        None
    }
}
