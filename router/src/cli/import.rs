//! `weir import`: a weir.toml from a ClickHouse config.xml, or from what a live node says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Args};
use config::import::{
    HttpPort, Import, ImportedCluster, ImportedPassword, ImportedReplica, ImportedShard, ImportedTable,
    ReadFiles, config_xml, literal,
};
use serde_json::Value;
use shard_client::{Endpoint, Password, Replica, TlsFiles};

use super::output::say;
use super::{CommandError, block_on};
use crate::discovery::seed::{self, number, text};

const EXAMPLE: &str = "\
Examples:
  weir import /etc/clickhouse-server/config.xml --out weir.toml
  weir import http://ch-01:8123 --user weir --password-env CH_PASSWORD > weir.toml
  weir import http://ch-01:8123 --cluster main --discover
  weir check --config weir.toml

A config.xml is read with its config.d/, conf.d/, include_from and from_env, under either root name; it tells clusters and no \
tables. A node tells clusters (system.clusters) and its Distributed tables (system.tables). Neither tells the others' HTTP ports \
or a password: the file says TODO where something has to be filled in, and `weir check` names what is still missing. No password \
is written.";

/// Larger files are no configuration.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// How long a node may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Write a configuration from a ClickHouse config.xml or a live node.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, group(ArgGroup::new("from").required(true).args(["source", "config_xml", "node"])))]
pub struct ImportArgs {
    /// A config.xml, or the URL of a node's HTTP interface.
    #[arg(value_name = "CONFIG_XML|URL")]
    source: Option<String>,
    /// The same, for a config.xml.
    #[arg(long, value_name = "FILE")]
    config_xml: Option<PathBuf>,
    /// The same, for a node.
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// With a node: the user to ask as.
    #[arg(long, default_value = "default")]
    user: String,
    /// With a node: the environment variable that has the user's password.
    #[arg(long, value_name = "NAME", conflicts_with = "password_file")]
    password_env: Option<String>,
    /// With a node: the file that has the user's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Only this cluster; may be said several times. A node's clusters without a Distributed table are left out otherwise.
    #[arg(long = "cluster", value_name = "NAME")]
    clusters: Vec<String>,
    /// The HTTP port of every replica whose port is not told.
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Have Weir discover the tables on the node, now and later, instead of listing them.
    #[arg(long)]
    discover: bool,
    /// The file to write; it must not be there yet. Standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Where it comes from.
enum From {
    ConfigXml(PathBuf),
    Node(String),
}

/// Imports and writes.
pub fn run(args: &ImportArgs) -> Result<(), CommandError> {
    let mut import = match from(args)? {
        From::ConfigXml(path) => of_config_xml(&path, args)?,
        From::Node(url) => block_on(of_node(&url, args))??,
    };
    if !args.clusters.is_empty() {
        import.keep(&args.clusters).map_err(CommandError)?;
    }
    if let Some(port) = args.http_port {
        import.set_http_port(port);
    }
    let toml = import.to_toml();
    match &args.out {
        None => say(toml.trim_end()),
        Some(path) => {
            write_new(path, &toml)?;
            eprintln!(
                "wrote {}; next: weir check --config {}",
                path.display(),
                path.display()
            );
            Ok(())
        }
    }
}

fn from(args: &ImportArgs) -> Result<From, CommandError> {
    match (&args.config_xml, &args.node, &args.source) {
        (Some(path), _, _) => Ok(From::ConfigXml(path.clone())),
        (_, Some(url), _) => Ok(From::Node(url.clone())),
        (_, _, Some(source)) if source.contains("://") => Ok(From::Node(source.clone())),
        (_, _, Some(source)) => Ok(From::ConfigXml(source.into())),
        (None, None, None) => Err(CommandError("name a config.xml or a node's URL".to_owned())),
    }
}

fn write_new(path: &Path, text: &str) -> Result<(), CommandError> {
    let failed = |error: io::Error| CommandError(format!("cannot write {}: {error}", path.display()));
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    file.map_err(failed)?.write_all(text.as_bytes()).map_err(failed)
}

// === config.xml ===

fn of_config_xml(path: &Path, args: &ImportArgs) -> Result<Import, CommandError> {
    let files = ReadFiles {
        text: &read_text,
        list: &list,
        variable: &|name| std::env::var(name).ok(),
    };
    let mut import = config_xml(path, &files).map_err(CommandError)?;
    if args.discover {
        import.clusters.iter_mut().for_each(discover_on_the_first_shard);
    }
    Ok(import)
}

fn read_text(path: &Path) -> io::Result<String> {
    match std::fs::metadata(path)?.len() {
        bytes if bytes > FILE_BYTES_MAX => Err(io::ErrorKind::FileTooLarge.into()),
        _ => std::fs::read_to_string(path),
    }
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect()
}

/// Distributed tables are created on any node; the first shard's replicas are as good as others.
fn discover_on_the_first_shard(cluster: &mut ImportedCluster) {
    let replicas = cluster.shards.first().map(|shard| shard.replicas.as_slice());
    let seed = |replica: &ImportedReplica| {
        let host = replica.host.as_deref()?;
        Some(match replica.http_port {
            HttpPort::Known(port) | HttpPort::Assumed(port) => format!("{host}:{port}"),
            HttpPort::Unknown => format!("{host}:HTTP_PORT"),
        })
    };
    cluster.seeds = replicas.unwrap_or_default().iter().filter_map(seed).collect();
}

// === a node ===

/// A node that is being asked.
struct Node {
    client: Replica,
    url: String,
    port: u16,
    secure: bool,
    user: String,
    password: ImportedPassword,
}

async fn of_node(url: &str, args: &ImportArgs) -> Result<Import, CommandError> {
    let node = Node::new(url, args)?;
    let asked = |error: String| CommandError(format!("asking {}: {error}", node.url));
    let rows = seed::rows(
        &node.client,
        "SELECT * FROM system.clusters ORDER BY cluster, shard_num, replica_num",
    );
    let rows = rows.await.map_err(asked)?;
    let macros = seed::macros(&node.client).await.map_err(asked)?;
    let shown = seed::distributed_tables(&node.client).await.map_err(asked)?;
    let mut import = Import {
        source: node.url.clone(),
        tables_are_known: true,
        clusters: node.clusters(&rows),
        ..Import::default()
    };
    node.add_tables(&mut import, &shown, &macros, &default_databases(&rows));
    if args.clusters.is_empty() {
        leave_out_idle(&mut import);
    }
    node.tell_replication(&mut import).await;
    if args.discover {
        import.tables.clear();
        for cluster in &mut import.clusters {
            cluster.seeds = vec![node.url.clone()];
        }
    }
    Ok(import)
}

/// Clusters without a table are examples of the packaged configuration, most of them.
fn leave_out_idle(import: &mut Import) {
    let used: BTreeSet<_> = import.tables.iter().map(|table| table.cluster.clone()).collect();
    if used.is_empty() {
        return;
    }
    let (kept, idle): (Vec<_>, Vec<_>) = std::mem::take(&mut import.clusters)
        .into_iter()
        .partition(|cluster| used.contains(&cluster.name));
    import.clusters = kept;
    if !idle.is_empty() {
        let names: Vec<_> = idle.iter().map(|cluster| cluster.name.as_str()).collect();
        import.notes.push(format!(
            "left out, since the node has no Distributed table over them: {}; --cluster NAME imports one",
            names.join(", ")
        ));
    }
}

fn default_databases(rows: &[Value]) -> BTreeMap<String, String> {
    let pair = |row: &Value| {
        Some((
            text(row, "cluster")?,
            text(row, "default_database").filter(|name| !name.is_empty())?,
        ))
    };
    rows.iter().filter_map(pair).collect()
}

impl Node {
    fn new(url: &str, args: &ImportArgs) -> Result<Node, CommandError> {
        let parsed: http::Uri = url
            .parse()
            .map_err(|error| CommandError(format!("{url} is not a URL: {error}")))?;
        let secure = match parsed.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(CommandError(format!("{url}: write it as http://host:8123"))),
        };
        let authority = parsed
            .authority()
            .map(http::uri::Authority::as_str)
            .unwrap_or_default();
        if authority.contains('@') {
            let text = "a URL with user and password: say --user and --password-env instead, where no listing shows them";
            return Err(CommandError(text.to_owned()));
        }
        let host = parsed
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let port = parsed.port_u16().unwrap_or(if secure { 8443 } else { 8123 });
        let (password, origin) = password(args)?;
        let endpoint = Endpoint {
            host,
            port,
            secure,
            user: args.user.clone(),
            password,
            database: None,
            tls: TlsFiles::default(),
            connect_timeout: PATIENCE,
            receive_timeout: PATIENCE,
        };
        let client = Replica::new(endpoint, 1).map_err(|error| CommandError(error.to_string()))?;
        let scheme = if secure { "https" } else { "http" };
        Ok(Node {
            url: format!("{scheme}://{}", client.address()),
            client,
            port,
            secure,
            user: args.user.clone(),
            password: origin,
        })
    }

    fn clusters(&self, rows: &[Value]) -> Vec<ImportedCluster> {
        let is_own = |row: &&Value| number(row, "is_local") == Some(1);
        let mut own_ports: BTreeSet<_> = rows.iter().filter(is_own).filter_map(port).collect();
        // A node that is in none of its clusters, on the ports that every package has.
        if own_ports.is_empty() && self.port == 8123 {
            own_ports.insert(9000);
        }
        let mut clusters: Vec<ImportedCluster> = Vec::new();
        let mut last = (String::new(), 0);
        for row in rows {
            let (Some(name), Some(shard)) = (text(row, "cluster"), number(row, "shard_num")) else {
                continue;
            };
            if clusters.last().is_none_or(|cluster| cluster.name != name) {
                clusters.push(ImportedCluster {
                    name: name.clone(),
                    ..ImportedCluster::default()
                });
            }
            let Some(cluster) = clusters.last_mut() else {
                continue;
            };
            if last != (name.clone(), shard) {
                cluster.shards.push(shard_of(row));
                last = (name, shard);
            }
            if let Some(shard) = cluster.shards.last_mut() {
                shard.replicas.push(self.replica(row, &own_ports));
            }
        }
        clusters
    }

    fn replica(&self, row: &Value, own_ports: &BTreeSet<u16>) -> ImportedReplica {
        let native_port = port(row);
        let http_port = match native_port {
            _ if number(row, "is_local") == Some(1) => HttpPort::Known(self.port),
            Some(native) if own_ports.contains(&native) => HttpPort::Assumed(self.port),
            _ => HttpPort::Unknown,
        };
        let user = text(row, "user").filter(|user| !user.is_empty());
        let password = match &user {
            // The node took this user just now, with this password or without one.
            Some(user) if *user == self.user => self.password.clone(),
            None if self.user == "default" => self.password.clone(),
            _ => ImportedPassword::Unknown,
        };
        ImportedReplica {
            host: text(row, "host_name").map(|host| literal(&host)),
            native_port,
            http_port,
            secure: self.secure,
            user: user.map(|user| literal(&user)),
            password,
            default_database: text(row, "default_database").filter(|name| !name.is_empty()),
        }
    }

    fn add_tables(
        &self,
        import: &mut Import,
        shown: &[seed::ShownTable],
        macros: &BTreeMap<String, String>,
        default_databases: &BTreeMap<String, String>,
    ) {
        for table in shown {
            // The cluster is known only once the engine is read, and the database may depend on it.
            let placed = seed::placed(table, macros, None).and_then(|(cluster, _)| {
                let default = default_databases.get(&cluster).map(String::as_str);
                seed::placed(table, macros, default)
            });
            match placed {
                Ok((cluster, seen)) => import.tables.push(ImportedTable {
                    cluster,
                    name: seen.name,
                    target: seen.target,
                    sharding_key: seen.sharding_key,
                }),
                Err(why) => import.notes.push(format!("{} is left out: {why}", table.name)),
            }
        }
        let known: BTreeSet<_> = import
            .clusters
            .iter()
            .map(|cluster| cluster.name.clone())
            .collect();
        let (kept, lost): (Vec<_>, Vec<_>) = std::mem::take(&mut import.tables)
            .into_iter()
            .partition(|table| known.contains(&table.cluster));
        import.tables = kept;
        import
            .tables
            .sort_by(|a, b| (&a.cluster, &a.name).cmp(&(&b.cluster, &b.name)));
        for table in lost {
            let note = format!(
                "{} is left out: its cluster {} is not in system.clusters",
                table.name, table.cluster
            );
            import.notes.push(note);
        }
    }

    /// Where system.clusters does not tell internal_replication (before 25.x), the targets on this node do:
    /// Replicated ones pass rows on themselves.
    async fn tell_replication(&self, import: &mut Import) {
        let sql = "SELECT database, name FROM system.tables WHERE engine LIKE 'Replicated%'";
        // Without an answer the file asks the operator.
        let Ok(rows) = seed::rows(&self.client, sql).await else {
            return;
        };
        let pair = |row: &Value| {
            Some(config::TableName::new(
                &text(row, "database")?,
                &text(row, "name")?,
            ))
        };
        let replicated: BTreeSet<_> = rows.iter().filter_map(pair).collect();
        for cluster in &mut import.clusters {
            let mut targets = import.tables.iter().filter(|table| table.cluster == cluster.name);
            if !targets.any(|table| replicated.contains(&table.target)) {
                continue;
            }
            let mut told = false;
            for shard in cluster
                .shards
                .iter_mut()
                .filter(|shard| shard.internal_replication.is_none())
            {
                shard.internal_replication = Some(true);
                told = true;
            }
            if told {
                let note = "check internal_replication: the node does not tell it; true, since targets on the node are Replicated";
                cluster.notes.push(note.to_owned());
            }
        }
    }
}

fn shard_of(row: &Value) -> ImportedShard {
    let weight = number(row, "shard_weight").and_then(|weight| u32::try_from(weight).ok());
    ImportedShard {
        name: text(row, "shard_name")
            .filter(|name| !name.is_empty())
            .map(|name| literal(&name)),
        weight: weight.ok_or_else(|| "system.clusters does not tell it".to_owned()),
        internal_replication: number(row, "internal_replication").map(|each| each == 1),
        replicas: Vec::new(),
    }
}

fn port(row: &Value) -> Option<u16> {
    number(row, "port").and_then(|port| u16::try_from(port).ok())
}

/// The password to ask with, and where it comes from.
fn password(args: &ImportArgs) -> Result<(Password, ImportedPassword), CommandError> {
    match (&args.password_env, &args.password_file) {
        (Some(name), _) => {
            let value = std::env::var(name)
                .map_err(|_| CommandError(format!("environment variable '{name}' is not set")))?;
            Ok((Password::fixed(value), ImportedPassword::Variable(name.clone())))
        }
        (None, Some(path)) => {
            let secret = config::Secret::of_file(path);
            let password = secret.read().map_err(|error| CommandError(error.to_string()))?;
            let file = ImportedPassword::File(literal(&path.display().to_string()));
            Ok((Password::fixed(password.expose()), file))
        }
        (None, None) => Ok((Password::fixed(""), ImportedPassword::None)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node() -> Node {
        Node::new("http://ch-01:8123", &args()).unwrap()
    }

    fn row(cluster: &str, shard: u64, host: &str, port: u64, is_local: u64) -> Value {
        json!({"cluster": cluster, "shard_num": shard, "shard_weight": 9 + shard, "host_name": host, "port": port,
               "is_local": is_local, "user": "default", "default_database": ""})
    }

    #[test]
    fn the_node_s_own_port_is_known_and_that_of_its_like_assumed() {
        let rows = [
            row("a", 1, "ch-01", 9000, 1),
            row("a", 1, "ch-02", 9000, 0),
            row("a", 2, "ch-03", 9001, 0),
            row("b", 1, "ch-01", 9000, 1),
        ];
        let clusters = node().clusters(&rows);
        assert_eq!(
            clusters
                .iter()
                .map(|cluster| cluster.shards.len())
                .collect::<Vec<_>>(),
            [2, 1]
        );
        let ports: Vec<_> = clusters[0]
            .shards
            .iter()
            .flat_map(|shard| &shard.replicas)
            .map(|replica| replica.http_port)
            .collect();
        assert_eq!(
            ports,
            [HttpPort::Known(8123), HttpPort::Assumed(8123), HttpPort::Unknown]
        );
        assert_eq!(clusters[0].shards[1].weight, Ok(11));
        assert_eq!(clusters[0].shards[1].internal_replication, None);
    }

    #[test]
    fn a_url_with_a_password_is_refused() {
        let args = ImportArgs {
            source: Some("http://u:secret@h".to_owned()),
            ..args()
        };
        let error = Node::new("http://u:secret@h", &args).err().unwrap();
        assert!(!error.0.contains("secret"), "{}", error.0);
    }

    fn args() -> ImportArgs {
        ImportArgs {
            source: None,
            config_xml: None,
            node: None,
            user: "default".to_owned(),
            password_env: None,
            password_file: None,
            clusters: Vec::new(),
            http_port: None,
            discover: false,
            out: None,
        }
    }
}
