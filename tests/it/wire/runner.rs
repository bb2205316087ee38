//! Runs cases over plain TCP, over TLS and, where they have such a form, as HTTP/2 over both; with every byte sent on its
//! own, too.

use super::case::{Answer, Case, End, Sent, Upstream};
use super::translated::{Translated, translated};
use crate::harness::{
    Authority, Broken, Client, ClientTls, Gateway, RawH2, RecordingOrigin, Request, RequestMessage,
    StreamEnd, raw_h2,
};

/// One worker, so that the access log has one order. No case is about time, however busy the machine is.
const CONFIG: &str = r#"
    [server]
    workers = 1

    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    head_timeout = "1h"

    [[listener]]
    name = "secure"
    address = "127.0.0.1:0"
    handshake_timeout = "1h"
    head_timeout = "1h"
    tls = { certificates = [<site>] }

    [[route]]
    name = "all"
    upstream = "origin"

    [[route]]
    name = "fixed"
    path = "/fixed"
    respond = { status = 200, body = "fixed" }

    [upstream.origin]
    endpoints = ["<origin>"]
"#;

/// The request that shows whether a connection is still in step.
const SENTINEL: &str = "/sentinel";
const SENTINEL_HEAD: &[(&[u8], &[u8])] = &[
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"gateway.test"),
    (b":path", b"/sentinel"),
];

/// How the bytes of a case travel.
#[derive(Clone, Copy, Debug)]
enum Passage {
    Plain,
    Tls,
    ByteByByte,
    TlsByteByByte,
    Http2,
    Http2ByteByByte,
    Http2Tls,
}

impl Passage {
    fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2ByteByByte | Self::Http2Tls)
    }

    fn is_split(self) -> bool {
        matches!(
            self,
            Self::ByteByByte | Self::TlsByteByByte | Self::Http2ByteByByte
        )
    }
}

/// A gateway before a recording origin.
struct Bench {
    gateway: Gateway,
    origin: RecordingOrigin,
    tls: ClientTls,
    tls_http2: ClientTls,
    records: usize,
    requests: usize,
    partial: usize,
}

/// Runs every case of this number over every passage and fails with all that went wrong.
pub(super) async fn run(cases: &'static [Case], number: u8) {
    let mut complaints = Vec::new();
    let mut bench = None;
    let mut count = 0;
    for case in cases.iter().filter(|case| case.number == number) {
        for passage in [
            Passage::Plain,
            Passage::Tls,
            Passage::ByteByByte,
            Passage::TlsByteByByte,
            Passage::Http2,
            Passage::Http2ByteByByte,
            Passage::Http2Tls,
        ] {
            if passage.is_http2() && translated(case).is_none() {
                continue;
            }
            count += 1;
            let current = match bench.take() {
                Some(bench) => bench,
                None => Bench::start().await,
            };
            // A case that fails may leave its gateway out of step, so the next one gets a fresh one.
            match tokio::spawn(current.judge(case, passage)).await {
                Ok((kept, complaint)) => match complaint {
                    None => bench = Some(kept),
                    Some(complaint) => {
                        complaints.push(format!("{} ({passage:?}): {complaint}", case.name))
                    }
                },
                Err(panic) => {
                    let text = panic_text(panic);
                    complaints.push(format!("{} ({passage:?}): {text}", case.name));
                }
            }
        }
    }
    assert!(count > 0, "no case has the number {number}");
    assert!(
        complaints.is_empty(),
        "{} of {count} failed:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

impl Bench {
    async fn start() -> Self {
        let authority = Authority::new("wire rules");
        let site = authority.issue(&["gateway.test"]);
        let origin = RecordingOrigin::start().await;
        let gateway = Gateway::start(CONFIG, &[("site", &site), ("origin", &origin)]).await;
        Self {
            tls: ClientTls::new(&authority, "gateway.test"),
            tls_http2: ClientTls::offering(&authority, "gateway.test", &[b"h2"]),
            gateway,
            origin,
            records: 0,
            requests: 0,
            partial: 0,
        }
    }

    /// Runs one case; gives the bench back with the complaint, if there is one.
    async fn judge(mut self, case: &'static Case, passage: Passage) -> (Self, Option<String>) {
        let verdict = match translated(case) {
            Some(request) if passage.is_http2() => self.try_http2(case, request, passage).await,
            _ => self.try_case(case, passage).await,
        };
        (self, verdict.err())
    }

    async fn try_case(&mut self, case: &'static Case, passage: Passage) -> Result<(), String> {
        let mut client = self.client(passage).await;
        send(&mut client, case.bytes, passage).await;
        if case.end == End::ClientLeaves {
            client.finish().await;
            client.rest().await;
        } else {
            answers(case, &mut client).await?;
        }
        let mut sentinels = ending(case.end, &mut client).await?;
        drop(client);

        // Whatever the case did, others are served, and by a connection that is in step.
        let other = self.gateway.get(SENTINEL).await;
        sentinels += 1;
        if (other.status, other.text()) != (200, "ok") {
            return Err(format!("the next client got {other:?}"));
        }
        self.upstream(case, sentinels).await?;
        self.log(case, sentinels).await
    }

    async fn client(&self, passage: Passage) -> Client {
        match passage {
            Passage::Plain | Passage::ByteByByte | Passage::Http2 | Passage::Http2ByteByByte => {
                self.gateway.connect().await
            }
            Passage::Tls | Passage::TlsByteByByte => {
                self.gateway.connect_tls("secure", &self.tls).await
            }
            Passage::Http2Tls => self.gateway.connect_tls("secure", &self.tls_http2).await,
        }
    }

    /// The request of a case as one stream. It is answered as over HTTP/1, or the stream ends if that was a refusal.
    async fn try_http2(
        &mut self,
        case: &Case,
        request: Translated,
        passage: Passage,
    ) -> Result<(), String> {
        let fields: Vec<_> = request.fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        let mut client = self.client(passage).await;
        send(
            &mut client,
            &raw_h2::opening(&fields, request.body),
            passage,
        )
        .await;
        let mut raw = RawH2::on(client);
        let expected = case.answers[0].status;
        match raw.end_of(1).await {
            // Which one it is that HPACK's table has not got, the record tells.
            StreamEnd::Status(status) if [expected, 0].contains(&status) => {}
            StreamEnd::Reset(_) if expected == 400 => {}
            // Bytes that no field can have may end the connection with the stream (RFC 9113 section 8.1.1).
            StreamEnd::GoAway(1) if expected == 400 => {
                self.upstream(case, 0).await?;
                return self.log(case, 0).await;
            }
            other => return Err(format!("{other:?} instead of {expected}")),
        }
        // Whatever became of it, the connection serves another one.
        raw.headers(3, SENTINEL_HEAD, true).await;
        match raw.end_of(3).await {
            StreamEnd::Status(200) => {}
            other => return Err(format!("the sentinel got {other:?}")),
        }
        self.upstream(case, 1).await?;
        self.log(case, 1).await
    }

    /// Compares what the origin has seen since the last case.
    async fn upstream(&mut self, case: &Case, sentinels: usize) -> Result<(), String> {
        self.origin.settled().await;
        let requests = self.origin.requests();
        let new = requests.get(self.requests..).unwrap_or_default();
        self.requests = requests.len();
        let (own, probes): (Vec<_>, Vec<_>) =
            new.iter().partition(|request| request.target != SENTINEL);
        let expected: &[Sent] = match case.upstream {
            Upstream::Nothing | Upstream::NothingWhole => &[],
            Upstream::Exactly(sent) => sent,
        };
        if own.len() != expected.len() || probes.len() != sentinels {
            return Err(format!("the upstream saw {new:?}"));
        }
        for (request, sent) in own.iter().zip(expected) {
            if let Some(difference) = differs(request, sent) {
                return Err(format!("the upstream saw {difference} instead of {sent:?}"));
            }
        }
        let connections = self.origin.connections();
        if let Some(bad) = connections.iter().find(|one| one.malformed) {
            return Err(format!("the upstream saw malformed bytes: {:?}", bad.end));
        }
        let partial = connections.iter().filter(|one| one.partial).count();
        let grown = partial > self.partial;
        self.partial = partial;
        if grown && !matches!(case.upstream, Upstream::NothingWhole) {
            return Err("the upstream saw a part of a request".to_owned());
        }
        Ok(())
    }

    /// Compares the access records since the last case.
    async fn log(&mut self, case: &Case, sentinels: usize) -> Result<(), String> {
        let answers = if case.end == End::ClientLeaves {
            1
        } else {
            case.answers.len()
        };
        let count = self.records + answers + sentinels;
        let records = self.gateway.records(count).await;
        let new: Vec<_> = records
            .get(self.records..)
            .unwrap_or_default()
            .iter()
            .filter(|record| record.text("path") != SENTINEL)
            .collect();
        self.records = records.len();
        if new.len() != answers || records.len() != count {
            return Err(format!("the access log has {new:?}"));
        }
        for (answer, record) in case.answers.iter().zip(new) {
            let (status, reason) = (record.text("status"), record.text("reason"));
            // HTTP/2 has words of its own for heads that are none.
            let is_malformed = answer.status == 400
                && ["h2_malformed_head", "h2_protocol_error"].contains(&&*reason);
            if status != answer.status.to_string()
                || !(is_malformed || answer.reason.split('|').any(|word| word == reason))
            {
                return Err(format!(
                    "the record says {status} {reason:?} instead of {answer:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Sends the bytes in one go or one after the other. The gateway may answer and hang up before it has read everything.
async fn send(client: &mut Client, bytes: &[u8], passage: Passage) {
    if passage.is_split() {
        client.send_split(bytes).await;
    } else {
        let _ = client.try_send(bytes).await;
    }
}

async fn answers(case: &Case, client: &mut Client) -> Result<(), String> {
    for Answer {
        method,
        status,
        reason,
    } in case.answers
    {
        match client.response(method).await {
            Ok(response) if response.status == *status => {}
            Ok(response) => {
                return Err(format!("{} instead of {status} {reason}", response.status));
            }
            Err(broken) => return Err(format!("{broken:?} instead of {status} {reason}")),
        }
    }
    Ok(())
}

/// Sees how the connection goes on; says how many sentinels it has served.
async fn ending(end: End, client: &mut Client) -> Result<usize, String> {
    match end {
        End::Closed => {
            let rest = client.rest().await;
            if rest.is_empty() {
                return Ok(0);
            }
            Err(format!("more came: {:?}", String::from_utf8_lossy(&rest)))
        }
        End::ClientLeaves => Ok(0),
        End::Open | End::Either => match client.try_ask(Request::get(SENTINEL)).await {
            Ok(response) if (response.status, response.text()) == (200, "ok") => Ok(1),
            Err(Broken::Closed) if end == End::Either => Ok(0),
            other => Err(format!("the sentinel got {other:?}")),
        },
    }
}

/// What is different, if anything is.
fn differs(request: &RequestMessage, sent: &Sent) -> Option<String> {
    if (request.method.as_str(), request.target.as_str()) != (sent.method, sent.target) {
        return Some(format!("{} {}", request.method, request.target));
    }
    if request.body != sent.body {
        return Some(format!(
            "the body {:?}",
            String::from_utf8_lossy(&request.body)
        ));
    }
    for (name, value) in sent.has {
        if !request.fields.all(name).contains(value) {
            return Some(format!("{name} is {:?}", request.fields.all(name)));
        }
    }
    if let Some(name) = sent.lacks.iter().find(|name| request.fields.has(name)) {
        return Some(format!("it has {name}"));
    }
    let trailers: Vec<_> = request
        .trailers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()))
        .collect();
    let wanted: Vec<_> = sent
        .trailers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    (trailers != wanted).then(|| format!("the trailers {trailers:?}"))
}

/// What a task that panicked has said.
pub(super) fn panic_text(panic: tokio::task::JoinError) -> String {
    let panic = panic.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic")
        .to_owned()
}
