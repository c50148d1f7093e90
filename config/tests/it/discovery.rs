//! What is routed, from the file and from what the seeds said.

use std::collections::BTreeMap;

use config::{Config, Layout, Origin, SeenTable, Sighting, Sightings, TableName, WhenShardDown};

use crate::support::{check_mistakes, good};

const FILE: &str = "[cluster.main]
discover = ['http://seed-1:8123', 'seed-2']
tables = ['*.*', '!hidden.*']
shard = [{ name = 'a', weight = 9, replica = 'h1' }, { name = 'b', weight = 10, replica = 'h2' }]
[[table]]
name = 'db.listed'
target = 'db.listed_local'
sharding_key = 'own'
[[table]]
name = 'logs.*'
max_batch_rows = 7
settings = { insert_quorum = 2 }
[[table]]
name = 'logs.exact'
max_batch_rows = 8
";

fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

fn table(text: &str, key: Option<&str>) -> SeenTable {
    SeenTable {
        name: name(text),
        target: name(&format!("{text}_local")),
        sharding_key: key.map(str::to_owned),
    }
}

fn sighting(tables: &[SeenTable]) -> Sighting {
    Sighting {
        weights: vec![9, 10],
        tables: tables.to_vec(),
        unusable: Vec::new(),
    }
}

fn seen(seeds: &[(&str, Sighting)]) -> Sightings {
    let seeds = seeds
        .iter()
        .map(|(seed, sighting)| ((*seed).to_owned(), sighting.clone()));
    Sightings(BTreeMap::from([("main".to_owned(), seeds.collect())]))
}

fn one_seed(tables: &[SeenTable]) -> Sightings {
    seen(&[("seed-1:8123", sighting(tables))])
}

fn merged(seen: &Sightings) -> (Config, Vec<String>) {
    good(FILE).with_discovered(seen, &BTreeMap::new())
}

fn names(config: &Config) -> Vec<String> {
    config.tables.iter().map(|table| table.name.to_string()).collect()
}

#[test]
fn discovered_tables_come_behind_those_of_the_file() {
    let tables = [
        table("db.t", Some("k")),
        table("db.listed", Some("other")),
        table("hidden.t", None),
    ];
    let (config, remarks) = merged(&one_seed(&tables));
    assert_eq!(names(&config), ["db.listed", "db.t"]);
    assert_eq!(config.tables[0].sharding_key.as_deref(), Some("own"));
    let found = &config.tables[1];
    assert_eq!(
        (found.origin, found.sharding_key.as_deref()),
        (Origin::Discovered, Some("k"))
    );
    assert_eq!((&found.stopped, remarks), (&None, Vec::new()));
    // Merging again changes nothing, and without sightings only the file is left.
    assert_eq!(
        config.with_discovered(&one_seed(&tables), &BTreeMap::new()).0,
        config
    );
    assert_eq!(
        names(&config.with_discovered(&Sightings::default(), &BTreeMap::new()).0),
        ["db.listed"]
    );
}

#[test]
fn the_exact_name_goes_before_a_pattern() {
    let tables = [
        table("logs.any", None),
        table("logs.exact", None),
        table("other.t", None),
    ];
    let (config, _) = merged(&one_seed(&tables));
    let rows = |text: &str| config.table(&name(text)).unwrap().send.max_batch_rows;
    assert_eq!(
        (rows("logs.any"), rows("logs.exact"), rows("other.t")),
        (7, 8, 1_000_000)
    );
    let any = config.table(&name("logs.any")).unwrap();
    assert_eq!(any.settings.get("insert_quorum").map(String::as_str), Some("2"));
    assert_eq!(any.when_shard_down, WhenShardDown::Spool);
}

#[test]
fn a_seed_that_left_the_file_says_nothing_any_more() {
    let (config, _) = merged(&seen(&[("old:8123", sighting(&[table("db.t", None)]))]));
    assert_eq!(names(&config), ["db.listed"]);
}

#[test]
fn other_weights_on_a_seed_stop_every_discovered_table() {
    let mut of_seed = sighting(&[table("db.t", Some("k"))]);
    of_seed.weights = vec![9, 11];
    let (config, remarks) = merged(&seen(&[("seed-1:8123", of_seed)]));
    let why = config.tables[1].stopped.clone().unwrap();
    assert!(
        why.contains("9, 10 in weir.toml and 9, 11 in system.clusters of seed seed-1:8123"),
        "{why}"
    );
    assert!(config.tables[0].stopped.is_none() && !remarks.is_empty());
}

#[test]
fn seeds_that_disagree_stop_the_table_and_no_other() {
    let (one, other) = (table("db.t", Some("k")), table("db.t", Some("k + 1")));
    let same = table("db.same", Some("k"));
    let seeds = [
        ("seed-1:8123", sighting(&[same.clone(), one])),
        ("seed-2:8123", sighting(&[same, other])),
    ];
    let (config, _) = merged(&seen(&seeds));
    assert!(config.table(&name("db.same")).unwrap().stopped.is_none());
    let why = config.table(&name("db.t")).unwrap().stopped.clone().unwrap();
    assert!(
        why.contains("disagree") && why.contains("k + 1 on seed-2:8123"),
        "{why}"
    );
}

#[test]
fn a_key_that_changed_stops_the_table_until_it_is_accepted_or_the_epoch_rises() {
    let (before, _) = merged(&one_seed(&[table("db.t", Some("k"))]));
    let layout = Layout::of(&before, &before.clusters[0]);
    let in_force = BTreeMap::from([("main".to_owned(), layout.clone())]);
    let changed = one_seed(&[table("db.t", Some("intHash64(k)"))]);
    let (config, _) = before.with_discovered(&changed, &in_force);
    let stopped = config.table(&name("db.t")).unwrap();
    // What waits goes where the old key said.
    assert_eq!(stopped.sharding_key.as_deref(), Some("k"));
    let why = stopped.stopped.as_deref().unwrap();
    assert!(
        why.contains("from k to intHash64(k)") && why.contains("weir clusters accept db.t"),
        "{why}"
    );
    assert!(
        Layout::of(&config, &config.clusters[0])
            .succeed(&layout, "main")
            .is_ok()
    );

    let mut accepted = layout.clone();
    accepted.tables.remove(&name("db.t"));
    let (config, _) = before.with_discovered(&changed, &BTreeMap::from([("main".to_owned(), accepted)]));
    let table = config.table(&name("db.t")).unwrap();
    assert_eq!(
        (table.sharding_key.as_deref(), &table.stopped),
        (Some("intHash64(k)"), &None)
    );

    let raised = good(&FILE.replace("[cluster.main]", "[cluster.main]\nepoch = 2"));
    let (config, _) = raised.with_discovered(&changed, &in_force);
    assert!(config.table(&name("db.t")).unwrap().stopped.is_none());
}

#[test]
fn a_table_whose_target_is_distributed_itself_is_not_routed() {
    let mut over = table("db.over", None);
    over.target = name("db.t");
    let mut own_name = table("db.same", None);
    own_name.target = name("db.same");
    let (config, remarks) = merged(&one_seed(&[over, own_name, table("db.t", None)]));
    assert_eq!(names(&config), ["db.listed", "db.same", "db.t"]);
    assert!(remarks[0].contains("db.over is not routed"), "{remarks:?}");
}

#[test]
fn what_discovery_cannot_mean_is_a_mistake() {
    check_mistakes(
        "[cluster.main]\ntables = ['*.*']\nrefresh = '0s'\nshard = [{ replica = 'a' }]",
        &[
            "2: tables needs discover = [ \"http://a-node:8123\" ]",
            "3: refresh is 0s: it goes from 1s to 1d",
            "3: refresh needs discover = [ \"http://a-node:8123\" ]",
        ],
    );
    check_mistakes(
        "[cluster.main]\ndiscover = []\ntables = ['x']\nshard = [{ replica = 'a' }]",
        &[
            "2: discover is empty: leave it out or name a node that has the Distributed tables",
            "3: tables: 'x' is not a pattern of tables: write it as 'database.table' or 'database.*'",
        ],
    );
    check_mistakes(
        "[cluster.main]\nshard = [{ replica = 'a' }]\n[[table]]\nname = 'd.*'",
        &[
            "4: a pattern of tables is about discovered ones, and no cluster that is meant has discover = [ … ]",
        ],
    );
    check_mistakes(
        "[cluster.main]\ndiscover = 'a'\nshard = [{ replica = 'a' }]\n[[table]]\nname = 'd.*'\nsharding_key = 'k'",
        &["6: sharding_key of a discovered table is what its Distributed engine says"],
    );
}
