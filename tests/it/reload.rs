//! Reloads: all or nothing, by whatever way they are asked for, and nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_stream::StreamExt;

use crate::harness::{
    Authority, Client, ClientTls, EchoClient, EchoOrigin, Gateway, H2Client, Origin, Request, Text,
    WebSocketOrigin, ok, websocket, within,
};

/// A gateway that answers with this text.
fn says(text: &str) -> String {
    format!("[[route]]\nname = \"all\"\nrespond = {{ body = \"{text}\" }}\n")
}

#[tokio::test]
async fn a_saved_file_is_loaded() {
    let gateway = Gateway::start(&says("old"), &[]).await;
    assert_eq!(gateway.get("/").await.text(), "old");
    gateway.edit(&says("new"), &[]);
    gateway
        .until("the new configuration", async || {
            gateway.get("/").await.text() == "new"
        })
        .await;
    gateway
        .metric_is("portcullis_config_generation", &[], 2)
        .await;
}

#[tokio::test]
async fn a_file_written_in_place_is_loaded() {
    let gateway = Gateway::start(&says("old"), &[]).await;
    let text = std::fs::read_to_string(gateway.config_path()).expect("the configuration");
    std::fs::write(gateway.config_path(), text.replace("old", "new")).expect("a write");
    gateway
        .until("the new configuration", async || {
            gateway.get("/").await.text() == "new"
        })
        .await;
}

#[tokio::test]
async fn an_included_file_is_loaded() {
    let gateway = Gateway::start(
        "[[route]]\nname = \"own\"\npath = \"/own\"\nrespond = { body = \"own\" }\n",
        &[],
    )
    .await;
    let routes = gateway.directory().join("routes");
    std::fs::create_dir(&routes).expect("a directory");
    let included = routes.join("one.toml");
    std::fs::write(&included, says("old")).expect("a file");
    gateway
        .reload(
            "include = [\"routes/*.toml\"]\n[[route]]\nname = \"own\"\npath = \"/own\"\nrespond = { body = \"own\" }\n",
            &[],
        )
        .await;
    assert_eq!(gateway.get("/").await.text(), "old");
    let new = routes.join("one.toml.new");
    std::fs::write(&new, says("new")).expect("a file");
    std::fs::rename(&new, &included).expect("a rename");
    gateway
        .until("the new configuration", async || {
            gateway.get("/").await.text() == "new"
        })
        .await;
}

#[tokio::test]
async fn sighup_loads() {
    let gateway = Gateway::start(&says("old"), &[]).await;
    gateway.edit(&says("new"), &[]);
    gateway.signal("HUP").await;
    gateway
        .until("the new configuration", async || {
            gateway.get("/").await.text() == "new"
        })
        .await;
}

#[tokio::test]
async fn post_reload_answers_when_the_new_configuration_serves() {
    let gateway = Gateway::start(&says("old"), &[]).await;
    let mut kept = gateway.connect().await;
    assert_eq!(kept.ask(Request::get("/")).await.text(), "old");
    for number in 0..20 {
        let text = format!("number {number}");
        gateway.reload(&says(&text), &[]).await;
        // Over a new connection and over one that was open before.
        assert_eq!(gateway.get("/").await.text(), text);
        assert_eq!(kept.ask(Request::get("/")).await.text(), text);
    }
}

#[tokio::test]
async fn case_82_a_wrong_configuration_leaves_the_old_one_serving() {
    let gateway = Gateway::start(&says("old"), &[]).await;
    for wrong in [
        "this is no TOML",
        "[[route]]\nname = \"all\"\nupstream = \"nobody\"\n",
        "[[route]]\nname = \"all\"\nrespond = { body = \"x\" }\nextra = 1\n",
        "[[listener]]\nname = \"s\"\naddress = \"127.0.0.1:0\"\ntls = { certificates = [{ certificate = \"missing.pem\", key = \"missing.key\" }] }\n",
    ] {
        gateway.edit(wrong, &[]);
        let response = gateway.post_reload().await;
        assert!(
            (400..500).contains(&response.status),
            "{wrong}: {}",
            response.status
        );
        assert_eq!(gateway.get("/").await.text(), "old", "{wrong}");
    }
    let metrics = gateway.metrics().await;
    let failures = metrics.sum("portcullis_config_reloads_total", &[("result", "failure")]);
    assert!(failures >= 4.0, "{failures}");
    assert!(
        metrics
            .sum("portcullis_config_last_reload_success", &[])
            .abs()
            < 0.1
    );
    assert!((metrics.sum("portcullis_config_generation", &[]) - 1.0).abs() < 0.1);
    gateway
        .log()
        .wait("the diagnostics", |line| {
            line.text().contains("nobody").then_some(())
        })
        .await;
    // And a right one after it is loaded as ever.
    gateway.reload(&says("new"), &[]).await;
    assert_eq!(gateway.get("/").await.text(), "new");
    let success = "portcullis_config_last_reload_success";
    gateway.metric_is(success, &[], 1).await;
}

#[tokio::test]
async fn case_82_a_port_in_use_refuses_the_whole_reload() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = taken.local_addr().expect("an address");
    let gateway = Gateway::start(&says("old"), &[]).await;
    gateway.edit(
        &format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
             [[listener]]\nname = \"taken\"\naddress = \"{address}\"\n{}",
            says("new")
        ),
        &[],
    );
    let response = gateway.post_reload().await;
    assert!((400..600).contains(&response.status), "{}", response.status);
    assert!(response.text().contains("taken"), "{}", response.text());
    assert_eq!(gateway.get("/").await.text(), "old");
}

const WEB: &str =
    "[server]\nworkers = 2\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n";

#[tokio::test]
async fn listeners_are_added_and_removed_while_the_others_serve() {
    let gateway = Gateway::start(&format!("{WEB}{}", says("hello")), &[]).await;
    let mut kept = gateway.connect().await;
    assert_eq!(kept.ask(Request::get("/")).await.text(), "hello");

    let second = "[[listener]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\n";
    gateway
        .reload(&format!("{WEB}{second}{}", says("hello")), &[])
        .await;
    let address = gateway.address("second").await;
    let mut client = Client::connect(address).await;
    assert_eq!(client.ask(Request::get("/")).await.text(), "hello");

    gateway
        .reload(&format!("{WEB}{}", says("hello")), &[])
        .await;
    // Nobody new is accepted there, and whoever is idle there is let go.
    let refused = within("the end of the listener", async {
        loop {
            match tokio::net::TcpStream::connect(address).await {
                Err(error) => break error,
                Ok(stream) => Client::over(stream).rest().await,
            };
        }
    })
    .await;
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    client.closed().await;
    assert_eq!(kept.ask(Request::get("/")).await.text(), "hello");
}

#[tokio::test]
async fn a_listener_changes_its_limits_without_closing() {
    let limited = |fields: usize| format!("{WEB}max_fields = {fields}\n{}", says("hello"));
    let request = || {
        (0..20).fold(Request::get("/"), |request, number| {
            request.header(&format!("x-{number}"), "y")
        })
    };
    let gateway = Gateway::start(&limited(100), &[]).await;
    let address = gateway.web().await;
    assert_eq!(gateway.send(request()).await.status, 200);
    gateway.reload(&limited(10), &[]).await;
    assert_eq!(gateway.web().await, address);
    assert_eq!(gateway.send(request()).await.status, 431);
}

#[tokio::test]
async fn a_listener_moves_to_another_address() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let gateway = Gateway::start(&format!("{WEB}{}", says("hello")), &[]).await;
    gateway
        .reload(
            &format!(
                "[server]\nworkers = 2\n[[listener]]\nname = \"web\"\naddress = \"{address}\"\n{}",
                says("moved")
            ),
            &[],
        )
        .await;
    let mut client = Client::connect(address).await;
    assert_eq!(client.ask(Request::get("/")).await.text(), "moved");
}

#[tokio::test]
async fn case_61_an_exchange_keeps_the_world_it_began_in() {
    let (origin, gate) = Origin::gated("late").await;
    let routes = |mark: &str| {
        format!(
            "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
             filters = [{{ kind = \"response_headers\", set = {{ \"x-mark\" = \"{mark}\" }} }}]\n\
             [upstream.app]\nendpoints = [\"{origin}\"]\n"
        )
    };
    let gateway = Gateway::start(&routes("old"), &[]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    gate.reached(1).await;
    gateway.reload(&routes("new"), &[]).await;
    gate.open();
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.header("x-mark"), Some("old"));
    assert_eq!(
        client.ask(Request::get("/")).await.header("x-mark"),
        Some("new")
    );
    let records = gateway.records(2).await;
    assert_eq!(records[0].text("generation"), "1");
    assert_eq!(records[1].text("generation"), "2");
}

#[tokio::test]
async fn a_websocket_survives_reloads() {
    let origin = WebSocketOrigin::start().await;
    let routes = |mark: &str| {
        format!(
            "[[route]]\nname = \"{mark}\"\nupstream = \"chat\"\n[upstream.chat]\nendpoints = [\"{origin}\"]\n"
        )
    };
    let gateway = Gateway::start(&routes("before"), &[]).await;
    let mut socket = websocket(gateway.web().await, "/").await;
    for number in 0..10 {
        gateway
            .reload(&routes(&format!("after-{number}")), &[])
            .await;
        socket.say("still there").await;
        assert_eq!(socket.hear().await, "still there");
    }
    // Even when nothing of its route is left.
    gateway.reload(&says("nothing else"), &[]).await;
    socket.say("still there").await;
    assert_eq!(socket.hear().await, "still there");
    socket.close().await;
}

#[tokio::test]
async fn what_is_known_of_an_endpoint_survives() {
    let (refusing, _guard) = crate::harness::refusing_address();
    let (held, gate) = Origin::gated("held").await;
    let routes = |mark: &str| {
        format!(
            "[server]\nworkers = 1\n[[route]]\nname = \"{mark}\"\nupstream = \"app\"\n\
             [upstream.app]\nbalance = \"least_connections\"\nendpoints = [\"{held}\", \"{refusing}\"]\n"
        )
    };
    let gateway = Gateway::start(&routes("before"), &[]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    gate.reached(1).await;
    gateway.reload(&routes("after"), &[]).await;
    let flight = "portcullis_upstream_requests_in_flight";
    gateway.metric_is(flight, &[("upstream", "app")], 1).await;
    gate.open();
    client.response("GET").await.expect("an answer");
    gateway.records(1).await;
    gateway.metric_is(flight, &[("upstream", "app")], 0).await;
}

/// Case 81, the issue's figure: no request fails while the configuration changes and changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_81_no_request_is_lost_in_reloads_under_load() {
    // 1,000 where there is time for it.
    let reloads = match std::env::var("PORTCULLIS_TEST_RELOADS") {
        Ok(count) => count.parse().expect("a number"),
        Err(_) => 200,
    };
    let (a, b) = (Origin::answering("a").await, Origin::answering("b").await);
    let chat = WebSocketOrigin::start().await;
    let echo = EchoOrigin::start().await;
    let routes = |number: usize| {
        let origin = if number.is_multiple_of(2) { &a } else { &b };
        format!(
            "{WEB}max_requests = 1000000\n\
             [[route]]\nname = \"r{number}\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [\"{origin}\"]\n\
             [[route]]\nname = \"chat{number}\"\npath = \"/chat\"\nupstream = \"chat\"\n[upstream.chat]\nendpoints = [\"{chat}\"]\n\
             [[route]]\nname = \"echo{number}\"\npath = \"/test.Echo/*\"\nupstream = \"echo\"\n\
             [upstream.echo]\nendpoints = [\"{echo}\"]\nprotocol = \"h2c\"\n"
        )
    };
    let gateway = Gateway::start(&routes(0), &[]).await;
    let address = gateway.web().await;
    let done = Arc::new(AtomicBool::new(false));

    let mut load = tokio::task::JoinSet::new();
    for kind in 0..9 {
        let done = Arc::clone(&done);
        load.spawn(async move {
            let mut count = 0usize;
            match kind {
                // Kept connections.
                0..=2 => {
                    let mut client = Client::connect(address).await;
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(client.ask(Request::get("/")).await.status, 200);
                        count += 1;
                    }
                }
                // A connection for each request.
                3 | 4 => {
                    while !done.load(Ordering::Relaxed) {
                        let mut client = Client::connect(address).await;
                        let request = Request::post("/", "body");
                        assert_eq!(client.ask(request).await.status, 200);
                        count += 1;
                    }
                }
                // A tunnel that lives through all of it: one exchange.
                5 => {
                    let mut socket = websocket(address, "/chat").await;
                    while !done.load(Ordering::Relaxed) {
                        socket.say("still there").await;
                        assert_eq!(socket.hear().await, "still there");
                    }
                    socket.close().await;
                    count = 1;
                }
                // A stream in both directions that lives through all of it, and its trailers: one exchange.
                6 => {
                    let mut client = EchoClient::connect(address).await;
                    talk(&mut client, |_| !done.load(Ordering::Relaxed)).await;
                    count = 1;
                }
                // One short such stream after the other.
                7 => {
                    let mut client = EchoClient::connect(address).await;
                    while !done.load(Ordering::Relaxed) {
                        talk(&mut client, |said| said < 3).await;
                        count += 1;
                    }
                }
                _ => {
                    let client = H2Client::connect(address).await;
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(client.get("/").await.status, 200);
                        count += 1;
                    }
                }
            }
            (kind, count)
        });
    }
    for number in 1..=reloads {
        gateway.reload(&routes(number), &[]).await;
    }
    done.store(true, Ordering::Relaxed);
    let counts: Vec<(usize, usize)> = load.join_all().await;
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
    let streams = counts.iter().filter(|(kind, _)| matches!(kind, 6 | 7));
    let counts_of_streams: usize = streams.map(|(_, count)| count).sum();
    gateway.records(total).await;
    let metrics = gateway.metrics().await;
    let served = metrics.sum("portcullis_requests_total", &[]);
    let good = metrics.sum("portcullis_requests_total", &[("source", "upstream")]);
    assert!(
        (served - good).abs() < 0.1,
        "{served} requests, {good} of them good"
    );
    assert!(
        (served - total as f64).abs() < 0.1,
        "{served} counted, {total} made"
    );
    let generation = metrics.sum("portcullis_config_generation", &[]);
    assert!(generation > reloads as f64, "{generation}");
    let records = gateway.stop().await;
    assert_eq!(records.len(), total);
    // Each of the streams has ended with the status in its trailers.
    let streams = records
        .iter()
        .filter(|record| record.text("grpc_status") == "0");
    assert_eq!(streams.count(), counts_of_streams);
}

/// Case 81: what a configuration had open and in memory goes with it.
#[tokio::test]
async fn case_81_reloads_leave_nothing_behind() {
    const RELOADS: usize = 30;
    let authority = Authority::new("tests");
    let (site, partner) = (
        authority.issue(&["gateway.test"]),
        authority.issue(&["partner.test"]),
    );
    let plain = Origin::answering("plain").await;
    let secure = Origin::https(partner.acceptor(&[b"http/1.1"]), |_seen| async {
        ok("secure")
    })
    .await;
    // Nothing but the listener that the requests come to has the same name twice.
    let full = |number: usize| {
        format!(
            "{WEB}[[listener]]\nname = \"tls-{number}\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [<site>] }}\n\
             [[route]]\nname = \"plain-{number}\"\nupstream = \"plain-{number}\"\n\
             [[route]]\nname = \"secure-{number}\"\npath = \"/secure\"\nupstream = \"secure-{number}\"\n\
             [upstream.plain-{number}]\nendpoints = [\"<plain>\"]\nidle_timeout = \"1h\"\nhealth = {{ path = \"/\", interval = \"1h\" }}\n\
             [upstream.secure-{number}]\nendpoints = [\"<secure>\"]\nidle_timeout = \"1h\"\n\
             tls = {{ server_name = \"partner.test\", ca = <ca> }}\n"
        )
    };
    let ca = authority.path();
    let values: [(&str, &dyn crate::harness::Value); 4] = [
        ("site", &site),
        ("plain", &plain),
        ("secure", &secure),
        ("ca", &ca),
    ];
    let bare = format!("{WEB}{}", says("bare"));
    let gateway = Gateway::start(&bare, &[]).await;
    let tls = ClientTls::new(&authority, "gateway.test");
    let mut kept = gateway.connect().await;
    assert_eq!(kept.ask(Request::get("/")).await.text(), "bare");
    let descriptors = gateway.descriptors();
    let mut resident = 0;
    for number in 0..RELOADS {
        gateway.reload(&full(number), &values).await;
        assert_eq!(kept.ask(Request::get("/")).await.text(), "plain");
        assert_eq!(kept.ask(Request::get("/secure")).await.text(), "secure");
        let listener = format!("tls-{number}");
        let mut guest = gateway.connect_tls(&listener, &tls).await;
        assert_eq!(guest.ask(Request::get("/")).await.text(), "plain");
        gateway.reload(&bare, &[]).await;
        // Whoever is idle at a listener that is gone is let go.
        guest.closed().await;
        assert_eq!(kept.ask(Request::get("/")).await.text(), "bare");
        // The first rounds bring what is made once.
        if number == 9 {
            resident = gateway.resident();
        }
    }
    within("the descriptors of what is gone", async {
        while gateway.descriptors() > descriptors {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let grown = gateway.resident().saturating_sub(resident);
    assert!(grown < 8 << 20, "{grown} bytes in {RELOADS} reloads");
    // A worker without requests lets go of the worlds before, too; a reload clears away what nobody uses.
    within("the series of what is gone", async {
        loop {
            gateway.reload(&bare, &[]).await;
            let metrics = gateway.metrics().await;
            let gone = ["plain-", "secure-", "tls-"];
            if !gone.iter().any(|name| metrics.text().contains(name)) {
                break;
            }
        }
    })
    .await;
}

/// A call with streams in both directions: each message waits for the answer to the one before, and the call ends well.
async fn talk(client: &mut EchoClient, goes_on: impl Fn(usize) -> bool) {
    let (say, mut hear) = client.talk().await.expect("a stream");
    let mut said = 0;
    while goes_on(said) {
        say.send(Text::new("still there")).await.expect("the call");
        let answer = within("an answer", hear.next()).await;
        let answer = answer.expect("a message").expect("a message");
        assert_eq!(answer.text, "you said still there");
        said += 1;
    }
    drop(say);
    assert!(within("the end", hear.next()).await.is_none());
    let trailers = within("the trailers", hear.trailers()).await;
    assert!(trailers.expect("an end without a fault").is_some());
}
