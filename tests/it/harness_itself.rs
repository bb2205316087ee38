//! The harness without a gateway: what it says about others is worth nothing if it is wrong itself.

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio_stream::StreamExt;

use crate::harness::{
    Authority, Broken, Client, ClientTls, EchoClient, EchoOrigin, H2Client, H2Origin, Origin,
    RawH2, RawOrigin, RecordingOrigin, Request, Samples, StreamEnd, Text, WebSocketOrigin,
    blackhole, fill, h2_request, refusing_address, websocket,
};

#[tokio::test]
async fn a_client_and_an_http_origin_understand_each_other() {
    let origin = Origin::answering("hello").await;
    let mut client = Client::connect(origin.address()).await;
    let response = client
        .ask(Request::post("/a?b", "body").header("x-y", "z"))
        .await;
    assert_eq!((response.status, response.text()), (200, "hello"));
    let seen = origin.only();
    assert_eq!((seen.target.as_str(), seen.text()), ("/a?b", "body"));
    assert_eq!(seen.header("x-y"), Some("z"));
}

#[tokio::test]
async fn a_stopped_origin_closes_its_connections() {
    let origin = Origin::answering("hello").await;
    let mut client = Client::connect(origin.address()).await;
    client.ask(Request::get("/")).await;
    origin.stop().await;
    client.closed().await;
}

#[tokio::test]
async fn a_gated_origin_answers_when_it_is_let() {
    let (origin, gate) = Origin::gated("late").await;
    let mut client = Client::connect(origin.address()).await;
    client.send(&Request::get("/").bytes()).await;
    gate.reached(1).await;
    gate.release(1);
    assert_eq!(client.response("GET").await.unwrap().text(), "late");
}

#[tokio::test]
async fn tls_shows_the_certificate_and_the_protocol() {
    let authority = Authority::new("tests");
    let identity = authority.issue(&["origin.test"]);
    let origin = Origin::https(identity.acceptor(&[b"http/1.1"]), |_seen| async {
        http::Response::new(http_body_util::Full::new(Bytes::from_static(b"secret")))
    })
    .await;
    let tls = ClientTls::new(&authority, "origin.test");
    let mut client = Client::connect_tls(origin.address(), &tls).await;
    assert_eq!(client.alpn(), Some(&b"http/1.1"[..]));
    assert_eq!(client.peer_certificate(), Some(identity.der().as_slice()));
    assert_eq!(client.ask(Request::get("/")).await.text(), "secret");

    let wrong = ClientTls::new(&authority, "other.test");
    let stream = TcpStream::connect(origin.address()).await.unwrap();
    assert!(Client::try_tls(stream, &wrong).await.is_err());
}

#[tokio::test]
async fn a_recording_origin_tells_whole_requests_from_cut_and_broken_ones() {
    let origin = RecordingOrigin::start().await;
    let address = origin.to_string().parse().unwrap();
    let mut whole = Client::connect(address).await;
    whole
        .send_split(b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n")
        .await;
    assert_eq!(whole.response("POST").await.unwrap().status, 200);

    let mut cut = Client::connect(address).await;
    cut.send(b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        .await;
    cut.finish().await;
    cut.closed().await;
    origin.settled().await;

    let mut broken = Client::connect(address).await;
    broken.send(b"GET /3 HTTP/1.1\r\nHost : a\r\n\r\n").await;
    broken.closed().await;

    let requests = origin.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body, b"abc");
    assert_eq!(requests[0].trailers.get("x"), Some("y"));
    let connections = origin.connections();
    assert!(connections[1].partial && !connections[1].malformed);
    assert!(connections[2].malformed && !connections[2].partial);
    assert!(origin.bytes()[1].starts_with(b"POST /2"));
}

#[tokio::test]
async fn a_reset_inside_a_body_is_no_end_of_it() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        connection
            .send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
            .await;
        connection.reset();
    })
    .await;
    let mut client = Client::connect(origin.to_string().parse().unwrap()).await;
    let answer = client.try_ask(Request::get("/")).await;
    assert!(matches!(answer, Err(Broken::Truncated(_))), "{answer:?}");
    assert!(client.was_reset());
}

#[tokio::test]
async fn interim_responses_stand_before_the_final_one() {
    let origin = RawOrigin::answering(
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    )
    .await;
    let mut client = Client::connect(origin.to_string().parse().unwrap()).await;
    let response = client.ask(Request::get("/")).await;
    assert_eq!((response.status, response.interim[0].status), (204, 103));
}

#[tokio::test]
async fn an_http2_client_and_origin_understand_each_other() {
    let origin = H2Origin::start(|mut exchange| async move {
        let (body, _trailers) = exchange.body().await;
        let mut stream = exchange.begin(200).unwrap();
        stream.send_data(Bytes::from(body), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("4"));
        stream.send_trailers(trailers).unwrap();
    })
    .await;
    let client = H2Client::connect(origin.to_string().parse().unwrap()).await;
    let request = h2_request("POST", "/").body(Bytes::from_static(b"echo"));
    let answer = client.ask(request.unwrap()).await;
    assert_eq!((answer.status, answer.text()), (200, "echo"));
    assert_eq!(answer.trailers.get("x-sum"), Some("4"));
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn hand_written_frames_reach_an_http2_origin() {
    let origin = H2Origin::answering("fine").await;
    let address = origin.to_string().parse().unwrap();
    let good: &[(&[u8], &[u8])] = &[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", b"/"),
    ];
    let mut raw = RawH2::over(Client::connect(address).await).await;
    raw.headers(1, good, true).await;
    assert_eq!(raw.end_of(1).await, StreamEnd::Status(200));
    let mut bad = good.to_vec();
    bad.push((b"connection", b"close"));
    raw.headers(3, &bad, true).await;
    assert_eq!(raw.end_of(3).await, StreamEnd::Reset(1));
}

#[tokio::test]
async fn a_websocket_echoes() {
    let origin = WebSocketOrigin::start().await;
    let mut socket = websocket(origin.to_string().parse().unwrap(), "/chat").await;
    socket.say("hello").await;
    assert_eq!(socket.hear().await, "hello");
    socket.close().await;
    origin.until_ended(1).await;
}

#[tokio::test]
async fn grpc_speaks_in_all_four_ways() {
    let origin = EchoOrigin::start().await;
    let mut client = EchoClient::connect(origin.to_string().parse().unwrap()).await;
    let answer = client.unary(tonic::Request::new(Text::new("one"))).await;
    assert_eq!(answer.unwrap().into_inner().text, "one");
    let answer = client.collect(&["a", "b"]).await;
    assert_eq!(answer.unwrap().into_inner().text, "a,b");
    let texts: Vec<_> = client.repeat("r").await.unwrap().collect().await;
    assert_eq!(texts.len(), 3);
    let (say, mut hear) = client.talk().await.unwrap();
    say.send(Text::new("x")).await.unwrap();
    assert_eq!(hear.next().await.unwrap().unwrap().text, "you said x");
}

#[tokio::test]
async fn nobody_answers_where_nobody_should() {
    let (refusing, _guard) = refusing_address();
    let error = TcpStream::connect(refusing).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);

    let (black, _listener, _filler) = blackhole().await;
    let attempt = TcpStream::connect(black);
    let short = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(short, attempt).await.is_err());
}

#[test]
fn samples_are_found_by_their_labels() {
    let samples = Samples::parse(
        "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"1\",y=\"}, \\\"\"} 2\na_total{x=\"2\"} 3\nb 1.5\n",
    );
    assert!((samples.sum("a_total", &[]) - 5.0).abs() < f64::EPSILON);
    assert!((samples.sum("a_total", &[("x", "2")]) - 3.0).abs() < f64::EPSILON);
    assert!(samples.has("b", &[]) && !samples.has("a_total", &[("x", "3")]));
    assert_eq!(samples.values("a_total", "x"), ["1", "2"]);
}

#[test]
#[should_panic(expected = "a placeholder without a value")]
fn a_placeholder_without_a_value_is_an_error() {
    fill("endpoints = [\"<a>\", \"<b>\"]", &[("a", &1)]);
}
