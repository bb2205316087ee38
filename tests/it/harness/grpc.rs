//! A gRPC service and its client on tonic, in all four kinds of call.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::within;

/// The message of every call.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Text {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

/// An origin with the service `test.Echo`.
pub(crate) struct EchoOrigin {
    address: SocketAddr,
    hanging: watch::Receiver<usize>,
    cancelled: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

/// A client of `test.Echo`.
#[derive(Clone)]
pub(crate) struct EchoClient {
    grpc: tonic::client::Grpc<Channel>,
}

/// The service: `Unary`, `Collect` (client streaming), `Repeat` (server streaming), `Talk` (both). To "refuse" `Unary`
/// gives an error without messages, to "hang" no answer until the call is cancelled.
#[derive(Clone)]
struct Echo {
    hanging: Arc<watch::Sender<usize>>,
    cancelled: Arc<watch::Sender<usize>>,
}

type Texts = Pin<Box<dyn Stream<Item = Result<Text, Status>> + Send>>;

impl EchoOrigin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (began, hanging) = watch::channel(0);
        let (ended, cancelled) = watch::channel(0);
        let echo = Echo {
            hanging: Arc::new(began),
            cancelled: Arc::new(ended),
        };
        let task = tokio::spawn(async move {
            let _ = tonic::transport::Server::builder()
                .add_service(echo)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await;
        });
        Self {
            address,
            hanging,
            cancelled,
            task,
        }
    }

    /// Waits until so many calls were told to hang.
    pub(crate) async fn until_hanging(&self, count: usize) {
        let mut hanging = self.hanging.clone();
        within(
            "a hanging call at the origin",
            hanging.wait_for(|now| *now >= count),
        )
        .await
        .expect("the origin");
    }

    /// Waits until so many hanging calls were cancelled.
    pub(crate) async fn until_cancelled(&self, count: usize) {
        let mut cancelled = self.cancelled.clone();
        within(
            "a cancelled call at the origin",
            cancelled.wait_for(|now| *now >= count),
        )
        .await
        .expect("the origin");
    }
}

impl Drop for EchoOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Display for EchoOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl EchoClient {
    /// Connects with HTTP/2 prior knowledge.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
        let channel = within("a channel", endpoint.connect())
            .await
            .expect("a channel");
        Self {
            grpc: tonic::client::Grpc::new(channel),
        }
    }

    pub(crate) async fn unary(&mut self, request: Request<Text>) -> Result<Response<Text>, Status> {
        self.ready().await;
        let call = self.grpc.unary(
            request,
            http::uri::PathAndQuery::from_static("/test.Echo/Unary"),
            ProstCodec::<Text, Text>::default(),
        );
        within("an answer", call).await
    }

    pub(crate) async fn collect(&mut self, texts: &[&str]) -> Result<Response<Text>, Status> {
        let texts: Vec<Text> = texts.iter().map(|text| Text::new(text)).collect();
        self.ready().await;
        within(
            "an answer",
            self.grpc.client_streaming(
                Request::new(tokio_stream::iter(texts)),
                http::uri::PathAndQuery::from_static("/test.Echo/Collect"),
                ProstCodec::<Text, Text>::default(),
            ),
        )
        .await
    }

    pub(crate) async fn repeat(&mut self, text: &str) -> Result<Streaming<Text>, Status> {
        self.ready().await;
        let call = self.grpc.server_streaming(
            Request::new(Text::new(text)),
            http::uri::PathAndQuery::from_static("/test.Echo/Repeat"),
            ProstCodec::<Text, Text>::default(),
        );
        Ok(within("an answer", call).await?.into_inner())
    }

    /// A call in which both sides speak; what goes into the sender is said.
    pub(crate) async fn talk(&mut self) -> Result<(mpsc::Sender<Text>, Streaming<Text>), Status> {
        self.ready().await;
        let (sender, receiver) = mpsc::channel(1);
        let call = self.grpc.streaming(
            Request::new(ReceiverStream::new(receiver)),
            http::uri::PathAndQuery::from_static("/test.Echo/Talk"),
            ProstCodec::<Text, Text>::default(),
        );
        let answer = within("an answer", call).await?;
        Ok((sender, answer.into_inner()))
    }

    async fn ready(&mut self) {
        within("a channel that is ready", self.grpc.ready())
            .await
            .expect("a channel that is ready");
    }
}

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
        }
    }
}

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Text, Text>::default());
            Ok(match request.uri().path() {
                "/test.Echo/Collect" => grpc.client_streaming(Collect, request).await,
                "/test.Echo/Repeat" => grpc.server_streaming(Repeat, request).await,
                "/test.Echo/Talk" => grpc.streaming(Talk, request).await,
                _ => grpc.unary(Unary(echo), request).await,
            })
        })
    }
}

struct Unary(Echo);
struct Collect;
struct Repeat;
struct Talk;

/// Counts a call that is dropped before its answer.
struct CancelGuard(Arc<watch::Sender<usize>>);

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}

impl tonic::server::UnaryService<Text> for Unary {
    type Response = Text;
    type Future = BoxFuture<Response<Text>, Status>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let echo = self.0.clone();
        Box::pin(async move {
            match request.get_ref().text.as_str() {
                "refuse" => {
                    let mut status = Status::new(Code::FailedPrecondition, "not today: 100% & ü");
                    status
                        .metadata_mut()
                        .insert("x-detail", "kept".parse().expect("a value"));
                    Err(status)
                }
                "hang" => {
                    let _guard = CancelGuard(echo.cancelled);
                    echo.hanging.send_modify(|count| *count += 1);
                    std::future::pending().await
                }
                _ => {
                    let metadata = request.metadata().clone();
                    let mut response = Response::new(request.into_inner());
                    if let Some(value) = metadata.get("x-ask") {
                        response.metadata_mut().insert("x-answer", value.clone());
                    }
                    if let Some(value) = metadata.get("grpc-timeout") {
                        response.metadata_mut().insert("x-timeout", value.clone());
                    }
                    Ok(response)
                }
            }
        })
    }
}

impl tonic::server::ClientStreamingService<Text> for Collect {
    type Response = Text;
    type Future = BoxFuture<Response<Text>, Status>;

    fn call(&mut self, request: Request<Streaming<Text>>) -> Self::Future {
        Box::pin(async move {
            let mut texts = request.into_inner();
            let mut all = Vec::new();
            while let Some(text) = texts.next().await {
                all.push(text?.text);
            }
            Ok(Response::new(Text::new(&all.join(","))))
        })
    }
}

impl tonic::server::ServerStreamingService<Text> for Repeat {
    type Response = Text;
    type ResponseStream = Texts;
    type Future = BoxFuture<Response<Texts>, Status>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        Box::pin(async move {
            let text = request.into_inner().text;
            let texts = (0..3).map(move |number| Ok(Text::new(&format!("{text} {number}"))));
            Ok(Response::new(Box::pin(tokio_stream::iter(texts)) as Texts))
        })
    }
}

impl tonic::server::StreamingService<Text> for Talk {
    type Response = Text;
    type ResponseStream = Texts;
    type Future = BoxFuture<Response<Texts>, Status>;

    fn call(&mut self, request: Request<Streaming<Text>>) -> Self::Future {
        Box::pin(async move {
            let answers = request
                .into_inner()
                .map(|text| text.map(|text| Text::new(&format!("you said {}", text.text))));
            Ok(Response::new(Box::pin(answers) as Texts))
        })
    }
}
