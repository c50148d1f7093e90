//! `weir demo`: three embedded shards and a router in this process, one INSERT, and where each of its rows
//! went.
//!
//! It goes the way of a real one: a configuration in a file, an INSERT over HTTP, the spool on disk, INSERTs
//! over HTTP into the shards. At its end it compares what the shards hold with what `weir route` says, and
//! fails if they differ.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use formats::Format;
use shard_client::{Endpoint, Password, Replica, TlsFiles};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::output::say;
use super::route;
use super::serve::Running;
use super::table::{Align, Table, counted};
use super::{CommandError, block_on, spool};
use crate::dry_run::Routed;
use crate::tasks::Tasks;
use crate::time::now_ms;

const EXAMPLE: &str = "\
Example:
  weir demo --stay

Nothing is installed and nothing is left behind: everything lives in a temporary directory and on free ports of this machine. \
Exit code 1 if a row is not where it should be.";

/// Show where the rows of an INSERT go: three small shards and a router in this process.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct DemoArgs {
    /// Keep shards and router running until Ctrl-C, to try more; so it does when standard output is a
    /// terminal.
    #[arg(long)]
    stay: bool,
}

const SHARDS: [&str; 3] = ["s01", "s02", "s03"];
const ROWS: u64 = 12;
const KEY: &str = "cityHash64(user_id)";
const TARGET: &str = "default.hits_local (user_id UInt64, url String) ENGINE = MergeTree ORDER BY user_id";

/// Long enough to see rows wait in the spool, short enough not to bore.
const MAX_BATCH_DELAY: &str = "2s";

/// The shards are in this process: what takes longer will not come.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(20);

/// Runs the demonstration.
pub fn run(args: &DemoArgs) -> Result<(), CommandError> {
    let stay = args.stay || std::io::stdout().is_terminal();
    block_on(demonstrate(stay))?
}

async fn demonstrate(stay: bool) -> Result<(), CommandError> {
    let world = World::start().await?;
    let shown = world.show().await;
    if shown.is_ok() && stay {
        world.invite()?;
        // An error means that signals cannot be had; then there is no reason to stay.
        let _ = tokio::signal::ctrl_c().await;
    }
    world.stop().await;
    shown
}

/// Everything that the demonstration runs.
struct World {
    directory: TempDir,
    config_file: PathBuf,
    config: config::Config,
    shards: Vec<DemoShard>,
    shard_tasks: Tasks,
    router: Running,
    address: SocketAddr,
}

struct DemoShard {
    name: &'static str,
    client: Replica,
}

impl World {
    async fn start() -> Result<Self, CommandError> {
        let directory = tempfile::tempdir().map_err(failed("making a temporary directory"))?;
        let shard_tasks = Tasks::default();
        let (mut shards, mut addresses) = (Vec::new(), Vec::new());
        for name in SHARDS {
            let address = start_shard(name, &shard_tasks).await?;
            let client = client(address)?;
            query(&client, &format!("CREATE TABLE {TARGET}")).await?;
            shards.push(DemoShard { name, client });
            addresses.push(address);
        }
        let config_file = directory.path().join("weir.toml");
        let text = config_text(directory.path(), &addresses);
        std::fs::write(&config_file, text).map_err(failed("writing the configuration"))?;
        let config = config::load(&config_file).map_err(|mistakes| CommandError(mistakes.to_string()))?;
        let router = Running::start(&config, &config_file).await?;
        let address = router
            .http
            .first()
            .copied()
            .ok_or_else(|| CommandError("the router does not listen".to_owned()))?;
        Ok(Self {
            directory,
            config_file,
            config,
            shards,
            shard_tasks,
            router,
            address,
        })
    }

    /// The story, told as it happens, and checked.
    async fn show(&self) -> Result<(), CommandError> {
        self.introduce()?;
        let rows = sample();
        let places = self.places(&rows).await?;
        say(format_args!(
            "INSERT INTO default.hits FORMAT JSONEachRow, {}, by HTTP to {}",
            counted(ROWS, "row"),
            self.address
        ))?;
        let began = Instant::now();
        query(
            &client(self.address)?,
            &format!("INSERT INTO default.hits FORMAT JSONEachRow\n{rows}"),
        )
        .await?;
        say(format_args!(
            "answered 200 after {:.1?}; each row's place by {KEY}:\n",
            began.elapsed()
        ))?;
        say(self.place_table(&places))?;
        self.show_shards(
            "The local share is on its shard when the INSERT returns; the others wait in the spool:",
            &places,
        )
        .await?;
        self.show_spool("weir spool ls")?;
        let all_there = self.until_delivered(&places).await?;
        let title = format!(
            "After max_batch_delay ({MAX_BATCH_DELAY}) their batches were cut and sent; {:.1?} after the INSERT:",
            began.elapsed()
        );
        self.show_shards(&title, &places).await?;
        self.show_spool("weir spool ls (what was delivered stays in sent/ for a while, for replay)")?;
        match all_there {
            true => say(format_args!(
                "Done: {ROWS} of {ROWS} rows are on the shard that their key names, once each."
            )),
            false => Err(CommandError(format!(
                "some rows are not where they should be {} s after the INSERT",
                DELIVERY_PATIENCE.as_secs()
            ))),
        }
    }

    fn introduce(&self) -> Result<(), CommandError> {
        say("Three shards (SQLite, in this process) and a router in front of them:")?;
        let mut table = Table::new(&[
            ("SHARD", Align::Left),
            ("ADDRESS", Align::Left),
            ("", Align::Left),
        ]);
        for (at, shard) in self.shards.iter().enumerate() {
            let local = if at == 0 { "local to the router" } else { "" };
            table.row(vec![
                shard.name.to_owned(),
                shard.client.address().to_owned(),
                local.to_owned(),
            ]);
        }
        table.row(vec![
            "router".to_owned(),
            self.address.to_string(),
            "what clients talk to".to_owned(),
        ]);
        say(table)
    }

    async fn places(&self, rows: &str) -> Result<Vec<Routed>, CommandError> {
        let table = self
            .config
            .tables
            .first()
            .ok_or_else(|| CommandError("no table is configured".to_owned()))?;
        let router = route::of_config(&self.config, table).await?;
        let places = router.places_of(Format::JsonEachRow, rows);
        places.map_err(|failed| CommandError(failed.to_string()))
    }

    fn place_table(&self, places: &[Routed]) -> Table {
        let mut table = Table::new(&[
            ("USER_ID", Align::Right),
            ("SHARDING VALUE", Align::Right),
            ("SLOT", Align::Right),
            ("SHARD", Align::Left),
        ]);
        let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        for (user_id, place) in user_ids().zip(places) {
            let shard = SHARDS.get(place.shard).copied().unwrap_or_default();
            table.row(vec![
                user_id.to_string(),
                text(place.value),
                text(place.slot),
                shard.to_owned(),
            ]);
        }
        table
    }

    async fn show_shards(&self, title: &str, places: &[Routed]) -> Result<(), CommandError> {
        let expected = expected(places);
        let mut table = Table::new(&[
            ("SHARD", Align::Left),
            ("HOLDS", Align::Left),
            ("OF", Align::Right),
        ]);
        for shard in &self.shards {
            let held = shard.user_ids().await?;
            let ids: Vec<_> = held.iter().map(ToString::to_string).collect();
            let shown = if ids.is_empty() {
                "nothing".to_owned()
            } else {
                ids.join(" ")
            };
            let of = expected.get(shard.name).map_or(0, Vec::len);
            table.row(vec![shard.name.to_owned(), shown, of.to_string()]);
        }
        say(format_args!("{title}\n"))?;
        say(table)
    }

    fn show_spool(&self, title: &str) -> Result<(), CommandError> {
        let (table, _) = spool::listing(self.router.app.spool.destinations(), now_ms());
        say(format_args!("{title}\n"))?;
        say(table)
    }

    /// Waits until each shard holds exactly its rows; false if that does not come to pass.
    async fn until_delivered(&self, places: &[Routed]) -> Result<bool, CommandError> {
        let expected = expected(places);
        let deadline = Instant::now() + DELIVERY_PATIENCE;
        loop {
            let mut all_there = true;
            for shard in &self.shards {
                let wanted = expected.get(shard.name).cloned().unwrap_or_default();
                all_there &= shard.user_ids().await? == wanted;
            }
            if all_there || Instant::now() >= deadline {
                return Ok(all_there);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn invite(&self) -> Result<(), CommandError> {
        let (address, config) = (self.address, self.config_file.display());
        let first = self
            .shards
            .first()
            .map(|shard| shard.client.address().to_owned())
            .unwrap_or_default();
        say(format_args!(
            "\nAll of it keeps running until Ctrl-C. Try, in another terminal:\n\n  \
             curl 'http://{address}/?query=INSERT+INTO+default.hits+FORMAT+CSV' --data-binary $'100,/a\\n101,/b\\n'\n  \
             curl 'http://{first}/' --data-binary 'SELECT count() FROM default.hits_local'\n  \
             weir route --config {config} --table default.hits --key user_id=100\n  \
             weir spool ls --config {config} --files"
        ))
    }

    async fn stop(self) {
        self.router.stop().await;
        self.shard_tasks.stop(DELIVERY_PATIENCE).await;
        // The directory goes last: the router and the shards have let go of their files.
        drop(self.directory);
    }
}

impl DemoShard {
    async fn user_ids(&self) -> Result<Vec<u64>, CommandError> {
        let sql = "SELECT user_id FROM default.hits_local ORDER BY user_id FORMAT TabSeparated";
        let answer = query(&self.client, sql).await?;
        answer
            .lines()
            .map(|line| {
                line.parse()
                    .map_err(|_| CommandError(format!("{} answered {line:?}", self.name)))
            })
            .collect()
    }
}

fn user_ids() -> impl Iterator<Item = u64> {
    1..=ROWS
}

fn sample() -> String {
    let pages = ["/", "/cart", "/about"];
    let row = |(user_id, page): (u64, &&str)| format!("{{\"user_id\": {user_id}, \"url\": \"{page}\"}}\n");
    user_ids().zip(pages.iter().cycle()).map(row).collect()
}

/// Each shard's user ids, ascending.
fn expected(places: &[Routed]) -> BTreeMap<&'static str, Vec<u64>> {
    let mut expected: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (user_id, place) in user_ids().zip(places) {
        let shard = SHARDS.get(place.shard).copied().unwrap_or_default();
        expected.entry(shard).or_default().push(user_id);
    }
    expected
}

fn config_text(directory: &Path, shards: &[SocketAddr]) -> String {
    let shard = |((name, address), local): ((&&str, &SocketAddr), bool)| {
        let (host, port) = (address.ip(), address.port());
        format!(
            "[[cluster.demo.shard]]\nname = \"{name}\"\nreplica = [{{ host = \"{host}\", port = {port}, local = {local} }}]\n"
        )
    };
    let local = std::iter::once(true).chain(std::iter::repeat(false));
    let shards: String = SHARDS.iter().zip(shards).zip(local).map(shard).collect();
    let spool = directory.join("spool");
    format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         [spool]\npath = \"{}\"\n\
         [send]\nmax_batch_delay = \"{MAX_BATCH_DELAY}\"\n\
         [cluster.demo]\ninternal_replication = true\n{shards}\
         [[table]]\nname = \"default.hits\"\ntarget = \"default.hits_local\"\nsharding_key = \"{KEY}\"\n",
        spool.display()
    )
}

async fn start_shard(name: &str, tasks: &Tasks) -> Result<SocketAddr, CommandError> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(failed("listening on a free port"))?;
    let address = listener
        .local_addr()
        .map_err(failed("listening on a free port"))?;
    let options = embedded_shard::Options {
        name: name.to_owned(),
        ..embedded_shard::Options::default()
    };
    let name = name.to_owned();
    tasks.spawn(format!("shard {name}"), |mut stop| async move {
        let served = embedded_shard::serve(listener, options, async move { stop.requested().await }).await;
        if let Err(error) = served {
            eprintln!("weir: shard {name} ended: {error}");
        }
    });
    Ok(address)
}

fn client(address: SocketAddr) -> Result<Replica, CommandError> {
    let endpoint = Endpoint {
        host: address.ip().to_string(),
        port: address.port(),
        secure: false,
        user: "default".to_owned(),
        password: Password::fixed(""),
        database: None,
        tls: TlsFiles::default(),
        connect_timeout: DELIVERY_PATIENCE,
        receive_timeout: DELIVERY_PATIENCE,
    };
    Replica::new(endpoint, 1).map_err(|error| CommandError(error.to_string()))
}

async fn query(client: &Replica, sql: &str) -> Result<String, CommandError> {
    let answer = client.query(sql, &[]).await;
    let answer = answer.map_err(|error| CommandError(error.to_string()))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> CommandError {
    move |error| CommandError(format!("{what}: {error}"))
}
