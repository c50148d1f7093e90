//! The router itself: the `weir` binary as cargo builds it, on free ports and a spool of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::ports::{free_port, loopback};
use crate::process::Process;
use crate::{Endpoint, Scratch, wait_for};

/// Recovery reads what the last run left; the largest suite leaves some hundred MB.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A configuration but for addresses and the spool's path, which [`Weir::start`] adds.
#[derive(Debug, Clone, Default)]
pub struct WeirConfig {
    /// Lines of `[limits]`.
    pub limits: String,
    /// Where the spool is to be, if not in a directory of the router's own.
    pub spool_path: Option<PathBuf>,
    /// More lines of `[spool]`.
    pub spool: String,
    /// Lines of `[send]`.
    pub send: String,
    /// Clusters, tables and users: whole sections.
    pub sections: String,
}

/// One router. Dropped, it is killed and its spool removed.
#[derive(Debug)]
pub struct Weir {
    /// What clients talk to.
    pub http: Endpoint,
    /// Metrics and health.
    pub admin: Endpoint,
    process: Process,
    home: Scratch,
    spool_path: PathBuf,
}

impl Weir {
    /// Starts `weir serve` and waits until it says that it is ready.
    #[track_caller]
    pub fn start(config: &WeirConfig) -> Self {
        let home = Scratch::new("weir");
        let http = Endpoint::new(loopback(free_port()));
        let admin = Endpoint::new(loopback(free_port()));
        let WeirConfig {
            limits,
            spool_path,
            spool,
            send,
            sections,
        } = config;
        let spool_path = spool_path.clone().unwrap_or_else(|| home.join("spool"));
        let text = format!(
            "[listen]\nhttp = \"{}\"\nadmin = \"{}\"\n\n[limits]\n{limits}\n\n\
             [spool]\npath = \"{}\"\n{spool}\n\n[send]\n{send}\n\n{sections}\n",
            http.address,
            admin.address,
            spool_path.display(),
        );
        home.write("weir.toml", text);
        let process = run(&home);
        let mut weir = Self {
            http,
            admin,
            process,
            home,
            spool_path,
        };
        weir.wait_until_ready();
        weir
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate()
    }

    /// Starts it again on the same addresses, configuration and spool; kills it before if it still runs.
    #[track_caller]
    pub fn restart(&mut self) {
        self.launch();
        self.wait_until_ready();
    }

    /// Starts it again as [`restart`](Self::restart) does, and waits for nothing.
    pub fn launch(&mut self) {
        self.process.kill9();
        self.process = run(&self.home);
    }

    /// Waits until it says that it is ready, after [`launch`](Self::launch).
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let admin = self.admin.clone();
        let ready = || {
            admin
                .request("GET", "/-/ready")
                .send()
                .is_ok_and(|answer| answer.status == 200)
        };
        self.process
            .wait_until_ready(START_LIMIT, || ready().then_some(()));
    }

    /// SIGHUP: the configuration is read again.
    pub fn hang_up(&self) {
        self.process.signal(rustix::process::Signal::HUP);
    }

    /// Replaces a text of its configuration, which it must contain, for the next start or reload.
    #[track_caller]
    pub fn edit_config(&self, old: &str, new: &str) {
        let text = std::fs::read_to_string(self.config_path()).expect("the configuration is there");
        assert!(text.contains(old), "{old:?} is not in the configuration:\n{text}");
        std::fs::write(self.config_path(), text.replace(old, new)).expect("the configuration can be written");
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// The most memory it ever had resident, in bytes.
    #[track_caller]
    pub fn peak_memory_bytes(&self) -> u64 {
        self.process.peak_memory_bytes()
    }

    /// What it has logged, over all restarts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Where its configuration is.
    pub fn config_path(&self) -> PathBuf {
        self.home.join("weir.toml")
    }

    /// Where configuration, spool and log are.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where its spool is.
    pub fn spool_path(&self) -> &Path {
        &self.spool_path
    }

    /// Runs `weir ARGUMENTS --config <this router's>`; panics at the caller's line unless it succeeds.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> String {
        let config = self.config_path().display().to_string();
        let output = weir_command(&[arguments, &["--config", &config]].concat());
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "weir {arguments:?}: {}\n{trouble}",
            output.status
        );
        String::from_utf8(output.stdout).expect("commands print UTF-8")
    }

    /// A metric of `/metrics`, summed over its labels; 0 if it is not there ("only while something waits").
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self
            .admin
            .request("GET", "/metrics")
            .answer()
            .expect_success()
            .text();
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let rest = rest.rsplit_once('}').map_or(rest, |(_, value)| value);
            rest.starts_with(' ')
                .then(|| rest.trim().parse::<f64>().expect("a metric is a number"))
        };
        text.lines().filter_map(value).sum()
    }

    /// Waits until nothing waits in the spool any more; panics at the caller's line with what does.
    #[track_caller]
    pub fn wait_until_delivered(&self, limit: Duration) {
        let start = Instant::now();
        wait_for("the spool to be empty", limit * 2, || {
            let waiting = self.metric("weir_spool_rows");
            if waiting > 0.0 && start.elapsed() > limit {
                panic!(
                    "{waiting} rows still wait after {limit:?}:\n{}",
                    self.command(&["spool", "ls"])
                );
            }
            (waiting == 0.0).then_some(())
        });
    }
}

fn run(home: &Scratch) -> Process {
    let config = home.join("weir.toml").display().to_string();
    let arguments = ["serve", "--config", &config];
    Process::start(
        "weir",
        binary(),
        &arguments,
        &home.join("output.log"),
        "the workspace",
    )
}

/// Runs `weir` to its end.
pub fn weir_command(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", binary().display()))
}

/// Starts `weir ARGUMENTS`; what it prints is there when it has ended.
#[track_caller]
pub fn weir_child(arguments: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", binary().display()))
}

/// The binary: `WEIR_BIN`, else built once a run, beside this test's own.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("WEIR_BIN").map_or_else(build, PathBuf::from))
}

/// Cargo gives the path of a binary only to tests of the same package, and keeps it up to date only for
/// these.
///
/// `--workspace` chooses the same features of the dependencies as `cargo test --workspace`, so they are not
/// built twice.
fn build() -> PathBuf {
    // <target>/debug/deps/it-<hash>
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("tests lie in <target>/<profile>/deps");
    let target = profile.parent().expect("a profile lies in the target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--workspace", "--bin", "weir", "--target-dir"])
        .arg(target);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let status = command
        .status()
        .unwrap_or_else(|e| panic!("cannot run cargo: {e}"));
    assert!(status.success(), "weir does not build: {status}");
    target.join("debug/weir")
}
