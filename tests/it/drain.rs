//! Stopping: what runs ends, nothing new begins, and the process goes as soon as it can.

use crate::harness::{
    Client, Gateway, H2Answer, H2Client, Origin, RawH2, Request, StreamEnd, WebSocketOrigin,
    h2_request, websocket, within,
};

/// The exchanges of two workers end before the process does.
const CONFIG: &str = r#"
    [server]
    workers = 2
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let origin = Origin::answering("ok").await;
    let mut gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut idle = gateway.connect().await;
    assert_eq!(idle.ask(Request::get("/")).await.status, 200);
    let mut fresh = gateway.connect().await;
    // The drain deadline is 30 s, more than anybody here waits.
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    idle.closed().await;
    fresh.closed().await;
    assert_eq!(gateway.access_log().lines_now().len(), 1);
}

#[tokio::test]
async fn sigint_ends_it_too() {
    let origin = Origin::answering("ok").await;
    let mut gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    gateway.signal("INT").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn case_83_a_running_exchange_ends_before_the_process() {
    let (origin, gate) = Origin::gated("late").await;
    let mut gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let (web, admin) = (gateway.web().await, gateway.admin().await);
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    gate.reached(1).await;
    gateway.signal("TERM").await;

    // Readiness falls, new connections are refused, liveness stays.
    within("readiness to fall", async {
        while Client::connect(admin)
            .await
            .ask(Request::get("/readyz").host(&admin.to_string()))
            .await
            .status
            != 503
        {}
    })
    .await;
    within("the listener to close", async {
        while tokio::net::TcpStream::connect(web).await.is_ok() {}
    })
    .await;
    let mut observer = Client::connect(admin).await;
    assert_eq!(
        observer
            .ask(Request::get("/healthz").host(&admin.to_string()))
            .await
            .status,
        200
    );
    gateway.metric_is("portcullis_draining", &[], 1).await;

    gate.open();
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.text(), "late");
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(gateway.exit().await.code(), Some(0));
    assert_eq!(gateway.access_log().lines_now().len(), 1);
}

#[tokio::test]
async fn case_83_http2_gets_goaway_and_its_streams_end() {
    let (origin, gate) = Origin::gated("late").await;
    let mut gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let busy = H2Client::connect(gateway.web().await).await;
    let mut idle = RawH2::over(gateway.connect().await).await;
    idle.until_greeted().await;
    let request = h2_request("GET", "/").body(()).expect("a request");
    let (response, _stream) = busy.open(request, true).await;
    gate.reached(1).await;
    gateway.signal("TERM").await;
    assert_eq!(idle.end_of(u32::MAX).await, StreamEnd::GoAway(0));
    idle.until_closed().await;
    gate.open();
    let answer = H2Answer::read(response).await.expect("an answer");
    assert_eq!(answer.text(), "late");
    assert!(busy.ended().await.is_ok());
    assert_eq!(gateway.exit().await.code(), Some(0));
}

/// The kernel tells clients that they are connected before the gateway has seen them.
#[tokio::test]
async fn case_83_whoever_is_connected_gets_an_answer() {
    const CLIENTS: usize = 20;
    let origin = Origin::answering("ok").await;
    let mut gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let web = gateway.web().await;
    gateway.signal("STOP").await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(web).await;
        client.send(&Request::get("/").bytes()).await;
        clients.push(client);
    }
    gateway.signal("TERM").await;
    gateway.signal("CONT").await;
    for mut client in clients {
        let response = client.response("GET").await.expect("an answer");
        assert_eq!(response.status, 200);
    }
    assert_eq!(gateway.exit().await.code(), Some(0));
    assert_eq!(gateway.access_log().lines_now().len(), CLIENTS);
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_deadline() {
    let (origin, gate) = Origin::gated("never").await;
    let config = CONFIG.replace("workers = 2", "workers = 2\ndrain = \"300ms\"");
    let mut gateway = Gateway::start(&config, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    gate.reached(1).await;
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    let rest = client.rest().await;
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 503"),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
    let records = gateway.access_log().lines_now();
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(records[0].contains("drained"), "{records:?}");
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let (origin, gate) = Origin::gated("never").await;
    let mut gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    gate.reached(1).await;
    gateway.signal("TERM").await;
    gateway
        .log()
        .wait("the drain", |line| {
            line.text().contains("drain").then_some(())
        })
        .await;
    gateway.signal("TERM").await;
    gateway.exit().await;
}

#[tokio::test]
async fn a_websocket_may_finish_what_it_has_to_say() {
    let origin = WebSocketOrigin::start().await;
    let mut gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut socket = websocket(gateway.web().await, "/").await;
    let log = gateway.log().clone();
    gateway.signal("TERM").await;
    log.wait("the drain", |line| {
        line.text().contains("drain").then_some(())
    })
    .await;
    socket.say("one more thing").await;
    assert_eq!(socket.hear().await, "one more thing");
    socket.close().await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    assert_eq!(gateway.access_log().lines_now().len(), 1);
}

/// No request of a client that behaves is lost, whenever the gateway is asked to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_no_answer() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let address = gateway.web().await;
    let (started, mut events) = tokio::sync::mpsc::unbounded_channel();
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let started = started.clone();
        load.spawn(async move {
            let mut answered = 0usize;
            // A client that is told to close connects again until nobody listens.
            while let Ok(stream) = tokio::net::TcpStream::connect(address).await {
                let mut client = Client::over(stream);
                loop {
                    match client.try_ask(Request::get("/")).await {
                        Ok(response) => {
                            assert_eq!(response.status, 200);
                            answered += 1;
                            if answered == 50 {
                                started.send(()).expect("the test");
                            }
                            if response.header("connection") == Some("close") {
                                break;
                            }
                        }
                        // The close of an idle connection may cross a request: it has not been acted on.
                        Err(crate::harness::Broken::Closed) => break,
                        Err(broken) => panic!("an answer was cut: {broken:?}"),
                    }
                }
            }
            answered
        });
    }
    for _ in 0..8 {
        within("a client under way", events.recv()).await;
    }
    let records = gateway.stop().await;
    let answered: usize = load.join_all().await.iter().sum();
    let good = records
        .iter()
        .filter(|record| record.text("status") == "200")
        .count();
    assert_eq!(good, answered);
    assert_eq!(
        records.len(),
        answered,
        "a request was begun and not answered"
    );
}
