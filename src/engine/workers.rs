//! All workers: their threads, and what the control plane tells them.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Instant,
};

use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    watch,
};

use super::{door::Door, worker::Worker};
use crate::{
    gateway::RequestGate,
    listener::admission::Admission,
    observe::{LogSink, Metrics},
    snapshot::{ListenerPlan, Pressure, SnapshotCell},
};

/// The workers of one gateway.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<Thread>,
    /// How many workers still have a connection, or may get one.
    busy: watch::Receiver<usize>,
}

/// What a listener is known by across reloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DoorKey {
    /// The address as configured.
    pub address: SocketAddr,
    /// The name, where the address alone does not tell listeners apart (port 0).
    pub name: Option<Box<str>>,
}

/// Where those who come through a door take their places. All workers share it, and reloads keep it.
#[derive(Clone, Debug)]
pub struct Gate {
    /// For connections.
    pub admission: Admission,
    /// For requests.
    pub requests: RequestGate,
}

#[derive(Debug)]
struct Thread {
    commands: UnboundedSender<Command>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
enum Command {
    Open(DoorKey, Arc<ListenerPlan>, Gate, TcpListener),
    Replace(DoorKey, Arc<ListenerPlan>),
    Close(DoorKey),
    Drain,
    Stop,
}

impl Workers {
    /// Starts that many workers. They serve once they are given sockets.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptors for a runtime.
    pub fn start(
        count: usize,
        snapshots: &Arc<SnapshotCell>,
        metrics: &Arc<Metrics>,
        log: &LogSink,
        (clock, pressure): (Instant, &Arc<Pressure>),
    ) -> io::Result<Self> {
        let (leave, busy) = watch::channel(count);
        let leave = Arc::new(leave);
        let threads = (0..count)
            .map(|id| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                let (commands, inbox) = unbounded_channel();
                let (reader, metrics) = (snapshots.reader(), Arc::clone(metrics));
                let (leave, log) = (Arc::clone(&leave), log.worker());
                let pressure = Arc::clone(pressure);
                let handle = std::thread::Builder::new()
                    .name(format!("worker-{id}"))
                    .spawn(move || {
                        let tasks = tokio::task::LocalSet::new();
                        let worker = Worker::new(id, reader, metrics, log, (clock, pressure));
                        tasks.block_on(&runtime, work(Rc::clone(&worker), inbox));
                        // Dropping what is left writes its records; then they are handed over.
                        worker.stop();
                        drop(tasks);
                        worker.flush_records();
                        leave.send_modify(|busy| *busy = busy.saturating_sub(1));
                    })?;
                Ok(Thread {
                    commands,
                    handle: Mutex::new(Some(handle)),
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { threads, busy })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Opens a door: each worker gets one of the sockets.
    pub fn open(
        &self,
        key: &DoorKey,
        plan: &Arc<ListenerPlan>,
        gate: &Gate,
        sockets: Vec<TcpListener>,
    ) {
        for (thread, socket) in self.threads.iter().zip(sockets) {
            thread.tell(Command::Open(
                key.clone(),
                Arc::clone(plan),
                gate.clone(),
                socket,
            ));
        }
    }

    /// Changes what holds for new connections through a door.
    pub fn replace(&self, key: &DoorKey, plan: &Arc<ListenerPlan>) {
        for thread in &self.threads {
            thread.tell(Command::Replace(key.clone(), Arc::clone(plan)));
        }
    }

    /// Closes a door. Connections that came in through it live on.
    pub fn close(&self, key: &DoorKey) {
        for thread in &self.threads {
            thread.tell(Command::Close(key.clone()));
        }
    }

    /// Closes all doors and ends connections: idle ones now, the others after their exchange.
    pub fn drain(&self) {
        for thread in &self.threads {
            thread.tell(Command::Drain);
        }
    }

    /// Resolves when the last connection of draining workers has ended.
    pub async fn drained(&self) {
        // An error means that every worker is gone, which is what is waited for.
        let _ = self.busy.clone().wait_for(|busy| *busy == 0).await;
    }

    /// Cuts off whatever still runs, and waits until its records are written.
    pub fn stop(&self) {
        for thread in &self.threads {
            thread.tell(Command::Stop);
        }
        for thread in &self.threads {
            let handle = thread.handle.lock().map(|mut handle| handle.take());
            if let Ok(Some(handle)) = handle
                && handle.join().is_err()
            {
                tracing::error!("a worker panicked");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Thread {
    fn tell(&self, command: Command) {
        // A worker that is gone has nothing left to be told.
        let _ = self.commands.send(command);
    }
}

async fn work(worker: Rc<Worker>, mut inbox: UnboundedReceiver<Command>) {
    tokio::task::spawn_local(Rc::clone(&worker.deadlines).run());
    tokio::task::spawn_local(Rc::clone(&worker).deliver_records());
    tokio::task::spawn_local(Rc::clone(&worker).reap());
    tokio::task::spawn_local(Rc::clone(&worker).feel());
    let mut doors: HashMap<DoorKey, Rc<Door>> = HashMap::new();
    loop {
        let command = tokio::select! {
            command = inbox.recv() => command,
            () = worker.emptied() => return,
        };
        match command {
            Some(Command::Open(key, plan, gate, socket)) => {
                let name = plan.name.clone();
                let socket = match tokio::net::TcpListener::from_std(socket) {
                    Ok(socket) => socket,
                    Err(error) => {
                        tracing::error!(%error, listener = %name, "cannot watch a listening socket");
                        continue;
                    }
                };
                let door = Door::new(plan, gate);
                tokio::task::spawn_local(Rc::clone(&door).run(Rc::clone(&worker), socket));
                if let Some(old) = doors.insert(key, door) {
                    old.close();
                }
            }
            Some(Command::Replace(key, plan)) => {
                if let Some(door) = doors.get(&key) {
                    door.replace(plan);
                }
            }
            Some(Command::Close(key)) => {
                if let Some(door) = doors.remove(&key) {
                    door.close();
                    worker.deadlines.wake_all();
                }
            }
            Some(Command::Drain) => {
                for (_, door) in doors.drain() {
                    door.close();
                }
                // The doors take in what the kernel has accepted before idle connections are counted.
                tokio::task::yield_now().await;
                worker.drain();
            }
            Some(Command::Stop) | None => {
                worker.stop();
                return;
            }
        }
    }
}
