//! What RFC 9113 and RFC 7541 say about errors, section by section: bytes from a client, and what it must get. The
//! choice of cases is that of h2spec.

use super::http2_broken::connection_errors;
use super::http2_case::*;
use super::http2_streams::{stream_errors, well_formed};
use crate::harness::{Authority, Client, ClientTls, Gateway, Origin, RawH2, StreamEnd};

const CONFIG: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    max_streams = 10
    [[listener]]
    name = "secure"
    address = "127.0.0.1:0"
    tls = { certificates = [<site>] }
    max_streams = 10
    [[route]]
    name = "held"
    path = "/held"
    upstream = "app"
    [[route]]
    name = "all"
    respond = { body = "all" }
    [upstream.app]
    endpoints = ["<app>"]
"#;

/// Sends a case, at once or byte by byte, and tells what is wrong with what came of it.
async fn judge(case: &Case, mut client: Client, in_bytes: bool) -> Result<(), String> {
    if in_bytes {
        client.send_split(&case.bytes).await;
    } else {
        // Who has hung up has said why.
        let _ = client.try_send(&case.bytes).await;
    }
    let mut raw = RawH2::on(client);
    let wanted = match case.gets {
        Ended => {
            raw.until_closed().await;
            return Ok(());
        }
        Connection(codes) => {
            let end = raw.end_of(u32::MAX).await;
            raw.until_closed().await;
            return match end {
                StreamEnd::GoAway(code) if codes.contains(&code) => Ok(()),
                other => Err(format!("{other:?} and not one of {codes:?}")),
            };
        }
        Reset(stream, code) => Some((stream, StreamEnd::Reset(code))),
        Status(stream, status) => Some((stream, StreamEnd::Status(status))),
        Gets::Frame(kind, flags, payload) => {
            while let Some(next) = raw.next_frame().await {
                if (next.kind, next.flags, &*next.payload) == (kind, flags, payload) {
                    return goes_on(&mut raw).await;
                }
            }
            return Err("no such frame".to_owned());
        }
        Nothing => None,
    };
    if let Some((stream, wanted)) = wanted {
        let end = raw.end_of(stream).await;
        if end != wanted {
            return Err(format!("{end:?} and not {wanted:?}"));
        }
    }
    goes_on(&mut raw).await
}

/// Whether the next request on the connection is answered, and nothing has come before that but answers.
async fn goes_on(raw: &mut RawH2) -> Result<(), String> {
    raw.bytes(&get(101)).await;
    while let Some(next) = raw.next_frame().await {
        match (next.kind, next.stream) {
            (HEADERS, 101) => return Ok(()),
            // The rest of a request that was answered early is not wanted.
            (RST_STREAM, _) if next.payload == [0; 4] => {}
            (RST_STREAM | GOAWAY, _) => return Err(format!("then {next:?}")),
            _ => {}
        }
    }
    Err("then the end".to_owned())
}

async fn run(is_secure: bool, in_bytes: bool) {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let (origin, _gate) = Origin::gated("never").await;
    let gateway = Gateway::start(CONFIG, &[("site", &site), ("app", &origin)]).await;
    let tls = ClientTls::offering(&authority, "gateway.test", &[b"h2"]);
    let mut complaints = Vec::new();
    let cases = [well_formed(), connection_errors(), stream_errors()];
    for case in cases.into_iter().flatten() {
        let client = if is_secure {
            gateway.connect_tls("secure", &tls).await
        } else {
            gateway.connect().await
        };
        if let Err(complaint) = judge(&case, client, in_bytes).await {
            complaints.push(format!("{} {}: {complaint}", case.section, case.name));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn each_section_has_its_errors() {
    run(false, false).await;
}

#[tokio::test]
async fn each_section_has_its_errors_byte_by_byte() {
    run(false, true).await;
}

#[tokio::test]
async fn each_section_has_its_errors_over_tls() {
    run(true, false).await;
}

#[tokio::test]
async fn each_section_has_its_errors_over_tls_byte_by_byte() {
    run(true, true).await;
}
