//! `[cluster.<name>]`: shards and their replicas.

use std::collections::HashMap;

use crate::discover::Discovery;
use crate::file::{At, Section, Source};
use crate::local::mark_local;
use crate::names::fits_a_directory;
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
    /// How its Distributed tables are found, if they are.
    pub discovery: Option<Discovery>,
    /// The line of the file that says its epoch, or where it begins.
    pub line: usize,
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

/// A larger weight is a slip of the pen; and every layout's sum of weights stays far below 64 bits.
const WEIGHT_MAX: u64 = 1_000_000;
/// Names become directories, metrics' labels and columns of listings.
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
pub(crate) struct ShardDraft<'s> {
    name: Option<At<String>>,
    weight: u32,
    internal_replication: bool,
    pub replicas: Vec<Candidate>,
    section: Section<'s>,
}

impl Cluster {
    pub(crate) fn read(name: &At<String>, section: &Section<'_>) -> Cluster {
        check_cluster_name(name, section);
        let reach = Reach::default().overridden_by(section);
        let epoch = section.count("epoch", 1..=u64::from(u32::MAX));
        Cluster {
            name: name.value.clone(),
            epoch: epoch.map_or(1, |epoch| epoch.value),
            shards: read_shards(section, &reach),
            load_balancing: read_load_balancing(section),
            bare_frames: section.flag("bare_frames").is_some_and(|flag| flag.value),
            ddl: read_ddl(section),
            discovery: Discovery::read(section, &reach),
            line: section.source.line(section.offset_of("epoch")),
        }
    }
}

fn read_shards(cluster: &Section<'_>, reach: &Reach) -> Vec<Shard> {
    let internal_replication = cluster.flag("internal_replication").map(|flag| flag.value);
    let shards = cluster.children("shard").into_iter();
    let mut shards: Vec<_> = shards
        .map(|shard| ShardDraft::read(shard, reach, internal_replication))
        .collect();
    mark_local(cluster, &mut shards);
    check_shards(cluster, &shards);
    check_tls_is_used(cluster, &shards);
    if internal_replication.is_none() {
        shards.iter().for_each(warn_of_default_replication);
    }
    shards
        .into_iter()
        .zip(1..)
        .map(|(shard, number)| shard.finish(number))
        .collect()
}

impl<'s> ShardDraft<'s> {
    fn read(section: Section<'s>, reach: &Reach, internal_replication: Option<bool>) -> ShardDraft<'s> {
        let own = section.flag("internal_replication").map(|flag| flag.value);
        let weight = section.count("weight", 0..=WEIGHT_MAX).map(|weight| weight.value);
        ShardDraft {
            name: section.parsed("name", parse_shard_name),
            weight: weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1),
            // ClickHouse's own default.
            internal_replication: own.or(internal_replication).unwrap_or(false),
            replicas: read_replicas(&section, reach),
            section,
        }
    }

    fn name(&self) -> &str {
        self.name.as_ref().map_or(ONLY_SHARD_NAME, |name| &name.value)
    }

    fn is_secure(&self) -> bool {
        self.replicas.iter().any(|candidate| candidate.replica.secure)
    }

    fn finish(self, number: u32) -> Shard {
        Shard {
            name: self.name().to_owned(),
            number,
            weight: self.weight,
            internal_replication: self.internal_replication,
            replicas: self
                .replicas
                .into_iter()
                .map(|candidate| candidate.replica)
                .collect(),
        }
    }
}

fn read_replicas(section: &Section<'_>, reach: &Reach) -> Vec<Candidate> {
    let reach = reach.overridden_by(section);
    let items = section.items("replica").into_iter();
    if !section.has("replica") || section.is_empty_list("replica") {
        section.mistake("a shard needs at least one replica: replica = [ \"host\" ]");
    }
    items
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

fn check_shards(cluster: &Section<'_>, shards: &[ShardDraft<'_>]) {
    if shards.is_empty() {
        cluster.mistake("a cluster needs at least one shard: [[cluster.<name>.shard]]");
        return;
    }
    if shards.iter().all(|shard| shard.weight == 0) {
        cluster.mistake("every shard has weight 0: no row would have a shard");
    }
    if shards.len() > 1 {
        check_shard_names(cluster.source, shards);
    }
    check_replicas_differ(cluster.source, shards);
    shards
        .iter()
        .filter(|shard| !shard.internal_replication)
        .for_each(check_queue_names);
}

fn check_shard_names(source: &Source<'_>, shards: &[ShardDraft<'_>]) {
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    for shard in shards {
        let Some(name) = &shard.name else {
            shard
                .section
                .mistake("a shard of a cluster with several needs a name: the spool goes by it");
            continue;
        };
        if let Some(first) = first_of.insert(&name.value, name.offset) {
            let line = source.line(first);
            source.mistake(
                name.offset,
                format!("shard name '{}' stands twice, first on line {line}", name.value),
            );
        }
    }
}

/// The same server twice in a shard would get its rows twice; in two shards (with one database), the rows of
/// both.
fn check_replicas_differ(source: &Source<'_>, shards: &[ShardDraft<'_>]) {
    let mut seen: HashMap<(String, Option<&str>), usize> = HashMap::new();
    for shard in shards {
        let mut in_shard: HashMap<String, usize> = HashMap::new();
        for Candidate { replica, offset, .. } in &shard.replicas {
            let address = replica.address().to_lowercase();
            let elsewhere = seen.insert((address.clone(), replica.database.as_deref()), *offset);
            if let Some(first) = in_shard.insert(address, *offset).or(elsewhere) {
                let line = source.line(first);
                let text = format!("replica {} stands twice, first on line {line}", replica.address());
                source.mistake(*offset, text);
            }
        }
    }
}

/// Without internal_replication each replica has a directory of its own, named by shard and address.
fn check_queue_names(shard: &ShardDraft<'_>) {
    for Candidate { replica, offset, .. } in &shard.replicas {
        if !fits_a_directory(&format!("{}@{}", shard.name(), replica.address())) {
            let text = format!(
                "the names of shard and replica {} are too long for a directory",
                replica.address()
            );
            shard.section.source.mistake(*offset, text);
        }
    }
}

/// Whoever says `tls` means it; without `secure` it would be silently plain.
fn check_tls_is_used(cluster: &Section<'_>, shards: &[ShardDraft<'_>]) {
    let unused = |section: &Section<'_>| {
        let text = "tls without secure = true would not be used";
        section.source.mistake(section.offset_of("tls"), text);
    };
    if cluster.has("tls") && !shards.iter().any(ShardDraft::is_secure) {
        unused(cluster);
    }
    let unused_in_shard = |shard: &&ShardDraft<'_>| shard.section.has("tls") && !shard.is_secure();
    shards
        .iter()
        .filter(unused_in_shard)
        .for_each(|shard| unused(&shard.section));
}

fn warn_of_default_replication(shard: &ShardDraft<'_>) {
    if shard.replicas.len() > 1 && !shard.section.has("internal_replication") {
        let text = "internal_replication is false by default: Weir writes to each replica of this shard; \
                    if its tables are Replicated, say internal_replication = true";
        shard.section.source.warning(shard.section.offset, text);
    }
}
