//! A server's config.xml with all that belongs to it: `config.d/`, `include_from`, `from_env`; both root
//! names.

use std::io;
use std::path::{Path, PathBuf};

use super::xml::Element;
use super::{HttpPort, Import, ImportedCluster, ImportedPassword, ImportedReplica, ImportedShard, literal};

/// Where substitutions stand if the configuration does not say.
const INCLUDE_FROM_DEFAULT: &str = "/etc/metrika.xml";

/// How files are read: the real ones, or a test's.
pub struct ReadFiles<'a> {
    /// A file's text.
    pub text: &'a dyn Fn(&Path) -> io::Result<String>,
    /// A directory's files; none if it is not there.
    pub list: &'a dyn Fn(&Path) -> Vec<PathBuf>,
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// What a config.xml says of clusters; the error says what cannot be read.
pub fn config_xml(path: &Path, files: &ReadFiles<'_>) -> Result<Import, String> {
    let mut import = Import {
        source: path.display().to_string(),
        ..Import::default()
    };
    let root = whole(path, files, &mut import.notes)?;
    let servers = root
        .child("remote_servers")
        .ok_or_else(|| format!("{} has no <remote_servers>", path.display()))?;
    if let Some(place) = servers.attribute("from_zk") {
        import.notes.push(in_zookeeper("remote_servers", place));
    }
    let reading = Reading {
        own: OwnPorts::of(&root),
        variable: files.variable,
    };
    for cluster in servers.children.iter().map(|cluster| reading.cluster(cluster)) {
        match cluster.shards.is_empty() && cluster.notes.is_empty() {
            true => import
                .notes
                .push(format!("left out, since it has no shard: {}", cluster.name)),
            false => import.clusters.push(cluster),
        }
    }
    if import.clusters.is_empty() {
        import.notes.push("<remote_servers> has no cluster".to_owned());
    }
    Ok(import)
}

fn in_zookeeper(what: &str, place: &str) -> String {
    format!(
        "{what} stands in ZooKeeper at {place}: import it from a live node instead, weir import http://HOST:8123"
    )
}

// === files ===

/// The file with the files that a server merges into it, substitutions made.
fn whole(path: &Path, files: &ReadFiles<'_>, notes: &mut Vec<String>) -> Result<Element, String> {
    let mut root = root_of(path, files)?;
    for part in parts(path, files, notes) {
        root.merge(root_of(&part, files)?);
    }
    let named = root.text_of("include_from").map(PathBuf::from);
    let is_named = named.is_some();
    let from = named.unwrap_or_else(|| INCLUDE_FROM_DEFAULT.into());
    let from = path
        .parent()
        .map_or(from.clone(), |directory| directory.join(&from));
    let included = match (files.text)(&from) {
        Ok(text) => Some(Element::parse(&text).map_err(|error| format!("{}: {error}", from.display()))?),
        Err(error) if is_named => {
            notes.push(format!("include_from {} cannot be read: {error}", from.display()));
            None
        }
        Err(_) => None,
    };
    for missing in root.include(included.as_ref()) {
        notes.push(format!("incl=\"{missing}\" is not in {}", from.display()));
    }
    Ok(root)
}

fn root_of(path: &Path, files: &ReadFiles<'_>) -> Result<Element, String> {
    let told = |error: String| format!("{}: {error}", path.display());
    let text = (files.text)(path).map_err(|error| told(format!("cannot read it: {error}")))?;
    let root = Element::parse(&text).map_err(told)?;
    match root.name.as_str() {
        "yandex" | "clickhouse" => Ok(root),
        other => Err(told(format!(
            "its root is <{other}>, not <clickhouse> or <yandex>"
        ))),
    }
}

/// The files of `config.d/` (for a config.xml) and `conf.d/`, in the order in which a server merges them.
fn parts(path: &Path, files: &ReadFiles<'_>, notes: &mut Vec<String>) -> Vec<PathBuf> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let own = path.with_extension("d");
    let mut parts = (files.list)(&own);
    parts.extend((files.list)(&directory.join("conf.d")));
    parts.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    let is_hidden = |path: &PathBuf| {
        path.file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'))
    };
    let mut merged = Vec::new();
    for part in parts.into_iter().filter(|path| !is_hidden(path)) {
        match part.extension().and_then(|extension| extension.to_str()) {
            Some("xml" | "conf") => merged.push(part),
            Some("yaml" | "yml") => notes.push(format!("{} is YAML, which is not read", part.display())),
            _ => {}
        }
    }
    merged
}

// === clusters ===

/// The ports of the server whose configuration it is: others of the cluster most likely have the same.
struct OwnPorts {
    plain: Option<(u16, u16)>,
    secure: Option<(u16, u16)>,
}

impl OwnPorts {
    fn of(root: &Element) -> OwnPorts {
        let port = |name| root.text_of(name)?.parse().ok();
        let pair = |native, http| Some((port(native)?, port(http)?));
        OwnPorts {
            plain: pair("tcp_port", "http_port"),
            secure: pair("tcp_port_secure", "https_port"),
        }
    }

    fn http_port(&self, native: Option<u16>, secure: bool) -> HttpPort {
        let own = if secure { self.secure } else { self.plain };
        match own {
            Some((own_native, http)) if Some(own_native) == native => HttpPort::Assumed(http),
            _ => HttpPort::Unknown,
        }
    }
}

struct Reading<'a> {
    own: OwnPorts,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

/// What an element says, with what stands for it.
enum Said<'a> {
    Nothing,
    Text(&'a str),
    /// A variable of the environment.
    Variable(&'a str),
    /// A place in ZooKeeper.
    ZooKeeper(&'a str),
}

fn said<'a>(parent: &'a Element, name: &str) -> Said<'a> {
    let Some(element) = parent.child(name) else {
        return Said::Nothing;
    };
    match (
        element.attribute("from_env"),
        element.attribute("from_zk"),
        element.text(),
    ) {
        (Some(variable), _, _) => Said::Variable(variable),
        (None, Some(place), _) => Said::ZooKeeper(place),
        (None, None, "") => Said::Nothing,
        (None, None, text) => Said::Text(text),
    }
}

impl Reading<'_> {
    fn cluster(&self, element: &Element) -> ImportedCluster {
        let mut cluster = ImportedCluster {
            name: element.name.clone(),
            ..ImportedCluster::default()
        };
        if let Some(place) = element.attribute("from_zk") {
            cluster.notes.push(in_zookeeper("the cluster", place));
        }
        if element.child("discovery").is_some() {
            let text = "its servers find each other by <discovery>: import it from a live node, weir import http://HOST:8123";
            cluster.notes.push(text.to_owned());
        }
        let has_secret = element.child("secret").is_some();
        if has_secret {
            let text = "its servers trust each other by <secret>, which Weir cannot use: it needs a user with a password";
            cluster.notes.push(text.to_owned());
        }
        // As the server: any tag that begins so.
        for child in &element.children {
            let shard = match child.name.as_str() {
                name if name.starts_with("shard") => self.shard(child, &mut cluster.notes),
                name if name.starts_with("node") => self.node(child, &mut cluster.notes),
                _ => continue,
            };
            cluster.shards.push(shard);
        }
        if has_secret {
            for replica in cluster.shards.iter_mut().flat_map(|shard| &mut shard.replicas) {
                replica.password = ImportedPassword::Unknown;
            }
        }
        cluster
    }

    fn shard(&self, element: &Element, notes: &mut Vec<String>) -> ImportedShard {
        let replicas = element
            .children
            .iter()
            .filter(|child| child.name.starts_with("replica"));
        ImportedShard {
            name: self.text(element, "name", notes),
            weight: self.weight(element),
            internal_replication: Some(self.flag(element, "internal_replication")),
            replicas: replicas.map(|replica| self.replica(replica, notes)).collect(),
        }
    }

    /// `<node>`: a shard of one replica.
    fn node(&self, element: &Element, notes: &mut Vec<String>) -> ImportedShard {
        ImportedShard {
            name: None,
            weight: self.weight(element),
            internal_replication: Some(false),
            replicas: vec![self.replica(element, notes)],
        }
    }

    fn replica(&self, element: &Element, notes: &mut Vec<String>) -> ImportedReplica {
        let native_port = self.value(element, "port").and_then(|port| port.parse().ok());
        let secure = self.flag(element, "secure");
        let password = match said(element, "password") {
            Said::Nothing => ImportedPassword::None,
            Said::Text(_) => ImportedPassword::InSource,
            Said::Variable(name) => ImportedPassword::Variable(name.to_owned()),
            Said::ZooKeeper(_) => ImportedPassword::Unknown,
        };
        ImportedReplica {
            host: self.text(element, "host", notes),
            native_port,
            http_port: self.own.http_port(native_port, secure),
            secure,
            user: self.text(element, "user", notes),
            password,
            default_database: self.text(element, "default_database", notes),
        }
    }

    /// A text in weir.toml's notation.
    fn text(&self, element: &Element, name: &str, notes: &mut Vec<String>) -> Option<String> {
        match said(element, name) {
            Said::Nothing => None,
            Said::Text(text) => Some(literal(text)),
            Said::Variable(variable) => Some(format!("${{{variable}}}")),
            Said::ZooKeeper(place) => {
                notes.push(in_zookeeper(&format!("<{name}>"), place));
                None
            }
        }
    }

    /// A text as it is now.
    fn value(&self, element: &Element, name: &str) -> Option<String> {
        match said(element, name) {
            Said::Text(text) => Some(text.to_owned()),
            Said::Variable(variable) => (self.variable)(variable),
            Said::Nothing | Said::ZooKeeper(_) => None,
        }
    }

    fn flag(&self, element: &Element, name: &str) -> bool {
        let value = self.value(element, name).unwrap_or_default();
        ["1", "true", "yes", "on"]
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word))
    }

    /// A weight that is not known must not become 1: rows would lie on other shards than a server puts them.
    fn weight(&self, element: &Element) -> Result<u32, String> {
        match said(element, "weight") {
            Said::Nothing => Ok(1),
            Said::ZooKeeper(place) => Err(in_zookeeper("<weight>", place)),
            Said::Text(_) | Said::Variable(_) => {
                let value = self.value(element, "weight");
                let weight = value.as_deref().and_then(|value| value.trim().parse().ok());
                weight.ok_or_else(|| {
                    format!(
                        "<weight> says {}",
                        value.as_deref().unwrap_or("a variable that is not set")
                    )
                })
            }
        }
    }
}
