//! One process of the router, from its start to its end of whatever kind.

use std::sync::Arc;
use std::time::Duration;

use spool::sim::{SimDisk, assert_undamaged};
use spool::{Options, Spool};
use tokio::task::JoinHandle;

use super::shards::Shards;
use super::wire::SimulatedWire;
use crate::app::App;
use crate::identity::Identities;
use crate::routing::Prepared;

/// A running router.
pub struct Life {
    pub app: Arc<App>,
    pub disk: SimDisk,
    /// What does the work of the spool's threads.
    stepping: JoinHandle<()>,
    /// What clients wait for.
    requests: Vec<JoinHandle<()>>,
}

/// Small, so that a short history has all that a long one has.
fn options() -> Options {
    Options {
        segment_bytes: 4 << 10,
        inline_bytes_max: 64,
        stage_memory_bytes: 1 << 10,
        sent_retention_time: Duration::from_secs(20),
        ..Options::at("/spool")
    }
}

impl Life {
    /// Starts on what the last one left.
    pub fn start(disk: SimDisk, shards: &Shards, identities: &Identities) -> Life {
        let (spool, stepper, report) = Spool::open_stepped(&disk, options()).unwrap();
        assert_undamaged(&report);
        let config = Arc::new(shards.lock().plan.config());
        let routing = Prepared::new(config, None)
            .unwrap()
            .routing(&spool, None)
            .unwrap();
        for (_, _, replica) in routing.replicas() {
            replica.simulate(Box::new(SimulatedWire {
                shards: shards.clone(),
                address: replica.address().into(),
                disk: disk.clone(),
            }));
        }
        let app = App::simulated(spool, routing, identities.of_the_same_disk());
        let stepping = tokio::spawn(stepper.run());
        app.start_delivery();
        Life {
            app,
            disk,
            stepping,
            requests: Vec::new(),
        }
    }

    /// Something that ends with the process.
    pub fn run(&mut self, request: impl Future<Output = ()> + Send + 'static) {
        self.requests.retain(|request| !request.is_finished());
        self.requests.push(tokio::spawn(request));
    }

    /// It ends at once: nothing of it runs any more when this returns. The disk is as it was.
    pub fn kill(self) -> SimDisk {
        self.app.kill();
        self.stepping.abort();
        self.requests.iter().for_each(JoinHandle::abort);
        self.disk
    }

    /// It ends in order.
    pub async fn stop(self) -> SimDisk {
        self.app.stop().await;
        self.stepping.await.unwrap();
        self.requests.iter().for_each(JoinHandle::abort);
        self.disk.copy()
    }

    /// Whether its journal has failed, so that the process ends.
    pub fn is_poisoned(&self) -> bool {
        self.app.spool.poison_cause().is_some()
    }
}
