//! How servers answer, and how not.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shard_client::{
    Attempts, Facts, Failure, InsertRequest, Inserted, PINNED_SETTINGS, Phase, Sent, ServerError, ServerMark,
    ShardError, Target, Views, Window,
};
use spool::Batch;
use spool::bin_file::BinReader;
use spool::disk::Disk as _;
use spool::sim::SimDisk;
use tokio::time::sleep;

use super::plan::TABLES;
use super::shards::{Mood, Row, Shards, short};
use crate::wire::Wire;

/// How long a silent server is waited for.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The connection to whoever stands at an address, for one life of the router.
pub struct SimulatedWire {
    pub shards: Shards,
    pub address: Arc<str>,
    /// Where the router's batches are.
    pub disk: SimDisk,
}

/// How an INSERT goes, as far as the server has not its own reasons to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    /// Something on the way repeats the request.
    Twice,
    /// The connection ends before the body does.
    CutEarly,
    /// The server has all, and the answer is lost at once, or after a long silence.
    Lost {
        is_silent: bool,
        when: When,
    },
    /// An error that proves nothing, with a status of 200 perhaps.
    Odd {
        code: u32,
        status: u16,
        when: When,
    },
    /// An error that proves that nothing was written, and has nothing to do with rows.
    Proof(u32),
}

/// Whether the server writes the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Never,
    Now,
    /// After its client has given up, or been answered.
    Late(Duration),
}

impl fmt::Debug for SimulatedWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedWire({})", self.address)
    }
}

impl SimulatedWire {
    fn failed(&self, sent: Sent, failure: Failure) -> ShardError {
        ShardError {
            address: self.address.clone(),
            sent,
            failure,
        }
    }

    fn cut(&self, sent: Sent) -> ShardError {
        self.failed(sent, Failure::Cut("the connection was reset".to_owned()))
    }

    fn refusal(&self, code: u32, status: u16) -> ShardError {
        let words = match code {
            72 => "Cannot parse number: (at row 1)",
            _ => "simulated",
        };
        let text = format!("Code: {code}. DB::Exception: {words}");
        let error = ServerError::read(status, Some(code), &text).unwrap();
        self.failed(Sent::Whole, Failure::Server(error))
    }

    /// Reaches whoever stands there; their number.
    async fn reach(&self) -> Result<usize, ShardError> {
        let (takes, is_slow) = {
            let mut shards = self.shards.lock();
            let trouble = if shards.is_healed {
                0.0
            } else {
                shards.plan.trouble
            };
            (shards.dice.millis(1..20), shards.dice.chance(trouble / 10.0))
        };
        sleep(takes).await;
        if is_slow {
            sleep(RECEIVE_TIMEOUT).await;
            let (phase, after) = (Phase::Connect, RECEIVE_TIMEOUT);
            return Err(self.failed(Sent::Nothing, Failure::Timeout { phase, after }));
        }
        let shards = self.shards.lock();
        let server = shards.at(&self.address);
        match shards.servers[server].is_up {
            true => Ok(server),
            false => {
                let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
                Err(self.failed(Sent::Nothing, Failure::Connect(refused)))
            }
        }
    }

    /// Reaches them and logs in.
    async fn log_in(&self) -> Result<usize, ShardError> {
        let server = self.reach().await?;
        match self.shards.lock().servers[server].mood {
            Mood::NoLogin => Err(self.refusal(516, 500)),
            Mood::Well | Mood::NoTable | Mood::ReadOnly => Ok(server),
        }
    }

    /// Why a server refuses whatever it is sent, if it does.
    fn own_refusal(&self, server: usize) -> Option<u32> {
        match self.shards.lock().servers[server].mood {
            Mood::Well | Mood::NoLogin => None,
            Mood::NoTable => Some(60),
            Mood::ReadOnly => Some(242),
        }
    }

    fn draw_way(&self) -> Way {
        let mut shards = self.shards.lock();
        let trouble = shards.plan.trouble;
        if shards.is_healed || !shards.dice.chance(trouble) {
            return Way::Plain;
        }
        let is_late = shards.plan.is_late;
        let dice = &mut shards.dice;
        let when = match dice.number(0..3) {
            0 => When::Never,
            1 if is_late => When::Late(dice.millis(100..40_000)),
            _ => When::Now,
        };
        match dice.number(0..8) {
            0 => Way::Twice,
            1 => Way::CutEarly,
            2 | 3 => Way::Lost {
                is_silent: dice.chance(0.5),
                when,
            },
            4 | 5 => Way::Odd {
                code: dice.pick(&[241, 252, 319, 210, 209, 159, 49, 4242]),
                status: dice.pick(&[200, 500]),
                when,
            },
            _ => Way::Proof(dice.pick(&[202, 745, 516])),
        }
    }

    /// As a connection that looks who is there before it carries an INSERT.
    async fn reach_same(&self, request: &InsertRequest) -> Result<usize, ShardError> {
        let server = self.log_in().await?;
        let found = mark(server);
        match &request.server {
            Some(expected) if *expected != found => {
                let expected = expected.clone();
                Err(self.failed(Sent::Nothing, Failure::OtherServer { expected, found }))
            }
            _ => Ok(server),
        }
    }

    async fn write(&self, request: &InsertRequest, batch: &Batch) -> Result<(), ShardError> {
        let server = self.reach_same(request).await?;
        let way = self.draw_way();
        let (table, bytes) = self.read(batch);
        let token = batch.token();
        self.shards.say(format!(
            "{} is sent {} rows under {} ({}): {way:?}",
            self.address,
            batch.rows(),
            short(token),
            request.query_id.rsplit('-').next().unwrap_or_default()
        ));
        if way == Way::CutEarly {
            return Err(self.cut(Sent::Part { ends_itself: true }));
        }
        // From here on only an answer tells.
        let attempt = (server, token.to_owned());
        let was_open = !self.shards.lock().open.insert(attempt.clone());
        let lives = self.shards.lock().servers[server].lives;
        let takes = self.shards.lock().dice.millis(1..30);
        sleep(takes).await;
        if self.shards.lock().servers[server].lives != lives {
            return Err(self.cut(Sent::Whole));
        }
        let answer = self.answer(server, table, token, &bytes, way).await;
        let mut shards = self.shards.lock();
        let proves = answer.as_ref().is_err_and(is_proof);
        if let Err(error) = &answer {
            shards
                .trace
                .say(format!("{} answers {}", self.address, error.summary()));
            shards.refused.insert(token.to_owned());
        }
        if (answer.is_ok() || proves) && !was_open {
            shards.close(attempt);
        }
        answer
    }

    async fn answer(
        &self,
        server: usize,
        table: usize,
        token: &str,
        bytes: &[u8],
        way: Way,
    ) -> Result<(), ShardError> {
        if let Some(code) = self.own_refusal(server) {
            return Err(self.refusal(code, 500));
        }
        if let Way::Proof(code) = way {
            return Err(self.refusal(code, 500));
        }
        if Row::read_all(bytes).iter().any(|row| row.is_bad()) {
            return Err(self.refusal(72, 500));
        }
        let execute = || self.shards.lock().execute(server, table, token, bytes);
        match way {
            Way::Plain => execute(),
            Way::Twice => {
                execute();
                let recognises = self.shards.lock().plan.engines[table].window.is_some();
                // What repeats a request to a target without a memory doubles rows by itself.
                if recognises {
                    execute();
                }
            }
            Way::Lost { when, .. } | Way::Odd { when, .. } => match when {
                When::Never => {}
                When::Now => execute(),
                When::Late(after) => self.execute_late(server, table, token, bytes, after),
            },
            Way::CutEarly | Way::Proof(_) => {}
        }
        let takes = self.shards.lock().dice.millis(1..30);
        sleep(takes).await;
        match way {
            Way::Lost { is_silent: true, .. } => {
                sleep(RECEIVE_TIMEOUT).await;
                let (phase, after) = (Phase::Answer, RECEIVE_TIMEOUT);
                Err(self.failed(Sent::Whole, Failure::Timeout { phase, after }))
            }
            Way::Lost { is_silent: false, .. } => Err(self.cut(Sent::Whole)),
            Way::Odd { code, status, .. } => Err(self.refusal(code, status)),
            Way::Plain | Way::Twice | Way::CutEarly | Way::Proof(_) => Ok(()),
        }
    }

    /// Goes on whatever becomes of the router; not beyond the server's death.
    fn execute_late(&self, server: usize, table: usize, token: &str, bytes: &[u8], after: Duration) {
        let (shards, token, bytes) = (self.shards.clone(), token.to_owned(), bytes.to_owned());
        let lives = shards.lock().servers[server].lives;
        tokio::spawn(async move {
            sleep(after).await;
            let mut shards = shards.lock();
            if shards.servers[server].lives == lives {
                shards.trace.say("late:");
                shards.execute(server, table, &token, &bytes);
            }
        });
    }

    /// A batch's table and rows.
    fn read(&self, batch: &Batch) -> (usize, Vec<u8>) {
        let file = self.disk.open_read(batch.path()).unwrap();
        let mut bytes = Vec::new();
        BinReader::new(file).unwrap().write_rows(&mut bytes).unwrap();
        let of_batch = &batch.shape().table;
        let table = TABLES.iter().position(|table| table == of_batch).unwrap();
        (table, bytes)
    }
}

/// Whether the server itself says that it wrote nothing. What Weir makes of it is Weir's.
fn is_proof(error: &ShardError) -> bool {
    error
        .server()
        .is_some_and(|server| matches!(server.code, 60 | 72 | 202 | 516 | 745))
}

/// Which of the world's tables a target is.
fn table_of(database: &str, target: &str) -> usize {
    let name = format!("{database}.{}", target.trim_end_matches("_local"));
    TABLES.iter().position(|known| *known == name).unwrap()
}

fn uuid(server: usize) -> String {
    format!("server {server}")
}

fn mark(server: usize) -> ServerMark {
    ServerMark::Uuid(uuid(server))
}

impl Wire for SimulatedWire {
    fn ping(&self) -> BoxFuture<'_, Result<(), ShardError>> {
        Box::pin(async { self.reach().await.map(drop) })
    }

    fn facts<'a>(&'a self, settings: &'a [&'a str]) -> BoxFuture<'a, Result<Facts, ShardError>> {
        Box::pin(async move {
            let server = self.log_in().await?;
            let is_old = self.shards.lock().plan.is_old;
            let pinned = PINNED_SETTINGS.iter().map(|(name, _)| *name);
            let known = pinned.chain(settings.iter().copied());
            let token = (!is_old).then_some("insert_deduplication_token");
            Ok(Facts {
                version: "26.9.1.1".parse().unwrap(),
                timezone: "UTC".to_owned(),
                host_name: "host".to_owned(),
                server_uuid: Some(uuid(server)),
                known_settings: known.chain(token).map(str::to_owned).collect(),
                ..Facts::default()
            })
        })
    }

    fn target<'a>(
        &'a self,
        database: &'a str,
        table: &'a str,
    ) -> BoxFuture<'a, Result<Option<Target>, ShardError>> {
        Box::pin(async move {
            let server = self.log_in().await?;
            let table = table_of(database, table);
            let mut shards = self.shards.lock();
            let (mood, engine) = (shards.servers[server].mood, shards.plan.engines[table]);
            if mood == Mood::NoTable {
                return Ok(None);
            }
            shards.met.insert(self.address.to_string());
            Ok(Some(Target {
                engine: match engine.is_replicated {
                    true => "ReplicatedMergeTree".to_owned(),
                    false => "MergeTree".to_owned(),
                },
                zookeeper_path: shards.store_of(server, table).zookeeper_path.clone(),
                is_readonly: engine.is_replicated && mood == Mood::ReadOnly,
                window: engine.window.map(|blocks| Window {
                    blocks: blocks as u64,
                    seconds: None,
                }),
                ..Target::default()
            }))
        })
    }

    fn views<'a>(&'a self, _database: &'a str, _table: &'a str) -> BoxFuture<'a, Result<Views, ShardError>> {
        Box::pin(async {
            self.log_in().await?;
            Ok(match self.shards.lock().plan.hides_views {
                true => Views::Possible,
                false => Views::None,
            })
        })
    }

    /// It keeps no log.
    fn attempts<'a>(
        &'a self,
        _batch: &'a str,
        _within: Duration,
    ) -> BoxFuture<'a, Result<Option<Attempts>, ShardError>> {
        Box::pin(async { self.log_in().await.map(|_| None) })
    }

    fn blocks_since<'a>(
        &'a self,
        database: &'a str,
        table: &'a str,
        _is_replicated: bool,
        age: Duration,
    ) -> BoxFuture<'a, Result<Option<u64>, ShardError>> {
        Box::pin(async move {
            let server = self.log_in().await?;
            let shards = self.shards.lock();
            let taken = &shards.store_of(server, table_of(database, table)).taken;
            let blocks = taken.iter().filter(|at| at.elapsed() <= age).count();
            Ok(Some(blocks as u64))
        })
    }

    fn insert<'a>(
        &'a self,
        request: InsertRequest,
        rows: Option<&'a Batch>,
    ) -> BoxFuture<'a, Result<Inserted, ShardError>> {
        Box::pin(async move {
            match rows {
                Some(batch) => self.write(&request, batch).await?,
                None => {
                    let server = self.reach_same(&request).await?;
                    if let Some(code) = self.own_refusal(server) {
                        return Err(self.refusal(code, 500));
                    }
                }
            }
            Ok(Inserted {
                written_rows: None,
                elapsed: Duration::ZERO,
            })
        })
    }
}
