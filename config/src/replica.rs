//! How a replica is reached: what `[cluster.…]`, its shards and its replicas may each say, and the replica
//! that comes of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::file::{At, Item, Section};
use crate::local::Local;
use crate::secret::{Secret, read_password};
use crate::user::parse_user_name;

/// One replica of a shard, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The port of its HTTP interface.
    pub port: u16,
    /// Whether it is spoken to over TLS.
    pub secure: bool,
    /// The database that takes the place of the target's on this replica, so that one host can serve
    /// replicas of several shards.
    pub database: Option<String>,
    /// The user that Weir sends as.
    pub user: String,
    /// That user's password; read it anew for each request.
    pub password: Secret,
    /// What TLS verifies and shows; of no effect unless `secure`.
    pub tls: Tls,
    /// Whether this is the local replica, into which the local share goes before the answer.
    pub local: bool,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub receive_timeout: Duration,
}

/// What a TLS connection to a replica verifies and shows. Files are PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that may have signed the replica's certificate; the system's when absent.
    pub ca: Option<PathBuf>,
    /// Weir's own certificate, for replicas that ask for one.
    pub cert: Option<PathBuf>,
    /// The key of `cert`.
    pub key: Option<PathBuf>,
    /// The name that the replica's certificate has to bear; its host when absent.
    pub server_name: Option<String>,
}

impl Replica {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// `http://host:port`, without credentials.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }
}

// === what the levels say ===

/// ClickHouse's http_port and https_port.
const PORT_PLAIN: u16 = 8123;
const PORT_SECURE: u16 = 8443;

/// What a cluster or a shard says about reaching its replicas.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    port: Option<u16>,
    secure: bool,
    user: String,
    password: Secret,
    tls: Tls,
    database: Option<String>,
    connect_timeout: Duration,
    receive_timeout: Duration,
}

/// A replica and the place it stands at, before the cluster has decided which ones are local.
pub(crate) struct Candidate {
    pub replica: Replica,
    pub local: Local,
    pub offset: usize,
}

impl Default for Reach {
    /// ClickHouse's user and timeouts; connecting gives up sooner than its 10 s, other replicas are waiting.
    fn default() -> Reach {
        Reach {
            port: None,
            secure: false,
            user: "default".to_owned(),
            password: Secret::of_text(""),
            tls: Tls::default(),
            database: None,
            connect_timeout: Duration::from_secs(1),
            receive_timeout: Duration::from_secs(300),
        }
    }
}

impl Reach {
    /// This, with what `section` says over it.
    pub fn overridden_by(&self, section: &Section<'_>) -> Reach {
        let secure = section.flag("secure").map_or(self.secure, |flag| flag.value);
        let timeout = |key, own| {
            let range = Duration::from_millis(1)..=Duration::from_secs(3600);
            section
                .duration(key, range)
                .map_or(own, |duration| duration.value)
        };
        let user = section.parsed("user", parse_user_name).map(|user| user.value);
        Reach {
            port: read_port(section).or(self.port_for(secure)),
            secure,
            // A password belongs to its user: another user does not inherit it.
            password: read_password(section).unwrap_or_else(|| match &user {
                Some(user) if *user != self.user => Secret::of_text(""),
                _ => self.password.clone(),
            }),
            user: user.unwrap_or_else(|| self.user.clone()),
            tls: self.tls.overridden_by(&section.child("tls")),
            database: section
                .text("database")
                .map(|text| text.value)
                .or_else(|| self.database.clone()),
            connect_timeout: timeout("connect_timeout", self.connect_timeout),
            receive_timeout: timeout("receive_timeout", self.receive_timeout),
        }
    }

    /// An inherited port holds for the scheme that it was said with.
    fn port_for(&self, secure: bool) -> Option<u16> {
        self.port.filter(|_| self.secure == secure)
    }

    fn replica(&self, place: Place) -> Replica {
        let secure = place.secure.unwrap_or(self.secure);
        let default_port = if secure { PORT_SECURE } else { PORT_PLAIN };
        Replica {
            host: place.host,
            port: place.port.or(self.port_for(secure)).unwrap_or(default_port),
            secure,
            database: self.database.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            tls: self.tls.clone(),
            local: false,
            connect_timeout: self.connect_timeout,
            receive_timeout: self.receive_timeout,
        }
    }
}

impl Tls {
    fn overridden_by(&self, section: &Section<'_>) -> Tls {
        let file = |key, own: &Option<PathBuf>| section.readable_file(key).or_else(|| own.clone());
        let server_name = section.text("server_name").map(|name| name.value);
        let tls = Tls {
            ca: file("ca", &self.ca),
            cert: file("cert", &self.cert),
            key: file("key", &self.key),
            server_name: server_name.or_else(|| self.server_name.clone()),
        };
        if tls.cert.is_some() != tls.key.is_some() && (section.has("cert") || section.has("key")) {
            section.mistake("tls: cert and key need each other");
        }
        tls
    }
}

// === reading a replica ===

/// Where a replica is, as far as its own text says.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: Option<u16>,
    secure: Option<bool>,
}

/// Reads an element of `replica = [ … ]`.
pub(crate) fn read_replica(item: Item<'_>, reach: &Reach, shard: &Section<'_>) -> Option<Candidate> {
    match item {
        Item::Text(text) => {
            let place = shard.source.accept(text.offset, parse_place(&text))?;
            let replica = reach.replica(place.value);
            Some(Candidate {
                replica,
                local: Local::Auto,
                offset: text.offset,
            })
        }
        Item::Table(section) => read_long_form(&section, reach),
    }
}

/// `{ host = …, … }` or `{ url = …, … }`.
fn read_long_form(section: &Section<'_>, reach: &Reach) -> Option<Candidate> {
    let reach = reach.overridden_by(section);
    let local = Local::read(section);
    let host = section.parsed("host", parse_place);
    let url = section.parsed("url", parse_url);
    let exclusive = ["host", "port", "secure"];
    if section.has("url") && exclusive.iter().any(|key| section.has(key)) {
        section.mistake("a replica's url takes the place of host, port and secure");
    }
    if !section.has("url") && !section.has("host") {
        section.mistake("a replica needs its host or its url");
    }
    let place = url.or(host)?;
    if section.has("port") && !section.has("url") && place.port.is_some() {
        section.mistake("a replica's port stands twice, in host and in port");
    }
    let replica = reach.replica(place.value);
    if section.has("tls") && !replica.secure {
        section.source.mistake(
            section.offset_of("tls"),
            "tls without secure = true would not be used",
        );
    }
    Some(Candidate {
        replica,
        local,
        offset: section.offset,
    })
}

fn read_port(section: &Section<'_>) -> Option<u16> {
    let port: At<u64> = section.count("port", 1..=u64::from(u16::MAX))?;
    u16::try_from(port.value).ok()
}

/// Reads `host`, `host:port`, `[v6]`, `[v6]:port`, a bare IPv6 address, or a URL.
fn parse_place(text: &str) -> Result<Place, String> {
    if text.contains("://") {
        return parse_url(text);
    }
    let wrong =
        || format!("'{text}' is not a replica: write it as 'host', 'host:port' or 'http://host:port'");
    split_port(text).ok_or_else(wrong).map(|(host, port)| Place {
        host,
        port,
        secure: None,
    })
}

fn parse_url(text: &str) -> Result<Place, String> {
    if text.contains('@') {
        // Not shown: what stands before the @ may be a password.
        return Err("a url with credentials: say user and password_file beside it".to_owned());
    }
    let wrong =
        || format!("'{text}' is not a replica's url: write it as 'http://host:8123' or 'https://host:8443'");
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let secure = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err(wrong()),
    };
    let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest)).ok_or_else(wrong)?;
    // Without a port a URL means the default of its scheme in ClickHouse, never an inherited one.
    let port = port.unwrap_or(if secure { PORT_SECURE } else { PORT_PLAIN });
    Ok(Place {
        host,
        port: Some(port),
        secure: Some(secure),
    })
}

fn split_port(text: &str) -> Option<(String, Option<u16>)> {
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some((text.to_owned(), None));
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => (host.parse::<std::net::Ipv6Addr>().ok().map(|_| host)?, after),
        None => {
            let host_ends = text.find(':').unwrap_or(text.len());
            let (host, after) = text.split_at(host_ends);
            (is_host_name(host).then_some(host)?, after)
        }
    };
    match port.strip_prefix(':') {
        Some(port) => Some((
            host.to_owned(),
            Some(port.parse().ok().filter(|port| *port != 0)?),
        )),
        None => port.is_empty().then(|| (host.to_owned(), None)),
    }
}

/// Names and IPv4 addresses; underscores because Docker's names have them. 253 is DNS's own limit.
fn is_host_name(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=253).contains(&host.len()) && host.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, port: Option<u16>, secure: Option<bool>) {
        assert_eq!(
            parse_place(text),
            Ok(Place {
                host: host.to_owned(),
                port,
                secure
            }),
            "{text}"
        );
    }

    #[test]
    fn a_replica_is_a_host_with_or_without_its_port() {
        check("ch-01_a.example", "ch-01_a.example", None, None);
        check("10.0.0.3:8124", "10.0.0.3", Some(8124), None);
        check("[::1]:8124", "::1", Some(8124), None);
        check("[fd00::2]", "fd00::2", None, None);
        check("fd00::2", "fd00::2", None, None);
    }

    #[test]
    fn a_url_says_scheme_and_port() {
        check("http://ch:8129", "ch", Some(8129), Some(false));
        check("http://ch/", "ch", Some(8123), Some(false));
        check("https://ch", "ch", Some(8443), Some(true));
        check("https://[::1]:1", "::1", Some(1), Some(true));
    }

    #[test]
    fn what_is_no_replica_is_refused() {
        let wrong = [
            "",
            ":8123",
            "ch:",
            "ch:0",
            "ch:65536",
            "a b",
            "http://",
            "ftp://ch",
            "http://ch/path",
            "http://ch?x=1",
            "[::1",
            "[ch]:1",
            "::1:x",
            "ch:1:2",
            "http://ch//",
        ];
        for text in wrong {
            assert!(parse_place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_showing_it() {
        let error = parse_place("http://writer:hunter2@ch:8123").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
