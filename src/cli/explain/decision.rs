//! What the gateway decides about the request: the code that decides about every request, without a connection.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use crate::{
    filters::Reply,
    gateway::{Connection, Exchange, Fault, RequestGate, TlsSession, Verdict},
    http::{RequestHead, request_body},
    routing::Candidate,
    snapshot::Snapshot,
};

/// What becomes of a request.
#[derive(Debug)]
pub(super) struct Decision {
    /// Who is calling, behind trusted proxies.
    pub(super) client: IpAddr,
    /// The name of the listener that it was taken to come in by.
    pub(super) listener: Box<str>,
    /// Every route with what became of it, the winner first.
    pub(super) candidates: Vec<Candidate>,
    /// The end of it.
    pub(super) end: End,
}

/// How the gateway's part ends.
#[derive(Debug)]
pub(super) enum End {
    /// The gateway answers itself.
    Answered(Reply),
    /// This is sent to an endpoint.
    Sent(RequestHead),
}

/// Decides about a request from `peer`. A fault: it is refused before any route is looked at.
pub(super) fn decide(
    snapshot: &Arc<Snapshot>,
    head: &RequestHead,
    peer: IpAddr,
    secure: bool,
) -> Result<Decision, Fault> {
    let length = request_body(head).map_err(Fault::Request)?;
    let connection = connection(snapshot, head, peer, secure)?;
    let begin = || {
        let now = Instant::now();
        Exchange::begin(Arc::clone(snapshot), Rc::clone(&connection), now, now)
    };
    let (candidates, client) = begin().candidates(&mut head.clone(), length)?;
    let mut sent = head.clone();
    // The first share of a split takes it, so that the same question has the same answer.
    let end = match begin().decide(&mut sent, length, &mut || 0) {
        Verdict::Answer(reply) => End::Answered(reply),
        Verdict::Forward => End::Sent(sent),
    };
    Ok(Decision {
        client,
        listener: connection.listener.name.clone(),
        candidates,
        end,
    })
}

/// A connection as the URL suggests: by the listener with its port, else by one with its scheme.
fn connection(
    snapshot: &Snapshot,
    head: &RequestHead,
    peer: IpAddr,
    secure: bool,
) -> Result<Rc<Connection>, Fault> {
    let port = head.port.unwrap_or(if secure { 443 } else { 80 });
    let listeners = &snapshot.listeners;
    let listener = listeners
        .iter()
        .find(|listener| listener.address.port() == port)
        .or_else(|| {
            listeners
                .iter()
                .find(|listener| listener.tls.is_some() == secure)
        })
        .or_else(|| listeners.first())
        .ok_or(Fault::Internal)?;
    let peer = SocketAddr::new(peer, 0);
    Ok(Rc::new(Connection {
        requests: RequestGate::open(),
        retired: Rc::default(),
        listener: Arc::clone(listener),
        peer,
        client: peer,
        tls: secure.then(|| {
            Box::new(TlsSession {
                version: "TLSv1.3",
                cipher: "",
                sni: head.host.clone(),
                client_subject: String::new(),
            })
        }),
    }))
}
