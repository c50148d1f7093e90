//! A child process with a log, that never outlives the tests.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait_for;

/// A process that ended by itself after SIGTERM has had this long.
const TERMINATION_LIMIT: Duration = Duration::from_secs(60);

/// A running (or ended) child whose standard output and error go to a file.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; `log` is appended to. `package` is what to install when the program is not there.
    pub(crate) fn start(name: &str, program: &Path, arguments: &[&str], log: &Path, package: &str) -> Self {
        let place = program.display();
        assert!(
            program.exists(),
            "{name} needs {place}, from {package}: `make test` installs it"
        );
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log can be opened");
        let mut command = Command::new("setpriv");
        // setpriv replaces itself by the program, so the child's id is the program's.
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments);
        command.env("TZ", "UTC").stdin(Stdio::null());
        command
            .stdout(output.try_clone().expect("a second handle to the log"))
            .stderr(output);
        let child = spawn(command).unwrap_or_else(|e| panic!("cannot run setpriv (package util-linux): {e}"));
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        }
    }

    /// Waits until `ready` finds what it looks for; panics with the log's tail when that does not come.
    #[track_caller]
    pub(crate) fn wait_until_ready<T>(&mut self, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        wait_for("a process to be ready", limit * 2, || {
            let found = ready();
            let given_up = start.elapsed() > limit || !self.is_running();
            if found.is_none() && given_up {
                let after = start.elapsed();
                panic!(
                    "{} is not ready after {after:?}; its log ends:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            found
        })
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a child has an id");
        kill_process(pid, signal).unwrap_or_else(|e| panic!("cannot signal {}: {e}", self.name));
    }

    /// SIGTERM, and waits for the end; panics with the log's tail if it does not come.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let what = format!("{} to end after SIGTERM", self.name);
        wait_for(&what, TERMINATION_LIMIT, || self.child.try_wait().ok().flatten())
    }

    /// The most memory it ever had resident, in bytes (the kernel's VmHWM). The process must be running.
    #[track_caller]
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it is running");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .expect("VmHWM is in status");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("VmHWM is a number of kB");
        kib * 1024
    }

    /// All it has written.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        // 18.16 writes a numbered stack trace under each error: the tail would hold nothing else.
        let in_stack = |line: &str| line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(". /");
        let lines: Vec<_> = log.lines().filter(|line| !in_stack(line)).collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- {}, the last lines of its log ---\n{}",
                self.name,
                self.log_tail()
            );
        }
        self.kill9();
    }
}

type Spawned = io::Result<Child>;
/// A command, and where to send what came of it.
type Order = (Command, Sender<Spawned>);

/// Spawns from one thread that never ends.
///
/// The kernel's "parent died" signal follows the *thread* that spawned; a test's own thread ends with the
/// test, while a server may be shared by several.
fn spawn(command: Command) -> Spawned {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, spawned) = channel();
    spawner
        .lock()
        .expect("no holder panics")
        .send((command, answer))
        .expect("the spawner never ends");
    spawned.recv().expect("the spawner answers")
}
