//! A name server: it answers on one port, by UDP and TCP, what it was told to. Unit tests of the gateway use it too.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Unknown names do not exist; a known name has nothing of a kind that was not set. Shows itself as its address.
pub(crate) struct NameServer {
    address: SocketAddr,
    told: Arc<Told>,
    tasks: [AbortHandle; 2],
}

/// What the server was told, and what it was asked.
#[derive(Default)]
struct Told {
    replies: Mutex<HashMap<Question, Reply>>,
    /// What does not fit into a datagram.
    large: Mutex<HashSet<Question>>,
    asked: watch::Sender<Vec<Question>>,
}

type Question = (Name, RecordType);

#[derive(Clone)]
enum Reply {
    Records(u32, Vec<RData>),
    Failure,
    Silence,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let (datagrams, streams) = sockets().await;
        let address = datagrams.local_addr().expect("an address");
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

    /// These addresses, with this lifetime in seconds.
    pub(crate) fn set(&self, name: &str, kind: RecordType, ttl: u32, addresses: &[&str]) {
        let addresses = addresses
            .iter()
            .map(|text| text.parse::<IpAddr>().expect("an address"));
        let records = addresses.map(RData::from).collect();
        self.reply(name, kind, Reply::Records(ttl, records));
    }

    /// SRV records: priority, weight, port, host.
    pub(crate) fn serve(&self, name: &str, ttl: u32, records: &[(u16, u16, u16, &str)]) {
        let records = records.iter().map(|(priority, weight, port, host)| {
            let host = Name::from_ascii(host).expect("a name");
            RData::SRV(SRV::new(*priority, *weight, *port, host))
        });
        let reply = Reply::Records(ttl, records.collect());
        self.reply(name, RecordType::SRV, reply);
    }

    /// Answers that it has failed itself.
    pub(crate) fn fail(&self, name: &str, kind: RecordType) {
        self.reply(name, kind, Reply::Failure);
    }

    /// Does not answer.
    pub(crate) fn keep_silent(&self, name: &str, kind: RecordType) {
        self.reply(name, kind, Reply::Silence);
    }

    /// Answers by UDP only that the answer is too large for it.
    pub(crate) fn cut_short(&self, name: &str, kind: RecordType) {
        let mut large = self.told.large.lock().expect("the large answers");
        large.insert((absolute(name), kind));
    }

    /// How often it was asked for this name, whatever for.
    pub(crate) fn asked(&self, name: &str) -> usize {
        times(&self.told.asked.borrow(), &absolute(name))
    }

    /// Waits until it was asked so often for this name.
    pub(crate) async fn until_asked(&self, name: &str, count: usize) {
        let name = absolute(name);
        let mut asked = self.told.asked.subscribe();
        asked
            .wait_for(|all| times(all, &name) >= count)
            .await
            .expect("the name server");
    }

    fn reply(&self, name: &str, kind: RecordType, reply: Reply) {
        let mut replies = self.told.replies.lock().expect("the replies");
        replies.insert((absolute(name), kind), reply);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Told {
    fn answer(&self, query: &[u8], by_stream: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).expect("a query");
        let question = query.queries.first().expect("a question").clone();
        let wanted = (question.name().to_lowercase(), question.query_type());
        self.asked.send_modify(|asked| asked.push(wanted.clone()));
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        let is_large = self
            .large
            .lock()
            .expect("the large answers")
            .contains(&wanted);
        if is_large && !by_stream {
            answer.metadata.truncation = true;
        } else {
            let replies = self.replies.lock().expect("the replies");
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
        Some(answer.to_vec().expect("an answer"))
    }
}

fn times(asked: &[Question], name: &Name) -> usize {
    asked.iter().filter(|(known, _)| known == name).count()
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).expect("a name").to_lowercase();
    name.set_fqdn(true);
    name
}

/// One port for both transports.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let streams = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = streams.local_addr().expect("an address");
        // Somebody else may have the port for datagrams.
        if let Ok(datagrams) = UdpSocket::bind(address).await {
            return (datagrams, streams);
        }
    }
}

async fn serve_datagrams(socket: UdpSocket, told: Arc<Told>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.expect("a datagram");
        let query = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = told.answer(query, false) {
            // Who has asked may be gone.
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

async fn serve_streams(listener: TcpListener, told: Arc<Told>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_stream(stream, Arc::clone(&told)));
    }
}

async fn serve_stream(mut stream: TcpStream, told: Arc<Told>) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        let Some(answer) = told.answer(&query, true) else {
            return;
        };
        let length = u16::try_from(answer.len()).expect("a short answer");
        let written = [&length.to_be_bytes(), &*answer].concat();
        if stream.write_all(&written).await.is_err() {
            return;
        }
    }
}
