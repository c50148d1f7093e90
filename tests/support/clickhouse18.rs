//! ClickHouse 18.16.1 as Debian packages it: plain processes with configurations of their own.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::ports::{free_port, loopback};
use crate::process::Process;
use crate::{Endpoint, Scratch, ZooKeeper};

const PROGRAM: &str = "/usr/sbin/clickhouse-server";
/// It takes a quarter of a second; a machine busy with other tests may need more.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How a server differs from a plain one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The port of a ZooKeeper, for Replicated tables.
    pub zookeeper: Option<u16>,
    /// Name and value of `{macros}`.
    pub macros: Vec<(String, String)>,
    /// The only user, with its password; else `default` without one.
    pub user: Option<(String, String)>,
    /// What its user's profile says, as XML.
    pub profile: String,
    /// More clusters in `remote_servers`, as XML.
    pub clusters: String,
    /// The cluster `peers` in `remote_servers`, for ClickHouse's own Distributed tables.
    pub peers: Vec<Peer>,
}

impl Options {
    /// With this ZooKeeper and the macros `{shard}` and `{replica}`.
    pub fn replicated(zookeeper: &ZooKeeper, shard: &str, replica: &str) -> Self {
        let macros = vec![("shard".into(), shard.into()), ("replica".into(), replica.into())];
        Self {
            zookeeper: Some(zookeeper.port()),
            macros,
            ..Self::default()
        }
    }
}

/// A shard of the cluster `peers`.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its native port on loopback.
    pub tcp_port: u16,
    /// Its weight.
    pub weight: u32,
}

/// One server. Dropped, it is killed and its data removed.
#[derive(Debug)]
pub struct ClickHouse18 {
    /// Its HTTP interface.
    pub http: Endpoint,
    /// The port of its native protocol.
    pub tcp_port: u16,
    process: Process,
    home: Scratch,
}

impl ClickHouse18 {
    /// Starts one and waits until it answers.
    #[track_caller]
    pub fn start(options: &Options) -> Self {
        Self::start_on(free_port(), options)
    }

    /// Starts `weights.len()` servers that know each other as the cluster `peers` with these weights.
    #[track_caller]
    pub fn start_peers(weights: &[u32]) -> Vec<Self> {
        let peers: Vec<Peer> = weights
            .iter()
            .map(|&weight| Peer {
                tcp_port: free_port(),
                weight,
            })
            .collect();
        let options = Options {
            peers: peers.clone(),
            ..Options::default()
        };
        peers
            .iter()
            .map(|peer| Self::start_on(peer.tcp_port, &options))
            .collect()
    }

    /// Starts `count` servers whose options follow from the ports of their native protocols.
    #[track_caller]
    pub fn start_knowing(count: usize, options: impl Fn(&[u16]) -> Options) -> Vec<Self> {
        let ports: Vec<_> = (0..count).map(|_| free_port()).collect();
        let options = options(&ports);
        ports.iter().map(|port| Self::start_on(*port, &options)).collect()
    }

    /// Its config.xml.
    pub fn config_path(&self) -> std::path::PathBuf {
        self.home.join("config.xml")
    }

    #[track_caller]
    fn start_on(tcp_port: u16, options: &Options) -> Self {
        let home = Scratch::new("clickhouse18");
        let http_port = free_port();
        home.write(
            "config.xml",
            config_xml(home.path(), http_port, tcp_port, options),
        );
        home.write("users.xml", users_xml(options));
        let http = Endpoint {
            address: loopback(http_port),
            user: options.user.clone(),
        };
        let process = run(&home);
        let mut server = Self {
            http,
            tcp_port,
            process,
            home,
        };
        server.wait_until_it_answers();
        server
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Stops it where it stands: connections stay open and nothing answers, as on a machine that hangs.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets a frozen one go on.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Starts it again on the same ports and data, after [`kill9`](Self::kill9).
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = run(&self.home);
        self.wait_until_it_answers();
    }

    #[track_caller]
    fn wait_until_it_answers(&mut self) {
        let http = self.http.clone();
        self.process
            .wait_until_ready(START_LIMIT, || http.answers_ping().then_some(()));
    }
}

fn run(home: &Scratch) -> Process {
    let config = format!("--config-file={}", home.join("config.xml").display());
    let log = home.join("output.log");
    Process::start(
        "ClickHouse 18.16",
        Path::new(PROGRAM),
        &[&config],
        &log,
        "Debian's clickhouse-server",
    )
}

fn config_xml(home: &Path, http_port: u16, tcp_port: u16, options: &Options) -> String {
    let interserver_port = free_port();
    let home = home.display();
    let mut xml = format!(
        "<yandex>
  <logger><level>information</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{http_port}</http_port>
  <tcp_port>{tcp_port}</tcp_port>
  <interserver_http_host>127.0.0.1</interserver_http_host>
  <interserver_http_port>{interserver_port}</interserver_http_port>
  <path>{home}/data/</path>
  <tmp_path>{home}/tmp/</tmp_path>
  <users_config>{home}/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <timezone>UTC</timezone>
  <mark_cache_size>67108864</mark_cache_size>
  <max_concurrent_queries>100</max_concurrent_queries>\n"
    );
    if let Some(port) = options.zookeeper {
        let node = format!("<node><host>127.0.0.1</host><port>{port}</port></node>");
        let _ = writeln!(
            xml,
            "  <zookeeper>{node}<session_timeout_ms>10000</session_timeout_ms></zookeeper>"
        );
    }
    let macros: String = options
        .macros
        .iter()
        .map(|(name, value)| format!("<{name}>{value}</{name}>"))
        .collect();
    let _ = writeln!(xml, "  <macros>{macros}</macros>");
    let _ = writeln!(xml, "  <remote_servers>{}", options.clusters);
    if options.peers.is_empty() {
        // A cluster without shards would keep every Distributed table from being made.
        return xml + "  </remote_servers>\n</yandex>\n";
    }
    let _ = writeln!(xml, "  <peers>");
    for Peer { tcp_port, weight } in &options.peers {
        let replica = format!("<replica><host>127.0.0.1</host><port>{tcp_port}</port></replica>");
        let _ = writeln!(xml, "    <shard><weight>{weight}</weight>{replica}</shard>");
    }
    xml + "  </peers></remote_servers>\n</yandex>\n"
}

fn users_xml(options: &Options) -> String {
    let user = options.user.as_ref();
    let (name, password) = user.map_or(("default", ""), |(name, password)| (name, password));
    let profile = &options.profile;
    format!(
        "<yandex>
  <profiles><default>{profile}</default></profiles>
  <quotas><default/></quotas>
  <users><{name}>
    <password>{password}</password>
    <networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
  </{name}></users>
</yandex>\n"
    )
}
