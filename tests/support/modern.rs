//! A shard on the engine of ClickHouse 26.x: `chdb_server.py` in the Python environment that `make test` sets
//! up.

use std::time::Duration;

use crate::ports::{free_port, loopback};
use crate::process::Process;
use crate::python::{PACKAGE, interpreter, script};
use crate::{Endpoint, Scratch};

/// Loading chdb's 500 MB library from a cold disk takes longer than starting it.
const START_LIMIT: Duration = Duration::from_secs(120);

const USERS: &str = "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default>\
    <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
    </default></users></clickhouse>";

/// How INSERTs are to misbehave.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// They do not (any more; those that hang are cut).
    None,
    /// The next `times` are answered with this code and not executed.
    Fail {
        /// ClickHouse's code.
        code: u32,
        /// How many.
        times: u32,
    },
    /// The next loses its connection before it is executed.
    CutBefore,
    /// The next is executed and loses its connection before the answer.
    CutAfter,
    /// The next is executed and answered this many milliseconds later.
    Late(u32),
    /// The next is neither executed nor answered until the fault is cleared, then its connection is cut.
    Hang,
}

/// One server. Dropped, it is killed and its data removed.
#[derive(Debug)]
pub struct Modern {
    /// Its HTTP interface.
    pub http: Endpoint,
    process: Process,
    home: Scratch,
}

impl Modern {
    /// Starts one and waits until it answers.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one whose config.xml has these elements: macros, remote_servers.
    #[track_caller]
    pub fn start_with(elements: &str) -> Self {
        let home = Scratch::new("modern");
        if !elements.is_empty() {
            std::fs::create_dir_all(home.join("data")).expect("the scratch directory can be written");
            let data = home.join("server").display().to_string();
            let users = "<users_config>users.xml</users_config><logger><level>none</level></logger>";
            let config = format!("<clickhouse><path>{data}/</path>{users}{elements}</clickhouse>");
            home.write("data/config.xml", config);
            home.write("data/users.xml", USERS);
        }
        let http = Endpoint::new(loopback(free_port()));
        let process = run(&home, &http);
        let mut server = Self { http, process, home };
        server.wait_until_it_answers();
        server
    }

    /// Makes INSERTs misbehave from now on.
    #[track_caller]
    pub fn fault(&self, fault: Fault) {
        let order = match fault {
            Fault::None => "fault=none".into(),
            Fault::Fail { code, times } => format!("fault=fail&code={code}&times={times}"),
            Fault::CutBefore => "fault=cut_before".into(),
            Fault::CutAfter => "fault=cut_after".into(),
            Fault::Late(ms) => format!("fault=late&ms={ms}"),
            Fault::Hang => "fault=hang".into(),
        };
        self.http
            .request("POST", &format!("/control?{order}"))
            .answer()
            .expect_success();
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again on the same port and data, after [`kill9`](Self::kill9).
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = run(&self.home, &self.http);
        self.wait_until_it_answers();
    }

    #[track_caller]
    fn wait_until_it_answers(&mut self) {
        let http = self.http.clone();
        self.process
            .wait_until_ready(START_LIMIT, || http.answers_ping().then_some(()));
    }
}

fn run(home: &Scratch, http: &Endpoint) -> Process {
    let data = home.join("data");
    std::fs::create_dir_all(&data).expect("the scratch directory can be written");
    let [script, data] = [script("chdb_server.py"), data].map(|path| path.display().to_string());
    let arguments = [script.as_str(), &http.address.port().to_string(), &data];
    Process::start(
        "chdb",
        &interpreter(),
        &arguments,
        &home.join("output.log"),
        PACKAGE,
    )
}
