//! Which shapes of INSERTs shards are known to read, and whose turn it is to find out.
//!
//! A shape is everything that decides whether a shard can read rows: table, columns with their types, format, settings, and
//! what the target looked like. The first INSERT of a shape is a *probe*: a batch of its rows for one destination goes ahead,
//! and the client is told what the shard says of it. Any batch that a shard acknowledges proves its shape.
//!
//! One probe a shape at a time: INSERTs of the same new shape wait for its end, as long as a client waits for a local replica.
//! A probe that got no answer gives its shape a rest, so that an outage costs one wait and not one a request.
//!
//! Proven shapes are kept in `meta/shapes`, so that a restart does not probe them again. Losing the file costs probes, nothing
//! else.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spool::Shape;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::app::App;
use crate::schema::write_whole;
use crate::tasks::Stop;

/// Shapes that are remembered, the oldest forgotten first: some tables' with some programs' each. Beyond it shapes are probed
/// again.
const PROVEN_MAX: usize = 10_000;

/// A probe without an answer is not repeated for so long: INSERTs are answered from the spool meanwhile.
const REST: Duration = Duration::from_secs(5);

/// Shapes that rest at the same time, at most; beyond it the next INSERT probes again.
const RESTING_MAX: usize = 10_000;

/// How often the file is written when something is new.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// A shape in 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShapeKey(u128);

/// What is known of shapes.
#[derive(Debug)]
pub struct Shapes {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    proven: HashSet<ShapeKey>,
    /// The same, oldest first.
    in_order: VecDeque<ShapeKey>,
    /// Who probes holds the lock; who waits is in its queue.
    probing: HashMap<ShapeKey, Arc<tokio::sync::Mutex<()>>>,
    resting: HashMap<ShapeKey, Instant>,
    /// Something was proven since the file was written.
    is_new: bool,
}

/// What an INSERT has to do about its shape.
#[derive(Debug)]
pub enum Turn<'a> {
    /// Nothing.
    Proven,
    /// Some of its rows go ahead.
    Probe(Probe<'a>),
    /// The same, however many of its shape were good: nobody but a shard looks into such a body.
    Unchecked,
    /// Nothing, and its answer says why nobody knows.
    Unknown(&'static str),
}

/// The right to probe a shape, until it is dropped.
#[derive(Debug)]
pub struct Probe<'a> {
    shapes: &'a Shapes,
    key: ShapeKey,
    _turn: OwnedMutexGuard<()>,
}

// === impl ShapeKey ===

impl ShapeKey {
    /// The key of a shape for a target that looks like `schema` (its fingerprint). The epoch is left out: by which slots rows
    /// were routed is nothing to a shard.
    pub fn of(shape: &Shape, schema: u128) -> Self {
        let Shape {
            cluster,
            epoch: _,
            table,
            columns,
            format,
            settings,
        } = shape;
        let mut text = schema.to_le_bytes().to_vec();
        let mut add = |part: &str| {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part.as_bytes());
        };
        [cluster, table, format].into_iter().for_each(|part| add(part));
        for (name, value) in columns.iter().chain(settings) {
            add(name);
            add(value);
        }
        add(&columns.len().to_string());
        let (low, high) = types::city_hash_128(&text);
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

// === impl Shapes ===

impl Shapes {
    /// What the last run proved, from a spool's `meta/`.
    pub fn below(spool: &Path) -> Self {
        let path = spool.join("meta").join("shapes");
        let mut known = Known::default();
        // A file that is missing or damaged is as good as an empty one.
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for key in text
            .lines()
            .filter_map(|line| u128::from_str_radix(line, 16).ok())
        {
            known.prove(ShapeKey(key));
        }
        known.is_new = false;
        Self {
            path,
            known: Mutex::new(known),
        }
    }

    /// A shard has read rows of it.
    pub fn proved(&self, key: ShapeKey) {
        self.known().prove(key);
    }

    /// What an INSERT of this shape has to do; waits until `deadline` at most for another's probe.
    pub async fn turn(&self, key: ShapeKey, deadline: Instant) -> Turn<'_> {
        let lock = {
            let mut known = self.known();
            if let Some(turn) = known.settled(key) {
                return turn;
            }
            known.probing.entry(key).or_default().clone()
        };
        let turn = match tokio::time::timeout_at(deadline, lock.lock_owned()).await {
            Ok(turn) => Probe {
                shapes: self,
                key,
                _turn: turn,
            },
            Err(_) => return Turn::Unknown("another INSERT of the same new shape is being tried"),
        };
        let settled = self.known().settled(key);
        settled.unwrap_or(Turn::Probe(turn))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's next content, when something is new.
    fn news(&self) -> Option<String> {
        let mut known = self.known();
        let is_new = std::mem::take(&mut known.is_new);
        is_new.then(|| {
            known
                .in_order
                .iter()
                .map(|key| format!("{:032x}\n", key.0))
                .collect()
        })
    }

    fn keep(&self) {
        if let Some(text) = self.news()
            && let Err(error) = write_whole(&self.path, text.as_bytes())
        {
            tracing::warn!(%error, path = %self.path.display(), "proven shapes are not kept: after a restart they are probed again");
        }
    }
}

impl Known {
    fn prove(&mut self, key: ShapeKey) {
        self.resting.remove(&key);
        if !self.proven.insert(key) {
            return;
        }
        self.in_order.push_back(key);
        self.is_new = true;
        if self.in_order.len() > PROVEN_MAX
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.proven.remove(&oldest);
        }
    }

    fn settled<'a>(&mut self, key: ShapeKey) -> Option<Turn<'a>> {
        if self.proven.contains(&key) {
            return Some(Turn::Proven);
        }
        match self.resting.get(&key) {
            Some(until) if Instant::now() < *until => {
                Some(Turn::Unknown("the last probe of its shape got no answer"))
            }
            Some(_) => {
                self.resting.remove(&key);
                None
            }
            None => None,
        }
    }

    fn rest(&mut self, key: ShapeKey, now: Instant) {
        if self.resting.len() >= RESTING_MAX {
            self.resting.retain(|_, until| now < *until);
        }
        if self.resting.len() < RESTING_MAX {
            self.resting.insert(key, now + REST);
        }
    }
}

impl Probe<'_> {
    /// Nobody said whether the shape is good: it rests for a while.
    pub fn unanswered(&self) {
        let mut known = self.shapes.known();
        if !known.proven.contains(&self.key) {
            known.rest(self.key, Instant::now());
        }
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let mut known = self.shapes.known();
        // Two of us: the map and this guard. Whoever waits holds it too, and takes it out in turn.
        let is_last = known
            .probing
            .get(&self.key)
            .is_some_and(|lock| Arc::strong_count(lock) <= 2);
        if is_last {
            known.probing.remove(&self.key);
        }
    }
}

/// Writes what is new to the disk, now and then and at the end.
pub async fn keep(app: Arc<App>, mut stop: Stop) {
    loop {
        let is_over = tokio::select! {
            () = stop.requested() => true,
            () = tokio::time::sleep(KEEP_EVERY) => false,
        };
        let of_task = app.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || of_task.shapes.keep()).await {
            tracing::warn!(%error, "proven shapes are not kept");
        }
        if is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes() -> (tempfile::TempDir, Shapes) {
        let directory = tempfile::tempdir().unwrap();
        let shapes = Shapes::below(directory.path());
        (directory, shapes)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn shape() -> Shape {
        Shape {
            cluster: "main".into(),
            epoch: 1,
            table: "d.t".into(),
            columns: vec![("k".into(), "UInt64".into())],
            format: "TabSeparated".into(),
            settings: vec![("date_time_input_format".into(), "basic".into())],
        }
    }

    #[track_caller]
    fn check_differs(change: impl FnOnce(&mut Shape)) {
        let mut other = shape();
        change(&mut other);
        assert_ne!(ShapeKey::of(&shape(), 1), ShapeKey::of(&other, 1), "{other:?}");
    }

    #[test]
    fn everything_but_the_epoch_makes_a_shape_another() {
        check_differs(|shape| shape.cluster = "other".into());
        check_differs(|shape| shape.table = "d.u".into());
        check_differs(|shape| shape.columns[0].1 = "UInt32".into());
        check_differs(|shape| shape.format = "CSV".into());
        check_differs(|shape| shape.settings.clear());
        check_differs(|shape| {
            let setting = shape.settings.remove(0);
            shape.columns.push(setting);
        });
        assert_ne!(ShapeKey::of(&shape(), 1), ShapeKey::of(&shape(), 2));
        let next_epoch = Shape { epoch: 2, ..shape() };
        assert_eq!(ShapeKey::of(&shape(), 1), ShapeKey::of(&next_epoch, 1));
    }

    #[tokio::test]
    async fn the_first_of_a_shape_probes_and_those_behind_it_wait_for_what_it_learns() {
        let (_directory, shapes) = shapes();
        let key = ShapeKey(7);
        let Turn::Probe(probe) = shapes.turn(key, soon()).await else {
            panic!("nobody else is there")
        };
        assert!(matches!(shapes.turn(key, soon()).await, Turn::Unknown(_)));
        let other = async {
            shapes.proved(key);
            drop(probe);
        };
        let (turn, ()) = tokio::join!(shapes.turn(key, soon()), other);
        assert!(matches!(turn, Turn::Proven));
    }

    #[tokio::test]
    async fn after_a_refusal_the_next_one_probes() {
        let (_directory, shapes) = shapes();
        drop(shapes.turn(ShapeKey(7), soon()).await);
        assert!(shapes.known().probing.is_empty());
        assert!(matches!(shapes.turn(ShapeKey(7), soon()).await, Turn::Probe(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shape_whose_probe_got_no_answer_rests_for_a_while() {
        let (_directory, shapes) = shapes();
        let Turn::Probe(probe) = shapes.turn(ShapeKey(7), soon()).await else {
            panic!("nobody else is there")
        };
        probe.unanswered();
        drop(probe);
        assert!(matches!(shapes.turn(ShapeKey(7), soon()).await, Turn::Unknown(_)));
        tokio::time::advance(REST).await;
        assert!(matches!(shapes.turn(ShapeKey(7), soon()).await, Turn::Probe(_)));
    }

    #[tokio::test]
    async fn what_was_proven_is_known_after_a_restart_and_the_oldest_is_forgotten_first() {
        let (directory, shapes) = shapes();
        (0..=PROVEN_MAX as u128).for_each(|key| shapes.proved(ShapeKey(key)));
        shapes.keep();
        let again = Shapes::below(directory.path());
        assert!(matches!(again.turn(ShapeKey(0), soon()).await, Turn::Probe(_)));
        assert!(matches!(again.turn(ShapeKey(1), soon()).await, Turn::Proven));
        assert_eq!(again.news(), None);
    }
}
