//! `weir import`, from a config.xml to a file that can be used once it is filled in.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use config::Env;
use config::import::{
    HttpPort, Import, ImportedCluster, ImportedPassword, ImportedReplica, ImportedShard, ImportedTable,
    ReadFiles, config_xml,
};
use config::{Config, TableName, parse};

/// A directory of files in memory, and the variables of the environment.
fn read(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Import, String> {
    let files: BTreeMap<PathBuf, &str> = files.iter().map(|(path, text)| (path.into(), *text)).collect();
    let text = |path: &Path| {
        files
            .get(path)
            .map(|text| (*text).to_owned())
            .ok_or(io::ErrorKind::NotFound.into())
    };
    let list = |directory: &Path| {
        let inside = files.keys().filter(|path| path.parent() == Some(directory));
        inside.cloned().collect()
    };
    let variable = |name: &str| {
        let found = variables.iter().find(|(own, _)| *own == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let files = ReadFiles {
        text: &text,
        list: &list,
        variable: &variable,
    };
    config_xml(Path::new("/etc/ch/config.xml"), &files)
}

#[track_caller]
fn one_file(text: &str) -> Import {
    read(&[("/etc/ch/config.xml", text)], &[]).unwrap()
}

/// The mistakes of a file, without its name.
fn mistakes(toml: &str, env: &Env) -> Vec<String> {
    match parse(toml, env) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.list.iter().map(|remark| remark.text.clone()).collect(),
    }
}

#[track_caller]
fn good(toml: &str, env: &Env) -> Config {
    parse(toml, env).unwrap_or_else(|mistakes| panic!("{mistakes}\n{toml}"))
}

const TWO_SHARDS: &str = "<yandex>
  <http_port>8123</http_port><tcp_port>9000</tcp_port>
  <remote_servers>
    <main>
      <shard><weight>9</weight><internal_replication>true</internal_replication>
        <replica><host>ch-01-a</host><port>9000</port></replica>
        <replica><host>ch-01-b</host><port>9000</port></replica>
      </shard>
      <shard><weight>10</weight><internal_replication>true</internal_replication>
        <replica><host>ch-02-a</host><port>9000</port></replica>
      </shard>
    </main>
    <nodes><node><host>n1</host><port>9000</port></node><node><host>n2</host><port>9000</port><weight>0</weight></node></nodes>
  </remote_servers>
</yandex>";

#[test]
fn a_cluster_is_imported_with_its_weights_and_replicas() {
    let config = good(&one_file(TWO_SHARDS).to_toml(), &Env::bare());
    let main = config.cluster("main").unwrap();
    let shards: Vec<_> = main
        .shards
        .iter()
        .map(|shard| {
            (
                shard.name.as_str(),
                shard.weight,
                shard.internal_replication,
                shard.replicas.len(),
            )
        })
        .collect();
    assert_eq!(shards, [("s01", 9, true, 2), ("s02", 10, true, 1)]);
    assert_eq!(main.shards[0].replicas[1].address(), "ch-01-b:8123");
    let nodes = config.cluster("nodes").unwrap();
    assert_eq!(
        nodes.shards.iter().map(|shard| shard.weight).collect::<Vec<_>>(),
        [1, 0]
    );
    assert!(!nodes.shards[0].internal_replication);
}

#[test]
fn both_root_names_are_read_and_no_other() {
    let modern = TWO_SHARDS.replace("yandex>", "clickhouse>");
    assert_eq!(one_file(&modern).clusters, one_file(TWO_SHARDS).clusters);
    let error = read(&[("/etc/ch/config.xml", "<other/>")], &[]).unwrap_err();
    assert!(error.contains("<other>"), "{error}");
}

#[test]
fn a_port_that_is_not_known_is_named_by_check_until_it_is_filled_in() {
    let text = TWO_SHARDS.replace("<port>9000</port>", "<port>9440</port>");
    let toml = one_file(&text).to_toml();
    assert!(
        toml.contains("\"ch-01-a:HTTP_PORT\",  # TODO: its HTTP port; 9440 is that of the native protocol"),
        "{toml}"
    );
    let told = mistakes(&toml, &Env::bare());
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.iter().all(|text| text.contains("HTTP_PORT")), "{told:?}");
    good(&toml.replace("HTTP_PORT", "8123"), &Env::bare());
}

#[test]
fn a_password_is_never_written_and_check_asks_for_it() {
    let text = TWO_SHARDS.replace("<host>", "<user>w</user><password>hunter2</password><host>");
    let import = one_file(&text);
    assert!(!format!("{import:?}").contains("hunter2"));
    let toml = import.to_toml();
    assert!(
        !toml.contains("hunter2") && toml.contains("user = \"w\""),
        "{toml}"
    );
    let told = mistakes(&toml, &Env::bare());
    assert!(
        told.iter().all(|text| text.contains("_PASSWORD")) && told.len() == 2,
        "{told:?}"
    );
    let env = Env::bare()
        .with_variable("WEIR_MAIN_PASSWORD", "x")
        .with_variable("WEIR_NODES_PASSWORD", "x");
    good(&toml, &env);
}

#[test]
fn replicas_with_a_user_of_their_own_keep_it() {
    let text = TWO_SHARDS.replace(
        "<host>n2</host>",
        "<host>n2</host><user>other</user><secure>1</secure>",
    );
    let toml = one_file(&text).to_toml().replace("n2:HTTP_PORT", "n2:8443");
    let config = good(&toml.replace("HTTP_PORT", "8123"), &Env::bare());
    let replica = &config.cluster("nodes").unwrap().shards[1].replicas[0];
    assert_eq!(
        (replica.user.as_str(), replica.secure, replica.port),
        ("other", true, 8443)
    );
}

#[test]
fn what_config_d_and_metrika_xml_say_counts() {
    let files = [
        (
            "/etc/ch/config.xml",
            "<yandex><http_port>8123</http_port><tcp_port>9000</tcp_port><remote_servers incl=\"clickhouse_remote_servers\"/></yandex>",
        ),
        (
            "/etc/ch/config.d/ports.xml",
            "<clickhouse><http_port>8124</http_port><include_from>/etc/ch/metrika.xml</include_from></clickhouse>",
        ),
        ("/etc/ch/config.d/.hidden.xml", "nonsense"),
        ("/etc/ch/conf.d/a.yaml", "remote_servers: {}"),
        (
            "/etc/ch/metrika.xml",
            "<yandex><clickhouse_remote_servers><m><shard><replica><host>h</host><port>9000</port></replica></shard></m></clickhouse_remote_servers></yandex>",
        ),
    ];
    let import = read(&files, &[]).unwrap();
    assert_eq!(
        import.clusters[0].shards[0].replicas[0].http_port,
        HttpPort::Assumed(8124)
    );
    assert!(
        import.notes.iter().any(|note| note.contains("a.yaml is YAML")),
        "{:?}",
        import.notes
    );
}

#[test]
fn variables_stay_variables_and_a_weight_that_is_not_known_is_no_weight() {
    let text = "<clickhouse><http_port>8123</http_port><tcp_port>9000</tcp_port><remote_servers><m>
        <shard><weight from_env='W'/><replica><host from_env='HOST_1'/><port>9000</port><password from_env='PW'/></replica></shard>
        <shard><replica><host>h2</host><port>9000</port><user>u${2}</user><password from_env='PW'/></replica></shard></m></remote_servers></clickhouse>";
    let files = [("/etc/ch/config.xml", text)];
    let toml = read(&files, &[("W", "3")]).unwrap().to_toml();
    assert!(
        toml.contains("\"${HOST_1}\"")
            && toml.contains("\"u$${2}\"")
            && toml.contains("password_env = \"PW\""),
        "{toml}"
    );
    assert!(toml.contains("weight = 3"), "{toml}");
    let unknown = read(&files, &[]).unwrap().to_toml();
    let env = Env::bare().with_variable("HOST_1", "h").with_variable("PW", "p");
    let told = mistakes(&unknown, &env);
    assert_eq!(told, ["weight: expected a whole number, found a string"]);
}

#[test]
fn what_only_zookeeper_or_the_servers_know_is_said() {
    let text = "<clickhouse><remote_servers>
        <z from_zk='/clusters/z'/>
        <d><discovery><path>/d</path></discovery></d>
        <s><secret>x</secret><shard><replica><host>h</host><port>9000</port></replica></shard></s></remote_servers></clickhouse>";
    let toml = one_file(text).to_toml();
    for told in [
        "# TODO: the cluster stands in ZooKeeper at /clusters/z",
        "<discovery>",
        "<secret>",
        "WEIR_S_PASSWORD",
    ] {
        assert!(toml.contains(told), "{told}\n{toml}");
    }
}

#[test]
fn tables_are_listed_with_names_and_keys_that_need_quotes() {
    let shard = |number: u32| ImportedShard {
        name: Some(format!("shard {number}")),
        weight: Ok(number),
        internal_replication: None,
        replicas: vec![ImportedReplica {
            host: Some(format!("h{number}")),
            http_port: HttpPort::Known(8123),
            password: ImportedPassword::File("/p${x}".into()),
            ..ImportedReplica::default()
        }],
    };
    let name = TableName::new("a.b", "c\"d\\");
    let import = Import {
        clusters: vec![ImportedCluster {
            name: "my cluster".into(),
            shards: vec![shard(1), shard(2)],
            ..ImportedCluster::default()
        }],
        tables: vec![ImportedTable {
            cluster: "my cluster".into(),
            name: name.clone(),
            target: TableName::new("x", "y"),
            sharding_key: Some("cityHash64('${', \"k\")".into()),
        }],
        tables_are_known: true,
        ..Import::default()
    };
    let toml = import.to_toml().replace("password_file", "#password_file");
    let config = good(&toml, &Env::bare());
    assert_eq!(config.tables[0].name, name);
    assert_eq!(
        config.tables[0].sharding_key.as_deref(),
        Some("cityHash64('${', \"k\")")
    );
    // A name with a blank could not be one of Weir's.
    assert_eq!(config.clusters[0].shards[1].name, "s02");
}

#[test]
fn only_the_clusters_that_were_asked_for_are_kept() {
    let mut import = one_file(TWO_SHARDS);
    assert!(
        import
            .keep(&["none".into()])
            .unwrap_err()
            .contains("there are: main, nodes")
    );
    import.keep(&["nodes".into()]).unwrap();
    assert_eq!(import.clusters.len(), 1);
}
