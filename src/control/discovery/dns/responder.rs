//! A name server for tests: it answers on one UDP port what it was told to.

use std::{
    collections::HashMap,
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
        rr::{Name, RData, Record, RecordType},
    },
};
use tokio::{net::UdpSocket, task::AbortHandle};

use super::{Dns, Resolver};

#[derive(Clone)]
enum Reply {
    Records(u32, Vec<IpAddr>),
    Failure,
    Silence,
}

/// Unknown names do not exist; a known name has nothing of a kind that was not set.
pub(crate) struct Responder {
    address: SocketAddr,
    replies: Arc<Mutex<HashMap<(Name, RecordType), Reply>>>,
    asked: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Responder {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let replies = Arc::new(Mutex::new(HashMap::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(socket, Arc::clone(&replies), Arc::clone(&asked)));
        Self {
            address,
            replies,
            asked,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn set(&self, name: &str, kind: RecordType, ttl: u32, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        self.reply(name, kind, Reply::Records(ttl, addresses.collect()));
    }

    pub(crate) fn fail(&self, name: &str, kind: RecordType) {
        self.reply(name, kind, Reply::Failure);
    }

    pub(crate) fn keep_silent(&self, name: &str, kind: RecordType) {
        self.reply(name, kind, Reply::Silence);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn source(&self, host: &str) -> Dns {
        Dns::new(host, self.resolver(Hosts::default()))
    }

    pub(crate) fn resolver(&self, hosts: Hosts) -> Arc<Resolver> {
        let mut connection = ConnectionConfig::udp();
        connection.port = self.address.port();
        let mut server = NameServerConfig::udp(self.address.ip());
        server.connections = vec![connection];
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        Resolver::with(config, ResolverOpts::default(), hosts).unwrap()
    }

    fn reply(&self, name: &str, kind: RecordType, reply: Reply) {
        let mut name = Name::from_ascii(name).unwrap();
        name.set_fqdn(true);
        self.replies.lock().unwrap().insert((name, kind), reply);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    socket: UdpSocket,
    replies: Arc<Mutex<HashMap<(Name, RecordType), Reply>>>,
    asked: Arc<AtomicUsize>,
) {
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let query = Message::from_vec(&buffer[..length]).unwrap();
        asked.fetch_add(1, Ordering::Relaxed);
        let answer = answer(&query, &replies.lock().unwrap());
        if let Some(answer) = answer {
            socket.send_to(&answer, client).await.unwrap();
        }
    }
}

fn answer(query: &Message, replies: &HashMap<(Name, RecordType), Reply>) -> Option<Vec<u8>> {
    let question = query.queries[0].clone();
    let name = question.name().to_lowercase();
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    match replies.get(&(name.clone(), question.query_type())) {
        Some(Reply::Silence) => return None,
        Some(Reply::Failure) => answer.metadata.response_code = ResponseCode::ServFail,
        Some(Reply::Records(ttl, addresses)) => {
            for &address in addresses {
                answer.add_answer(Record::from_rdata(name.clone(), *ttl, RData::from(address)));
            }
        }
        None if replies.keys().any(|(known, _)| *known == name) => {}
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(question);
    Some(answer.to_vec().unwrap())
}
