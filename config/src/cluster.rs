//! `[cluster.<name>]`: shards and their replicas.

use std::collections::HashMap;

use crate::file::{At, Section};
use crate::local::mark_local;
use crate::names::TablePattern;
use crate::replica::{Candidate, Reach, Replica, read_replica};

/// A cluster, complete: what it says is inherited by its shards and replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name, unique in the file.
    pub name: String,
    /// The number of its slot layout, raised by hand with each change of it.
    pub epoch: u64,
    /// At least one, in the order of the file, which is the order of the slots.
    pub shards: Vec<Shard>,
    /// Which healthy replica of a shard is taken.
    pub load_balancing: LoadBalancing,
    /// Whether batches go without the envelope that keeps a cut one from passing for whole; only for
    /// servers known to refuse short bodies.
    pub bare_frames: bool,
    /// What becomes of DDL statements.
    pub ddl: Ddl,
}

/// A shard of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name, unique in the cluster: the spool's rows belong to it.
    pub name: String,
    /// Its place in the cluster, counted from 1, as `insert_shard_id` counts.
    pub number: u32,
    /// How many slots it owns; zero owns none.
    pub weight: u32,
    /// Whether one replica is written to and passes the rows on (true), or each is written to (false).
    pub internal_replication: bool,
    /// At least one.
    pub replicas: Vec<Replica>,
}

/// Which healthy replica of a shard is taken; ClickHouse's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadBalancing {
    /// Any.
    Random,
    /// The one whose host name is most like this machine's.
    NearestHostname,
    /// The first in the order of the file.
    InOrder,
    /// The first, and any other when it is not available.
    FirstOrRandom,
    /// Each in turn.
    RoundRobin,
}

/// What becomes of DDL statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ddl {
    /// They get code 48.
    Refuse,
    /// They go to one replica.
    Forward,
    /// They run on every replica.
    Replicate,
}

/// What a cluster owns at most; beyond it the slots of a sharding value are a typing error, not a weight.
const WEIGHT_MAX: u64 = 1_000_000;
/// Names become directories, with the replica's address behind them: 255 bytes are the file system's limit.
const SHARD_NAME_BYTES_MAX: usize = 64;
/// The name of the only shard of a cluster when the file gives none.
const ONLY_SHARD_NAME: &str = "1";

impl Cluster {
    /// The local replica of each shard that has one.
    pub fn local_replicas(&self) -> impl Iterator<Item = (&Shard, &Replica)> {
        self.shards
            .iter()
            .filter_map(|shard| Some((shard, shard.local_replica()?)))
    }

    /// The shard of this name.
    pub fn shard(&self, name: &str) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.name == name)
    }
}

impl Shard {
    /// Its local replica, if it has one.
    pub fn local_replica(&self) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.local)
    }
}

// === reading ===

/// A shard before the cluster has decided which replicas are local.
struct ShardDraft {
    name: Option<At<String>>,
    weight: u32,
    internal_replication: bool,
    offset: usize,
}

impl Cluster {
    pub(crate) fn read(name: &At<String>, section: &Section<'_>) -> Cluster {
        check_cluster_name(name, section);
        read_discovery(section);
        let reach = Reach::default().overridden_by(section);
        let internal_replication = section.flag("internal_replication").map(|flag| flag.value);
        let sections = section.children("shard");
        let drafts: Vec<_> = sections
            .iter()
            .map(|shard| ShardDraft::read(shard, internal_replication))
            .collect();
        let mut replicas: Vec<_> = sections
            .iter()
            .map(|shard| read_replicas(shard, &reach))
            .collect();
        mark_local(section.source, &mut replicas);
        check_shards(section, &drafts);
        check_replicas(section, &replicas);
        check_tls_is_used(section, &sections, &replicas);
        if internal_replication.is_none() {
            warn_of_default_replication(&sections, &replicas);
        }
        Cluster {
            name: name.value.clone(),
            epoch: section
                .count("epoch", 1..=u64::from(u32::MAX))
                .map_or(1, |epoch| epoch.value),
            shards: drafts
                .into_iter()
                .zip(replicas)
                .zip(1..)
                .map(ShardDraft::finish)
                .collect(),
            load_balancing: read_load_balancing(section),
            bare_frames: section.flag("bare_frames").is_some_and(|flag| flag.value),
            ddl: read_ddl(section),
        }
    }
}

impl ShardDraft {
    fn read(section: &Section<'_>, internal_replication: Option<bool>) -> ShardDraft {
        let own = section.flag("internal_replication").map(|flag| flag.value);
        let weight = section
            .count("weight", 0..=WEIGHT_MAX)
            .and_then(|weight| u32::try_from(weight.value).ok());
        ShardDraft {
            name: section.parsed("name", parse_shard_name),
            weight: weight.unwrap_or(1),
            // ClickHouse's own default.
            internal_replication: own.or(internal_replication).unwrap_or(false),
            offset: section.offset,
        }
    }

    fn finish(((draft, replicas), number): ((ShardDraft, Vec<Candidate>), u32)) -> Shard {
        Shard {
            name: draft
                .name
                .map_or_else(|| ONLY_SHARD_NAME.to_owned(), |name| name.value),
            number,
            weight: draft.weight,
            internal_replication: draft.internal_replication,
            replicas: replicas.into_iter().map(|candidate| candidate.replica).collect(),
        }
    }
}

fn read_replicas(section: &Section<'_>, reach: &Reach) -> Vec<Candidate> {
    let reach = reach.overridden_by(section);
    let items = section.items("replica");
    if !section.has("replica") || section.is_empty_list("replica") {
        section.mistake("a shard needs at least one replica: replica = [ \"host\" ]");
    }
    items
        .into_iter()
        .filter_map(|item| read_replica(item, &reach, section))
        .collect()
}

fn read_load_balancing(section: &Section<'_>) -> LoadBalancing {
    let words = [
        ("random", LoadBalancing::Random),
        ("nearest_hostname", LoadBalancing::NearestHostname),
        ("in_order", LoadBalancing::InOrder),
        ("first_or_random", LoadBalancing::FirstOrRandom),
        ("round_robin", LoadBalancing::RoundRobin),
    ];
    section
        .choice("load_balancing", &words)
        .map_or(LoadBalancing::Random, |word| word.value)
}

fn read_ddl(section: &Section<'_>) -> Ddl {
    let words = [
        ("refuse", Ddl::Refuse),
        ("forward", Ddl::Forward),
        ("replicate", Ddl::Replicate),
    ];
    section
        .choice("ddl", &words)
        .map_or(Ddl::Refuse, |word| word.value)
}

/// The keys of discovery: checked, and refused by `unbuilt`.
fn read_discovery(section: &Section<'_>) {
    section.texts("discover");
    section.all_parsed("tables", TablePattern::parse);
    section.duration(
        "refresh",
        std::time::Duration::from_secs(1)..=std::time::Duration::from_secs(86_400),
    );
}

fn parse_shard_name(name: &str) -> Result<String, String> {
    let taken = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '@' | '/');
    if name.is_empty() || name.len() > SHARD_NAME_BYTES_MAX || name.contains(taken) {
        let rule = "a shard's name has 1 to 64 bytes and no blanks, '/' or '@'";
        return Err(format!("'{}': {rule}", name.escape_debug()));
    }
    Ok(name.to_owned())
}

// === checking ===

fn check_cluster_name(name: &At<String>, section: &Section<'_>) {
    let taken = |c: char| c == '.' || c.is_control();
    if name.is_empty() || name.contains(taken) {
        let text = format!(
            "cluster name '{}': it may not be empty or contain dots",
            name.escape_debug()
        );
        section.source.mistake(name.offset, text);
    }
}

fn check_shards(section: &Section<'_>, shards: &[ShardDraft]) {
    if shards.is_empty() {
        section.mistake("a cluster needs at least one shard: [[cluster.<name>.shard]]");
        return;
    }
    if shards.iter().all(|shard| shard.weight == 0) {
        section.mistake("every shard has weight 0: no row would have a shard");
    }
    if shards.len() > 1 {
        check_shard_names(section, shards);
    }
}

fn check_shard_names(section: &Section<'_>, shards: &[ShardDraft]) {
    let source = section.source;
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    for shard in shards {
        let Some(name) = &shard.name else {
            source.mistake(
                shard.offset,
                "a shard of a cluster with several needs a name: the spool goes by it",
            );
            continue;
        };
        if let Some(first) = first_of.insert(&name.value, name.offset) {
            let text = format!(
                "shard name '{}' stands twice, first on line {}",
                name.value,
                source.line(first)
            );
            source.mistake(name.offset, text);
        }
    }
}

/// The same server twice in a shard would get its rows twice; in two shards (with one database), the rows of both.
fn check_replicas(section: &Section<'_>, shards: &[Vec<Candidate>]) {
    let source = section.source;
    let mut seen: HashMap<(String, Option<&str>), usize> = HashMap::new();
    for shard in shards {
        let mut in_shard: HashMap<String, usize> = HashMap::new();
        for Candidate { replica, offset, .. } in shard {
            let address = replica.address().to_lowercase();
            let elsewhere = seen.insert((address.clone(), replica.database.as_deref()), *offset);
            let first = in_shard.insert(address, *offset).or(elsewhere);
            if let Some(first) = first {
                let line = source.line(first);
                let text = format!("replica {} stands twice, first on line {line}", replica.address());
                source.mistake(*offset, text);
            }
        }
    }
}

/// Whoever says `tls` means it; without `secure` it would be silently plain.
fn check_tls_is_used(section: &Section<'_>, shards: &[Section<'_>], replicas: &[Vec<Candidate>]) {
    let unused = "tls without secure = true would not be used";
    let secure = |shard: &Vec<Candidate>| shard.iter().any(|candidate| candidate.replica.secure);
    if section.has("tls") && !replicas.iter().any(secure) {
        section.source.mistake(section.offset_of("tls"), unused);
    }
    for (shard, _) in shards
        .iter()
        .zip(replicas)
        .filter(|(shard, own)| shard.has("tls") && !secure(own))
    {
        shard.source.mistake(shard.offset_of("tls"), unused);
    }
}

fn warn_of_default_replication(shards: &[Section<'_>], replicas: &[Vec<Candidate>]) {
    let silent =
        |(shard, own): &(&Section<'_>, &Vec<Candidate>)| own.len() > 1 && !shard.has("internal_replication");
    for (shard, _) in shards.iter().zip(replicas).filter(silent) {
        let text = "internal_replication is false by default: Weir writes to each replica of this shard; \
                    if its tables are Replicated, say internal_replication = true";
        shard.source.warning(shard.offset, text);
    }
}
