//! What is found follows from what the replicas told.

use std::sync::Arc;

use config::{Config, Env};
use shard_client::{DefaultKind, DescribedColumn, Facts, Target, Window};

use super::facts::{
    Answer, AtReplica, BlockRate, NotTold, Pin, ServerFacts, ShownShard, TableFacts, TargetFacts, View,
};
use super::finding::{Finding, Level, Verdict};
use super::{across, at_replica, placement};
use crate::discovery::seed::ShownTable;
use crate::identity::Remembered;
use crate::schema::Description;

const CONFIG: &str = r#"
[spool]
path = "/nowhere"
[cluster.main]
internal_replication = true
[[cluster.main.shard]]
name = "s1"
weight = 2
replica = [ "a1", "a2" ]
[[cluster.main.shard]]
name = "s2"
replica = [ "b1", "b2" ]
[[table]]
name = "d.hits"
cluster = "main"
target = "d.hits_local"
sharding_key = "cityHash64(user_id)"
"#;

fn config(edit: (&str, &str)) -> Config {
    config::parse(&CONFIG.replace(edit.0, edit.1), &Env::of_process()).unwrap()
}

fn column(name: &str, type_name: &str, default: &str) -> DescribedColumn {
    DescribedColumn {
        name: name.into(),
        type_name: type_name.into(),
        default_kind: if default.is_empty() {
            DefaultKind::None
        } else {
            DefaultKind::Default
        },
        default_expression: default.into(),
    }
}

/// A server of today with a Replicated target in its best state.
fn sound(shard: &str, replica: &str) -> Answer {
    let server = ServerFacts {
        facts: Facts {
            version: "26.9.1".parse().unwrap(),
            timezone: "UTC".into(),
            server_uuid: Some(replica.into()),
            known_settings: ["insert_deduplication_token".to_owned()].into(),
            ..Facts::default()
        },
        ..ServerFacts::default()
    };
    let target = TargetFacts {
        target: Target {
            engine: "ReplicatedMergeTree".into(),
            zookeeper_path: Some(format!("/t/{shard}")),
            window: Some(Window {
                blocks: 10_000,
                seconds: Some(3600),
            }),
            ..Target::default()
        },
        engine_full: String::new(),
        description: Description {
            time_zone: "UTC".into(),
            ..Description::of_columns(vec![column("user_id", "UInt64", ""), column("s", "String", "")])
        },
        views: Vec::new(),
        rate: None,
        insert: Some(Ok(())),
    };
    Answer {
        server: Arc::new(server),
        target: Some(target),
    }
}

/// A configuration's table, every replica sound but for what `change` does to the answer of the replica of that number.
fn found_with(config: &Config, change: impl Fn(usize, &mut Answer)) -> Vec<Finding> {
    let cluster = &config.clusters[0];
    let places = cluster
        .shards
        .iter()
        .flat_map(|shard| shard.replicas.iter().map(move |replica| (shard, replica)));
    let at = |(number, (shard, replica)): (usize, (&'_ config::Shard, &'_ config::Replica))| {
        let mut answer = sound(&shard.name, &replica.host);
        change(number, &mut answer);
        (number, answer)
    };
    let answers: Vec<_> = places.clone().enumerate().map(at).collect();
    let replicas = places
        .zip(answers)
        .map(|((shard, replica), (_, answer))| AtReplica {
            shard,
            replica,
            answer: Ok(answer),
        });
    found(&TableFacts {
        table: &config.tables[0],
        cluster,
        replicas: replicas.collect(),
    })
}

fn found(facts: &TableFacts<'_>) -> Vec<Finding> {
    let mut found: Vec<_> = facts
        .replicas
        .iter()
        .flat_map(|at| at_replica::findings(facts, at))
        .collect();
    found.extend(across::findings(facts, &mut Remembered::default()));
    found.extend(placement::findings(facts));
    found
}

fn target(answer: &mut Answer) -> &mut TargetFacts {
    answer.target.as_mut().unwrap()
}

fn server(answer: &mut Answer) -> &mut ServerFacts {
    Arc::get_mut(&mut answer.server).unwrap()
}

/// The verdict, and a finding of that level whose place and words contain `words`.
#[track_caller]
fn check_in(
    config: &Config,
    change: impl Fn(usize, &mut Answer),
    verdict: &str,
    level: Level,
    words: [&str; 2],
) {
    let found = found_with(config, change);
    let said = |finding: &&Finding| {
        finding.level() == level && finding.place().contains(words[0]) && finding.what.contains(words[1])
    };
    assert!(found.iter().any(|finding| said(&finding)), "{found:#?}");
    assert_eq!(Verdict::of(&found).word(), verdict, "{found:#?}");
}

#[track_caller]
fn check(change: impl Fn(usize, &mut Answer), verdict: &str, level: Level, words: [&str; 2]) {
    check_in(&config(("", "")), change, verdict, level, words);
}

const ONCE: &str = "exactly once";
const AT_LEAST: &str = "at least once";
const STOPPED: &str = "not deliverable as it stands";

#[test]
fn nothing_is_found_where_nothing_stands_in_the_way() {
    let found = found_with(&config(("", "")), |_, _| {});
    assert_eq!(
        (found.as_slice(), Verdict::of(&found)),
        (&[][..], Verdict::ExactlyOnce)
    );
}

#[test]
fn a_replica_that_does_not_answer_leaves_the_verdict_open_and_one_that_refuses_stops_it() {
    let config = config(("", ""));
    let facts = |answer: NotTold| TableFacts {
        table: &config.tables[0],
        cluster: &config.clusters[0],
        replicas: vec![AtReplica {
            shard: &config.clusters[0].shards[0],
            replica: &config.clusters[0].shards[0].replicas[0],
            answer: Err(answer),
        }],
    };
    let verdict = |answer| Verdict::of(&found(&facts(answer))).to_string();
    assert_eq!(
        verdict(NotTold::Unreachable("gone".into())),
        "not known: the replica cannot be reached: gone"
    );
    assert!(verdict(NotTold::Silent("no right".into())).starts_with("not known: "));
    let refused = verdict(NotTold::Refused("Code: 516".into()));
    assert_eq!(
        refused,
        "not deliverable as it stands: the replica does not let user default in: Code: 516"
    );
}

#[test]
fn a_missing_or_distributed_target_is_refused() {
    check(
        |at, answer| {
            if at == 2 {
                answer.target = None;
            }
        },
        STOPPED,
        Level::Error,
        ["s2 b1:8123", "there is no table d.hits_local"],
    );
    let distributed = |at, answer: &mut Answer| {
        if at == 0 {
            target(answer).target.engine = "Distributed".into();
            target(answer).target.zookeeper_path = Some("/t/s1".into());
        }
    };
    check(
        distributed,
        STOPPED,
        Level::Error,
        ["s1 a1:8123", "itself a Distributed table"],
    );
}

#[test]
fn a_target_that_remembers_nothing_is_at_least_once() {
    check(
        |_, answer| target(answer).target.window = None,
        AT_LEAST,
        Level::Warning,
        ["s1 a1", "without a deduplication window"],
    );
    let one_each = config(("internal_replication = true", "internal_replication = false"));
    let log = |_, answer: &mut Answer| {
        target(answer).target = Target {
            engine: "Log".into(),
            ..Target::default()
        };
    };
    check_in(
        &one_each,
        log,
        AT_LEAST,
        Level::Warning,
        ["s2 b2", "the engine Log recognises no repeat"],
    );
}

fn old(answer: &mut Answer) {
    server(answer).facts.version = "18.16.1".parse().unwrap();
    server(answer).facts.known_settings.clear();
}

#[test]
fn an_old_server_knows_repeats_of_replicated_tables_by_their_content() {
    check(
        |_, answer| old(answer),
        ONCE,
        Level::Note,
        ["s1 a1", "recognised by their content"],
    );
    let one_each = config(("internal_replication = true", "internal_replication = false"));
    let plain = |_, answer: &mut Answer| {
        old(answer);
        target(answer).target.engine = "MergeTree".into();
        target(answer).target.zookeeper_path = None;
    };
    check_in(
        &one_each,
        plain,
        AT_LEAST,
        Level::Warning,
        ["s1 a1", "no insert_deduplication_token, recognises no repeat"],
    );
}

#[test]
fn a_default_that_the_shards_compute_makes_a_repeat_another_block_on_an_old_server() {
    let named = |answer: &mut Answer| {
        let host = DescribedColumn {
            default_kind: DefaultKind::Materialized,
            ..column("h", "DateTime", "now()")
        };
        target(answer).description.columns.push(host);
    };
    check(
        |_, answer| named(answer),
        ONCE,
        Level::Warning,
        ["s1 a1", "column h has the MATERIALIZED now()"],
    );
    let old = |_, answer: &mut Answer| {
        old(answer);
        named(answer);
    };
    check(
        old,
        AT_LEAST,
        Level::Warning,
        ["s1 a1", "is not recognised by its content"],
    );
}

#[test]
fn a_window_that_a_short_outage_outlasts_is_named_with_its_rate() {
    let busy = |_, answer: &mut Answer| {
        target(answer).target.window = Some(Window {
            blocks: 100,
            seconds: Some(604_800),
        });
        target(answer).rate = Some(BlockRate {
            blocks: 400,
            seconds: 400,
        });
    };
    let words = "half of the window of 100 blocks covers an outage of 50s at the present 3600 blocks an hour";
    check(busy, ONCE, Level::Warning, ["s1 a1", words]);
}

#[test]
fn views_are_named_with_what_a_repeat_does_to_them() {
    let view = |window| View {
        name: "d.v".into(),
        into: Some("d.sums".into()),
        engine: "SummingMergeTree".into(),
        window,
    };
    let window = Window {
        blocks: 100,
        seconds: None,
    };
    let with = |window| move |_, answer: &mut Answer| target(answer).views.push(view(window));
    let name = "the materialized view d.v writes into d.sums (SummingMergeTree)";
    check(with(Some(window)), ONCE, Level::Note, ["s1 a1", name]);
    check(
        with(None),
        AT_LEAST,
        Level::Warning,
        ["s1 a1", "no deduplication window: a repeat may double rows there"],
    );
    let on_old = |_, answer: &mut Answer| {
        old(answer);
        target(answer).views.push(view(Some(window)));
    };
    check(
        on_old,
        AT_LEAST,
        Level::Warning,
        ["s1 a1", "does not come to the view"],
    );
}

#[test]
fn a_profile_that_beats_the_pinned_settings_is_refused() {
    let pin = |found: Result<&str, &str>| Pin {
        name: "async_insert",
        wanted: "0",
        found: found.map(str::to_owned).map_err(str::to_owned),
    };
    let with = |found: Result<&'static str, &'static str>| {
        move |_: usize, answer: &mut Answer| server(answer).pins.push(pin(found))
    };
    check(
        with(Ok("1")),
        STOPPED,
        Level::Error,
        ["s1 a1", "async_insert is 1 although Weir sends 0"],
    );
    check(
        with(Err("Code: 452")),
        STOPPED,
        Level::Error,
        ["s1 a1", "async_insert cannot be set to 0: Code: 452"],
    );
    let refused = |_, answer: &mut Answer| target(answer).insert = Some(Err("Code: 497".into()));
    check(
        refused,
        STOPPED,
        Level::Error,
        [
            "s1 a1",
            "an INSERT of no rows with Weir's settings is refused: Code: 497",
        ],
    );
}

#[test]
fn two_paths_in_a_shard_and_one_path_in_two_shards_are_refused() {
    let other = |at, answer: &mut Answer| {
        if at == 1 {
            target(answer).target.zookeeper_path = Some("/t/other".into());
        }
    };
    check(
        other,
        STOPPED,
        Level::Error,
        ["s1", "no common zookeeper_path (/t/s1 and /t/other)"],
    );
    let shared = |_, answer: &mut Answer| target(answer).target.zookeeper_path = Some("/t".into());
    check(
        shared,
        STOPPED,
        Level::Error,
        ["", "the shards s1, s2 have one zookeeper_path, /t"],
    );
}

#[test]
fn replicas_that_replicate_otherwise_than_configured_are_named() {
    let plain = |_, answer: &mut Answer| {
        target(answer).target.engine = "MergeTree".into();
        target(answer).target.zookeeper_path = None;
    };
    check(
        plain,
        STOPPED,
        Level::Error,
        [
            "s1",
            "internal_replication is true and MergeTree does not replicate",
        ],
    );
    let one_each = config(("internal_replication = true", "internal_replication = false"));
    check_in(
        &one_each,
        |_, _| {},
        ONCE,
        Level::Warning,
        [
            "s1",
            "internal_replication is false and the replicas pass rows on",
        ],
    );
}

#[test]
fn a_server_that_stands_at_two_shards_is_refused() {
    let one_server = |_, answer: &mut Answer| server(answer).facts.server_uuid = Some("same".into());
    check(
        one_server,
        STOPPED,
        Level::Error,
        ["s2 b1", "its serverUUID same is known as shard s1's"],
    );
}

#[test]
fn columns_and_time_zones_that_differ_are_named_by_replica() {
    let with = |change: fn(&mut Description)| {
        move |at: usize, answer: &mut Answer| {
            if at == 3 {
                change(&mut target(answer).description);
            }
        }
    };
    check(
        with(|told| drop(told.columns.pop())),
        STOPPED,
        Level::Error,
        ["s2 b2", "column s is not here, and is on a1:8123"],
    );
    check(
        with(|told| told.columns.push(column("n", "UInt8", ""))),
        STOPPED,
        Level::Error,
        ["s2 b2", "column n is here, and is not on a1:8123"],
    );
    check(
        with(|told| told.columns[1].type_name = "FixedString(3)".into()),
        ONCE,
        Level::Warning,
        ["s2 b2", "column s is FixedString(3) here, and String on a1:8123"],
    );
    check(
        with(|told| told.time_zone = "Asia/Tokyo".into()),
        ONCE,
        Level::Warning,
        ["", "time zones Asia/Tokyo, UTC"],
    );
}

#[test]
fn a_key_that_does_not_fit_the_columns_is_refused() {
    let renamed = |_, answer: &mut Answer| target(answer).description.columns[0].name = "id".into();
    check(renamed, STOPPED, Level::Error, ["s1 a1", "user_id"]);
}

/// A Distributed table of the first replica, on a cluster of these weights.
fn own(
    name: &'static str,
    key: &'static str,
    weights: &'static [u64],
    internal: bool,
) -> impl Fn(usize, &mut Answer) {
    move |at, answer| {
        if at > 0 {
            return;
        }
        let shard = |weight: &u64| ShownShard {
            weight: *weight,
            internal_replication: Some(internal),
            default_database: None,
        };
        let server = server(answer);
        server
            .clusters
            .insert("theirs".into(), weights.iter().map(shard).collect());
        server.distributed.push(ShownTable {
            name: config::TableName::new("d", name),
            engine_full: format!("Distributed(theirs, d, hits_local, {key})"),
        });
    }
}

#[test]
fn the_servers_own_distributed_table_must_place_rows_as_weir_does() {
    let found = found_with(
        &config(("", "")),
        own("hits", "cityHash64(`user_id`)", &[2, 1], true),
    );
    assert_eq!(found, []);
    let key = "Distributed table d.hits has the sharding key rand(), and Weir has cityHash64(user_id)";
    check(
        own("hits", "rand()", &[2, 1], true),
        STOPPED,
        Level::Error,
        ["s1 a1:8123", key],
    );
    let weights = "has shards of the weights 1, 1, and Weir has 2, 1";
    check(
        own("hits", "cityHash64(user_id)", &[1, 1], true),
        STOPPED,
        Level::Error,
        ["s1 a1:8123", weights],
    );
    check(
        own("other", "rand()", &[2, 1], true),
        ONCE,
        Level::Warning,
        ["s1 a1:8123", "d.other has the sharding key rand()"],
    );
    let internal = "internal_replication of shard s1 is false in the server's own cluster theirs, and true";
    check(
        own("hits", "cityHash64(user_id)", &[2, 1], false),
        ONCE,
        Level::Warning,
        ["s1 a1:8123", internal],
    );
}
