//! What follows from the word of one replica. Pure.

use shard_client::{Target, Window};

use super::facts::{Answer, AtReplica, NotTold, Pin, TableFacts, TargetFacts, View, covered_seconds};
use super::finding::{Effect, Finding};
use crate::cli::table::age;
use crate::deliver::request::knows_tokens;
use crate::schema::TableSchema;

/// A window that is over sooner does not outlast the restart of a server or a network's trouble.
const OUTAGE_SECONDS_MIN: u64 = 600;

/// Everything that this replica says against the table.
pub fn findings(of: &TableFacts<'_>, at: &AtReplica<'_>) -> Vec<Finding> {
    let mut found = match &at.answer {
        Err(not_told) => vec![untold(at, not_told)],
        Ok(answer) => {
            let pins = answer.server.pins.iter();
            let overridden = pins.filter_map(|pin| overridden(pin, &at.replica.user));
            let of_target = match &answer.target {
                None => vec![missing(of, at)],
                Some(target) => of_target(of, at, answer, target),
            };
            overridden.chain(of_target).collect()
        }
    };
    for finding in &mut found {
        finding.shard = Some(at.shard.name.clone());
        finding.replica = Some(at.replica.address());
    }
    found
}

fn untold(at: &AtReplica<'_>, not_told: &NotTold) -> Finding {
    let user = &at.replica.user;
    match not_told {
        NotTold::Unreachable(why) => Finding::new(
            Effect::Hides,
            format!("the replica cannot be reached: {why}"),
            "start it, or correct its address in weir.toml, and check again",
        ),
        NotTold::Refused(why) => Finding::new(
            Effect::Stops,
            format!("the replica does not let user {user} in: {why}"),
            "correct the user and its password in weir.toml, or the user on the server",
        ),
        NotTold::Silent(why) => Finding::new(
            Effect::Hides,
            format!("the replica does not tell what the target is: {why}"),
            format!("let user {user} read system.tables and describe the target"),
        ),
    }
}

fn missing(of: &TableFacts<'_>, at: &AtReplica<'_>) -> Finding {
    let (database, table) = (at.database(of.table), &of.table.target.table);
    Finding::new(
        Effect::Stops,
        format!(
            "there is no table {database}.{table}, or user {} may not see it",
            at.replica.user
        ),
        "create it: until then everything for this replica is held",
    )
}

fn of_target(of: &TableFacts<'_>, at: &AtReplica<'_>, answer: &Answer, facts: &TargetFacts) -> Vec<Finding> {
    let target = &facts.target;
    if target.is_distributed() {
        return vec![Finding::new(
            Effect::Stops,
            "the target is itself a Distributed table, which splits the rows anew and queues them where nobody looks",
            "name the table behind it as target",
        )];
    }
    let by_token = knows_tokens(&answer.server.facts);
    let mut found = Vec::new();
    found.extend(memory(answer, facts, by_token));
    found.extend(readonly(target));
    found.extend(refused(facts, &at.replica.user));
    found.extend(columns(of, facts, by_token));
    found.extend(facts.views.iter().map(|view| through(view, target, by_token)));
    found
}

/// Whether a repeat is recognised, and for how long.
fn memory(answer: &Answer, facts: &TargetFacts, by_token: bool) -> Vec<Finding> {
    let (target, version) = (&facts.target, &answer.server.facts.version);
    let engine = &target.engine;
    if !engine.ends_with("MergeTree") {
        let what = format!("the engine {engine} recognises no repeat");
        return vec![Finding::new(
            Effect::Doubles,
            what,
            "take a MergeTree where that matters",
        )];
    }
    if !by_token && !target.is_replicated() {
        let what =
            format!("{engine} on {version}, which has no insert_deduplication_token, recognises no repeat");
        let next = "make it Replicated, or upgrade to 22.2 or later and give it a non_replicated_deduplication_window";
        return vec![Finding::new(Effect::Doubles, what, next)];
    }
    let Some(window) = target.window else {
        return vec![without_window(target)];
    };
    let mut found = Vec::new();
    if !by_token {
        let what = format!(
            "{version} has no insert_deduplication_token (22.2): repeats are recognised by their content, and two INSERTs of equal rows within the window are one"
        );
        found.push(Finding::new(Effect::None, what, ""));
    }
    found.extend(short(window, facts, target));
    found
}

fn without_window(target: &Target) -> Finding {
    let engine = &target.engine;
    let (setting, blocks) = match target.is_replicated() {
        true => ("replicated_deduplication_window", 1000),
        false => ("non_replicated_deduplication_window", 1000),
    };
    Finding::new(
        Effect::Doubles,
        format!("{engine} without a deduplication window recognises no repeat"),
        format!("ALTER TABLE … MODIFY SETTING {setting} = {blocks}"),
    )
}

/// A window that other writers fill while nobody looks.
fn short(window: Window, facts: &TargetFacts, target: &Target) -> Option<Finding> {
    let rate = facts.rate?;
    let covered = covered_seconds(window, Some(rate)).filter(|seconds| *seconds < OUTAGE_SECONDS_MIN)?;
    let partitions = match target.partition_key.is_empty() {
        true => "",
        false => ", each partition of a batch one",
    };
    let what = format!(
        "half of the window of {} blocks covers an outage of {} at the present {} blocks an hour{partitions}",
        window.blocks,
        age(0, covered * 1000),
        rate.an_hour()
    );
    let setting = match target.is_replicated() {
        true => "replicated_deduplication_window",
        false => "non_replicated_deduplication_window",
    };
    let next =
        format!("raise {setting}, or write in larger batches: a batch in doubt for longer may arrive twice");
    Some(Finding::new(Effect::Warns, what, next))
}

fn readonly(target: &Target) -> Option<Finding> {
    target.is_readonly.then(|| {
        Finding::new(
            Effect::Warns,
            "the table is read-only now: the replica is passed over while another is left",
            "look whether it reaches its ZooKeeper: system.replicas, system.zookeeper",
        )
    })
}

/// A setting that the server does not let Weir set: then a batch may not be one block, or not recognised.
fn overridden(pin: &Pin, user: &str) -> Option<Finding> {
    let Pin { name, wanted, found } = pin;
    let next = format!("let user {user} change it: its profile's readonly and constraints stand against it");
    match found {
        Ok(value) if value == wanted => None,
        Ok(value) => Some(Finding::new(
            Effect::Stops,
            format!("the setting {name} is {value} although Weir sends {wanted}"),
            next,
        )),
        Err(why) => Some(Finding::new(
            Effect::Stops,
            format!("the setting {name} cannot be set to {wanted}: {why}"),
            next,
        )),
    }
}

fn refused(facts: &TargetFacts, user: &str) -> Option<Finding> {
    let why = facts.insert.as_ref()?.as_ref().err()?;
    Some(Finding::new(
        Effect::Stops,
        format!("an INSERT of no rows with Weir's settings is refused: {why}"),
        format!("let user {user} insert into the target"),
    ))
}

/// Whether the key can be computed, and which values the shards compute at delivery.
fn columns(of: &TableFacts<'_>, facts: &TargetFacts, by_token: bool) -> Vec<Finding> {
    let (name, key) = (of.table.name.to_string(), of.table.sharding_key.as_deref());
    let schema = match TableSchema::new(&name, facts.description.clone(), key) {
        Ok(schema) => schema,
        Err(error) => {
            let next = "correct sharding_key, or the table's columns";
            return vec![Finding::new(Effect::Stops, error.message, next)];
        }
    };
    let recognised = by_token || facts.target.window.is_none();
    let told = schema
        .defaults
        .left_to_shards()
        .into_iter()
        .map(|what| match recognised {
            true => Finding::new(
                Effect::Warns,
                what,
                "let INSERTs give the column, or make it a function of the row",
            ),
            false => Finding::new(
                Effect::Doubles,
                format!("{what}; a repeat has another value there and is not recognised by its content"),
                "let INSERTs give the column, make it a function of the row, or upgrade to 22.2 or later",
            ),
        });
    told.collect()
}

fn through(view: &View, target: &Target, by_token: bool) -> Finding {
    let View { name, engine, .. } = view;
    let into = view.into.as_deref().unwrap_or("a table of its own");
    let what = format!(
        "the materialized view {name} writes into {into} ({})",
        word(engine)
    );
    if target.window.is_none() {
        let what = format!("{what}: a repeat that doubles rows doubles them there, too");
        return Finding::new(Effect::None, what, "");
    }
    if !by_token {
        return Finding::new(
            Effect::Doubles,
            format!(
                "{what}: a repeat that the target recognises does not come to the view, which then lacks the rows that it had failed to write"
            ),
            "upgrade to 22.2 or later, or fill the view anew after its errors",
        );
    }
    if view.window.is_none() {
        return Finding::new(
            Effect::Doubles,
            format!("{what}, which has no deduplication window: a repeat may double rows there"),
            "give that table a deduplication window as well",
        );
    }
    Finding::new(
        Effect::None,
        format!("{what}, which recognises repeats as well"),
        "",
    )
}

fn word(engine: &str) -> &str {
    match engine {
        "" => "which it does not tell",
        engine => engine,
    }
}
