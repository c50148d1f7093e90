//! A TCP relay between the router and a shard that can stop at a byte, cut there, or keep an answer back.
//!
//! It reads along just enough to know where a request begins and whether it is an INSERT: a connection's first bytes, and those
//! that follow an answer, begin one. Cuts and kept answers are for INSERTs alone, so that nothing else (a ping, a DESCRIBE) uses up what a test
//! has ordered.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use socket2::SockRef;

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

/// Where the next INSERT's connection is reset, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// When so many bytes of the request, its head included, have gone to the server.
    Request { after_bytes: u64 },
    /// When its answer comes: the INSERT was executed, and nobody is told.
    Answer,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    orders: Mutex<Orders>,
    changed: Condvar,
    holding: AtomicBool,
    closed: AtomicBool,
    to_server_bytes: AtomicU64,
}

#[derive(Debug)]
struct Orders {
    /// Bytes that may still go to the server before the relay holds.
    allowance: u64,
    /// For the next INSERT.
    cut: Option<Cut>,
    keeps_answers: bool,
    /// The INSERTs since it was asked to record, byte for byte.
    recorded: Option<Vec<Vec<u8>>>,
}

/// An allowance that is never used up.
const UNLIMITED: u64 = u64::MAX;

impl Proxy {
    /// Starts relaying to `target`, without any limit.
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(loopback(0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("it is bound");
        let orders = Orders {
            allowance: UNLIMITED,
            cut: None,
            keeps_answers: false,
            recorded: None,
        };
        let state = Arc::new(State {
            target,
            orders: Mutex::new(orders),
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
        self.state.orders().allowance = bytes;
    }

    /// Waits until it holds a connection that wants to send more.
    #[track_caller]
    pub fn wait_until_it_holds(&self, limit: Duration) {
        let holding = || self.state.holding.load(Ordering::SeqCst).then_some(());
        wait_for("the proxy to hold a connection in the middle", limit, holding);
    }

    /// Resets the next INSERT's connection when `bytes` of it, its head included, have gone to the server.
    pub fn cut_after(&self, bytes: u64) {
        self.state.orders().cut = Some(Cut::Request { after_bytes: bytes });
    }

    /// Lets the next INSERT through whole, throws its answer away and resets the connection: executed, and nobody is told.
    pub fn drop_answer(&self) {
        self.state.orders().cut = Some(Cut::Answer);
    }

    /// From now on answers to INSERTs stay here until [`release`](Self::release): what was asked is executed.
    pub fn keep_answers(&self) {
        self.state.orders().keeps_answers = true;
    }

    /// Whether what was ordered for the next INSERT is still to come.
    pub fn is_to_cut(&self) -> bool {
        self.state.orders().cut.is_some()
    }

    /// Lets everything through again.
    pub fn release(&self) {
        self.hold_after(UNLIMITED);
        let mut orders = self.state.orders();
        orders.keeps_answers = false;
        orders.cut = None;
        drop(orders);
        self.state.changed.notify_all();
    }

    /// From now on keeps the bytes of every INSERT.
    pub fn record(&self) {
        self.state.orders().recorded = Some(Vec::new());
    }

    /// The INSERTs since [`record`](Self::record), each as it went over the wire, head and all.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.state.orders().recorded.clone().unwrap_or_default()
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
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().expect("no holder panics")
    }

    /// Waits until `bytes` may pass to the server, and counts them.
    fn let_pass(&self, bytes: u64) {
        let mut orders = self.orders();
        while orders.allowance < bytes && !self.closed.load(Ordering::SeqCst) {
            self.holding.store(true, Ordering::SeqCst);
            orders = self.changed.wait(orders).expect("no holder panics");
        }
        if orders.allowance != UNLIMITED {
            orders.allowance = orders.allowance.saturating_sub(bytes);
        }
        self.to_server_bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Waits until an INSERT's answer may pass to the client.
    fn let_answer(&self) {
        let mut orders = self.orders();
        while orders.keeps_answers && !self.closed.load(Ordering::SeqCst) {
            orders = self.changed.wait(orders).expect("no holder panics");
        }
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
        let connection = Arc::new(Connection {
            client,
            server,
            answered: AtomicBool::new(true),
            is_insert: AtomicBool::new(false),
            drops_answer: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
            state: Arc::clone(state),
        });
        let other = Arc::clone(&connection);
        std::thread::spawn(move || {
            connection.relay(&connection.client, &connection.server, Connection::to_server);
        });
        std::thread::spawn(move || other.relay(&other.server, &other.client, Connection::to_client));
    }
}

/// One relayed connection; the sockets close when both directions have ended.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// What the client sends next begins a request.
    answered: AtomicBool,
    /// The request under way is one.
    is_insert: AtomicBool,
    drops_answer: AtomicBool,
    is_reset: AtomicBool,
    state: Arc<State>,
}

/// The request under way, as the direction to the server sees it.
#[derive(Debug, Default)]
struct Passing {
    bytes: u64,
    cut_at: Option<u64>,
    /// Its place among what is recorded.
    recorded: Option<usize>,
}

impl Connection {
    /// Copies one direction until either side ends.
    fn relay(&self, from: &TcpStream, to: &TcpStream, copy: fn(&Self) -> io::Result<()>) {
        let ended = copy(self);
        if self.is_reset.load(Ordering::SeqCst) {
            return;
        }
        match ended {
            Ok(()) => {
                let _ = to.shutdown(Shutdown::Write);
            }
            Err(_) => {
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            }
        }
    }

    fn to_server(&self) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut passing = Passing::default();
        loop {
            let length = (&self.client).read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            let bytes = &piece[..length];
            if self.answered.swap(false, Ordering::SeqCst) {
                passing = self.begin(bytes);
            }
            self.record(&passing, bytes);
            self.state.let_pass(length as u64);
            let left = passing.cut_at.map_or(u64::MAX, |at| at - passing.bytes);
            if left <= length as u64 {
                let left = usize::try_from(left).expect("it is below a length");
                (&self.server).write_all(&bytes[..left])?;
                return self.reset();
            }
            (&self.server).write_all(bytes)?;
            passing.bytes += length as u64;
        }
    }

    fn to_client(&self) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = (&self.server).read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            self.answered.store(true, Ordering::SeqCst);
            if self.drops_answer.swap(false, Ordering::SeqCst) {
                return self.reset();
            }
            if self.is_insert.load(Ordering::SeqCst) {
                self.state.let_answer();
            }
            (&self.client).write_all(&piece[..length])?;
        }
    }

    /// Takes what is ordered, if these bytes begin an INSERT.
    fn begin(&self, bytes: &[u8]) -> Passing {
        let is_insert = bytes.starts_with(b"POST ") && bytes.windows(6).any(|word| word == b"INSERT");
        self.is_insert.store(is_insert, Ordering::SeqCst);
        if !is_insert {
            return Passing::default();
        }
        let mut orders = self.state.orders();
        let cut = orders.cut.take();
        self.drops_answer
            .store(cut == Some(Cut::Answer), Ordering::SeqCst);
        Passing {
            bytes: 0,
            cut_at: match cut {
                Some(Cut::Request { after_bytes }) => Some(after_bytes),
                Some(Cut::Answer) | None => None,
            },
            recorded: orders.recorded.as_mut().map(|recorded| {
                recorded.push(Vec::new());
                recorded.len() - 1
            }),
        }
    }

    fn record(&self, passing: &Passing, bytes: &[u8]) {
        let Some(number) = passing.recorded else { return };
        if let Some(recorded) = self
            .state
            .orders()
            .recorded
            .as_mut()
            .and_then(|all| all.get_mut(number))
        {
            recorded.extend_from_slice(bytes);
        }
    }

    /// Both ends get an RST, as of a machine that is gone, once both directions have let go of the sockets.
    fn reset(&self) -> io::Result<()> {
        self.is_reset.store(true, Ordering::SeqCst);
        for socket in [&self.client, &self.server] {
            SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
            // Wakes the other direction; nothing of it goes over the wire.
            socket.shutdown(Shutdown::Read)?;
        }
        Ok(())
    }
}
