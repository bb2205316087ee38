//! The health service of gRPC on tonic, as services have it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::{BoxFuture, Service};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// An origin with `grpc.health.v1.Health` and nothing else.
pub(crate) struct GrpcHealth {
    address: SocketAddr,
    known: Known,
    task: JoinHandle<()>,
}

/// The services with their states, and who was asked for.
#[derive(Clone, Default)]
struct Known {
    services: Arc<Mutex<BTreeMap<String, i32>>>,
    authorities: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Check {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Checked {
    #[prost(int32, tag = "1")]
    status: i32,
}

impl GrpcHealth {
    pub(crate) const SERVING: i32 = 1;
    pub(crate) const NOT_SERVING: i32 = 2;
    pub(crate) const SERVICE_UNKNOWN: i32 = 3;

    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let known = Known::default();
        let serving = known.clone();
        let task = tokio::spawn(async move {
            let _ = tonic::transport::Server::builder()
                .add_service(serving)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await;
        });
        Self {
            address,
            known,
            task,
        }
    }

    /// What is answered for a service from now on.
    pub(crate) fn set(&self, service: &str, status: i32) {
        let mut services = self.known.services.lock().expect("the services");
        services.insert(service.to_owned(), status);
    }

    pub(crate) fn forget(&self, service: &str) {
        self.known
            .services
            .lock()
            .expect("the services")
            .remove(service);
    }

    /// The authorities that calls named, each once.
    pub(crate) fn authorities(&self) -> Vec<String> {
        let mut authorities = self.known.authorities.lock().expect("the record").clone();
        authorities.dedup();
        authorities
    }
}

impl Drop for GrpcHealth {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Display for GrpcHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl tonic::server::NamedService for Known {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl Service<http::Request<tonic::body::Body>> for Known {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let known = self.clone();
        Box::pin(async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            if let Some(authority) = request.uri().authority() {
                let mut authorities = known.authorities.lock().expect("the record");
                authorities.push(authority.to_string());
            }
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Checked, Check>::default());
            Ok(grpc.unary(known, request).await)
        })
    }
}

impl tonic::server::UnaryService<Check> for Known {
    type Response = Checked;
    type Future = BoxFuture<Response<Checked>, Status>;

    fn call(&mut self, request: Request<Check>) -> Self::Future {
        let service = request.into_inner().service;
        let status = self
            .services
            .lock()
            .expect("the services")
            .get(&service)
            .copied();
        Box::pin(async move {
            let status = status.ok_or_else(|| Status::not_found("unknown service"))?;
            Ok(Response::new(Checked { status }))
        })
    }
}
