//! The weir.toml of an import: complete where the source told, marked TODO where it could not.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{
    HttpPort, Import, ImportedCluster, ImportedPassword, ImportedReplica, ImportedShard, ImportedTable,
};

/// Stands where an operator has to write a port; `weir check` refuses it with its line.
const PORT_TO_FILL_IN: &str = "HTTP_PORT";
/// Stands where not even the host is known.
const HOST_TO_FILL_IN: &str = "HOST";

const HEAD: &str = "\
# What could not be known is marked TODO; `weir check --config weir.toml` names what is still missing.

[listen]
http = \"127.0.0.1:8124\"             # what clients talk to, in the place of a server's 8123

[spool]
path = \"/var/lib/weir\"

";

const USERS: &str = "
# Without any [[user]] only this machine may connect, as user default. For each user that inserts:
#[[user]]
#name = \"app\"
#password_sha256_hex = \"…\"           # printf %s \"$PASSWORD\" | sha256sum
";

impl Import {
    /// The file.
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            "# Written by `weir import` from {}.\n{HEAD}",
            in_a_comment(&self.source)
        );
        for note in &self.notes {
            todo(&mut text, note);
        }
        for cluster in &self.clusters {
            write_cluster(&mut text, cluster);
        }
        for table in &self.tables {
            write_table(&mut text, table);
        }
        let discovers = self.clusters.iter().any(|cluster| !cluster.seeds.is_empty());
        if !self.tables_are_known && !discovers {
            text.push_str(
                "\n# TODO: the Distributed tables do not stand in this source. Let Weir find them on a node, with discover =\n\
                 # [\"http://a-node:8123\"] in the cluster, or list them: [[table]] with name, cluster, target and sharding_key.\n",
            );
        }
        text.push_str(USERS);
        text
    }
}

fn todo(text: &mut String, note: &str) {
    let _ = writeln!(text, "# TODO: {}", in_a_comment(note));
}

/// Nothing ends a comment but a line's end.
fn in_a_comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn write_cluster(text: &mut String, cluster: &ImportedCluster) {
    let key = key(&cluster.name);
    let _ = writeln!(
        text,
        "[cluster.{key}]\nepoch = 1                           # raise it with each change of shards, weights or keys"
    );
    for note in &cluster.notes {
        todo(text, note);
    }
    let common = Common::of(cluster);
    write_replication(text, cluster, &common);
    write_user(text, cluster, &common);
    if common.secure {
        text.push_str("secure = true\n");
    }
    write_port(text, &common);
    if !cluster.seeds.is_empty() {
        let seeds: Vec<_> = cluster.seeds.iter().map(|seed| quoted(seed)).collect();
        let _ = writeln!(text, "discover = [{}]\ntables = [\"*.*\"]", seeds.join(", "));
    }
    let names = shard_names(cluster);
    for (shard, name) in cluster.shards.iter().zip(names) {
        write_shard(text, &key, &name, shard, &common);
    }
    text.push('\n');
}

/// What all replicas of a cluster have in common stands once.
struct Common {
    internal_replication: Option<bool>,
    user: Option<String>,
    password: ImportedPassword,
    secure: bool,
    port: HttpPort,
    /// Whether one server stands in two shards, which only databases keep apart.
    shared_servers: bool,
}

impl Common {
    fn of(cluster: &ImportedCluster) -> Common {
        let replicas: Vec<_> = cluster.shards.iter().flat_map(|shard| &shard.replicas).collect();
        let first = replicas
            .first()
            .map(|replica| (*replica).clone())
            .unwrap_or_default();
        let port = match replicas
            .iter()
            .all(|replica| number(replica.http_port) == number(first.http_port))
        {
            true if replicas
                .iter()
                .any(|replica| matches!(replica.http_port, HttpPort::Assumed(_))) =>
            {
                number(first.http_port).map_or(HttpPort::Unknown, HttpPort::Assumed)
            }
            true => first.http_port,
            false => HttpPort::Unknown,
        };
        let places: BTreeSet<_> = replicas
            .iter()
            .map(|replica| (&replica.host, replica.native_port))
            .collect();
        Common {
            internal_replication: cluster
                .shards
                .first()
                .and_then(|shard| shard.internal_replication),
            user: first.user,
            password: first.password,
            secure: !replicas.is_empty() && replicas.iter().all(|replica| replica.secure),
            port,
            shared_servers: places.len() < replicas.len(),
        }
    }
}

fn number(port: HttpPort) -> Option<u16> {
    match port {
        HttpPort::Unknown => None,
        HttpPort::Assumed(port) | HttpPort::Known(port) => Some(port),
    }
}

fn write_replication(text: &mut String, cluster: &ImportedCluster, common: &Common) {
    match common.internal_replication {
        Some(each) => {
            let _ = writeln!(text, "internal_replication = {each}");
        }
        None if cluster.shards.iter().all(|shard| shard.replicas.len() < 2) => {
            text.push_str("internal_replication = false        # the source does not tell; of no matter with one replica a shard\n");
        }
        None => {
            text.push_str("# TODO: the source does not tell. Say true if the targets are Replicated tables, else false:\n#internal_replication = true\n");
        }
    }
}

fn write_user(text: &mut String, cluster: &ImportedCluster, common: &Common) {
    let user = common.user.as_deref().unwrap_or("default");
    let _ = writeln!(text, "user = {}", quoted(user));
    if let Some(line) = password_line(&common.password, &cluster.name) {
        let _ = writeln!(text, "{line}");
    }
}

/// Never the password: the variable that shall hold it.
fn password_line(password: &ImportedPassword, cluster: &str) -> Option<String> {
    let own = |why: &str| {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        };
        let cluster: String = cluster.chars().map(plain).collect();
        format!("password_env = \"WEIR_{cluster}_PASSWORD\"  # TODO: {why}")
    };
    match password {
        ImportedPassword::None => None,
        ImportedPassword::InSource => Some(own(
            "set it, or name a password_file; the source has the password, which is not repeated here",
        )),
        ImportedPassword::Unknown => Some(own(
            "set it, or name a password_file; if this user has no password, delete the line",
        )),
        ImportedPassword::Variable(name) => Some(format!("password_env = {}", quoted(name))),
        ImportedPassword::File(path) => Some(format!("password_file = {}", quoted(path))),
    }
}

fn write_port(text: &mut String, common: &Common) {
    let _ = match common.port {
        HttpPort::Known(port) => writeln!(text, "port = {port}"),
        HttpPort::Assumed(port) => writeln!(
            text,
            "port = {port}                         # TODO: check it; assumed, since one server with the same native port has it"
        ),
        HttpPort::Unknown => Ok(()),
    };
}

fn write_shard(text: &mut String, cluster: &str, name: &str, shard: &ImportedShard, common: &Common) {
    let _ = writeln!(text, "\n[[cluster.{cluster}.shard]]\nname = {}", quoted(name));
    let _ = match &shard.weight {
        Ok(weight) => writeln!(text, "weight = {weight}"),
        Err(why) => writeln!(
            text,
            "weight = \"TODO\"                     # TODO: {}",
            in_a_comment(why)
        ),
    };
    if shard.internal_replication != common.internal_replication
        && let Some(each) = shard.internal_replication
    {
        let _ = writeln!(text, "internal_replication = {each}");
    }
    text.push_str("replica = [\n");
    for replica in &shard.replicas {
        let (value, note) = replica_value(replica, cluster, common);
        let note = note.map_or_else(String::new, |note| format!("  # {note}"));
        let _ = writeln!(text, "    {value},{note}");
    }
    text.push_str("]\n");
}

/// A replica as the list has it, and what is to be said of it.
fn replica_value(replica: &ImportedReplica, cluster: &str, common: &Common) -> (String, Option<String>) {
    let host = replica.host.as_deref().unwrap_or(HOST_TO_FILL_IN);
    let (place, note) = match number(replica.http_port) {
        _ if number(common.port).is_some() && replica.host.is_some() => (host.to_owned(), None),
        Some(port) if replica.host.is_some() => (with_port(host, &port.to_string()), None),
        _ => (with_port(host, PORT_TO_FILL_IN), Some(port_note(replica))),
    };
    let mut more = Vec::new();
    if replica.secure != common.secure {
        more.push(format!("secure = {}", replica.secure));
    }
    if replica.user != common.user || replica.password != common.password {
        more.push(format!(
            "user = {}",
            quoted(replica.user.as_deref().unwrap_or("default"))
        ));
        let line = password_line(&replica.password, &format!("{cluster}_{host}"));
        more.extend(line.and_then(|line| Some(line.split("  # ").next()?.to_owned())));
    }
    if let (true, Some(database)) = (common.shared_servers, &replica.default_database) {
        more.push(format!("database = {}", quoted(database)));
    }
    if more.is_empty() {
        return (quoted(&place), note);
    }
    (
        format!("{{ host = {}, {} }}", quoted(&place), more.join(", ")),
        note,
    )
}

fn with_port(host: &str, port: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn port_note(replica: &ImportedReplica) -> String {
    match replica.native_port {
        Some(port) => format!("TODO: its HTTP port; {port} is that of the native protocol"),
        None => "TODO: its host and HTTP port".to_owned(),
    }
}

/// The shards' own names where they are there and differ, else s01, s02, ….
fn shard_names(cluster: &ImportedCluster) -> Vec<String> {
    let own: BTreeSet<_> = cluster
        .shards
        .iter()
        .filter_map(|shard| shard.name.as_ref())
        .collect();
    let fits = |name: &String| !name.contains(|c: char| c.is_whitespace() || matches!(c, '@' | '/'));
    let usable = own.len() == cluster.shards.len() && own.iter().all(|name| fits(name));
    let named = cluster.shards.iter().zip(1..);
    named
        .map(|(shard, number)| match (&shard.name, usable) {
            (Some(name), true) => name.clone(),
            _ => format!("s{number:02}"),
        })
        .collect()
}

fn write_table(text: &mut String, table: &ImportedTable) {
    let _ = write!(
        text,
        "[[table]]\nname = {}\ncluster = {}\ntarget = {}\n",
        quoted(&super::literal(&table.name.to_string())),
        quoted(&super::literal(&table.cluster)),
        quoted(&super::literal(&table.target.to_string())),
    );
    let _ = match &table.sharding_key {
        Some(key) => writeln!(text, "sharding_key = {}\n", quoted(&super::literal(key))),
        None => writeln!(text, "# No sharding key.\n"),
    };
}

/// A name as a key of TOML.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                // Writing into a String cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
