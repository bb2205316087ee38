//! Sticky sessions: a cookie keeps a client at its endpoint.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::harness::{
    Authority, Client, ClientTls, EchoClient, EchoOrigin, Gateway, H2Client, Origin, Request,
    ResponseMessage, Text, Value, WebSocketOrigin, h2_request, within,
};

const SECRET: &str = "a secret that only the tests know";

const CONFIG: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = [<endpoints>]
    sticky = { cookie = "at", secret = "${env:STICKY_SECRET}"<more> }
    "#;

/// A gateway with these endpoints, written as a list, and more keys for `sticky`.
async fn sticky(endpoints: &[&Origin], more: &str) -> Gateway {
    let list = list(endpoints);
    start(CONFIG, &[("endpoints", &list), ("more", &more)]).await
}

async fn start(text: &str, values: &[(&str, &dyn Value)]) -> Gateway {
    Gateway::start_with(text, values, |command| {
        command.env("STICKY_SECRET", SECRET);
    })
    .await
}

fn list(endpoints: &[&Origin]) -> String {
    let quoted: Vec<String> = endpoints.iter().map(|one| format!("\"{one}\"")).collect();
    quoted.join(", ")
}

/// The cookie that a response sets, without its attributes.
fn cookie_of(response: &ResponseMessage) -> String {
    let line = response.fields.get("set-cookie").expect("a cookie");
    line.split(';').next().unwrap_or_default().to_owned()
}

/// A request in the session of that cookie.
fn with(cookie: &str) -> Request {
    Request::get("/").header("cookie", &format!("a=1; {cookie}; b=2"))
}

async fn three() -> [Origin; 3] {
    [
        Origin::answering("a").await,
        Origin::answering("b").await,
        Origin::answering("c").await,
    ]
}

#[tokio::test]
async fn a_cookie_keeps_a_client_at_its_endpoint() {
    let [a, b, c] = three().await;
    let gateway = sticky(&[&a, &b, &c], "").await;
    let mut client = gateway.connect().await;
    let mut names = BTreeSet::new();
    for _ in 0..3 {
        let first = client.ask(Request::get("/")).await;
        let cookie = cookie_of(&first);
        names.insert(first.text().to_owned());
        for _ in 0..4 {
            let next = client.ask(with(&cookie)).await;
            assert_eq!(next.text(), first.text());
            // It is right already.
            assert!(!next.fields.has("set-cookie"));
        }
    }
    // Who has no session yet goes where the policy says.
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn a_cookie_says_nothing_of_the_endpoint_and_cannot_be_made_up() {
    let [a, b, c] = three().await;
    let gateway = sticky(&[&a, &b, &c], "").await;
    let first = gateway.get("/").await;
    let cookie = cookie_of(&first);
    let value = cookie.strip_prefix("at=").expect("its name");
    assert_eq!(value.len(), 64);
    assert!(value.bytes().all(|byte| byte.is_ascii_hexdigit()));
    for origin in [&a, &b, &c] {
        let address = origin.address();
        let port = address.port();
        for trace in [format!("{port:04x}"), port.to_string(), "7f000001".into()] {
            // Four digits may come up by chance; the address as a whole may not.
            assert!(!value.contains(&format!("7f000001{trace}")), "{trace}");
            assert!(!value.starts_with(&trace), "{trace}");
        }
    }
    let mut forged = cookie.clone();
    let last = if cookie.ends_with('0') { '1' } else { '0' };
    forged.pop();
    forged.push(last);
    for wrong in [forged.as_str(), "at=", "at=127.0.0.1:80", "AT=x"] {
        let answer = gateway.send(with(wrong)).await;
        assert_eq!(answer.status, 200);
        assert_ne!(cookie_of(&answer), wrong);
    }
    // Another secret makes other cookies.
    let list = list(&[&a, &b, &c]);
    let values: [(&str, &dyn Value); 2] = [("endpoints", &list), ("more", &"")];
    let other = Gateway::start_with(CONFIG, &values, |command| {
        command.env("STICKY_SECRET", "another secret of enough bytes");
    })
    .await;
    assert!(other.send(with(&cookie)).await.fields.has("set-cookie"));
    // The same secret understands them, in whatever process.
    let twin = sticky(&[&c, &b, &a], "").await;
    let answer = twin.send(with(&cookie)).await;
    assert_eq!(answer.text(), first.text());
    assert!(!answer.fields.has("set-cookie"));
}

#[tokio::test]
async fn a_session_is_given_up_when_its_endpoint_cannot_serve() {
    let [a, b, c] = three().await;
    let gateway = sticky(&[&a, &b, &c], "").await;
    let origins = [&a, &b, &c];
    let named = |name: &str| ["a", "b", "c"].iter().position(|other| *other == name);

    // Draining: the session moves and stays where it is then.
    let first = gateway.get("/").await;
    let cookie = cookie_of(&first);
    let at = named(first.text()).expect("an origin");
    let form = |state: &str| {
        let body = format!("upstream=app&endpoint={}&state={state}", origins[at]);
        Request::post("/endpoints", body)
    };
    assert_eq!(gateway.ask_admin(form("draining")).await.status, 200);
    let moved = gateway.send(with(&cookie)).await;
    assert_ne!(moved.text(), first.text());
    let cookie = cookie_of(&moved);
    assert_eq!(gateway.ask_admin(form("enabled")).await.status, 200);
    let stayed = gateway.send(with(&cookie)).await;
    assert_eq!(stayed.text(), moved.text());
    assert!(!stayed.fields.has("set-cookie"));

    // Out of reach: the same request is answered by another one, which keeps the session.
    let at = named(moved.text()).expect("an origin");
    let mut left: Vec<Origin> = vec![a, b, c];
    left.remove(at).stop().await;
    let again = gateway.send(with(&cookie)).await;
    assert_eq!(again.status, 200);
    assert_ne!(again.text(), moved.text());
    let cookie = cookie_of(&again);
    assert_eq!(gateway.send(with(&cookie)).await.text(), again.text());
    gateway.records(5).await;
    assert_eq!(sessions(&gateway).await, [1, 2, 2, 0]);

    // Gone: another configuration knows only one.
    let list = list(&[&left[0]]);
    gateway
        .reload(CONFIG, &[("endpoints", &list), ("more", &"")])
        .await;
    let last = gateway.send(with(&cookie)).await;
    assert_eq!(last.status, 200);
    let is_other = last.text() != again.text();
    assert_eq!(last.fields.has("set-cookie"), is_other);
}

#[tokio::test]
async fn a_session_comes_back_to_an_endpoint_that_was_only_full() {
    let (own, gate) = Origin::gated("own").await;
    let other = Origin::answering("other").await;
    let text = CONFIG.replace("sticky", "limits = { endpoint_requests = 1 }\n    sticky");
    let list = list(&[&own, &other]);
    let gateway = start(&text, &[("endpoints", &list), ("more", &"")]).await;
    gate.release(1);
    let first = gateway.get("/").await;
    assert_eq!(first.text(), "own");
    let cookie = cookie_of(&first);
    // With its record a request has left its place.
    gateway.records(1).await;
    let mut busy = gateway.connect().await;
    busy.send(&with(&cookie).bytes()).await;
    gate.reached(2).await;
    let guest = gateway.send(with(&cookie)).await;
    assert_eq!(guest.text(), "other");
    assert!(!guest.fields.has("set-cookie"));
    gate.open();
    busy.response("GET").await.expect("an answer");
    gateway.records(3).await;
    let back = gateway.send(with(&cookie)).await;
    assert_eq!(back.text(), "own");
    assert!(!back.fields.has("set-cookie"));
    gateway.records(4).await;
    assert_eq!(sessions(&gateway).await, [1, 2, 0, 1]);
}

/// How many sessions were new, were kept, moved, and were guests elsewhere. Each is counted before its record is written.
async fn sessions(gateway: &Gateway) -> [usize; 4] {
    let metrics = gateway.metrics().await;
    ["new", "kept", "moved", "guest"].map(|session| {
        let labels = [("upstream", "app"), ("session", session)];
        metrics.sum("portcullis_sticky_requests_total", &labels) as usize
    })
}

#[tokio::test]
async fn sessions_survive_reloads_and_new_endpoints() {
    let [a, b, c] = three().await;
    let gateway = sticky(&[&a, &b], "").await;
    let mut client = gateway.connect().await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let first = client.ask(Request::get("/")).await;
        sessions.push((cookie_of(&first), first.text().to_owned()));
    }
    let list = list(&[&c, &b, &a]);
    let more = ", ttl = \"1h\"";
    gateway
        .reload(CONFIG, &[("endpoints", &list), ("more", &more)])
        .await;
    for (cookie, name) in sessions {
        let response = client.ask(with(&cookie)).await;
        assert_eq!(response.text(), name);
        // From now on sessions have an end, and this cookie has none.
        assert_eq!(client.ask(with(&cookie_of(&response))).await.text(), name);
    }
}

#[tokio::test]
async fn the_cookie_has_the_attributes_that_are_configured() {
    let origin = Origin::answering("a").await;
    for (more, attributes) in [
        ("", "; Path=/; HttpOnly; SameSite=Lax"),
        (
            ", path = \"/shop\", domain = \"gateway.test\", same_site = \"strict\", ttl = \"90m\"",
            "; Path=/shop; Domain=gateway.test; HttpOnly; SameSite=Strict; Max-Age=5400",
        ),
        (
            ", same_site = \"none\"",
            "; Path=/; HttpOnly; SameSite=None; Secure",
        ),
        (
            ", secure = true",
            "; Path=/; HttpOnly; SameSite=Lax; Secure",
        ),
    ] {
        let gateway = sticky(&[&origin], more).await;
        let response = gateway.get("/").await;
        let line = response.fields.get("set-cookie").expect("a cookie");
        let (value, rest) = line.split_at("at=".len() + 64);
        assert!(value.starts_with("at="), "{line}");
        assert_eq!(rest, attributes, "{more}");
    }
}

#[tokio::test]
async fn over_tls_the_cookie_is_for_tls_alone() {
    let origin = Origin::answering("a").await;
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let listener = "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
                    tls = { certificates = [<site>] }\n";
    let text = format!("{listener}{CONFIG}");
    for (more, is_secure) in [("", true), (", secure = false", false)] {
        let list = list(&[&origin]);
        let gateway = start(
            &text,
            &[("endpoints", &list), ("more", &more), ("site", &site)],
        )
        .await;
        let tls = ClientTls::new(&authority, "gateway.test");
        let mut client = gateway.connect_tls("secure", &tls).await;
        let response = client.ask(Request::get("/")).await;
        let line = response.fields.get("set-cookie").expect("a cookie");
        assert_eq!(line.ends_with("; Secure"), is_secure, "{line}");
    }
}

#[tokio::test]
async fn a_session_that_is_used_is_prolonged_before_it_ends() {
    let [a, b, c] = three().await;
    let gateway = sticky(&[&a, &b, &c], ", ttl = \"2s\"").await;
    let mut client = gateway.connect().await;
    let first = client.ask(Request::get("/")).await;
    let cookie = cookie_of(&first);
    let renewed = within("the second half of the session", async {
        loop {
            let response = client.ask(with(&cookie)).await;
            if response.fields.has("set-cookie") {
                break response;
            }
            assert_eq!(response.text(), first.text());
        }
    })
    .await;
    assert_ne!(cookie_of(&renewed), cookie);
    // A cookie that is too old is no session any more: the turn of another endpoint comes.
    within("the end of the session", async {
        while client.ask(with(&cookie)).await.text() == first.text() {}
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_the_gateway_itself_sets_no_cookie() {
    let gateway = sticky(&[], "").await;
    let refused = gateway.get("/").await;
    assert_eq!(refused.status, 503);
    assert!(!refused.fields.has("set-cookie"));
}

#[tokio::test]
async fn the_secret_is_shown_nowhere() {
    let origin = Origin::answering("a").await;
    let gateway = sticky(&[&origin], "").await;
    gateway.get("/").await;
    for page in ["/config", "/upstreams"] {
        let shown = gateway.ask_admin(Request::get(page)).await;
        assert!(!shown.text().contains(SECRET), "{page}");
    }
    let config = gateway.ask_admin(Request::get("/config")).await;
    assert!(config.text().contains("${env:STICKY_SECRET}"));
    assert!(!gateway.log().text().contains(SECRET));
}

/// The endpoints of the records, from the first one.
async fn endpoints(gateway: &Gateway, count: usize) -> Vec<String> {
    let records = gateway.records(count).await;
    records
        .iter()
        .map(|record| record.text("endpoint").to_owned())
        .collect()
}

#[tokio::test]
async fn http2_clients_have_sessions() {
    let [a, b, c] = three().await;
    let gateway = sticky(&[&a, &b, &c], "").await;
    let client = H2Client::connect(gateway.web().await).await;
    let first = client.get("/").await;
    let line = first.fields.get("set-cookie").expect("a cookie");
    let cookie = line.split(';').next().expect("a value").to_owned();
    for _ in 0..4 {
        // HTTP/2 may send each cookie as a field of its own (RFC 9113 section 8.2.3).
        let request = h2_request("GET", "/")
            .header("cookie", "a=1")
            .header("cookie", &cookie);
        let next = client
            .ask(request.body(Bytes::new()).expect("a request"))
            .await;
        assert!(!next.fields.has("set-cookie"));
        assert_eq!(next.body, first.body);
    }
}

#[tokio::test]
async fn grpc_clients_have_sessions() {
    let (a, b) = (EchoOrigin::start().await, EchoOrigin::start().await);
    let text = CONFIG
        .replace("<more>", "")
        .replace("sticky", "protocol = \"h2c\"\nsticky");
    let list = format!("\"{a}\", \"{b}\"");
    let gateway = start(&text, &[("endpoints", &list)]).await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let first = client.unary(tonic::Request::new(Text::new("hello"))).await;
    let first = first.expect("an answer");
    let cookie = first.metadata().get("set-cookie").expect("a cookie");
    let value = cookie.to_str().expect("text").split(';').next();
    let value = value.expect("a value").to_owned();
    for _ in 0..4 {
        let mut request = tonic::Request::new(Text::new("hello"));
        let value = value.parse().expect("a value");
        request.metadata_mut().insert("cookie", value);
        client.unary(request).await.expect("an answer");
    }
    let endpoints = endpoints(&gateway, 5).await;
    assert!(
        endpoints.iter().all(|one| *one == endpoints[0]),
        "{endpoints:?}"
    );
}

#[tokio::test]
async fn websockets_have_sessions() {
    let (a, b) = (
        WebSocketOrigin::start().await,
        WebSocketOrigin::start().await,
    );
    let text = CONFIG.replace("<more>", "");
    let list = format!("\"{a}\", \"{b}\"");
    let gateway = start(&text, &[("endpoints", &list)]).await;
    let handshake = || {
        Request::get("/chat")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let open = async |request: Request| {
        let mut client = gateway.connect().await;
        let answer = client.ask(request).await;
        assert_eq!(answer.status, 101);
        (client, answer)
    };
    let (client, first) = open(handshake()).await;
    let cookie = cookie_of(&first);
    drop(client);
    for _ in 0..4 {
        let (client, next) = open(handshake().header("cookie", &cookie)).await;
        assert!(!next.fields.has("set-cookie"));
        drop(client);
    }
    let endpoints = endpoints(&gateway, 5).await;
    assert!(
        endpoints.iter().all(|one| *one == endpoints[0]),
        "{endpoints:?}"
    );
}

const SPLIT: &str = r#"
    [[route]]
    name = "all"
    split = [
      { upstream = "app", subset = { version = "1" } },
      { upstream = "app", subset = { version = "2" } },
      { upstream = "next" },
    ]
    [upstream.app]
    endpoints = [
      { address = "<a>", labels = { version = "1" } },
      { address = "<b>", labels = { version = "2" } },
    ]
    subset = { label = "version" }
    sticky = { cookie = "at", secret = "${env:STICKY_SECRET}" }
    [upstream.next]
    endpoints = ["<c>"]
    sticky = { cookie = "next", secret = "${env:STICKY_SECRET}" }
    "#;

#[tokio::test]
async fn a_session_stays_in_its_share_of_a_split() {
    let [a, b, c] = three().await;
    let gateway = start(SPLIT, &[("a", &a), ("b", &b), ("c", &c)]).await;
    let mut client = gateway.connect().await;
    let mut names = BTreeSet::new();
    // So many clients do not all get one share: the odds are one to a billion.
    for _ in 0..60 {
        let first = client.ask(Request::get("/")).await;
        let cookie = cookie_of(&first);
        names.insert(first.text().to_owned());
        for _ in 0..3 {
            let next = client.ask(with(&cookie)).await;
            assert_eq!(next.text(), first.text());
            assert!(!next.fields.has("set-cookie"));
        }
    }
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn sessions_stay_while_the_configuration_changes_under_load() {
    let [a, b, c] = three().await;
    let d = Origin::answering("d").await;
    let gateway = sticky(&[&a, &b, &c], "").await;
    let web = gateway.web().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = tokio::task::JoinSet::new();
    let mut counts = Vec::new();
    for _ in 0..6 {
        let stopped = stopped.clone();
        let (count, counted) = tokio::sync::watch::channel(0_usize);
        counts.push(counted);
        clients.spawn(async move {
            let mut client = Client::connect(web).await;
            let first = client.ask(Request::get("/")).await;
            let cookie = cookie_of(&first);
            while !*stopped.borrow() {
                let next = client.ask(with(&cookie)).await;
                assert_eq!(next.status, 200);
                assert_eq!(next.text(), first.text());
                assert!(!next.fields.has("set-cookie"));
                count.send_modify(|count| *count += 1);
            }
        });
    }
    for endpoints in [[&d, &a, &b, &c], [&c, &b, &a, &d], [&a, &d, &c, &b]] {
        let list = list(&endpoints);
        gateway
            .reload(CONFIG, &[("endpoints", &list), ("more", &"")])
            .await;
        // Each reload is followed by a request of every client that was sent after it: the second one that is answered.
        for counted in &mut counts {
            let so_far = *counted.borrow();
            let seen = counted.wait_for(|count| *count >= so_far + 2);
            within("requests of each client", seen)
                .await
                .expect("a client");
        }
    }
    stop.send_replace(true);
    clients.join_all().await;
}
