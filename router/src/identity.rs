//! Replicas are who they say: who each was at first contact, kept in `meta/identities`, and compared before rows are sent.
//!
//! A replica has two marks for each target: its server's (`serverUUID()`, else the macro `{shard}`, else the host's name; each
//! with the target's database, since one server may serve several shards), and the target's `zookeeper_path`. It is taken for
//! another, and its destination held, when
//!
//! - one of them, never a host's name, is known as another shard's of the same cluster, or
//! - neither is as it was, so that nothing says that it is the same.
//!
//! `weir clusters accept SHARD[@REPLICA]` forgets what was known, and the next contact is the first.
//!
//! What is known of a target's memory for blocks says whether an equal INSERT is a retry. What is known of `zookeeper_path` also says which replicas recognise each other's blocks: a batch in doubt may go to those.
//! Losing the file costs that, until each replica has been met again. An entry stays when its replica leaves the configuration:
//! it may come back as another.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use shard_client::{Facts, ServerMark, Target};

use crate::schema::{read_json_if_there, write_whole};

/// A target on a replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The cluster's name.
    pub cluster: String,
    /// The shard's name.
    pub shard: String,
    /// `host:port`
    pub replica: String,
    /// The target's database on that replica.
    pub database: String,
    /// The target's name.
    pub table: String,
}

/// Who stood there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    server: ServerMark,
    zookeeper_path: Option<String>,
    /// The target remembers blocks there. No mark: anybody may ALTER it.
    deduplicates: bool,
}

impl Identity {
    /// What a replica said of itself and of the target.
    pub fn of(facts: &Facts, target: &Target) -> Identity {
        Identity {
            server: facts.mark(),
            zookeeper_path: target.zookeeper_path.clone(),
            deduplicates: target.deduplicates(),
        }
    }
}

/// What a comparison comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Same,
    /// It is right, and there is something new to keep.
    Learned,
    /// It is not who it was, for this reason.
    Other(String),
}

type Known = BTreeMap<Place, Identity>;

/// What is known was compared when it was learned, so what has not changed need not be compared again: this runs before each
/// batch, and there may be as many entries as replicas times tables.
fn compare(place: &Place, now: &Identity, known: &Known) -> Verdict {
    let before = known.get(place);
    if before == Some(now) {
        return Verdict::Same;
    }
    let elsewhere = known
        .iter()
        .filter(|(other, _)| other.cluster == place.cluster && other.shard != place.shard);
    for (other, theirs) in elsewhere {
        if let Some(path) = now
            .zookeeper_path
            .as_ref()
            .filter(|path| theirs.zookeeper_path.as_ref() == Some(path))
        {
            return Verdict::Other(format!(
                "its zookeeper_path {path} is known as shard {}'s",
                other.shard
            ));
        }
        if now.server.is_distinct() && now.server == theirs.server && other.database == place.database {
            return Verdict::Other(format!(
                "its {} is known as shard {}'s ({})",
                now.server, other.shard, other.replica
            ));
        }
    }
    match before {
        Some(before) if !before.may_be(now) => Verdict::Other(format!("it was {before} and is {now}")),
        Some(_) | None => Verdict::Learned,
    }
}

/// The same, and what is learned is known from then on: no other comparison comes in between.
fn meet(place: &Place, now: &Identity, known: &mut Known) -> Verdict {
    let verdict = compare(place, now, known);
    if verdict == Verdict::Learned {
        known.insert(place.clone(), now.clone());
    }
    verdict
}

impl Identity {
    fn may_be(&self, now: &Identity) -> bool {
        let same_path = self.zookeeper_path.is_some() && self.zookeeper_path == now.zookeeper_path;
        same_path || self.server == now.server || !self.server.is_comparable(&now.server)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zookeeper_path {
            Some(path) => write!(f, "{} with zookeeper_path {path}", self.server),
            None => write!(f, "{}", self.server),
        }
    }
}

/// Why a replica may not be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotMet {
    /// It is taken for another; the words name the next step.
    Other(String),
    /// Who it is could not be written down.
    NotKept(String),
}

/// Who was met, in memory and on the disk.
#[derive(Debug)]
pub struct Identities {
    path: PathBuf,
    known: Arc<Mutex<Known>>,
    /// Counts what was learned and forgotten.
    changes: AtomicU64,
    /// One writer at a time.
    writing: tokio::sync::Mutex<()>,
    /// Memory is as good as a disk.
    #[cfg(test)]
    is_simulated: bool,
}

impl Identities {
    /// Those of a spool. A file that cannot be read is told and left out.
    pub fn below(spool: &Path) -> Identities {
        let path = file(spool);
        let known = read(&path).unwrap_or_else(|error| {
            tracing::error!(file = %path.display(), %error, "who the replicas were cannot be read: each is taken for who it is now");
            Known::new()
        });
        Identities {
            path,
            known: Arc::new(Mutex::new(known)),
            changes: AtomicU64::new(0),
            writing: tokio::sync::Mutex::default(),
            #[cfg(test)]
            is_simulated: false,
        }
    }

    /// Those of a simulation, which are never written.
    #[cfg(test)]
    pub fn simulated() -> Identities {
        Identities {
            is_simulated: true,
            ..Identities::below(Path::new("/nonexistent"))
        }
    }

    /// What the next process finds.
    #[cfg(test)]
    pub fn of_the_same_disk(&self) -> Identities {
        Identities {
            known: Arc::clone(&self.known),
            ..Identities::simulated()
        }
    }

    /// Compares a replica with who it was; what is new is on the disk when this returns.
    pub async fn check(&self, place: &Place, now: &Identity) -> Result<(), NotMet> {
        let verdict = meet(place, now, &mut self.known());
        match verdict {
            Verdict::Same => Ok(()),
            Verdict::Other(why) => Err(NotMet::Other(not_who_it_was(place, &why))),
            Verdict::Learned => {
                self.changes.fetch_add(1, Ordering::Release);
                tracing::info!(shard = place.shard, replica = place.replica, database = place.database, table = place.table, identity = %now, "a replica is known from now on");
                self.write().await.map_err(NotMet::NotKept)
            }
        }
    }

    /// Compares a server that shows no target, and learns nothing: the target may be there by the time that rows come.
    pub fn check_server(&self, place: &Place, facts: &Facts) -> Result<(), NotMet> {
        match compare(place, &Identity::of(facts, &Target::default()), &self.known()) {
            Verdict::Same | Verdict::Learned => Ok(()),
            Verdict::Other(why) => Err(NotMet::Other(not_who_it_was(place, &why))),
        }
    }

    /// Forgets who the shard's replicas were, or one of them; how many entries that were.
    pub async fn forget(&self, shard: &str, replica: Option<&str>) -> Result<usize, String> {
        let forgotten = forget(&mut self.known(), shard, replica);
        self.changes.fetch_add(1, Ordering::Release);
        self.write().await.map(|()| forgotten)
    }

    /// Whether a replica was met.
    pub fn knows(&self, place: &Place) -> bool {
        self.known().contains_key(place)
    }

    /// Whether two replicas of a target recognise each other's blocks.
    pub fn share_blocks(&self, one: &Place, other: &Place) -> bool {
        let known = self.known();
        let path = |place| {
            known
                .get(place)
                .and_then(|identity: &Identity| identity.zookeeper_path.as_ref())
        };
        path(one).is_some() && path(one) == path(other)
    }

    /// Grows with everything that is learned or forgotten: what follows from it may be kept as long as this stays.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether the target drops a repeated block at each of these places where it was met; none where it was met at none.
    pub fn deduplicate(&self, places: impl Iterator<Item = Place>) -> Option<bool> {
        let known = self.known();
        let mut met = places.filter_map(|place| Some(known.get(&place)?.deduplicates));
        met.next()
            .map(|first| first && met.all(|deduplicates| deduplicates))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self) -> Result<(), String> {
        #[cfg(test)]
        if self.is_simulated {
            return Ok(());
        }
        let _one_at_a_time = self.writing.lock().await;
        let (path, known) = (self.path.clone(), Arc::clone(&self.known));
        let written = tokio::task::spawn_blocking(move || {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
            write(&path, &known)
        });
        written.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

fn not_who_it_was(place: &Place, why: &str) -> String {
    format!(
        "replica {} of shard {} is not who it was: {why}; nothing is written to it until `weir clusters accept {}@{}`",
        place.replica, place.shard, place.shard, place.replica
    )
}

/// What is known, to compare with and never to write: for looking at a cluster beside a router that runs or does not.
#[derive(Debug, Default)]
pub struct Remembered {
    known: Known,
}

impl Remembered {
    /// What a spool knows; nothing where it never met a replica.
    pub fn of_spool(spool: &Path) -> Result<Remembered, String> {
        let path = file(spool);
        let known = read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Remembered { known })
    }

    /// Why a replica would be taken for another. One that would not is compared with those that are met later.
    pub fn meet(&mut self, place: &Place, now: &Identity) -> Option<String> {
        match meet(place, now, &mut self.known) {
            Verdict::Same | Verdict::Learned => None,
            Verdict::Other(why) => Some(why),
        }
    }

    /// The same in the words that a router refuses it with.
    pub fn check(&mut self, place: &Place, now: &Identity) -> Result<(), String> {
        self.meet(place, now)
            .map_or(Ok(()), |why| Err(not_who_it_was(place, &why)))
    }
}

/// [`Identities::forget`] while no router runs.
pub fn forget_offline(spool: &Path, shard: &str, replica: Option<&str>) -> Result<usize, String> {
    let path = file(spool);
    let mut known = read(&path)?;
    let forgotten = forget(&mut known, shard, replica);
    write(&path, &known).map(|()| forgotten)
}

fn forget(known: &mut Known, shard: &str, replica: Option<&str>) -> usize {
    let before = known.len();
    known.retain(|place, _| place.shard != shard || replica.is_some_and(|replica| place.replica != replica));
    before - known.len()
}

fn file(spool: &Path) -> PathBuf {
    spool.join("meta").join("identities")
}

fn write(path: &Path, known: &Known) -> Result<(), String> {
    let written = write_whole(path, to_json(known).to_string().as_bytes());
    written.map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Known, String> {
    let Some(value) = read_json_if_there(path)? else {
        return Ok(Known::new());
    };
    let entries = value.as_array().ok_or("it is no JSON array")?;
    let known: Option<Known> = entries.iter().map(of_json).collect();
    known.ok_or_else(|| "a replica's entry lacks something".to_owned())
}

fn to_json(known: &Known) -> Value {
    let entry = |(place, identity): (&Place, &Identity)| {
        let (kind, name) = match &identity.server {
            ServerMark::Uuid(uuid) => ("server_uuid", uuid),
            ServerMark::ShardMacro(shard) => ("shard_macro", shard),
            ServerMark::HostName(name) => ("host_name", name),
        };
        json!({
            "cluster": place.cluster,
            "shard": place.shard,
            "replica": place.replica,
            "database": place.database,
            "table": place.table,
            "zookeeper_path": identity.zookeeper_path,
            "deduplicates": identity.deduplicates,
            kind: name,
        })
    };
    Value::Array(known.iter().map(entry).collect())
}

fn of_json(value: &Value) -> Option<(Place, Identity)> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let server = text("server_uuid").map(ServerMark::Uuid);
    let server = server.or_else(|| text("shard_macro").map(ServerMark::ShardMacro));
    let place = Place {
        cluster: text("cluster")?,
        shard: text("shard")?,
        replica: text("replica")?,
        database: text("database")?,
        table: text("table")?,
    };
    let identity = Identity {
        server: server.or_else(|| text("host_name").map(ServerMark::HostName))?,
        zookeeper_path: text("zookeeper_path"),
        // Older files do not have it: it is learned with the next batch.
        deduplicates: value
            .get("deduplicates")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    };
    Some((place, identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(shard: &str, replica: &str) -> Place {
        Place {
            cluster: "main".into(),
            shard: shard.into(),
            replica: replica.into(),
            database: "default".into(),
            table: "hits".into(),
        }
    }

    fn identity(server: ServerMark, path: Option<&str>) -> Identity {
        Identity {
            server,
            zookeeper_path: path.map(str::to_owned),
            deduplicates: path.is_some(),
        }
    }

    fn uuid(name: &str, path: Option<&str>) -> Identity {
        identity(ServerMark::Uuid(name.into()), path)
    }

    fn host(name: &str, path: Option<&str>) -> Identity {
        identity(ServerMark::HostName(name.into()), path)
    }

    /// Two replicas of s1 and one of s2.
    fn known() -> Known {
        [
            (place("s1", "a:1"), uuid("A", Some("/s1"))),
            (place("s1", "b:1"), uuid("B", Some("/s1"))),
            (place("s2", "c:1"), uuid("C", Some("/s2"))),
            (place("s3", "d:1"), uuid("D", None)),
            (place("s4", "e:1"), host("vm", None)),
        ]
        .into()
    }

    /// What follows when `now` answers at the shard's replica: `same`, `learned`, or a word of the reason.
    #[track_caller]
    fn check(shard: &str, replica: &str, now: &Identity, expected: &str) {
        let found = match compare(&place(shard, replica), now, &known()) {
            Verdict::Same => "same".to_owned(),
            Verdict::Learned => "learned".to_owned(),
            Verdict::Other(why) => why,
        };
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn a_replica_is_the_same_while_one_of_its_marks_is() {
        check("s1", "a:1", &uuid("A", Some("/s1")), "same");
        check("s1", "a:1", &uuid("N", Some("/s1")), "learned");
        check("s1", "a:1", &uuid("A", Some("/new")), "learned");
        check(
            "s1",
            "a:1",
            &uuid("N", Some("/new")),
            "it was serverUUID A with zookeeper_path /s1 and is serverUUID N",
        );
        check(
            "s3",
            "d:1",
            &uuid("N", None),
            "it was serverUUID D and is serverUUID N",
        );
        check(
            "s4",
            "e:1",
            &host("other", None),
            "it was host vm and is host other",
        );
    }

    #[test]
    fn a_mark_of_another_shard_is_never_right() {
        check(
            "s2",
            "c:1",
            &uuid("A", Some("/s2")),
            "serverUUID A is known as shard s1's (a:1)",
        );
        check(
            "s2",
            "c:1",
            &uuid("C", Some("/s1")),
            "zookeeper_path /s1 is known as shard s1's",
        );
        check("s2", "new:1", &uuid("B", None), "known as shard s1's (b:1)");
    }

    #[test]
    fn a_target_deduplicates_if_it_does_wherever_it_was_met() {
        let identities = Identities {
            known: Arc::new(Mutex::new(known())),
            ..Identities::simulated()
        };
        let check = |places: &[(&str, &str)], expected: Option<bool>| {
            let places = places.iter().map(|(shard, replica)| place(shard, replica));
            assert_eq!(identities.deduplicate(places), expected);
        };
        check(&[("s1", "a:1"), ("s2", "c:1")], Some(true));
        check(&[("s1", "new:1"), ("s1", "a:1"), ("s2", "new:1")], Some(true));
        check(&[("s1", "new:1")], None);
        check(&[("s1", "a:1"), ("s3", "d:1")], Some(false));
        check(&[("s3", "d:1"), ("s1", "a:1")], Some(false));
    }

    #[test]
    fn hosts_have_names_in_common_and_upgraded_servers_get_other_marks() {
        check("s2", "new:1", &host("vm", None), "learned");
        check("s4", "e:1", &uuid("E", None), "learned");
    }

    #[test]
    fn one_server_serves_several_shards_in_databases_of_their_own() {
        let other_database = Place {
            database: "r2".into(),
            ..place("s2", "a:1")
        };
        assert_eq!(
            compare(&other_database, &uuid("A", None), &known()),
            Verdict::Learned
        );
    }

    #[test]
    fn clusters_may_have_servers_in_common() {
        let other_cluster = Place {
            cluster: "all".into(),
            ..place("one", "a:1")
        };
        assert_eq!(
            compare(&other_cluster, &uuid("A", Some("/s1")), &known()),
            Verdict::Learned
        );
    }

    #[tokio::test]
    async fn who_was_met_is_known_after_a_restart_until_it_is_accepted_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (s1, s2) = (place("s1", "a:1"), place("s2", "c:1"));
        let identities = Identities::below(directory.path());
        identities.check(&s1, &uuid("A", Some("/s1"))).await.unwrap();
        identities.check(&s2, &host("vm", None)).await.unwrap();
        let identities = Identities::below(directory.path());
        let refused = identities.check(&s2, &uuid("A", Some("/s2"))).await;
        assert!(
            matches!(&refused, Err(NotMet::Other(why)) if why.ends_with("until `weir clusters accept s2@c:1`")),
            "{refused:?}"
        );
        assert_eq!(forget_offline(directory.path(), "s1", Some("other:1")), Ok(0));
        assert_eq!(identities.forget("s1", None).await, Ok(1));
        assert_eq!(identities.check(&s2, &uuid("A", Some("/s2"))).await, Ok(()));
    }

    #[tokio::test]
    async fn a_server_without_the_table_is_compared_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let identities = Identities::below(directory.path());
        *identities.known() = known();
        let facts = |uuid: &str| Facts {
            server_uuid: Some(uuid.to_owned()),
            ..Facts::default()
        };
        let (s1, s2) = (place("s1", "a:1"), place("s2", "c:1"));
        assert_eq!(identities.check_server(&s1, &facts("A")), Ok(()));
        assert!(
            identities.share_blocks(&s1, &place("s1", "b:1")),
            "its path is still known"
        );
        assert!(identities.check_server(&s2, &facts("A")).is_err());
        assert!(identities.check_server(&s2, &facts("N")).is_err());
    }

    #[tokio::test]
    async fn replicas_of_one_path_share_their_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let identities = Identities::below(directory.path());
        for (place, identity) in known() {
            identities.known().insert(place, identity);
        }
        assert!(identities.share_blocks(&place("s1", "a:1"), &place("s1", "b:1")));
        assert!(!identities.share_blocks(&place("s1", "a:1"), &place("s2", "c:1")));
        assert!(
            !identities.share_blocks(&place("s3", "d:1"), &place("s3", "d:1")),
            "it has no path"
        );
    }
}
