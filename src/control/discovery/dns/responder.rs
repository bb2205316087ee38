//! A name server for tests: it answers on one port, by UDP and TCP, what it was told to.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use hickory_resolver::{
    Hosts,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    proto::{
        op::{Message, OpCode, ResponseCode},
        rr::{Name, RData, Record, RecordType, rdata::SRV},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::AbortHandle,
};

use super::{Dns, Resolver};
use crate::snapshot::{DnsKey, DnsPlan, DnsRecords};

#[derive(Clone)]
enum Reply {
    Records(u32, Vec<RData>),
    Failure,
    Silence,
}

/// Unknown names do not exist; a known name has nothing of a kind that was not set.
pub(crate) struct Responder {
    address: SocketAddr,
    told: Arc<Told>,
    tasks: [AbortHandle; 2],
}

/// What the responder was told, and how often it was asked.
#[derive(Default)]
struct Told {
    replies: Mutex<HashMap<(Name, RecordType), Reply>>,
    /// What does not fit into a datagram.
    large: Mutex<HashSet<(Name, RecordType)>>,
    asked: AtomicUsize,
}

impl Responder {
    pub(crate) async fn start() -> Self {
        let (datagrams, streams) = sockets().await;
        let address = datagrams.local_addr().unwrap();
        let told = Arc::new(Told::default());
        let tasks = [
            tokio::spawn(serve_datagrams(datagrams, Arc::clone(&told))).abort_handle(),
            tokio::spawn(serve_streams(streams, Arc::clone(&told))).abort_handle(),
        ];
        Self {
            address,
            told,
            tasks,
        }
    }

    pub(crate) fn set(&self, name: &str, kind: RecordType, ttl: u32, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse::<IpAddr>().unwrap());
        let records = addresses.map(RData::from).collect();
        self.reply(name, kind, Reply::Records(ttl, records));
    }

    /// SRV records: priority, weight, port, host.
    pub(crate) fn serve(&self, name: &str, ttl: u32, records: &[(u16, u16, u16, &str)]) {
        let records = records.iter().map(|(priority, weight, port, host)| {
            let host = Name::from_ascii(host).unwrap();
            RData::SRV(SRV::new(*priority, *weight, *port, host))
        });
        self.reply(
            name,
            RecordType::SRV,
            Reply::Records(ttl, records.collect()),
        );
    }

    /// Answers by UDP only that the answer is too large for it.
    pub(crate) fn cut_short(&self, name: &str, kind: RecordType) {
        self.told
            .large
            .lock()
            .unwrap()
            .insert((absolute(name), kind));
    }

    pub(crate) fn fail(&self, name: &str, kind: RecordType) {
        self.reply(name, kind, Reply::Failure);
    }

    pub(crate) fn keep_silent(&self, name: &str, kind: RecordType) {
        self.reply(name, kind, Reply::Silence);
    }

    pub(crate) fn asked(&self) -> usize {
        self.told.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn source(&self, host: &str) -> Dns {
        let key = DnsKey {
            name: host.into(),
            records: DnsRecords::Addresses,
            plan: Arc::new(DnsPlan::default()),
        };
        Dns::new(&key, self.resolver(Hosts::default()))
    }

    pub(crate) fn resolver(&self, hosts: Hosts) -> Arc<Resolver> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut one| {
            one.port = self.address.port();
            one
        });
        let server = NameServerConfig::new(self.address.ip(), true, connections.into());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        Resolver::with(config, ResolverOpts::default(), hosts).unwrap()
    }

    fn reply(&self, name: &str, kind: RecordType, reply: Reply) {
        let mut replies = self.told.replies.lock().unwrap();
        replies.insert((absolute(name), kind), reply);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Told {
    fn answer(&self, query: &[u8], fits: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).unwrap();
        self.asked.fetch_add(1, Ordering::Relaxed);
        let question = query.queries[0].clone();
        let wanted = (question.name().to_lowercase(), question.query_type());
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        let replies = self.replies.lock().unwrap();
        if !fits && self.large.lock().unwrap().contains(&wanted) {
            answer.metadata.truncation = true;
        } else {
            match replies.get(&wanted) {
                Some(Reply::Silence) => return None,
                Some(Reply::Failure) => answer.metadata.response_code = ResponseCode::ServFail,
                Some(Reply::Records(ttl, records)) => {
                    for record in records {
                        let name = wanted.0.clone();
                        answer.add_answer(Record::from_rdata(name, *ttl, record.clone()));
                    }
                }
                None if replies.keys().any(|(known, _)| *known == wanted.0) => {}
                None => answer.metadata.response_code = ResponseCode::NXDomain,
            }
        }
        answer.add_query(question);
        Some(answer.to_vec().unwrap())
    }
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap().to_lowercase();
    name.set_fqdn(true);
    name
}

/// One port for both transports.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let streams = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Somebody else may have the port for datagrams.
        if let Ok(datagrams) = UdpSocket::bind(streams.local_addr().unwrap()).await {
            return (datagrams, streams);
        }
    }
}

async fn serve_datagrams(socket: UdpSocket, told: Arc<Told>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        if let Some(answer) = told.answer(&buffer[..length], false) {
            socket.send_to(&answer, client).await.unwrap();
        }
    }
}

async fn serve_streams(listener: TcpListener, told: Arc<Told>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(serve_stream(stream, Arc::clone(&told)));
    }
}

async fn serve_stream(mut stream: TcpStream, told: Arc<Told>) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await.unwrap();
        let Some(answer) = told.answer(&query, true) else {
            return;
        };
        let length = u16::try_from(answer.len()).unwrap();
        stream.write_u16(length).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
}
