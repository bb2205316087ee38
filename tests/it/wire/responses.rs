//! Wire rule 20: what an upstream may throw at the gateway.

use std::sync::Arc;

use tokio::sync::Notify;

use super::runner::panic_text;
use crate::harness::{Broken, Client, Connection, Gateway, RawOrigin, Request, ResponseMessage};

/// What a hostile upstream sends, and what the client must get of it.
struct Reply {
    name: &'static str,
    method: &'static str,
    bytes: &'static [u8],
    /// How the upstream goes on after these bytes.
    then: Then,
    client: Gets,
}

#[derive(Clone, Copy)]
enum Then {
    KeepsOpen,
    Closes,
    Resets,
}

#[derive(Clone, Copy)]
enum Gets {
    /// This status from the gateway, with this reason.
    Fault(u16, &'static str),
    /// A whole response with this status and body.
    Response(u16, &'static str),
    /// The beginning of a response, and then a close that cannot be taken for its end.
    Abort,
}

const fn reply(name: &'static str, bytes: &'static [u8], then: Then, client: Gets) -> Reply {
    Reply {
        name,
        method: "GET",
        bytes,
        then,
        client,
    }
}

const fn malformed(name: &'static str, bytes: &'static [u8]) -> Reply {
    reply(
        name,
        bytes,
        Then::KeepsOpen,
        Gets::Fault(502, "upstream_malformed"),
    )
}

const REPLIES: &[Reply] = &[
    // Framing that has two meanings.
    malformed("two different lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
    malformed("length and encoding",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    malformed("a length that is no number",
        b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc"),
    malformed("an unknown coding",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc"),
    malformed("chunked twice",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    // Heads outside the grammar.
    malformed("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    malformed("a status line of another protocol", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    malformed("another major version", b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n"),
    malformed("NUL in a value", b"HTTP/1.1 200 OK\r\nx: a\0b\r\nContent-Length: 0\r\n\r\n"),
    malformed("a bare carriage return in a value", b"HTTP/1.1 302 Found\r\nLocation: /a\rb\r\nContent-Length: 0\r\n\r\n"),
    malformed("a folded line", b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    malformed("bare line feeds", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    malformed("a space before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
    malformed("a line without a colon", b"HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 0\r\n\r\n"),
    malformed("a Connection that holds no options",
        b"HTTP/1.1 200 OK\r\nConnection: a b\r\nContent-Length: 0\r\n\r\n"),
    reply("an upgrade that nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        Then::KeepsOpen, Gets::Fault(502, "upstream_protocol")),
    // Ends.
    reply("nothing at all", b"", Then::Closes, Gets::Fault(502, "upstream_closed")),
    reply("a reset instead of an answer", b"", Then::Resets, Gets::Fault(502, "upstream_closed")),
    reply("half a head", b"HTTP/1.1 200 OK\r\nContent-", Then::Closes, Gets::Fault(502, "upstream_closed")),
    reply("an interim response and no final one", b"HTTP/1.1 103 Early Hints\r\n\r\n", Then::Closes,
        Gets::Fault(502, "upstream_closed")),
    reply("a body cut short", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Then::Closes, Gets::Abort),
    reply("a body cut short by a reset", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Then::Resets, Gets::Abort),
    reply("chunks without an end", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Then::Closes, Gets::Abort),
    reply("a malformed chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n", Then::KeepsOpen, Gets::Abort),
    reply("a chunk longer than its size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", Then::KeepsOpen, Gets::Abort),
    reply("a malformed trailer", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx\r\n\r\n", Then::KeepsOpen, Gets::Abort),
    reply("a body until the close", b"HTTP/1.1 200 OK\r\n\r\nabc", Then::Closes, Gets::Response(200, "abc")),
    reply("a body until the close in HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nabc", Then::Closes, Gets::Response(200, "abc")),
    reply("a reset in a body until the close", b"HTTP/1.1 200 OK\r\n\r\nabc", Then::Resets, Gets::Abort),
    // More than was announced: it belongs to nobody.
    reply("bytes after a body", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Then::KeepsOpen, Gets::Response(200, "abc")),
    reply("bytes after the last chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Then::KeepsOpen, Gets::Response(200, "abc")),
    reply("a body after 204", b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Then::KeepsOpen, Gets::Response(204, "")),
    reply("a length with 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", Then::Closes, Gets::Response(304, "")),
    Reply { name: "a body for HEAD", method: "HEAD",
        bytes: b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", then: Then::KeepsOpen, client: Gets::Response(200, "") },
];

const CONFIG: &str = r#"
    [server]
    workers = 1

    [[route]]
    name = "all"
    upstream = "origin"

    [upstream.origin]
    endpoints = ["<origin>"]
"#;

#[tokio::test]
async fn case_20_a_hostile_upstream_cannot_deceive_a_client() {
    let mut complaints = Vec::new();
    for reply in REPLIES {
        for split in [false, true] {
            // A task of its own, so that a wait in vain is one complaint among the others.
            let complaint = match tokio::spawn(judge(reply, split)).await {
                Ok(verdict) => verdict.err(),
                Err(panic) => Some(panic_text(panic)),
            };
            if let Some(complaint) = complaint {
                complaints.push(format!("{} (split: {split}): {complaint}", reply.name));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

async fn judge(reply: &'static Reply, split: bool) -> Result<(), String> {
    // The first connection is hostile; later ones show who gets what.
    let begun = Arc::new(Notify::new());
    let may_reset = Arc::clone(&begun);
    let origin = RawOrigin::start(move |index, connection| {
        let may_reset = Arc::clone(&may_reset);
        async move {
            if index == 0 {
                hostile(reply, split, connection, &may_reset).await;
            } else {
                friendly(connection).await;
            }
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
    let mut client = gateway.connect().await;
    let request = Request::new(reply.method, "/first");
    let got = match (reply.then, reply.client) {
        (Then::Resets, Gets::Abort) => ask(&mut client, request, &begun).await,
        _ => client.try_ask(request).await,
    };
    match (reply.client, got) {
        (Gets::Fault(status, _), Ok(response)) if response.status == status => {}
        (Gets::Response(status, body), Ok(response))
            if (response.status, response.text()) == (status, body) => {}
        (Gets::Abort, Err(Broken::Truncated(_) | Broken::Closed)) => {}
        (_, got) => return Err(format!("the client got {got:?}")),
    }
    let next = gateway.get("/second").await;
    if (next.status, next.text()) != (200, "friendly") {
        return Err(format!("the next client got {next:?}"));
    }
    if let Gets::Fault(status, reason) = reply.client {
        let record = &gateway.records(1).await[0];
        if record.text("status") != status.to_string() || reason != record.text("reason") {
            return Err(format!("the record is {record:?}"));
        }
    }
    Ok(())
}

/// Asks, and tells when the response has begun.
async fn ask(
    client: &mut Client,
    request: Request,
    begun: &Notify,
) -> Result<ResponseMessage, Broken> {
    client.send(&request.bytes()).await;
    let (mut response, length) = client.response_head("GET").await?;
    begun.notify_one();
    (response.body, response.trailers) = client.body(length).await?;
    Ok(response)
}

async fn hostile(reply: &Reply, split: bool, mut connection: Connection, begun: &Notify) {
    if connection.request().await.is_err() {
        return;
    }
    if split {
        connection.send_split(reply.bytes).await;
    } else {
        let _ = connection.try_send(reply.bytes).await;
    }
    match reply.then {
        Then::KeepsOpen => friendly(connection).await,
        Then::Closes => drop(connection),
        Then::Resets => {
            // A reset destroys what is still on the way: whether a response has begun must be known before.
            if matches!(reply.client, Gets::Abort) {
                begun.notified().await;
            }
            connection.reset();
        }
    }
}

async fn friendly(mut connection: Connection) {
    while connection.request().await.is_ok() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfriendly";
        if connection.try_send(answer).await.is_err() {
            return;
        }
    }
}

/// Interim responses and heads that never end use up no memory and no patience.
#[tokio::test]
async fn case_20_floods_before_the_response_are_cut_off() {
    for part in [
        &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        b"x-field: 0123456789\r\n",
    ] {
        let origin = RawOrigin::start(move |_, mut connection| async move {
            if connection.request().await.is_err() {
                return;
            }
            if part.starts_with(b"x-") {
                connection.send(b"HTTP/1.1 200 OK\r\n").await;
            }
            // Until the gateway has had enough.
            while connection.try_send(&part.repeat(100)).await.is_ok() {}
        })
        .await;
        let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
        let mut client = gateway.connect().await;
        client.send(&Request::get("/").bytes()).await;
        let response = client.response("GET").await.expect("a response");
        assert_eq!(response.status, 502);
        let record = &gateway.records(1).await[0];
        let word = if part.starts_with(b"x-") {
            "upstream_malformed"
        } else {
            "upstream_protocol"
        };
        assert_eq!(record.text("reason"), word);
    }
}
