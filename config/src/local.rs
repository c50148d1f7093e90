//! Which replicas of a cluster are local: the ones that get their share of an INSERT before its answer.

use std::collections::BTreeSet;

use crate::cluster::ShardDraft;
use crate::file::{Section, Source};
use crate::own_address::OwnHosts;
use crate::replica::Candidate;

/// What the file says about a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    /// It is local; then no replica is local that does not say so.
    Yes,
    /// It is not.
    No,
    /// It is if its address is this machine's and no other replica's is.
    Auto,
}

impl Local {
    /// `local = true | false | "auto"`.
    pub fn read(section: &Section<'_>) -> Local {
        if let Some(word) = section.text_if_text("local") {
            if word.value != "auto" {
                section.source.mistake(
                    word.offset,
                    format!("local is '{}': it is true, false or 'auto'", word.value),
                );
            }
            return Local::Auto;
        }
        match section.flag("local").map(|flag| flag.value) {
            Some(true) => Local::Yes,
            Some(false) => Local::No,
            None => Local::Auto,
        }
    }
}

/// Marks the local replicas of a cluster.
pub(crate) fn mark_local(cluster: &Section<'_>, shards: &mut [ShardDraft<'_>]) {
    check_one_a_shard(cluster.source, shards);
    let said = candidates(shards).any(|candidate| candidate.local == Local::Yes);
    let own_host = if said {
        None
    } else {
        only_own_host(cluster, shards)
    };
    for candidate in shards.iter_mut().flat_map(|shard| &mut shard.replicas) {
        candidate.replica.local = match candidate.local {
            Local::Yes => true,
            Local::No => false,
            Local::Auto => own_host.as_ref() == Some(&candidate.replica.host),
        };
    }
}

/// The host of the one replica that is this machine; `None` when there is none or more than one.
fn only_own_host(cluster: &Section<'_>, shards: &[ShardDraft<'_>]) -> Option<String> {
    let automatic = || candidates(shards).filter(|candidate| candidate.local == Local::Auto);
    let hosts: BTreeSet<String> = automatic()
        .map(|candidate| candidate.replica.host.clone())
        .collect();
    let OwnHosts { own, unanswered } = cluster.source.env.own_hosts(&Vec::from_iter(hosts));
    if unanswered > 0 {
        warn_of_unanswered(cluster, unanswered);
    }
    let mut own_replicas = automatic().filter(|candidate| own.contains(&candidate.replica.host));
    let only = own_replicas.next()?;
    own_replicas.next().is_none().then(|| only.replica.host.clone())
}

fn warn_of_unanswered(cluster: &Section<'_>, hosts: usize) {
    let text = format!(
        "{hosts} hosts were not resolved in time and count as not this machine: \
         if one of them is, say local = true on its replica"
    );
    cluster.source.warning(cluster.offset, text);
}

fn check_one_a_shard(source: &Source<'_>, shards: &[ShardDraft<'_>]) {
    for shard in shards {
        for second in shard
            .replicas
            .iter()
            .filter(|candidate| candidate.local == Local::Yes)
            .skip(1)
        {
            source.mistake(second.offset, "a second local replica: a shard has at most one");
        }
    }
}

fn candidates<'d>(shards: &'d [ShardDraft<'_>]) -> impl Iterator<Item = &'d Candidate> {
    shards.iter().flat_map(|shard| &shard.replicas)
}
