//! Which of some hosts are this machine.
//!
//! A host is this machine when one of the addresses it resolves to can be bound here: the kernel knows its
//! own addresses, behind any name, and no list of interfaces has to be read. Resolving may hang for long
//! when DNS is down, and Weir has to start then too, so all hosts together get [`RESOLVE_TIME_MAX`].

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long all hosts together may take to resolve; a host that takes longer counts as not this machine.
const RESOLVE_TIME_MAX: Duration = Duration::from_secs(3);

/// How many hosts are resolved at a time: 400 replicas at 20 ms each are then through in half a second.
const RESOLVERS_MAX: usize = 16;

/// Which of some hosts are this machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnHosts {
    /// Those that are.
    pub own: Vec<String>,
    /// How many the resolver did not answer for in time; they count as not this machine.
    pub unanswered: usize,
}

/// Asks the resolver and the operating system which of `hosts` are this machine.
pub(crate) fn own_hosts(hosts: &[String]) -> OwnHosts {
    let waiting: BTreeSet<String> = hosts.iter().cloned().collect();
    let host_count = waiting.len();
    let (found, answers) = mpsc::channel();
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..host_count.min(RESOLVERS_MAX) {
        let (waiting, found) = (Arc::clone(&waiting), found.clone());
        // A thread that hangs in the resolver is left behind: it ends with its last answer.
        thread::spawn(move || resolve_each(&waiting, &found));
    }
    drop(found);
    gather(&answers, host_count)
}

fn resolve_each(waiting: &Mutex<BTreeSet<String>>, found: &mpsc::Sender<(String, bool)>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
        let Some(host) = next else { return };
        let own = is_own(&host);
        if found.send((host, own)).is_err() {
            return; // nobody waits any longer
        }
    }
}

fn gather(answers: &mpsc::Receiver<(String, bool)>, host_count: usize) -> OwnHosts {
    let deadline = Instant::now() + RESOLVE_TIME_MAX;
    let mut hosts = OwnHosts {
        own: Vec::new(),
        unanswered: host_count,
    };
    while hosts.unanswered > 0 {
        let time_left = deadline.saturating_duration_since(Instant::now());
        let Ok((host, own)) = answers.recv_timeout(time_left) else {
            break;
        };
        hosts.unanswered -= 1;
        hosts.own.extend(own.then_some(host));
    }
    hosts
}

fn is_own(host: &str) -> bool {
    let Ok(addresses) = (host, 0).to_socket_addrs() else {
        return false;
    };
    addresses.map(|address| address.ip()).any(can_be_bound)
}

fn can_be_bound(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_and_a_documentation_address_is_not() {
        let hosts = ["127.0.0.1", "192.0.2.7", "0.0.0.0", "127.0.0.1"].map(str::to_owned);
        let expected = OwnHosts {
            own: vec!["127.0.0.1".to_owned()],
            unanswered: 0,
        };
        assert_eq!(own_hosts(&hosts), expected);
    }

    #[test]
    fn no_hosts_need_no_threads() {
        assert_eq!(own_hosts(&[]), OwnHosts::default());
    }
}
