//! Clients that insert without end: small INSERTs into every table, and one client whose INSERTs are large.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use support::{Answer, Endpoint, SplitMix};

use crate::bed::{Bed, TABLES};
use crate::ledger::{Fate, Ledger, key};
use crate::{Order, pause};

const SMALL_ROWS: u64 = 20;
const CLIENTS_A_TABLE: usize = 2;
/// 50 MB of rows of 250 bytes.
pub const LARGE_ROWS: u64 = 200_000;
const LARGE_PAD_BYTES: usize = 230;
/// The large INSERTs go on with this much between them, at most.
const LARGE_PAUSE_MS: u64 = 10_000;
/// Between two INSERTs of a small client, at most.
const SMALL_PAUSE_MS: u64 = 60;
/// Rows written at once of a large body.
const PIECE_ROWS: u64 = 500;

/// The formats that small clients take turns with.
const FORMATS: [&str; 4] = ["TabSeparated", "CSV", "JSONEachRow", "Values"];

/// All clients. Dropped, they end.
pub struct Clients {
    gate: Arc<Gate>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub fn start(bed: &Bed, ledger: &Arc<Ledger>, order: Order) -> Self {
        let gate = Arc::new(Gate::default());
        let small = TABLES.len() * CLIENTS_A_TABLE;
        let threads = (0..=small).map(|number| {
            let client = Client {
                number: u16::try_from(number).expect("a few clients"),
                table: (number < small).then_some(number % TABLES.len()),
                // Half of those of each table.
                retries: (number / TABLES.len()).is_multiple_of(2),
                http: bed.weir.http.clone(),
                ledger: Arc::clone(ledger),
                gate: Arc::clone(&gate),
                random: SplitMix::new(order.seed ^ ((number as u64 + 1) << 32)),
            };
            std::thread::spawn(move || client.run())
        });
        Self {
            threads: threads.collect(),
            gate,
        }
    }

    /// No INSERT is under way when it returns, and none begins before [`go_on`](Self::go_on).
    pub fn pause(&self) {
        let mut door = self.gate.door();
        door.closed = true;
        while door.inside > 0 {
            door = self.gate.changed.wait(door).expect("no holder panics");
        }
    }

    pub fn go_on(&self) {
        self.gate.door().closed = false;
        self.gate.changed.notify_all();
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.gate.door().over = true;
        self.gate.changed.notify_all();
        // In a failed test a router that is gone ends their INSERTs.
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What an INSERT passes before it begins.
#[derive(Debug, Default)]
struct Gate {
    door: Mutex<Door>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Door {
    closed: bool,
    over: bool,
    inside: usize,
}

impl Gate {
    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().expect("no holder panics")
    }

    /// Waits until an INSERT may begin; false when none may any more.
    fn enter(&self) -> bool {
        let mut door = self.door();
        while door.closed && !door.over {
            door = self.changed.wait(door).expect("no holder panics");
        }
        door.inside += 1;
        !door.over
    }

    fn leave(&self) {
        self.door().inside -= 1;
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.door().over
    }
}

struct Client {
    number: u16,
    /// Its place in [`TABLES`]; the large one goes from table to table.
    table: Option<usize>,
    retries: bool,
    http: Endpoint,
    ledger: Arc<Ledger>,
    gate: Arc<Gate>,
    random: SplitMix,
}

/// One INSERT as it is sent, and sent again.
struct Insert {
    number: usize,
    table: usize,
    rows: u64,
    format: &'static str,
    pad_bytes: usize,
    chunked: bool,
}

impl Client {
    fn run(mut self) {
        if self.table.is_none() {
            // Not all at once with the first INSERTs of every shape.
            pause(500);
        }
        while self.gate.enter() {
            self.insert();
            self.gate.leave();
            let pause_ms = if self.table.is_some() {
                SMALL_PAUSE_MS
            } else {
                LARGE_PAUSE_MS
            };
            let mut left = self.random.below(pause_ms);
            while left > 0 && !self.gate.is_over() {
                let step = left.min(200);
                pause(step);
                left -= step;
            }
        }
        self.gate.leave();
    }

    fn insert(&mut self) {
        let insert = self.next();
        let mut fate = self.attempt(&insert);
        // A retry goes on until somebody says what has become of it; a 503 in between says nothing of the first attempt.
        let was_lost = fate == Fate::Unknown;
        while self.retries && was_lost && fate != Fate::Accepted && !self.gate.is_over() {
            pause(50);
            fate = self.attempt(&insert);
        }
        if was_lost && fate != Fate::Accepted {
            fate = Fate::Unknown;
        }
        self.ledger.end(insert.number, fate);
    }

    fn next(&mut self) -> Insert {
        let is_large = self.table.is_none();
        let table = self
            .table
            .unwrap_or_else(|| self.random.below(TABLES.len() as u64) as usize);
        let rows = if is_large { LARGE_ROWS } else { SMALL_ROWS };
        Insert {
            number: self.ledger.begin(table, self.number, rows),
            table,
            rows,
            format: if is_large {
                FORMATS[0]
            } else {
                FORMATS[self.number as usize % FORMATS.len()]
            },
            pad_bytes: if is_large { LARGE_PAD_BYTES } else { 20 },
            chunked: is_large || self.random.below(2) == 0,
        }
    }

    /// Sends it once.
    fn attempt(&self, insert: &Insert) -> Fate {
        let sql = format!(
            "INSERT INTO {} FORMAT {}",
            TABLES[insert.table].name, insert.format
        );
        let mut request = self.http.post(&sql);
        if self.retries {
            request = request.parameter(
                "insert_deduplication_token",
                &format!("torture-{}", insert.number),
            );
        }
        let request = if insert.chunked {
            request.chunked(|out| insert.write(self.number, out))
        } else {
            let mut body = Vec::new();
            insert.write(self.number, &mut body).expect("a Vec takes all");
            request.body(body)
        };
        fate_of(request.send())
    }
}

fn fate_of(answer: io::Result<Answer>) -> Fate {
    match answer {
        Ok(answer) if answer.status == 200 && answer.code().is_none() => Fate::Accepted,
        Ok(answer) if answer.header("X-Weir-Receipt").is_some() => Fate::Accepted,
        Ok(_) => Fate::Refused,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            // The router is down; nobody gains from asking a thousand times a second.
            pause(100);
            Fate::Unsent
        }
        Err(_) => Fate::Unknown,
    }
}

impl Insert {
    fn write(&self, client: u16, out: &mut dyn io::Write) -> io::Result<()> {
        let mut piece = String::new();
        for row in 0..self.rows {
            self.append(client, row, &mut piece);
            if (row + 1) % PIECE_ROWS == 0 {
                out.write_all(piece.as_bytes())?;
                piece.clear();
            }
        }
        out.write_all(piece.as_bytes())
    }

    fn append(&self, client: u16, row: u64, out: &mut String) {
        let key = key(self.number, row);
        // Half of it noise, so that it compresses as real rows do.
        let noise = SplitMix::new(key).next();
        let pad = format!("{noise:016x}{:0>width$}", row % 7, width = self.pad_bytes - 16);
        let _ = match self.format {
            "CSV" => writeln!(out, "{key},{client},\"{pad}\""),
            "JSONEachRow" => writeln!(out, "{{\"k\":{key},\"client\":{client},\"pad\":\"{pad}\"}}"),
            "Values" => write!(out, "({key},{client},'{pad}'),").map(|()| {
                if row + 1 == self.rows {
                    out.pop();
                }
            }),
            _ => writeln!(out, "{key}\t{client}\t{pad}"),
        };
    }
}
