//! The workers as the control plane sees them: listeners are compared, bound, opened, changed and closed here.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    control::{BoundListener, DataPlane},
    engine::{DoorKey, Gate, Workers},
    gateway::{RequestGate, RequestPlaces},
    listener::{
        admission::{Admission, Places},
        bind::{BindError, Bound, bind},
    },
    snapshot::ListenerPlan,
};

/// The workers and the doors they serve.
#[derive(Debug)]
pub(super) struct Plane {
    workers: Workers,
    /// The places of the whole process; they outlive every listener.
    places: Arc<Places>,
    requests: Arc<RequestPlaces>,
    /// What is open. Written by the one controller; locked, since the admin address reads it.
    doors: Mutex<Vec<Door>>,
}

#[derive(Clone, Debug)]
struct Door {
    key: DoorKey,
    name: Box<str>,
    local: SocketAddr,
    gate: Gate,
}

/// What a reload does to the doors. Dropping it closes the sockets that are new.
#[derive(Debug)]
pub(super) struct Prepared {
    wanted: Vec<(DoorKey, Arc<ListenerPlan>, Option<Bound>)>,
}

impl Plane {
    pub(super) const fn new(
        workers: Workers,
        places: Arc<Places>,
        requests: Arc<RequestPlaces>,
    ) -> Self {
        Self {
            workers,
            places,
            requests,
            doors: Mutex::new(Vec::new()),
        }
    }

    /// Cuts off what still runs and waits for the workers to end.
    pub(super) fn stop(&self) {
        self.workers.stop();
    }

    fn doors(&self) -> MutexGuard<'_, Vec<Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataPlane for Plane {
    type Prepared = Prepared;

    fn listeners(&self) -> Vec<BoundListener> {
        self.doors()
            .iter()
            .map(|door| BoundListener {
                name: door.name.clone(),
                address: door.key.address,
                local: door.local,
            })
            .collect()
    }

    fn prepare(&self, plans: &[Arc<ListenerPlan>]) -> Result<Prepared, Vec<BindError>> {
        let count = NonZeroUsize::new(self.workers.count()).unwrap_or(NonZeroUsize::MIN);
        let open = self.doors().clone();
        let mut wanted = Vec::with_capacity(plans.len());
        let mut errors = Vec::new();
        for plan in plans {
            let key = key_of(plan);
            let bound = if open.iter().any(|door| door.key == key) {
                None
            } else {
                match bind(&plan.name, plan.address, count) {
                    Ok(bound) => Some(bound),
                    Err(error) => {
                        errors.push(error);
                        continue;
                    }
                }
            };
            wanted.push((key, Arc::clone(plan), bound));
        }
        if errors.is_empty() {
            Ok(Prepared { wanted })
        } else {
            Err(errors)
        }
    }

    fn apply(&self, prepared: Prepared) {
        let mut doors = self.doors();
        let mut old = std::mem::take(&mut *doors);
        for (key, plan, bound) in prepared.wanted {
            let known = old.iter().position(|door| door.key == key);
            let door = match (known.map(|index| old.swap_remove(index)), bound) {
                (Some(mut door), _) => {
                    let limits = &plan.limits;
                    door.gate.admission.listener().set_cap(limits.connections);
                    let requests = &door.gate.requests.listener;
                    requests.set_most(limits.concurrent_requests);
                    door.name.clone_from(&plan.name);
                    self.workers.replace(&key, &plan);
                    door
                }
                (None, Some(bound)) => {
                    let gate = Gate {
                        admission: Admission::new(&self.places, plan.limits.connections),
                        requests: RequestGate {
                            listener: Arc::new(RequestPlaces::new(plan.limits.concurrent_requests)),
                            process: Arc::clone(&self.requests),
                        },
                    };
                    tracing::info!(listener = %plan.name, address = %bound.local, "listening");
                    self.workers.open(&key, &plan, &gate, bound.sockets);
                    Door {
                        key,
                        name: plan.name.clone(),
                        local: bound.local,
                        gate,
                    }
                }
                // Prepared against other doors than these, which the one controller does not do.
                (None, None) => continue,
            };
            doors.push(door);
        }
        for gone in old {
            self.workers.close(&gone.key);
        }
    }

    fn drain(&self) {
        self.workers.drain();
    }

    async fn idle(&self) {
        self.workers.drained().await;
    }
}

fn key_of(plan: &ListenerPlan) -> DoorKey {
    DoorKey {
        address: plan.address,
        name: (plan.address.port() == 0).then(|| plan.name.clone()),
    }
}
