//! An origin that reads what a gateway sends strictly, judges each request by what the routes allow, and remembers it.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::strict::{self, Length, RequestMessage};

/// What an origin has got, and how it answers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The requests whose heads were complete.
    pub(super) requests: RefCell<Vec<RequestMessage>>,
    /// What was wrong, if anything was.
    pub(super) complaint: RefCell<Option<String>>,
    /// Which of the answers is given.
    pub(super) answer: Cell<u8>,
    /// Connections that are inside a request or its answer.
    pub(super) busy: Cell<usize>,
    /// Told of everything that happens.
    pub(super) changed: Notify,
}

/// How a request is answered.
struct Answer {
    bytes: &'static [u8],
    /// Whether the connection ends with it.
    closes: bool,
    /// Whether it does not wait for the request's body.
    early: bool,
}

const fn answer(bytes: &'static [u8]) -> Answer {
    Answer {
        bytes,
        closes: false,
        early: false,
    }
}

/// What origins answer, the odd ones among them.
const ANSWERS: &[Answer] = &[
    answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=\"y\"\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"),
    answer(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
    answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    Answer { closes: true, ..answer(b"HTTP/1.0 200 OK\r\n\r\nuntil the end") },
    Answer { early: true, closes: true, ..answer(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno") },
    answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    answer(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nframes"),
    // What no origin should answer.
    answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than that"),
    answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokk\r\n0\r\n\r\n"),
    Answer { closes: true, ..answer(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\ntoo short") },
    answer(b"SSH-2.0-other\r\n"),
    Answer { closes: true, ..answer(b"") },
];

/// How a connection went on.
enum After {
    Next,
    Over,
}

/// One connection, read strictly.
struct Reader {
    stream: TcpStream,
    inbound: Vec<u8>,
    seen: Rc<Seen>,
}

/// Takes connections for ever.
pub(super) async fn serve(listener: TcpListener, seen: Rc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = Rc::clone(&seen);
        tokio::task::spawn_local(async move {
            let mut reader = Reader {
                stream,
                inbound: Vec::new(),
                seen,
            };
            reader.seen.changed.notify_one();
            while let Ok(true) = reader.more().await {
                let seen = Rc::clone(&reader.seen);
                seen.busy.set(seen.busy.get() + 1);
                let after = reader.requests().await;
                seen.busy.set(seen.busy.get() - 1);
                seen.changed.notify_one();
                match after {
                    Ok(After::Next) => {}
                    Ok(After::Over) => return,
                    Err(Broken::Cut) => return,
                    Err(Broken::Malformed(complaint)) => return seen.complain(complaint),
                }
            }
        });
    }
}

/// Why a connection was read no further.
enum Broken {
    /// It ended, as it may.
    Cut,
    /// It brought what a gateway must not send.
    Malformed(String),
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Cut
    }
}

impl From<String> for Broken {
    fn from(complaint: String) -> Self {
        Self::Malformed(complaint)
    }
}

impl Seen {
    /// Keeps the first complaint.
    pub(super) fn complain(&self, complaint: String) {
        self.complaint.borrow_mut().get_or_insert(complaint);
    }
}

impl Reader {
    /// Reads the requests that are there, and answers them.
    async fn requests(&mut self) -> Result<After, Broken> {
        while !self.inbound.is_empty() {
            if let After::Over = self.request().await? {
                return Ok(After::Over);
            }
        }
        Ok(After::Next)
    }

    async fn request(&mut self) -> Result<After, Broken> {
        let end = self.find(b"\r\n\r\n").await? + 4;
        let head: Vec<u8> = self.inbound.drain(..end).collect();
        let shown = String::from_utf8_lossy(&head).into_owned();
        let (request, length) =
            strict::request_head(&head).map_err(|error| format!("{error} in {shown:?}"))?;
        allowed(&request).map_err(|error| format!("{error}: {shown:?}"))?;
        let which = usize::from(self.seen.answer.get()) % ANSWERS.len();
        let answer = &ANSWERS[which];
        let (method, upgrades) = (request.method.clone(), request.fields.has("upgrade"));
        self.seen.requests.borrow_mut().push(request);
        self.seen.changed.notify_one();
        if !answer.early {
            self.body(length).await?;
        }
        let switches = answer.bytes.starts_with(b"HTTP/1.1 101");
        let bytes = if method == "HEAD" && answer.bytes.starts_with(b"HTTP/1.1 200 OK\r\nCon") {
            &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"[..]
        } else {
            answer.bytes
        };
        self.stream.write_all(bytes).await?;
        if switches && upgrades {
            // From here on the bytes are the tunnel's.
            while self.more().await? {
                self.inbound.clear();
            }
            return Ok(After::Over);
        }
        Ok(if answer.closes {
            After::Over
        } else {
            After::Next
        })
    }

    async fn body(&mut self, length: Length) -> Result<(), Broken> {
        match length {
            Length::Exact(length) => {
                self.skip(usize::try_from(length).unwrap_or(usize::MAX))
                    .await
            }
            Length::UntilClose => Err("a request without an end".to_owned().into()),
            Length::Chunked => loop {
                let line = self.line().await?;
                let size = strict::chunk_size(&line)?;
                if size == 0 {
                    return self.trailers().await;
                }
                self.skip(usize::try_from(size).unwrap_or(usize::MAX))
                    .await?;
                if !self.line().await?.is_empty() {
                    return Err("a chunk that does not end where it said".to_owned().into());
                }
            },
        }
    }

    async fn trailers(&mut self) -> Result<(), Broken> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let trailers = strict::trailers(&lines)?;
        for name in ["host", "content-length", "transfer-encoding", "x-granted"] {
            if trailers.has(name) {
                return Err(format!("the trailer {name}").into());
            }
        }
        Ok(())
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        let end = self.find(b"\r\n").await?;
        let line = self.inbound.drain(..end).collect();
        self.inbound.drain(..2);
        Ok(line)
    }

    async fn skip(&mut self, mut count: usize) -> Result<(), Broken> {
        loop {
            let there = count.min(self.inbound.len());
            self.inbound.drain(..there);
            count -= there;
            if count == 0 {
                return Ok(());
            }
            self.demand().await?;
        }
    }

    /// Where those bytes begin, once they are there.
    async fn find(&mut self, wanted: &[u8]) -> Result<usize, Broken> {
        loop {
            let at = self
                .inbound
                .windows(wanted.len())
                .position(|window| window == wanted);
            if let Some(at) = at {
                return Ok(at);
            }
            self.demand().await?;
        }
    }

    async fn demand(&mut self) -> Result<(), Broken> {
        if self.more().await? {
            Ok(())
        } else {
            Err(Broken::Cut)
        }
    }

    /// Reads on; `false` at the end.
    async fn more(&mut self) -> io::Result<bool> {
        let read = self.stream.read_buf(&mut self.inbound).await?;
        self.seen.changed.notify_one();
        Ok(read > 0)
    }
}

/// Binds an origin.
pub(super) async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Judges a request by what the routes of `gateway::CONFIGURATION` let through, without any code of the gateway.
fn allowed(request: &RequestMessage) -> Result<(), String> {
    let (path, _) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let granted = request.fields.all("x-granted");
    let [granted] = granted.as_slice() else {
        return Err(format!("granted by {granted:?}"));
    };
    let host = request.fields.all("host").concat();
    let below = |folder: &str| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_allowed = match *granted {
        "open" => below("/open") && !below("/open/closed"),
        "written" => below("/written") && matches!(&*request.method, "POST" | "PUT"),
        "moved" => below("/new") && host == "moved.test",
        "inner" => host == "inner.test" || host.starts_with("inner.test:"),
        _ => false,
    };
    if !is_allowed {
        return Err("no route lets this through".to_owned());
    }
    let lower = path.to_ascii_lowercase();
    let hidden = ["%2f", "%5c", "%00", "%2e", "\\", "//"];
    if let Some(hidden) = hidden.iter().find(|part| lower.contains(**part)) {
        return Err(format!("{hidden} in the path"));
    }
    if lower
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        return Err("a dot segment in the path".to_owned());
    }
    // What the gateway asserts is said once, and by the gateway alone.
    let asserted = [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
    ];
    for (name, value) in asserted {
        let all = request.fields.all(name);
        if all != [value] {
            return Err(format!("{name} is {all:?}"));
        }
    }
    if request.fields.all("x-request-id").len() != 1 {
        return Err("not one identity".to_owned());
    }
    let forbidden = [
        "x-secret",
        "x_secret",
        "x_granted",
        "proxy-connection",
        "keep-alive",
        "http2-settings",
        "x_forwarded_for",
    ];
    if let Some(name) = forbidden.iter().find(|name| request.fields.has(name)) {
        return Err(format!("it has {name}"));
    }
    Ok(())
}
