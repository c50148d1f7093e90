//! A TCP relay between the router and a shard that can stop at a byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::ports::loopback;
use crate::wait_for;

/// What goes through before the relay looks at its orders again.
const PIECE_BYTES: usize = 8 * 1024;

/// Relays connections to one address; dropped, it closes them all.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    /// Bytes that may still go to the server before the relay holds.
    allowance: Mutex<u64>,
    changed: Condvar,
    holding: AtomicBool,
    closed: AtomicBool,
    to_server_bytes: AtomicU64,
}

/// An allowance that is never used up.
const UNLIMITED: u64 = u64::MAX;

impl Proxy {
    /// Starts relaying to `target`, without any limit.
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(loopback(0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            target,
            allowance: Mutex::new(UNLIMITED),
            changed: Condvar::new(),
            holding: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            to_server_bytes: AtomicU64::new(0),
        });
        let for_thread = Arc::clone(&state);
        std::thread::spawn(move || accept(&listener, &for_thread));
        Self { address, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went to the server so far.
    pub fn to_server_bytes(&self) -> u64 {
        self.state.to_server_bytes.load(Ordering::SeqCst)
    }

    /// From now on lets `bytes` more go to the server, then holds: the connections stay open, nothing moves.
    pub fn hold_after(&self, bytes: u64) {
        self.state.holding.store(false, Ordering::SeqCst);
        *self.state.allowance.lock().expect("no holder panics") = bytes;
    }

    /// Waits until it holds a connection that wants to send more.
    #[track_caller]
    pub fn wait_until_it_holds(&self, limit: Duration) {
        let holding = || self.state.holding.load(Ordering::SeqCst).then_some(());
        wait_for("the proxy to hold a connection in the middle", limit, holding);
    }

    /// Lets everything through again.
    pub fn release(&self) {
        self.hold_after(UNLIMITED);
        self.state.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        self.release();
        // Wakes the accepting thread, which sees that it is closed.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    /// Waits until `bytes` may pass to the server, and counts them.
    fn let_pass(&self, bytes: u64) {
        let mut allowance = self.allowance.lock().expect("no holder panics");
        while *allowance < bytes && !self.closed.load(Ordering::SeqCst) {
            self.holding.store(true, Ordering::SeqCst);
            allowance = self.changed.wait(allowance).expect("no holder panics");
        }
        if *allowance != UNLIMITED {
            *allowance = allowance.saturating_sub(bytes);
        }
        self.to_server_bytes.fetch_add(bytes, Ordering::SeqCst);
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for client in listener.incoming().flatten() {
        if state.closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(state.target) else {
            continue;
        };
        let (Ok(from_client), Ok(to_client)) = (client.try_clone(), client.try_clone()) else {
            continue;
        };
        let (Ok(from_server), Ok(to_server)) = (server.try_clone(), server.try_clone()) else {
            continue;
        };
        let state = Arc::clone(state);
        std::thread::spawn(move || relay(from_client, to_server, |bytes| state.let_pass(bytes)));
        std::thread::spawn(move || relay(from_server, to_client, |_| ()));
    }
}

/// Copies until either side ends; `before` is told of each piece before it goes on.
fn relay(mut from: TcpStream, mut to: TcpStream, before: impl Fn(u64)) {
    let mut copy = || -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return to.shutdown(Shutdown::Write);
            }
            before(length as u64);
            to.write_all(&piece[..length])?;
        }
    };
    if copy().is_err() {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
