//! What a cluster says, its shards and replicas have, unless they say otherwise; and so tables with `[send]`.

use std::time::Duration;

use config::{Env, IdenticalInserts, Replica, Validate};

use crate::support::{LEAST, cluster, good, good_in, with};

/// The replicas of cluster `main`, all shards together.
#[track_caller]
fn replicas(body: &str) -> Vec<Replica> {
    good(&cluster(body))
        .clusters
        .swap_remove(0)
        .shards
        .into_iter()
        .flat_map(|shard| shard.replicas)
        .collect()
}

/// Checks the addresses of all replicas, with their schemes.
#[track_caller]
fn check_urls(body: &str, expected: &[&str]) {
    let urls: Vec<_> = replicas(body).iter().map(Replica::url).collect();
    assert_eq!(urls, expected);
}

fn password(replica: &Replica) -> String {
    replica.password.read().unwrap().expose().to_owned()
}

#[test]
fn the_least_file_is_enough() {
    let config = good(LEAST);
    let replica = &config.clusters[0].shards[0].replicas[0];
    assert_eq!(
        (replica.url().as_str(), replica.user.as_str()),
        ("http://a:8123", "default")
    );
    assert_eq!(
        (config.clusters[0].epoch, config.clusters[0].shards[0].weight),
        (1, 1)
    );
    assert_eq!(config.tables[0].cluster, "main");
    assert_eq!(config.users[0].name, "default");
}

#[test]
fn the_nearest_level_that_says_a_thing_decides() {
    let body = "user = 'c'\npassword = 'pc'\nconnect_timeout = '2s'\n\
        [[cluster.main.shard]]\nname = '1'\nuser = 's'\npassword = 'ps'\n\
        replica = ['a', { host = 'b', user = 'r', password = 'pr', connect_timeout = '3s' }]\n\
        [[cluster.main.shard]]\nname = '2'\nreplica = 'c'\n";
    let all = replicas(body);
    let users: Vec<_> = all
        .iter()
        .map(|replica| (replica.user.as_str(), password(replica)))
        .collect();
    assert_eq!(
        users,
        [("s", "ps".into()), ("r", "pr".into()), ("c", "pc".into())]
    );
    assert_eq!(
        all.iter()
            .map(|replica| replica.connect_timeout.as_secs())
            .collect::<Vec<_>>(),
        [2, 3, 2]
    );
}

#[test]
fn another_user_does_not_inherit_the_password() {
    let all =
        replicas("user = 'c'\npassword = 'pc'\nshard = [{ replica = ['a', { host = 'b', user = 'r' }] }]");
    assert_eq!(
        (password(&all[0]), password(&all[1])),
        ("pc".into(), String::new())
    );
}

#[test]
fn the_port_follows_the_scheme_unless_it_is_said() {
    check_urls(
        "shard = [{ replica = ['a', 'b:1'] }]",
        &["http://a:8123", "http://b:1"],
    );
    check_urls(
        "secure = true\nshard = [{ replica = ['a', '[::1]:1'] }]",
        &["https://a:8443", "https://[::1]:1"],
    );
    check_urls(
        "port = 9\nshard = [{ replica = ['a', { host = 'b', port = 7 }] }]",
        &["http://a:9", "http://b:7"],
    );
}

#[test]
fn an_inherited_port_holds_only_for_its_scheme() {
    let body = "secure = true\nport = 9440\nshard = [{ replica = ['a', { host = 'b', secure = false }] }]";
    check_urls(body, &["https://a:9440", "http://b:8123"]);
    check_urls(
        "port = 9\nshard = [{ replica = ['https://a', 'http://b'] }]",
        &["https://a:8443", "http://b:8123"],
    );
}

#[test]
fn internal_replication_of_a_shard_overrides_the_cluster_s() {
    let body = "internal_replication = true\nshard = [{ name = 'x', replica = 'a' }, \
        { name = 'y', replica = 'b', internal_replication = false }]";
    let shards = good(&cluster(body)).clusters.swap_remove(0).shards;
    assert_eq!(
        shards
            .iter()
            .map(|shard| shard.internal_replication)
            .collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn tls_is_inherited_key_by_key() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ca = file.path();
    let body = format!(
        "secure = true\ntls = {{ ca = '{}' }}\nshard = [{{ replica = ['a', {{ host = 'b', tls.server_name = 'x' }}] }}]",
        ca.display()
    );
    let all = replicas(&body);
    assert!(all.iter().all(|replica| replica.tls.ca.as_deref() == Some(ca)));
    let names: Vec<_> = all
        .iter()
        .map(|replica| replica.tls.server_name.as_deref())
        .collect();
    assert_eq!(names, [None, Some("x")]);
}

#[test]
fn a_table_has_what_send_says_unless_it_says_otherwise() {
    let text = with("[send]\nmax_batch_delay = '2s'\nmax_batch_rows = 10")
        + "max_batch_rows = 20\nordered = true\nvalidate = 'values'\n";
    let config = good(&text);
    let send = &config.tables[0].send;
    assert_eq!((send.max_batch_rows, config.send.max_batch_rows), (20, 10));
    assert_eq!(
        (send.max_batch_delay, send.ordered),
        (Duration::from_secs(2), true)
    );
    assert!(config.send.ordered);
    assert_eq!(
        (send.validate, config.send.validate),
        (Validate::Values, Validate::Key)
    );
}

#[test]
fn identical_inserts_are_recognised_on_any_target_only_where_the_table_itself_says_how_long() {
    let windows = |text: &str| {
        let send = good(text).tables.swap_remove(0).send;
        (send.identical_inserts, send.identical_insert_window.as_secs())
    };
    let by_target = IdenticalInserts::WhereTargetDeduplicates;
    assert_eq!(windows(LEAST), (by_target, 600));
    let of_file = with("[send]\nidentical_insert_window = '5m'");
    assert_eq!(windows(&of_file), (by_target, 300));
    let of_table = of_file + "identical_insert_window = '1m'\n";
    assert_eq!(windows(&of_table), (IdenticalInserts::Always, 60));
}

#[test]
fn variables_are_replaced_in_every_string_of_the_file() {
    let env = Env::bare()
        .with_variable("HOST", "ch-7")
        .with_variable("DB", "prod")
        .with_variable("LEVEL", "debug");
    let text = "[logs]\nlevel = '${LEVEL}'\n[cluster.main]\nshard = [{ replica = '${HOST}:8129' }]\n\
        [[table]]\nname = '${DB}.t'\ntarget = '${DB}.t_local'\nsettings = { a = '${DB}', b = true, c = 2, d = 0.5 }\n";
    let config = good_in(text, &env);
    assert_eq!(config.clusters[0].shards[0].replicas[0].address(), "ch-7:8129");
    assert_eq!(config.tables[0].name.to_string(), "prod.t");
    let settings: Vec<_> = config.tables[0]
        .settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(settings, ["a=prod", "b=1", "c=2", "d=0.5"]);
}

#[test]
fn clusters_and_users_keep_the_order_of_the_file() {
    let text = "[cluster.z]\nshard = [{ replica = 'a' }]\n[cluster.b]\nshard = [{ replica = 'b' }]\n\
        [[table]]\nname = 'd.t'\ntarget = 'd.l'\ncluster = 'b'\n[[user]]\nname = 'u'\nnetworks = '::1'\n";
    let config = good(text);
    assert_eq!(
        config
            .clusters
            .iter()
            .map(|cluster| cluster.name.as_str())
            .collect::<Vec<_>>(),
        ["z", "b"]
    );
    assert_eq!(config.users[0].default_cluster, "z");
    assert_eq!(config.cluster_of(&config.tables[0]).unwrap().name, "b");
}

#[test]
fn a_small_spool_needs_only_its_size() {
    let config = good(&with("[spool]\nmax_bytes = '1GiB'"));
    let spool = &config.spool;
    assert_eq!(spool.bytes_to_throw_insert, 1 << 30);
    assert_eq!(
        (spool.bytes_to_delay_insert, spool.sent_retention_bytes),
        (1 << 30, 1 << 30)
    );
    assert_eq!(spool.broken_bytes_max, 1 << 30);
    let smaller = good(&with("[spool]\nmax_bytes = '1MiB'"));
    assert_eq!(smaller.spool.broken_bytes_max, 1 << 20);
}

#[test]
fn a_table_may_give_up_its_order() {
    let send = |text: &str| good(text).tables[0].send.ordered;
    assert!(send(&with("")));
    assert!(!send(&with("[send]\nordered = false")));
}

#[test]
fn relative_paths_start_from_the_file_s_own_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("pw"), "hunter2\n").unwrap();
    let text = "[spool]\npath = 'spool'\n[cluster.main]\npassword_file = 'pw'\nshard = [{ replica = '127.0.0.1' }]\n";
    let file = directory.path().join("weir.toml");
    std::fs::write(&file, text).unwrap();
    let config = config::load(&file).unwrap();
    assert_eq!(config.spool.path, directory.path().join("spool"));
    assert_eq!(password(&config.clusters[0].shards[0].replicas[0]), "hunter2");
}

#[test]
fn no_secret_shows_in_a_printed_configuration() {
    let text = with("[[user]]\nname = 'u'\nnetworks = '::1'\npassword_sha256_hex = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'")
        .replace("[cluster.main]", "[cluster.main]\npassword = 'hunter2'");
    let shown = format!("{:?}", good(&text));
    assert!(
        !shown.contains("hunter2") && !shown.contains("7816bf") && !shown.contains("186, 120"),
        "{shown}"
    );
}
