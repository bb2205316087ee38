//! Open loop: requests are due at times that no answer changes, and the clock of each runs from that moment. A proxy that
//! stalls makes every request wait that was due meanwhile, as it does with real clients (no coordinated omission).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::http::{self, Connection};
use super::pace::{Arrivals, Timer};
use super::samples::Samples;

#[derive(Args)]
pub(crate) struct Settings {
    /// Where to
    #[arg(long)]
    address: SocketAddr,
    /// The target of the requests
    #[arg(long, default_value = "/small")]
    path: String,
    /// Requests in a second, on average
    #[arg(long)]
    rate: f64,
    /// How long requests are sent
    #[arg(long, value_parser = super::seconds, default_value = "5")]
    seconds: Duration,
    /// How long before that requests are sent that do not count
    #[arg(long, value_parser = super::seconds, default_value = "1")]
    warm_up: Duration,
    /// Connections; a request that finds none free waits, and that counts
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// After this a request has failed
    #[arg(long, value_parser = super::seconds, default_value = "10")]
    patience: Duration,
    /// Figures for pieces of that many seconds, too
    #[arg(long, value_parser = super::seconds)]
    slice: Option<Duration>,
}

/// Requests that are due and not yet sent.
#[derive(Default)]
struct Queue {
    due: RefCell<VecDeque<Instant>>,
    news: Notify,
    is_over: Cell<bool>,
}

pub(crate) async fn run(settings: Settings) -> io::Result<Value> {
    let timer = Timer::new()?;
    let queue = Rc::new(Queue::default());
    let begin = Instant::now() + Duration::from_millis(50);
    let counted = begin + settings.warm_up;
    let end = counted + settings.seconds;
    let samples = Rc::new(RefCell::new(Samples::since(counted)));
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n",
        settings.path
    );
    let clients: Vec<_> = (0..settings.connections)
        .map(|_| {
            let client = Client {
                address: settings.address,
                request: request.clone().into_bytes(),
                patience: settings.patience,
                connection: None,
            };
            spawn_local(client.work(Rc::clone(&queue), Rc::clone(&samples)))
        })
        .collect();
    let mut late = Vec::new();
    for due in Arrivals::new(begin, settings.rate).take_while(|due| *due < end) {
        timer.until(due).await?;
        if due >= counted {
            late.push(due.elapsed());
        }
        queue.due.borrow_mut().push_back(due);
        queue.news.notify_one();
    }
    queue.is_over.set(true);
    queue.news.notify_waiters();
    for client in clients {
        client.await.map_err(io::Error::other)?;
    }
    late.sort_unstable();
    let late = late.get(late.len() * 99 / 100).copied().unwrap_or_default();
    let mut told = samples.borrow().told();
    if let Some(fields) = told.as_object_mut() {
        fields.insert("rate".to_owned(), json!(settings.rate));
        // Far above the timer's precision, this machine could not keep the rate, and the figures say nothing.
        let late = late.as_micros() as f64 / 1e3;
        fields.insert("generator_late_p99_ms".to_owned(), json!(late));
        if let Some(length) = settings.slice {
            fields.insert("slices".to_owned(), samples.borrow().slices(length));
        }
    }
    Ok(told)
}

/// One connection, opened again when it ends.
struct Client {
    address: SocketAddr,
    request: Vec<u8>,
    patience: Duration,
    connection: Option<Connection>,
}

impl Client {
    async fn work(mut self, queue: Rc<Queue>, samples: Rc<RefCell<Samples>>) {
        loop {
            let next = queue.due.borrow_mut().pop_front();
            let Some(due) = next else {
                if queue.is_over.get() {
                    return;
                }
                queue.news.notified().await;
                continue;
            };
            let failure = match timeout(self.patience, self.exchange()).await {
                Ok(Ok(200)) => None,
                Ok(Ok(status)) => Some(format!("status {status}")),
                Ok(Err(error)) => Some(error.kind().to_string()),
                Err(_elapsed) => Some("no answer in time".to_owned()),
            };
            if failure.is_some() {
                self.connection = None;
            }
            samples.borrow_mut().ended(due, failure);
        }
    }

    async fn exchange(&mut self) -> io::Result<u16> {
        let kept = self.connection.take();
        let mut connection = match kept.filter(Connection::is_open) {
            Some(connection) => connection,
            None => Connection::new(TcpStream::connect(self.address).await?)?,
        };
        connection.send(&self.request).await?;
        let head = connection.receive(http::response).await?;
        let head = head.ok_or(io::ErrorKind::ConnectionAborted)?;
        if !head.close {
            self.connection = Some(connection);
        }
        Ok(head.status)
    }
}
