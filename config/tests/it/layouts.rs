//! The epoch guards the slot layout; the layout's text reads back as itself.

use config::{Assignment, Layout, LayoutShard, LayoutTable, TableName};
use proptest::prelude::*;

use crate::support::good;

const SHARDS: &str =
    "shard = [{ name = 'x', replica = 'a', weight = 9 }, { name = 'y', replica = 'b', weight = 10 }]";

fn layout(epoch: u64, shards: &str, tables: &[(&str, &str)]) -> Layout {
    let mut text = format!("[cluster.main]\nepoch = {epoch}\n{shards}\n");
    for (name, key) in tables {
        text += &format!("[[table]]\nname = '{name}'\ntarget = 'd.local'\nsharding_key = '{key}'\n");
    }
    let config = good(&text);
    Layout::of(&config, &config.clusters[0])
}

fn in_force() -> Layout {
    layout(3, SHARDS, &[("d.t", "k")])
}

/// Checks that a layout of the same epoch is refused for this difference, and taken with the next epoch.
#[track_caller]
fn check_refused(shards: &str, tables: &[(&str, &str)], difference: &str) {
    let error = layout(3, shards, tables)
        .succeed(&in_force(), "main")
        .unwrap_err()
        .to_string();
    let text = format!(
        "the slot layout differs from the one in force, {difference}: rows of one key would lie on two shards; \
         if this is meant, set epoch = 4 in [cluster.main]"
    );
    assert_eq!(error, text);
    let next = layout(4, shards, tables);
    assert_eq!(next.clone().succeed(&in_force(), "main"), Ok(next));
}

#[test]
fn the_same_layout_goes_on() {
    assert_eq!(in_force().succeed(&in_force(), "main"), Ok(in_force()));
}

#[test]
fn what_moves_rows_needs_a_new_epoch() {
    let tables = [("d.t", "k")];
    check_refused(
        &SHARDS.replace("10", "11"),
        &tables,
        "shard 'y' has weight 11 instead of 10",
    );
    check_refused(
        &SHARDS.replace("'y'", "'z'"),
        &tables,
        "shard 2 is 'z' instead of 'y'",
    );
    let replicated = format!("internal_replication = true\n{SHARDS}");
    check_refused(
        &replicated,
        &tables,
        "shard 'x' has internal_replication = true instead of false",
    );
    let third = SHARDS.replace(']', ", { name = 'z', replica = 'c' }]");
    check_refused(&third, &tables, "3 shards instead of 2");
    check_refused(
        SHARDS,
        &[("d.t", "cityHash64(k)")],
        "table d.t has the sharding key cityHash64(k) instead of k",
    );
}

#[test]
fn addresses_of_replicas_are_no_part_of_the_layout() {
    let moved = layout(3, &SHARDS.replace("'a'", "'elsewhere:9'"), &[("d.t", "k")]);
    assert_eq!(moved.succeed(&in_force(), "main"), Ok(in_force()));
}

#[test]
fn a_new_table_is_no_change() {
    let more = layout(3, SHARDS, &[("d.t", "k"), ("d.new", "j")]);
    assert_eq!(more.clone().succeed(&in_force(), "main"), Ok(more));
}

#[test]
fn a_table_that_comes_back_with_another_key_is_noticed() {
    let without = layout(3, SHARDS, &[]).succeed(&in_force(), "main").unwrap();
    let back = layout(3, SHARDS, &[("d.t", "other")]).succeed(&without, "main");
    assert!(
        back.unwrap_err()
            .to_string()
            .contains("table d.t has the sharding key other instead of k")
    );
}

#[test]
fn an_epoch_never_falls() {
    let error = layout(2, SHARDS, &[("d.t", "k")])
        .succeed(&in_force(), "main")
        .unwrap_err();
    let text = "epoch 2 of [cluster.main] lies behind 3, which is in force: epochs only rise";
    assert_eq!(error.to_string(), text);
}

// === the text ===

#[test]
fn the_text_is_what_the_documentation_shows() {
    let text = "weir-layout 1\nepoch 3\nshard x 9 each\nshard y 10 each\ntable d t slots k\nend\n";
    assert_eq!(in_force().to_text(), text);
}

#[track_caller]
fn check_text(text: &str, expected: &str) {
    assert_eq!(
        Layout::from_text(text).unwrap_err().to_string(),
        format!("line {expected}")
    );
}

#[test]
fn a_text_that_was_not_written_whole_is_refused() {
    let text = in_force().to_text();
    for end in 0..text.len() - 1 {
        assert!(Layout::from_text(&text[..end]).is_err(), "{}", &text[..end]);
    }
}

#[test]
fn a_damaged_text_is_refused_with_its_line() {
    check_text(
        "weir-layout 2\n",
        "1 of the slot layout: expected 'weir-layout 1'; a newer version writes another",
    );
    check_text(
        "weir-layout 1\nepoch x\n",
        "2 of the slot layout: the epoch is not a number",
    );
    check_text(
        "weir-layout 1\nepoch 1\nshard a -1 each\n",
        "3 of the slot layout: the weight is not a number",
    );
    check_text(
        "weir-layout 1\nepoch 1\nend\n",
        "3 of the slot layout: there is no shard",
    );
    check_text(
        "weir-layout 1\nshard a 1 each\nend\nx",
        "3 of the slot layout: something stands behind 'end'",
    );
    check_text(
        "weir-layout 1\nshards\n",
        "2 of the slot layout: expected epoch, shard, table or end",
    );
}

fn any_layout() -> impl Strategy<Value = Layout> {
    let shard =
        (any::<String>(), any::<u32>(), any::<bool>()).prop_map(|(name, weight, internal_replication)| {
            LayoutShard {
                name,
                weight,
                internal_replication,
            }
        });
    let assignment = prop_oneof![Just(Assignment::Slots), Just(Assignment::Consistent)];
    let table = (any::<Option<String>>(), assignment).prop_map(|(sharding_key, assignment)| LayoutTable {
        sharding_key,
        assignment,
    });
    let name = (any::<String>(), any::<String>()).prop_map(|(database, table)| TableName { database, table });
    let tables = proptest::collection::btree_map(name, table, 0..4);
    (1..u64::MAX, proptest::collection::vec(shard, 1..4), tables).prop_map(|(epoch, shards, tables)| Layout {
        epoch,
        shards,
        tables,
    })
}

proptest! {
    #[test]
    fn a_layout_s_text_reads_back_as_itself(layout in any_layout()) {
        prop_assert_eq!(Layout::from_text(&layout.to_text()), Ok(layout));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text: String) {
        let _ = Layout::from_text(&text);
    }
}
