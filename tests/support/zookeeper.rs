//! Debian's ZooKeeper 3.8, for Replicated tables on 18.16.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::Scratch;
use crate::ports::{free_port, loopback};
use crate::process::Process;

const JAVA: &str = "/usr/bin/java";
/// Its manifest names the jars it needs.
const JAR: &str = "/usr/share/java/zookeeper.jar";
/// A JVM on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// One ZooKeeper server. Dropped, it is killed and its data removed.
#[derive(Debug)]
pub struct ZooKeeper {
    port: u16,
    process: Process,
    home: Scratch,
}

impl ZooKeeper {
    /// Starts one and waits until it serves.
    #[track_caller]
    pub fn start() -> Self {
        assert!(
            Path::new(JAR).exists(),
            "{JAR} is not there, from Debian's libzookeeper-java: `make test` installs it"
        );
        let home = Scratch::new("zookeeper");
        let port = free_port();
        let data = home.join("data");
        let config = format!(
            "tickTime=1000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\n4lw.commands.whitelist=srvr\n",
            data.display()
        );
        home.write("zoo.cfg", config);
        let process = run(&home);
        let mut server = Self { port, process, home };
        server.wait_until_it_serves();
        server
    }

    /// Its client port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again on the same port and data, after [`kill9`](Self::kill9).
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = run(&self.home);
        self.wait_until_it_serves();
    }

    #[track_caller]
    fn wait_until_it_serves(&mut self) {
        let port = self.port;
        self.process
            .wait_until_ready(START_LIMIT, || serves(port).then_some(()));
    }
}

fn run(home: &Scratch) -> Process {
    let config = home.join("zoo.cfg").display().to_string();
    let main = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
    let arguments = [
        "-cp",
        JAR,
        "-Xmx128m",
        "-XX:+UseSerialGC",
        "-Dzookeeper.jmx.log4j.disable=true",
        main,
        &config,
    ];
    let log = home.join("output.log");
    Process::start(
        "ZooKeeper",
        Path::new(JAVA),
        &arguments,
        &log,
        "Debian's default-jre-headless",
    )
}

/// Whether the four-letter word `srvr` is answered by a server that serves.
fn serves(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(loopback(port))?;
        // One that is just starting may accept and never answer.
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"srvr")?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("Mode: standalone"))
}
