//! What each client address may use, and how many requests are served at once.

use crate::harness::{Broken, Client, Gateway, Origin, Request, ResponseMessage, within};

/// A listener with these keys.
fn listener(keys: &str) -> String {
    format!(
        "[server]\nworkers = 2\ntrusted_proxies = [\"127.0.0.9\"]\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{keys}\n\
         [[route]]\nname = \"all\"\nrespond = {{ body = \"hello\" }}\n"
    )
}

fn is_refused(answer: &Result<ResponseMessage, Broken>) -> bool {
    matches!(answer, Err(Broken::Closed | Broken::Truncated(_)))
}

/// Waits until so many connections are counted as refused for that reason.
async fn until_refused(gateway: &Gateway, reason: &str, count: usize) {
    let labels = [("listener", "web"), ("reason", reason)];
    let name = "portcullis_connections_refused_total";
    gateway.metric_is(name, &labels, count).await;
}

#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let gateway = Gateway::start(&listener("per_client = { max_connections = 2 }"), &[]).await;
    let address = gateway.web().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = gateway.connect().await;
        assert_eq!(client.ask(Request::get("/")).await.status, 200);
        held.push(client);
    }
    let answer = gateway.connect().await.try_ask(Request::get("/")).await;
    assert!(is_refused(&answer), "{answer:?}");
    until_refused(&gateway, "client_full", 1).await;
    // Others do not notice, and a proxy that is trusted stands for many clients.
    let mut other = Client::connect_from("127.0.0.2", address).await;
    assert_eq!(other.ask(Request::get("/")).await.status, 200);
    let mut through_proxy = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect_from("127.0.0.9", address).await;
        assert_eq!(client.ask(Request::get("/")).await.status, 200);
        through_proxy.push(client);
    }
    // A place that becomes free is given away again.
    drop(held.pop());
    within("a free place", async {
        loop {
            let mut next = gateway.connect().await;
            if next.try_ask(Request::get("/")).await.is_ok() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn one_client_cannot_connect_as_fast_as_it_likes() {
    let text = listener("per_client = { connection_rate = \"3/h\" }");
    let gateway = Gateway::start(&text, &[]).await;
    let address = gateway.web().await;
    for number in 0..5 {
        let answer = gateway.connect().await.try_ask(Request::get("/")).await;
        assert_eq!(is_refused(&answer), number >= 3, "{number}: {answer:?}");
    }
    until_refused(&gateway, "client_rate", 2).await;
    let mut other = Client::connect_from("127.0.0.2", address).await;
    assert_eq!(other.ask(Request::get("/")).await.status, 200);
    // A reload does not make anybody forget.
    gateway.reload(&(text + "headers = {}\n"), &[]).await;
    let answer = gateway.connect().await.try_ask(Request::get("/")).await;
    assert!(is_refused(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_client_is_who_a_proxy_header_says_and_an_ipv6_client_is_its_prefix() {
    let text = |prefix: u8| {
        listener(&format!(
            "proxy_protocol = [\"127.0.0.0/8\"]\n\
             per_client = {{ max_connections = 1, ipv6_prefix = {prefix} }}"
        ))
    };
    let gateway = Gateway::start(&text(64), &[]).await;
    let visit = async |source: &str| {
        let family = if source.contains(':') { "TCP6" } else { "TCP4" };
        let target = if source.contains(':') {
            "::1"
        } else {
            "127.0.0.1"
        };
        let mut client = gateway.connect().await;
        let header = format!("PROXY {family} {source} {target} 4000 80\r\n");
        client.send(header.as_bytes()).await;
        let answer = client.try_ask(Request::get("/")).await;
        (client, is_refused(&answer))
    };
    let (_first, first) = visit("192.0.2.1").await;
    let (_again, again) = visit("192.0.2.1").await;
    let (_other, other) = visit("192.0.2.2").await;
    assert_eq!([first, again, other], [false, true, false]);

    let (_first, first) = visit("2001:db8:1:2::1").await;
    let (_near, near) = visit("2001:db8:1:2:3::1").await;
    let (_far, far) = visit("2001:db8:1:3::1").await;
    assert_eq!([first, near, far], [false, true, false]);

    gateway.reload(&text(128), &[]).await;
    let (_near, near) = visit("2001:db8:1:2:3::1").await;
    assert!(!near, "another address is another client now");
}

/// Two listeners whose requests wait at an origin; with these keys for the process and for the listener `web`.
fn gated(server: &str, web: &str) -> String {
    format!(
        "[server]\nworkers = 2\n{server}\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{web}\n\
         [[listener]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [\"<app>\"]\n"
    )
}

/// What a third request gets, and one to the other listener, which finds the gateway full too or does not.
async fn ask_while_two_are_served(
    text: &str,
    full_everywhere: bool,
) -> (ResponseMessage, ResponseMessage) {
    let (origin, gate) = Origin::gated("ok").await;
    let gateway = Gateway::start(text, &[("app", &origin)]).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = gateway.connect().await;
        client.send(&Request::get("/").bytes()).await;
        waiting.push(client);
    }
    gate.reached(2).await;
    let mut third = gateway.connect().await;
    let refused = third.ask(Request::get("/")).await;
    let mut other = Client::connect(gateway.address("other").await).await;
    other.send(&Request::get("/").bytes()).await;
    // The admin address is not counted: it stays alive when everything else is full.
    let health = gateway.ask_admin(Request::get("/healthz")).await;
    assert_eq!(health.status, 200);
    // There is no room before it has been decided on.
    let refused_too = if full_everywhere {
        Some(other.response("GET").await.expect("an answer"))
    } else {
        gate.reached(3).await;
        None
    };
    gate.open();
    for client in &mut waiting {
        assert_eq!(client.response("GET").await.expect("an answer").status, 200);
    }
    let other = match refused_too {
        Some(response) => response,
        None => other.response("GET").await.expect("an answer"),
    };
    // The connection of the refused one goes on, and there is room again.
    assert_eq!(third.ask(Request::get("/")).await.status, 200);
    let records = gateway.records(5).await;
    let full = records
        .iter()
        .filter(|r| r.text("reason") == "requests_full");
    let expected = 1 + usize::from(other.status == 503);
    assert_eq!(full.count(), expected);
    (refused, other)
}

#[tokio::test]
async fn a_listener_serves_so_many_requests_at_once() {
    let text = gated("", "max_concurrent_requests = 2");
    let (refused, other) = ask_while_two_are_served(&text, false).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn all_listeners_together_serve_so_many_requests_at_once() {
    let text = gated("max_concurrent_requests = 2", "");
    let (refused, other) = ask_while_two_are_served(&text, true).await;
    assert_eq!((refused.status, other.status), (503, 503));
}
