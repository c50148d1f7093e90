//! Every mistake, with its line and its words.

use config::{Env, parse};

use crate::support::{LEAST, check_mistakes, check_mistakes_in, check_warnings, cluster, with};

// === the file as a whole ===

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_their_lines() {
    let text = "[listen]\nhtp = '127.0.0.1:1'\n[send]\nmax_batch_rows = 1_000_001\nmax_batch_delay = 1\n\
        [cluster.main]\n[[cluster.main.shard]]\nwieght = 1\nreplica = []\n[[table]]\nname = 'hits'\n";
    let expected = [
        "2: unknown key 'htp' in [listen]: did you mean 'http'?",
        "4: max_batch_rows is 1000001: it goes from 1 to 1000000",
        "5: max_batch_delay: expected a string, found an integer",
        "7: a shard needs at least one replica: replica = [ \"host\" ]",
        "8: unknown key 'wieght' in [[cluster.main.shard]]: did you mean 'weight'?",
        "10: missing key 'target' in [[table]]",
        "11: name: 'hits' is not a table's name: write it as 'database.table'",
    ];
    check_mistakes(text, &expected);
}

#[test]
fn a_file_that_is_not_toml_is_told_as_such_and_no_further() {
    check_mistakes(
        "[listen\nhttp = 3\n",
        &["1: not TOML: unclosed table, expected `]`"],
    );
    check_mistakes(
        "[spool]\npath = 'a'\npath = 'b'\n",
        &["3: not TOML: duplicate key"],
    );
}

#[test]
fn an_empty_file_has_nowhere_to_send_rows_to() {
    check_mistakes("", &["1: no [cluster.<name>]: there is nowhere to send rows to"]);
}

#[test]
fn an_unknown_section_is_an_unknown_key() {
    check_mistakes(
        &with("[lisen]"),
        &["1: unknown key 'lisen' in the file: did you mean 'listen'?"],
    );
    check_mistakes(&with("[something]"), &["1: unknown key 'something' in the file"]);
}

#[test]
fn a_section_of_the_wrong_form_is_told_with_the_right_one() {
    check_mistakes(
        &with("listen = 1"),
        &["1: listen: expected a table, [listen], found an integer"],
    );
    check_mistakes(
        &with("[user]"),
        &["1: user: expected tables headed [[user]], found a table"],
    );
    check_mistakes(
        "cluster = 1",
        &["1: cluster: expected tables headed [cluster.<name>], found an integer"],
    );
    check_mistakes(
        "[cluster]\nmain = 1",
        &["2: cluster: expected [cluster.main], found an integer"],
    );
}

#[test]
fn a_large_file_of_nonsense_is_told_in_a_few_lines() {
    let nonsense = "= ] \"\n".repeat(20_000);
    assert_eq!(parse(&nonsense, &Env::bare()).unwrap_err().list.len(), 20);
    let long_key = format!("{} = 1\n", "k".repeat(1 << 20));
    assert_eq!(parse(&with(&long_key), &Env::bare()).unwrap_err().list.len(), 1);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let mistakes = config::load(std::path::Path::new("/nowhere/weir.toml")).unwrap_err();
    let text = "/nowhere/weir.toml: cannot read it: No such file or directory (os error 2)";
    assert_eq!(mistakes.to_string(), text);
}

#[test]
fn no_file_makes_the_reader_panic() {
    let example = include_str!("../../example.toml");
    let env = Env::bare();
    for end in (0..example.len())
        .filter(|end| example.is_char_boundary(*end))
        .step_by(7)
    {
        let _ = parse(&example[..end], &env);
        let _ = parse(&example[end..], &env);
    }
    let _ = parse(&"[".repeat(100_000), &env);
    let _ = parse(&format!("a = {}", "[".repeat(100_000)), &env);
}

// === values ===

#[test]
fn a_value_out_of_its_range_is_told_with_the_range() {
    check_mistakes(
        &with("[send]\nmax_inflight_per_replica = 0"),
        &["2: max_inflight_per_replica is 0: it goes from 1 to 256"],
    );
    check_mistakes(
        &with("[send]\nmax_inflight_per_replica = -1"),
        &["2: max_inflight_per_replica is -1: it goes from 1 to 256"],
    );
    check_mistakes(
        &with("[send]\nmax_batch_bytes = '2GiB'"),
        &["2: max_batch_bytes is 2GiB: it goes from 1KiB to 1GiB"],
    );
    check_mistakes(
        &with("[send]\nmax_batch_delay = '2h'"),
        &["2: max_batch_delay is 2h: it goes from 0s to 1h"],
    );
    check_mistakes(
        &cluster("shard = [{ replica = 'a', weight = 1_000_001 }]"),
        &["2: weight is 1000001: it goes from 0 to 1000000"],
    );
    check_mistakes(
        &cluster("port = 65536\nshard = [{ replica = 'a' }]"),
        &["2: port is 65536: it goes from 1 to 65535"],
    );
}

#[test]
fn a_word_that_is_none_of_the_choices_is_told_with_all_of_them() {
    let text = with("[logs]\nformat = 'jsno'\nlevel = 'loud'");
    let expected = [
        "2: format is 'jsno': it is one of 'text', 'json'",
        "3: level is 'loud': it is one of 'trace', 'debug', 'info', 'warn', 'error'",
    ];
    check_mistakes(&text, &expected);
}

#[test]
fn a_size_or_time_without_its_unit_is_refused() {
    check_mistakes(
        &with("[spool]\nmax_bytes = '64M'"),
        &["2: max_bytes: '64M' is not a size: write it as '64MiB' or '10GB'"],
    );
    let text = with("[send]\nsleep_time = '30'");
    check_mistakes(
        &text,
        &["2: sleep_time: '30' is not a duration: write it as '100ms', '30s', '10m', '1h' or '7d'"],
    );
}

#[test]
fn a_variable_that_is_not_set_is_a_mistake_of_its_line() {
    check_mistakes(
        &with("[spool]\npath = '${NOPE}'"),
        &["2: path: environment variable 'NOPE' is not set"],
    );
}

// === sections ===

#[test]
fn addresses_to_listen_on_are_numeric_and_distinct() {
    let hint = "write it as '127.0.0.1:8124' or '[::]:8124'";
    check_mistakes(
        &with("[listen]\nhttp = 'weir:8124'"),
        &[&format!(
            "2: http: 'weir:8124' is not an address to listen on: {hint}"
        )],
    );
    check_mistakes(
        &with("[listen]\nhttp = ['127.0.0.1:1', '127.0.0.1:1']"),
        &["2: http: 127.0.0.1:1 stands twice"],
    );
    check_mistakes(
        &with("[listen]\nhttp = '127.0.0.1:1'\nadmin = 'localhost:1'"),
        &["3: http and admin are both 127.0.0.1:1"],
    );
    check_mistakes(
        &with("[listen]\nhttp = []"),
        &["2: http: at least one address is needed"],
    );
}

#[test]
fn a_certificate_needs_its_key_and_both_have_to_be_there() {
    let text = with("[listen]\ntls = { cert = '/nowhere/crt' }");
    let expected = [
        "2: cert: cannot read /nowhere/crt: No such file or directory (os error 2)",
        "2: missing key 'key' in [listen.tls]",
    ];
    let Err(mistakes) = parse(&text, &Env::bare()) else {
        panic!("mistakes")
    };
    let told = mistakes.to_string();
    assert!(expected.iter().all(|line| told.contains(line)), "{told}");
}

#[test]
fn limits_that_leave_no_room_are_refused() {
    let text = with("[limits]\nmemory_limit = '64MiB'\nmax_row_bytes = '60MiB'");
    check_mistakes(
        &text,
        &["3: max_row_bytes is more than half of memory_limit: such a row never fits"],
    );
    let text =
        with("[spool]\nbytes_to_delay_insert = '9GiB'\nsent_retention_bytes = '1TiB'\nreserve_bytes = '60%'");
    let expected = [
        "2: bytes_to_delay_insert (9GiB) is more than bytes_to_throw_insert (8GiB)",
        "3: sent_retention_bytes (1TiB) is more than max_bytes (100GiB)",
        "4: reserve_bytes is more than half of the disk",
    ];
    check_mistakes(&text, &expected);
    check_mistakes(
        &with("[send]\nsleep_time = '1m'"),
        &["2: sleep_time (1m) is more than max_sleep_time (30s)"],
    );
}

#[test]
fn what_is_not_built_yet_is_refused_and_never_ignored() {
    let refused = |key: &str, text: &str, line: usize| {
        check_mistakes(
            text,
            &[&format!("{line}: {key} is not supported yet by this version")],
        );
    };
    refused(
        "provider = 'kafka'",
        &with("[spool]\nprovider = 'kafka'\nbroker_endpoints = ['k:1']"),
        2,
    );
    for (key, line) in [
        ("ddl = 'forward'", "ddl = 'forward'"),
        ("ddl = 'replicate'", "ddl = 'replicate'"),
    ] {
        refused(
            key,
            &cluster(&format!("{line}\nshard = [{{ replica = 'a' }}]")),
            2,
        );
    }
}

#[test]
fn kafka_s_keys_are_of_no_use_to_the_disk() {
    check_mistakes(
        &with("[spool]\nreplication_factor = 3"),
        &["2: replication_factor needs provider = 'kafka'"],
    );
}

// === clusters ===

#[test]
fn shards_of_a_cluster_with_several_need_names_that_differ() {
    let body =
        "shard = [\n{ replica = 'a' },\n{ name = 's', replica = 'b' },\n{ name = 's', replica = 'c' }]";
    let expected = [
        "3: a shard of a cluster with several needs a name: the spool goes by it",
        "5: shard name 's' stands twice, first on line 4",
    ];
    check_mistakes(&cluster(body), &expected);
}

#[test]
fn names_that_could_not_be_directories_or_arguments_are_refused() {
    let rule = "a shard's name has 1 to 64 bytes and no blanks, '/' or '@'";
    for name in ["", "a b", "a/b", "a@b"] {
        let body = format!("shard = [{{ name = '{name}', replica = 'a' }}]");
        check_mistakes(&cluster(&body), &[&format!("2: name: '{name}': {rule}")]);
    }
    check_mistakes(
        "[cluster.'a.b']\nshard = [{ replica = 'a' }]",
        &["1: cluster name 'a.b': it may not be empty or contain dots"],
    );
}

#[test]
fn names_that_are_too_long_for_a_directory_are_refused() {
    let host = "h".repeat(200);
    let shard = |replication: bool| {
        let name = "é".repeat(32);
        cluster(&format!(
            "shard = [{{ name = '{name}', replica = '{host}', internal_replication = {replication} }}]"
        ))
    };
    let too_long = format!("2: the names of shard and replica {host}:8123 are too long for a directory");
    check_mistakes(&shard(false), &[&too_long]);
    check_warnings(&shard(true), &[]);
    let table = format!("d.{}", "t".repeat(254));
    let text = LEAST.replace("'d.t'", &format!("'{table}'"));
    check_mistakes(
        &text,
        &[&format!(
            "4: name: '{table}' is too long for a directory of the spool"
        )],
    );
}

#[test]
fn a_cluster_has_shards_and_some_weight() {
    check_mistakes(
        "[cluster.main]",
        &["1: a cluster needs at least one shard: [[cluster.<name>.shard]]"],
    );
    let body =
        "shard = [{ name = 'x', replica = 'a', weight = 0 }, { name = 'y', replica = 'b', weight = 0 }]";
    check_mistakes(
        &cluster(body),
        &["1: every shard has weight 0: no row would have a shard"],
    );
}

#[test]
fn the_same_replica_twice_is_a_mistake_unless_databases_keep_them_apart() {
    let two = |first: &str, second: &str| {
        cluster(&format!(
            "shard = [\n{{ name = 'x', replica = {first} }},\n{{ name = 'y', replica = {second} }}]"
        ))
    };
    check_mistakes(
        &two("'a'", "'A:8123'"),
        &["4: replica A:8123 stands twice, first on line 3"],
    );
    let apart = two(
        "{ host = 'a', database = 'r1' }",
        "{ host = 'a', database = 'r2' }",
    );
    check_warnings(&apart, &[]);
    let same_shard =
        "internal_replication = true\nshard = [{ replica = ['a', { host = 'a', database = 'r2' }] }]";
    check_mistakes(
        &cluster(same_shard),
        &["3: replica a:8123 stands twice, first on line 3"],
    );
}

#[test]
fn a_replica_is_said_once_and_in_one_way() {
    let replica = |table: &str| cluster(&format!("shard = [{{ replica = {{ {table} }} }}]"));
    check_mistakes(&replica("port = 1"), &["2: a replica needs its host or its url"]);
    check_mistakes(
        &replica("url = 'http://a', host = 'b'"),
        &["2: a replica's url takes the place of host, port and secure"],
    );
    check_mistakes(
        &replica("host = 'a:1', port = 1"),
        &["2: a replica's port stands twice, in host and in port"],
    );
    check_mistakes(
        &replica("hots = 'a'"),
        &[
            "2: a replica needs its host or its url",
            "2: unknown key 'hots' in a replica of [[cluster.main.shard]]: did you mean 'host'?",
        ],
    );
}

#[test]
fn a_url_with_credentials_is_refused_without_showing_them() {
    let text = cluster("shard = [{ replica = 'http://u:hunter2@a' }]");
    check_mistakes(
        &text,
        &["2: a url with credentials: say user and password_file beside it"],
    );
}

#[test]
fn tls_that_would_not_be_used_is_a_mistake() {
    let unused = "tls without secure = true would not be used";
    check_mistakes(
        &cluster("tls.server_name = 'x'\nshard = [{ replica = 'a' }]"),
        &[&format!("2: {unused}")],
    );
    check_mistakes(
        &cluster("shard = [{ replica = { host = 'a', tls = { server_name = 'x' } } }]"),
        &[&format!("2: {unused}")],
    );
}

#[test]
fn a_password_comes_from_one_place_and_is_there() {
    let body = |lines: &str| cluster(&format!("{lines}\nshard = [{{ replica = 'a' }}]"));
    check_mistakes(
        &body("password_env = 'NOPE'"),
        &["2: password_env: environment variable 'NOPE' is not set"],
    );
    let missing = "2: password_file: cannot read /nowhere: No such file or directory (os error 2)";
    check_mistakes(&body("password_file = '/nowhere'"), &[missing]);
    let env = Env::bare().with_variable("PW", "x");
    let exclusive = "1: password, password_file and password_env exclude each other";
    check_mistakes_in(&body("password_env = 'PW'\npassword = 'y'"), &env, &[exclusive]);
}

// === tables and users ===

#[test]
fn a_table_is_there_once_and_its_cluster_is_there_too() {
    let table = "[[table]]\nname = 'd.t'\ntarget = 'd.other'\ncluster = 'man'\n";
    let expected = [
        "7: table d.t stands twice, first on line 4",
        "9: there is no [cluster.man]",
    ];
    check_mistakes(&(LEAST.to_owned() + table), &expected);
}

#[test]
fn with_several_clusters_a_table_says_which() {
    let text = "[cluster.a]\nshard = [{ replica = 'a' }]\n[cluster.b]\nshard = [{ replica = 'b' }]\n\
        [[table]]\nname = 'd.t'\ntarget = 'd.l'\n";
    check_mistakes(text, &["5: missing key 'cluster' in [[table]]"]);
}

#[test]
fn a_target_is_not_itself_split() {
    let table = "[[table]]\nname = 'd.t_local'\ntarget = 'd.l'\n";
    let expected = ["5: target d.t_local is itself a distributed table, on line 7"];
    check_mistakes(&(LEAST.to_owned() + table), &expected);
}

#[test]
fn a_table_may_bear_its_target_s_name() {
    check_warnings(&LEAST.replace("d.t_local", "d.t"), &[]);
}

#[test]
fn settings_that_are_weir_s_own_cannot_be_set() {
    let own = "is set by Weir with every batch: another value could lose or double rows";
    let table = "settings = { async_insert = 1 }\nforward_settings = ['insert_deduplication_token', 'a b']\n";
    let expected = [
        &format!("6: settings: async_insert {own}"),
        &format!("7: forward_settings: insert_deduplication_token {own}"),
        "7: forward_settings: 'a b' is not the name of a setting",
    ];
    check_mistakes(&(LEAST.to_owned() + table), &expected);
}

#[test]
fn a_user_is_there_once_and_complete() {
    let text = with(
        "[[user]]\nname = 'u'\nnetworks = []\ndefault_cluster = 'man'\n[[user]]\nname = 'u'\nnetworks = '10.0.0.0/33'\n\
         password_sha256_hex = 'hunter2'\nallow = ['insert', 'drop']\nas_password_file = '/nowhere'\n[[user]]\n",
    );
    let expected = [
        "3: networks is empty: leave it out or fill it",
        "4: default_cluster: there is no [cluster.man]",
        "5: user 'u' stands twice, first on line 1",
        "5: as_password_file needs as_user",
        "7: networks: '10.0.0.0/33' is not a network: write it as '10.0.0.0/8', '10.1.2.3' or '::1'",
        "8: password_sha256_hex: not 64 hexadecimal digits: printf %s \"$PASSWORD\" | sha256sum",
        "9: allow has 'drop': it is a list of 'insert' and 'select'",
        "10: as_password_file: cannot read /nowhere: No such file or directory (os error 2)",
        "11: missing key 'name' in [[user]]",
    ];
    let Err(mistakes) = parse(&text, &Env::bare()) else {
        panic!("mistakes")
    };
    let mut told: Vec<_> = mistakes
        .list
        .iter()
        .map(|remark| remark.to_string().replace("weir.toml:", ""))
        .collect();
    // Remarks about one place have no order among themselves.
    told.sort_by_key(|line| {
        (
            line.split(':').next().unwrap().parse::<u32>().unwrap(),
            !line.contains("twice"),
        )
    });
    assert_eq!(told, expected);
}

// === warnings ===

#[test]
fn a_file_without_tables_is_warned_of() {
    check_warnings(
        "[cluster.main]\nshard = [{ replica = 'a' }]",
        &["1: no [[table]]: every INSERT will be refused"],
    );
}

#[test]
fn several_shards_without_a_key_are_warned_of() {
    let text = cluster("shard = [{ name = 'x', replica = 'a' }, { name = 'y', replica = 'b' }]")
        .replace("sharding_key = 'k'", "");
    let warning = "3: table d.t has no sharding_key and 2 shards: it takes INSERTs only under insert_shard_id or \
        insert_distributed_one_random_shard";
    check_warnings(&text, &[warning]);
}

#[test]
fn replicas_that_are_each_written_to_by_default_are_warned_of() {
    let warning = "2: internal_replication is false by default: Weir writes to each replica of this shard; \
        if its tables are Replicated, say internal_replication = true";
    check_warnings(&cluster("shard = [{ replica = ['a', 'b'] }]"), &[warning]);
    check_warnings(
        &cluster("internal_replication = false\nshard = [{ replica = ['a', 'b'] }]"),
        &[],
    );
}

#[test]
fn doors_that_stand_open_or_cannot_be_used_are_warned_of() {
    let closed = "2: http listens on 0.0.0.0:1, but without [[user]] only this machine may connect";
    check_warnings(&with("[listen]\nhttp = '0.0.0.0:1'"), &[closed]);
    let open = "2: user 'u' has neither password nor networks: anyone may insert as it";
    check_warnings(&with("[listen]\nhttp = '[::]:1'\n[[user]]\nname = 'u'"), &[open]);
    let admin = "2: admin is open to other machines without admin_token_file: \
        only /metrics, /-/healthy and /-/ready will answer there";
    check_warnings(&with("[listen]\nadmin = '0.0.0.0:1'"), &[admin]);
}

#[test]
fn a_password_file_that_everyone_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2\n").unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let path = file.path().display();
    let text = cluster(&format!(
        "password_file = '{path}'\nshard = [{{ replica = 'a' }}]"
    ));
    check_warnings(
        &text,
        &[&format!("2: {path} can be read by every user of this machine")],
    );
}
