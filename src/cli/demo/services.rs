//! The sample services behind the demo gateway: users, orders (twice) and echo, on loopback ports of this process.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Interval};

/// Where the services listen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) users: SocketAddr,
    pub(super) orders: [SocketAddr; 2],
    pub(super) echo: SocketAddr,
}

type Answer = Response<Either<Full<Bytes>, Ticks>>;

#[derive(Clone, Copy)]
enum Service {
    Users,
    Orders { instance: &'static str },
    Echo,
}

const PEOPLE: [(u64, &str); 3] = [(1, "Ada"), (7, "Grace"), (9, "Barbara")];
const MAX_BODY: usize = 1 << 20;
const TICKS: u32 = 10;

/// Starts the services on a thread of their own; they live as long as the process.
pub(super) fn start() -> io::Result<Addresses> {
    let mut sockets = Vec::new();
    let mut listen = |service| -> io::Result<SocketAddr> {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        sockets.push((socket, service));
        Ok(address)
    };
    let addresses = Addresses {
        users: listen(Service::Users)?,
        orders: [
            listen(Service::Orders {
                instance: "orders-1",
            })?,
            listen(Service::Orders {
                instance: "orders-2",
            })?,
        ],
        echo: listen(Service::Echo)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("demo-services".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                for (socket, service) in sockets {
                    match TcpListener::from_std(socket) {
                        Ok(listener) => drop(tokio::spawn(accept(listener, service))),
                        Err(error) => tracing::error!(%error, "a sample service cannot start"),
                    }
                }
                std::future::pending::<()>().await;
            });
        })?;
    Ok(addresses)
}

async fn accept(listener: TcpListener, service: Service) {
    loop {
        let Ok((stream, _gateway)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(http1::Builder::new().serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| async move {
                Ok::<_, Infallible>(match service {
                    Service::Users => users(request.uri().path()),
                    Service::Orders { instance } => orders(request.uri().path(), instance),
                    Service::Echo => echo(request).await,
                })
            }),
        ));
    }
}

fn users(path: &str) -> Answer {
    let person = |(id, name): (u64, &str)| json!({ "id": id, "name": name });
    match path.strip_prefix("/users").unwrap_or(path) {
        "/healthz" => healthy("users"),
        "" | "/" => json(StatusCode::OK, &PEOPLE.map(person).into()),
        id => id
            .strip_prefix('/')
            .and_then(|id| id.parse().ok())
            .and_then(|id: u64| PEOPLE.into_iter().find(|(known, _)| *known == id))
            .map_or_else(nothing, |found| json(StatusCode::OK, &person(found))),
    }
}

fn orders(path: &str, instance: &str) -> Answer {
    match path.strip_prefix("/orders").unwrap_or(path) {
        "/healthz" => healthy(instance),
        "" | "/" => json(
            StatusCode::OK,
            &json!({ "orders": [1001, 1002], "answered_by": instance }),
        ),
        id => id
            .strip_prefix('/')
            .and_then(|id| id.parse().ok())
            .map_or_else(nothing, |id: u64| {
                json(
                    StatusCode::OK,
                    &json!({ "order": id, "answered_by": instance }),
                )
            }),
    }
}

/// Says what came in; `/ticks` is a body that takes its time.
async fn echo(request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        "/healthz" => return healthy("echo"),
        "/ticks" => return ticks(),
        _ => {}
    }
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return json(
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!({ "error": "the sample service takes up to 1 MiB" }),
        );
    };
    let headers: Vec<String> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let seen = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers,
        "body_bytes": body.to_bytes().len(),
    });
    json(StatusCode::OK, &seen)
}

fn ticks() -> Answer {
    let body = Ticks {
        interval: tokio::time::interval(Duration::from_millis(300)),
        sent: 0,
    };
    let mut answer = Response::new(Either::Right(body));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

fn healthy(name: &str) -> Answer {
    json(StatusCode::OK, &json!({ "service": name, "healthy": true }))
}

fn nothing() -> Answer {
    json(StatusCode::NOT_FOUND, &json!({ "error": "not found" }))
}

fn json(status: StatusCode, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(format!("{body:#}\n")));
    let mut answer = Response::new(Either::Left(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A body of some lines, one every now and then.
#[derive(Debug)]
struct Ticks {
    interval: Interval,
    sent: u32,
}

impl Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent == TICKS {
            return Poll::Ready(None);
        }
        std::task::ready!(self.interval.poll_tick(cx));
        self.sent += 1;
        let line = format!("tick {} of {TICKS}\n", self.sent);
        Poll::Ready(Some(Ok(Frame::data(line.into()))))
    }
}
