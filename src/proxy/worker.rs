//! What the connections of one thread share.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::config::Config;
use crate::http::body::Room;
use crate::service::gate::Gate;
use crate::service::plans::Plans;
use crate::telemetry::access::Sink;
use crate::telemetry::metrics::{DataPlane, WorkerMeters};

use super::answers::Answers;
use super::live::{Bench, Live, LiveError};
use super::outlive::Outliving;
use super::own::Own;

/// One worker: a thread with a runtime, connections and upstream connections of its own. Nothing on a request's way is shared with other workers
/// but the ledger.
pub struct Worker {
    number: usize,
    workers: usize,
    live: ArcSwap<Live>,
    pub(super) gate: Arc<Gate>,
    pub(super) meters: Arc<WorkerMeters>,
    data_plane: Arc<DataPlane>,
    pub(super) log: Sink,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) own: Option<Arc<dyn Own>>,
    pub(super) outliving: Outliving,
    /// For the bodies of all workers' requests.
    pub(super) room: Arc<Room>,
    /// As much again for answers that are read whole, so that who fills the one takes nothing from those who are served.
    pub(super) answers_room: Arc<Room>,
    pub(super) answers: Arc<Answers>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// What a worker is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its number, from 0.
    pub number: usize,
    /// How many there are.
    pub workers: usize,
    /// Its gate.
    pub gate: Arc<Gate>,
    /// Where it counts.
    pub data_plane: Arc<DataPlane>,
    /// Where it logs.
    pub log: Sink,
    /// The time of day for its log.
    pub clock: Arc<dyn Clock>,
    /// Who answers below `/faregate/`.
    pub own: Option<Arc<dyn Own>>,
}

/// What all workers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) room: Arc<Room>,
    pub(super) answers_room: Arc<Room>,
    pub(super) answers: Arc<Answers>,
}

impl Worker {
    /// A worker under a configuration.
    ///
    /// # Errors
    /// The configuration cannot be used: a file that it names cannot be read.
    pub(super) fn new(
        parts: Parts,
        config: &Config,
        plans: &Arc<Plans>,
        shared: Shared,
    ) -> Result<Arc<Worker>, LiveError> {
        let bench = Bench {
            worker: parts.number,
            workers: parts.workers,
            meters: &parts.data_plane,
        };
        let live = Live::build(config, plans, &bench, None)?;
        Ok(Arc::new(Worker {
            number: parts.number,
            workers: parts.workers,
            live: ArcSwap::from_pointee(live),
            gate: parts.gate,
            meters: parts.data_plane.worker(),
            data_plane: parts.data_plane,
            log: parts.log,
            clock: parts.clock,
            own: parts.own,
            outliving: Outliving::default(),
            room: shared.room,
            answers_room: shared.answers_room,
            answers: shared.answers,
        }))
    }

    /// Makes ready for another configuration, without using it yet: all workers use it, or none.
    ///
    /// # Errors
    /// It cannot be used: a file that it names cannot be read.
    pub fn prepare(&self, config: &Config, plans: &Arc<Plans>) -> Result<Prepared, LiveError> {
        let bench = Bench {
            worker: self.number,
            workers: self.workers,
            meters: &self.data_plane,
        };
        Live::build(config, plans, &bench, Some(&self.live.load())).map(|live| Prepared(Arc::new(live)))
    }

    /// From now on, new requests come under this configuration.
    pub fn adopt(&self, prepared: Prepared) {
        self.live.store(prepared.0);
    }

    pub(super) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Once a second.
    pub(super) fn tidy(&self) {
        self.live.load().tidy();
        self.answers.tidy();
    }
}

/// A configuration that a worker is ready for.
pub struct Prepared(Arc<Live>);

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}
