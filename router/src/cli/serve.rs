//! `weir serve`: listeners, signals, and the end in the order of the data.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use spool::RecoveryReport;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{CommandError, ConfigArgs, block_on};
use crate::admin::{Admin, SOCKET_NAME};
use crate::app::App;
use crate::http::{Handler, Listener, serve, tls};
use crate::logs;

/// Connections to the admin side at once: scrapers and people.
const ADMIN_CONNECTIONS_MAX: usize = 64;

/// The exit code of a process that a second signal ended at once, as a shell reports SIGTERM.
const KILLED_CODE: i32 = 143;

const EXAMPLE: &str = "\
Example:
  weir check --config weir.toml && weir serve --config weir.toml

Signals: SIGTERM or SIGINT stops in order (requests under way are answered, what was accepted is in the spool), a second one at \
once; SIGHUP reads the configuration again, all of it or nothing. Logs go to standard error; RUST_LOG=debug tells more.";

/// Run the router.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the router until SIGTERM or SIGINT.
pub fn run(args: &ServeArgs) -> Result<(), CommandError> {
    let config = args.config.load()?;
    logs::start(&config.logs);
    block_on(router(config, &args.config.config))?
}

async fn router(config: config::Config, config_path: &Path) -> Result<(), CommandError> {
    let mut signals =
        Signals::new().map_err(|error| CommandError(format!("cannot listen for signals: {error}")))?;
    let running = Running::start(&config, config_path).await?;
    let app = running.app.clone();
    tokio::select! {
        () = signals.until_asked_to_stop(&app) => {}
        cause = app.poisoned() => {
            // What is on the disk is only known by reading it again, so there is nothing to stop in order.
            return Err(CommandError(format!("the spool's journal failed, restart when the disk is mended: {cause}")));
        }
    }
    tracing::info!(
        "stopping: no new requests, then those under way, then the spool; a second signal stops at once"
    );
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        () = signals.second() => {
            tracing::warn!("stopped at once: what was accepted is in the spool");
            std::process::exit(KILLED_CODE);
        }
    }
    Ok(())
}

/// INSERTs are accepted before the directories are read; what was found is told when they are.
async fn tell_when_recovered(app: Arc<App>) {
    // Without a report the spool was closed before, and the next start tells.
    if let Some(report) = app.spool.recovered().await {
        tell_recovery(&report);
    }
}

/// What was found in the spool; damage is for somebody to look at.
pub(super) fn tell_recovery(report: &RecoveryReport) {
    let RecoveryReport {
        uncut_shares,
        pending,
        waiting,
        in_doubt,
        torn_bytes,
        took,
        ..
    } = report;
    tracing::info!(
        uncut_shares,
        pending,
        waiting,
        in_doubt,
        torn_bytes,
        ?took,
        "the spool is read"
    );
    let set_aside = [
        (
            "a journal segment, checkpoint or the file `id` is damaged and set aside",
            &report.corrupt,
        ),
        ("a batch file cannot be read and is held", &report.damaged),
        (
            "a file in the spool is not known and left in place",
            &report.unknown,
        ),
        (
            "a directory of the spool cannot be read, its destinations are held",
            &report.unreadable,
        ),
        (
            "a file that may hold rows of an INSERT whose record is lost is kept",
            &report.kept,
        ),
    ];
    for (what, files) in set_aside {
        for file in files {
            tracing::error!(file = %file.display(), "{what}: `weir spool verify` tells more");
        }
    }
    if let Some(failed) = &report.failed {
        tracing::warn!(failed, "the journal had failed, and was read again");
    }
    if report.lost_records {
        tracing::error!(
            suspect_shares = report.suspect_shares,
            "records of the journal are lost: what may have been sent is held, `weir spool ls --files` lists it"
        );
    }
    if report.lost_shares > 0 {
        tracing::error!(
            lost_shares = report.lost_shares,
            "accepted rows lay in a damaged part of the journal and are lost"
        );
    }
}

/// A router that serves, in this process.
pub(super) struct Running {
    pub(super) app: Arc<App>,
    /// Where clients connect; port 0 has become a real one.
    pub(super) http: Vec<SocketAddr>,
    clients: Serving,
    admin: Serving,
}

impl Running {
    /// Opens the spool, binds the listeners, starts the senders, serves.
    pub(super) async fn start(config: &config::Config, config_path: &Path) -> Result<Self, CommandError> {
        config
            .warnings
            .iter()
            .for_each(|warning| tracing::warn!("{warning}"));
        let app = App::open(config, config_path).map_err(|error| CommandError(error.to_string()))?;
        tokio::spawn(tell_when_recovered(app.clone()));
        let listeners = Listeners::bind(&app).await?;
        app.start();
        listeners.tell(&app);
        let connections_max =
            usize::try_from(app.routing().config.limits.max_connections).unwrap_or(usize::MAX);
        Ok(Self {
            http: addresses(&listeners.http),
            clients: Serving::start(listeners.http, connections_max, &app),
            admin: Serving::start(
                listeners.admin,
                ADMIN_CONNECTIONS_MAX,
                &Arc::new(Admin(app.clone())),
            ),
            app,
        })
    }

    /// Stops in the order of the data; the admin side tells of it to the end.
    pub(super) async fn stop(self) {
        self.app.not_ready();
        self.clients.stop().await;
        self.app.stop().await;
        self.admin.stop().await;
    }
}

/// Listeners of one kind, served together.
struct Serving {
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Serving {
    fn start<H: Handler>(listeners: Vec<Listener>, connections_max: usize, handler: &Arc<H>) -> Self {
        let (stop, stopping) = watch::channel(false);
        let each = listeners.into_iter().map(|listener| {
            serve(
                listener,
                connections_max,
                handler.clone(),
                stopped(stopping.clone()),
            )
        });
        let all = futures_util::future::join_all(each);
        let served = tokio::spawn(async { drop(all.await) });
        Self { stop, served }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.served.await {
            tracing::error!(%error, "a listener ended badly");
        }
    }
}

fn addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(Listener::address).collect()
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the reason to serve.
    let _ = stop.wait_for(|stop| *stop).await;
}

struct Listeners {
    http: Vec<Listener>,
    admin: Vec<Listener>,
}

impl Listeners {
    async fn bind(app: &Arc<App>) -> Result<Self, CommandError> {
        let routing = app.routing();
        let listen = &routing.config.listen;
        let tls = listen
            .tls
            .as_ref()
            .map(|files| tls::acceptor(&files.cert, &files.key))
            .transpose();
        let tls = tls.map_err(|error| CommandError(error.to_string()))?;
        let mut http = Vec::new();
        for address in &listen.http {
            http.push(bound(*address, tls.clone()).await?);
        }
        let admin = vec![
            bound(listen.admin, None).await?,
            admin_socket(&routing.config.spool.path)?,
        ];
        Ok(Self { http, admin })
    }

    /// Says the addresses as they are bound: port 0 has become a real one.
    fn tell(&self, app: &App) {
        let told = |listeners: &[Listener]| {
            let texts: Vec<_> = addresses(listeners).iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        let tables = app.routing().tables().count();
        tracing::info!(
            http = told(&self.http),
            admin = told(&self.admin),
            tables,
            "ready"
        );
    }
}

async fn bound(
    address: std::net::SocketAddr,
    tls: Option<tokio_rustls::TlsAcceptor>,
) -> Result<Listener, CommandError> {
    let listener = Listener::bind(address, tls).await;
    listener.map_err(|error| CommandError(format!("cannot listen on {address}: {error}")))
}

/// The socket that needs no token: only the router's own user may open it.
fn admin_socket(spool: &Path) -> Result<Listener, CommandError> {
    let path = spool.join(SOCKET_NAME);
    let failed =
        |error: std::io::Error| CommandError(format!("cannot listen on {}: {error}", path.display()));
    // A socket file outlives a killed process; the spool's lock says that no other router uses this one.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Listener::Unix(listener))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// SIGHUP reloads; SIGTERM and SIGINT end the wait.
    async fn until_asked_to_stop(&mut self, app: &Arc<App>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    // A refusal is logged where it happens, and changes nothing.
                    let _ = app.reload().await;
                }
            }
        }
    }

    async fn second(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
