//! `local = "auto"`: which replica gets its share before the answer.

use config::Env;

use crate::support::{check_mistakes, cluster, good_in};

/// Checks which of the replicas are local on the machine `me`.
#[track_caller]
fn check(shards: &str, expected: &[&str]) {
    let env =
        Env::bare().with_own_hosts(|hosts| hosts.iter().filter(|host| *host == "me").cloned().collect());
    let config = good_in(
        &cluster(&format!("internal_replication = true\nshard = [{shards}]")),
        &env,
    );
    let local = config.clusters[0].local_replicas();
    let addresses: Vec<_> = local
        .map(|(shard, replica)| format!("{} {}", shard.name, replica.address()))
        .collect();
    assert_eq!(addresses, expected);
}

#[test]
fn the_one_replica_on_this_machine_is_local() {
    check(
        "{ name = 'x', replica = ['a', 'b'] }, { name = 'y', replica = ['c', 'me'] }",
        &["y me:8123"],
    );
}

#[test]
fn none_is_local_when_none_is_on_this_machine() {
    check(
        "{ name = 'x', replica = 'a' }, { name = 'y', replica = 'b' }",
        &[],
    );
}

#[test]
fn none_is_local_when_several_are_on_this_machine() {
    check(
        "{ name = 'x', replica = 'me:1' }, { name = 'y', replica = 'me:2' }",
        &[],
    );
}

#[test]
fn a_replica_that_says_false_is_not_and_does_not_count() {
    check(
        "{ name = 'x', replica = { host = 'me', port = 1, local = false } }, { name = 'y', replica = 'me:2' }",
        &["y me:2"],
    );
}

#[test]
fn where_one_says_true_only_those_that_do_are_local() {
    check(
        "{ name = 'x', replica = { host = 'a', local = true } }, { name = 'y', replica = 'me' }",
        &["x a:8123"],
    );
    let both = "{ name = 'x', replica = { host = 'a', local = true } }, \
        { name = 'y', replica = { host = 'b', local = true } }";
    check(both, &["x a:8123", "y b:8123"]);
}

#[test]
fn auto_may_be_written_out() {
    check("{ replica = { host = 'me', local = 'auto' } }", &["1 me:8123"]);
}

#[test]
fn a_shard_has_at_most_one_local_replica() {
    let shard = "internal_replication = true\nshard = [{ replica = [\n{ host = 'a', local = true },\n{ host = 'b', local = true }] }]";
    check_mistakes(
        &cluster(shard),
        &["5: a second local replica: a shard has at most one"],
    );
}

#[test]
fn local_is_true_false_or_auto() {
    let shard = |local: &str| {
        cluster(&format!(
            "shard = [{{ replica = {{ host = 'a', local = {local} }} }}]"
        ))
    };
    check_mistakes(
        &shard("'yes'"),
        &["2: local is 'yes': it is true, false or 'auto'"],
    );
    check_mistakes(
        &shard("1"),
        &["2: local: expected true or false, found an integer"],
    );
}
