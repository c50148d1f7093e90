//! `weir serve`: listeners, signals, and the end in the order of the data.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{CommandError, ConfigArgs};
use crate::admin::{Admin, SOCKET_NAME};
use crate::app::App;
use crate::http::{Handler, Listener, serve, tls};
use crate::logs;

/// The exit code of a process that a second signal ended at once, as a shell reports SIGTERM.
const KILLED_CODE: i32 = 143;

/// Runs the router until SIGTERM or SIGINT.
pub fn run(args: &ConfigArgs) -> Result<(), CommandError> {
    let config = config::load(&args.config).map_err(|mistakes| CommandError(mistakes.to_string()))?;
    logs::start(&config.logs);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(router(config, &args.config))
}

async fn router(config: config::Config, config_path: &Path) -> Result<(), CommandError> {
    config
        .warnings
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));
    let mut signals =
        Signals::new().map_err(|error| CommandError(format!("cannot listen for signals: {error}")))?;
    let (app, report) = App::open(config, config_path).map_err(|error| CommandError(error.to_string()))?;
    tracing::info!(?report, "the spool is open");
    let listeners = Listeners::bind(&app).await?;
    app.start();
    listeners.tell(&app);
    let (stop_clients, clients_stop) = watch::channel(false);
    let (stop_admin, admin_stop) = watch::channel(false);
    let clients = listeners
        .http
        .into_iter()
        .map(|listener| serve(listener, app.clone(), stopped(clients_stop.clone())));
    let clients = futures_util::future::join_all(clients);
    let admin = Arc::new(Admin(app.clone()));
    let admins = listeners
        .admin
        .into_iter()
        .map(|listener| serve(listener, admin.clone(), stopped(admin_stop.clone())));
    let admins = tokio::spawn(futures_util::future::join_all(admins));
    let clients = tokio::spawn(clients);

    signals.until_asked_to_stop(&app).await;
    tracing::info!(
        "stopping: no new requests, then those under way, then the spool; a second signal stops at once"
    );
    app.not_ready();
    let orderly = async {
        let _ = stop_clients.send(true);
        let _ = clients.await;
        app.stop().await;
        let _ = stop_admin.send(true);
        let _ = admins.await;
    };
    tokio::select! {
        () = orderly => tracing::info!("stopped"),
        () = signals.second() => {
            tracing::warn!("stopped at once: what was accepted is in the spool");
            std::process::exit(KILLED_CODE);
        }
    }
    Ok(())
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
        let addresses = |listeners: &[Listener]| {
            listeners
                .iter()
                .filter_map(Listener::address)
                .map(|a| a.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let tables = app.routing().tables().count();
        tracing::info!(
            http = addresses(&self.http),
            admin = addresses(&self.admin),
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
