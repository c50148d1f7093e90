//! The steps of a canary on one shard, in their order, and the removal of what they made.

use std::time::Duration;

use bytes::Bytes;
use shard_client::{InsertRequest, Inserted, Password, Replica, ShardError, Version};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::super::ask::{NOT_LET_IN, PATIENCE, shape};
use super::super::facts::{AtReplica, ServerFacts, TableFacts, TargetFacts};
use super::scratch::{COLUMNS, Scratch};
use super::{Interrupt, Outcome, Proof};
use crate::cli::reach;
use crate::deliver::request::{BatchInsert, InsertInto, knows_tokens};
use crate::routing;

/// Rows of a batch.
const ROWS: u64 = 3;

/// How long a row may take to a shard's other replica.
const REPLICATION_LIMIT: Duration = Duration::from_secs(20);

/// How long a cut send is given to leave something after all.
const CUT_LOOKED_AT: Duration = Duration::from_millis(500);

/// Between two looks.
const REST: Duration = Duration::from_millis(100);

/// Tries to remove a table.
const DROPS_MAX: u32 = 3;

/// Since then `DROP TABLE … SYNC` is known.
const DROPS_SYNC: Version = Version([21, 1, 0, 0]);

/// Names, in the order in which the steps are run and shown.
const MADE: &str = "scratch table";
const ARRIVES: &str = "a batch arrives";
const BY_TOKEN: &str = "a repeat is known by its token";
const BY_CONTENT: &str = "a repeat is known by its content";
const FAILOVER: &str = "a repeat at another replica";
const CUT: &str = "a cut send leaves nothing";
const PASSWORD: &str = "a wrong password leaves nothing";
const VIEW: &str = "a materialized view";
const REMOVED: &str = "removed again";

/// Why a step did not prove anything: it broke a promise, or could not be tried.
enum Trouble {
    Failed(String),
    NotTried(String),
}

type Tried = Result<String, Trouble>;

fn failed(why: impl Into<String>) -> Trouble {
    Trouble::Failed(why.into())
}

fn not_tried(why: impl Into<String>) -> Trouble {
    Trouble::NotTried(why.into())
}

impl From<Tried> for Proof {
    fn from(tried: Tried) -> Proof {
        match tried {
            Ok(how) => Proof::Proved(how),
            Err(Trouble::Failed(why)) => Proof::Failed(why),
            Err(Trouble::NotTried(why)) => Proof::NotTried(why),
        }
    }
}

/// A replica that has a scratch table, or is about to.
struct Member<'f> {
    at: &'f AtReplica<'f>,
    server: &'f ServerFacts,
    client: Replica,
    /// What it was asked to make, whether or not it did.
    made: Vec<String>,
}

/// The replicas at work and what they should hold.
struct Bed<'f> {
    of: &'f TableFacts<'f>,
    target: &'f TargetFacts,
    scratch: Scratch,
    members: Vec<Member<'f>>,
    /// Why there is no other replica to repeat a batch at.
    alone: Option<&'static str>,
    /// Rows that the scratch table should have.
    held: u64,
    batches: u64,
    outcomes: Vec<Outcome>,
}

/// Runs all steps on one group of replicas.
pub async fn run<'f>(
    of: &'f TableFacts<'f>,
    group: Vec<&'f AtReplica<'f>>,
    interrupt: &Interrupt,
) -> Vec<Outcome> {
    let Some(first) = group.first() else {
        return Vec::new();
    };
    let (shard, replicas) = (
        first.shard.name.clone(),
        group.iter().map(|at| at.replica.address()).collect(),
    );
    match Bed::of(of, &group) {
        Ok(mut bed) => {
            bed.steps(interrupt).await;
            bed.remove().await;
            bed.outcomes
        }
        Err(why) => vec![Outcome {
            shard,
            replicas,
            step: MADE,
            proof: Proof::NotTried(why),
        }],
    }
}

impl<'f> Bed<'f> {
    fn of(of: &'f TableFacts<'f>, group: &[&'f AtReplica<'f>]) -> Result<Bed<'f>, String> {
        let mut members = Vec::new();
        for &at in group {
            if let (Ok(answer), Some(_)) = (&at.answer, at.target()) {
                members.push(Member {
                    at,
                    server: &answer.server,
                    client: reach::client(at.replica, Some(PATIENCE)).map_err(|error| error.0)?,
                    made: Vec::new(),
                });
            }
        }
        let target = members.first().and_then(|member| member.at.target());
        let (Some(first), Some(target)) = (members.first(), target) else {
            return Err("no replica told of the target".to_owned());
        };
        let scratch = Scratch::new(first.at.database(of.table), rand::random());
        scratch.create(&scratch.table, target, 0)?;
        let path = target.target.zookeeper_path.as_ref();
        let alone = match (group.len(), path) {
            (1, _) => Some("there is no other replica that would take it"),
            (_, None) => Some("the replicas have no common zookeeper_path"),
            _ => None,
        };
        members.retain({
            let mut is_first = true;
            move |member| {
                let shares = member
                    .at
                    .target()
                    .is_some_and(|other| other.target.zookeeper_path.as_ref() == path);
                std::mem::take(&mut is_first) || (alone.is_none() && shares)
            }
        });
        Ok(Bed {
            of,
            target,
            scratch,
            members,
            alone,
            held: 0,
            batches: 0,
            outcomes: Vec::new(),
        })
    }

    async fn steps(&mut self, interrupt: &Interrupt) {
        let mut is_made = false;
        for step in [MADE, ARRIVES, BY_TOKEN, BY_CONTENT, FAILOVER, CUT, PASSWORD, VIEW] {
            let tried = match () {
                () if interrupt.is_set() => Err(not_tried("interrupted")),
                () if step == MADE => self.make().await,
                () if !is_made => Err(not_tried("there is no scratch table")),
                () => self.step(step).await,
            };
            is_made |= step == MADE && tried.is_ok();
            self.tell(step, tried.into());
        }
    }

    async fn step(&mut self, step: &str) -> Tried {
        match step {
            ARRIVES => self.arrives().await,
            BY_TOKEN => self.by_token().await,
            BY_CONTENT => self.by_content().await,
            FAILOVER => self.failover().await,
            CUT => self.cut().await,
            PASSWORD => self.wrong_password().await,
            _ => self.view().await,
        }
    }

    fn tell(&mut self, step: &'static str, proof: Proof) {
        let shard = self.members.first().map(|member| member.at.shard.name.clone());
        self.outcomes.push(Outcome {
            shard: shard.unwrap_or_default(),
            replicas: self
                .members
                .iter()
                .map(|member| member.at.replica.address())
                .collect(),
            step,
            proof,
        });
    }

    // === the steps ===

    async fn make(&mut self) -> Tried {
        for number in 0..self.members.len() {
            let table = self.scratch.table.clone();
            self.create(number, &table).await?;
        }
        let told = format!("{}.{}", self.scratch.database, self.scratch.table);
        let others = self.left_by_others().await;
        Ok(match others.is_empty() {
            true => told,
            false => format!(
                "{told}; left there by other runs, to be dropped by hand: {}",
                others.join(", ")
            ),
        })
    }

    /// Scratch tables that are not of this run: it was killed, or another one is at it.
    async fn left_by_others(&self) -> Vec<String> {
        let mut others = Vec::new();
        for member in &self.members {
            let answer = member.client.query(&self.scratch.list(), &[]).await;
            let names = String::from_utf8_lossy(&answer.unwrap_or_default()).into_owned();
            let names = names
                .lines()
                .filter(|name| !name.starts_with(&self.scratch.table));
            others.extend(names.map(|name| format!("{name} on {}", member.at.replica.address())));
        }
        others
    }

    async fn arrives(&mut self) -> Tried {
        let batch = self.batch();
        self.send(0, &batch)
            .await
            .map_err(|error| failed(error.failure.to_string()))?;
        self.held += ROWS;
        self.check_held(0, "of a batch of 3 rows").await?;
        Ok(format!(
            "{ROWS} rows, in the envelope and with the settings of every batch"
        ))
    }

    async fn by_token(&mut self) -> Tried {
        self.needs_window()?;
        if !self.knows_tokens() {
            return Err(not_tried(format!(
                "{} has no insert_deduplication_token",
                self.version()
            )));
        }
        let batch = self.batch();
        self.send_counted(&batch).await?;
        self.send(0, &batch)
            .await
            .map_err(|error| failed(error.failure.to_string()))?;
        self.check_held(0, "after a repeat").await?;
        let other_rows = Batch {
            token: batch.token,
            ..self.batch()
        };
        self.send(0, &other_rows)
            .await
            .map_err(|error| failed(error.failure.to_string()))?;
        self.check_held(0, "after other rows under a known token").await?;
        Ok("the repeat added nothing".to_owned())
    }

    async fn by_content(&mut self) -> Tried {
        self.needs_window()?;
        let batch = Batch {
            token: None,
            ..self.batch()
        };
        self.send_counted(&batch).await?;
        self.send(0, &batch)
            .await
            .map_err(|error| failed(error.failure.to_string()))?;
        self.check_held(0, "after a repeat without a token").await?;
        Ok("the repeat added nothing".to_owned())
    }

    async fn failover(&mut self) -> Tried {
        if let Some(why) = self.alone {
            return Err(not_tried(why));
        }
        self.needs_window()?;
        if self.members.len() < 2 {
            return Err(not_tried(
                "no other replica of the zookeeper_path told of the target",
            ));
        }
        let batch = self.batch();
        self.send_counted(&batch).await?;
        for other in 1..self.members.len() {
            self.send(other, &batch)
                .await
                .map_err(|error| failed(error.failure.to_string()))?;
            self.wait_held(other).await?;
        }
        self.check_held(0, "after repeats at the other replicas").await?;
        Ok("the repeats added nothing, and all replicas have the rows".to_owned())
    }

    /// Cut at the border of a compressed frame, where old servers take what came for all there is.
    async fn cut(&mut self) -> Tried {
        let batch = self.batch();
        let (frames, border) = batch.frames()?;
        let (pieces, payload) = mpsc::channel(1);
        let first = Ok(frames.slice(..border));
        pieces
            .try_send(first)
            .map_err(|error| not_tried(error.to_string()))?;
        drop(pieces);
        let sent = self.members[0]
            .client
            .insert(self.request(0, &batch, &frames), payload)
            .await;
        if sent.is_ok() {
            return Err(failed("the server answered a cut INSERT with success"));
        }
        let until = Instant::now() + CUT_LOOKED_AT;
        while Instant::now() < until {
            self.check_held(0, "after a cut send").await?;
            sleep(REST).await;
        }
        self.send_counted(&batch).await?;
        Ok("nothing of it was written; repeated whole it arrived".to_owned())
    }

    async fn wrong_password(&mut self) -> Tried {
        let replica = self.members[0].at.replica;
        let mut endpoint = routing::endpoint(replica);
        endpoint.connect_timeout = endpoint.connect_timeout.min(PATIENCE);
        endpoint.receive_timeout = endpoint.receive_timeout.min(PATIENCE);
        endpoint.password = Password::from_fn(|| Ok("not the password of this user".to_owned()));
        let stranger = Replica::new(endpoint, 1).map_err(|error| not_tried(error.to_string()))?;
        let batch = self.batch();
        let (frames, _) = batch.frames()?;
        let sent = stranger
            .insert(self.request(0, &batch, &frames), frames.clone())
            .await;
        let told = match sent {
            Ok(_) => {
                self.held += ROWS;
                return Err(not_tried(format!(
                    "the server lets user {} in with any password",
                    replica.user
                )));
            }
            Err(error) => match error.server() {
                Some(server) if NOT_LET_IN.contains(&server.code) => {
                    format!("refused with code {}", server.code)
                }
                _ => return Err(not_tried(error.failure.to_string())),
            },
        };
        self.check_held(0, "after a send with a wrong password").await?;
        Ok(told)
    }

    async fn view(&mut self) -> Tried {
        let view_target = self.scratch.view_target.clone();
        self.create(0, &view_target).await.map_err(as_not_tried)?;
        let view = self.scratch.view.clone();
        self.members[0].made.push(view);
        let made = self.members[0]
            .client
            .query(&self.scratch.create_view(), &[])
            .await;
        made.map_err(|error| not_tried(format!("the view cannot be made: {}", error.failure)))?;
        let batch = self.batch();
        self.send_counted(&batch).await?;
        self.check_count(0, &view_target, ROWS, "behind the view").await?;
        if self.target.target.window.is_none() {
            return Ok(
                "it got the rows once; no repeat was tried, which the target would not recognise".to_owned(),
            );
        }
        self.send(0, &batch)
            .await
            .map_err(|error| failed(error.failure.to_string()))?;
        self.check_held(0, "after a repeat").await?;
        self.check_count(0, &view_target, ROWS, "behind the view after a repeat")
            .await?;
        Ok("it got the rows once, and nothing of a repeat".to_owned())
    }

    // === what they are made of ===

    fn needs_window(&self) -> Result<(), Trouble> {
        let target = &self.target.target;
        match target.window.is_some() && (target.is_replicated() || self.knows_tokens()) {
            true => Ok(()),
            false => Err(not_tried("the target recognises no repeat")),
        }
    }

    fn knows_tokens(&self) -> bool {
        self.members
            .first()
            .is_some_and(|member| knows_tokens(&member.server.facts))
    }

    fn version(&self) -> String {
        self.members
            .first()
            .map(|member| member.server.facts.version.to_string())
            .unwrap_or_default()
    }

    async fn create(&mut self, number: usize, table: &str) -> Result<(), Trouble> {
        let sql = self
            .scratch
            .create(table, self.target, number)
            .map_err(not_tried)?;
        let member = &mut self.members[number];
        member.made.push(table.to_owned());
        let made = member.client.query(&sql, &[]).await;
        made.map(drop)
            .map_err(|error| failed(format!("{table} cannot be made on {error}")))
    }

    /// Rows and token that no batch had before.
    fn batch(&mut self) -> Batch {
        self.batches += 1;
        let first = self.batches * 1000;
        Batch {
            token: Some(format!("{}-{}", self.scratch.table, self.batches)),
            rows: [first, first + 1, first + 2].map(|n| format!("{n}\t{}\n", self.scratch.table)),
        }
    }

    fn request(&self, number: usize, batch: &Batch, frames: &Bytes) -> InsertRequest {
        let columns = COLUMNS.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        let shape = shape(self.of.cluster, columns.into());
        let insert = BatchInsert {
            shape: &shape,
            token: batch.token.as_deref().unwrap_or_default(),
            frames_bytes: frames.len() as u64,
            frames_crc32: crc32fast::hash(frames),
        };
        let into = InsertInto {
            database: &self.scratch.database,
            table: &self.scratch.table,
            bare_frames: self.of.cluster.bare_frames,
        };
        let query_id = format!("weir-canary-{:016x}", rand::random::<u64>());
        let mut request = insert.request(&into, &self.members[number].server.facts, query_id);
        // No pinned setting is empty; a token that is empty would be one, too.
        request.settings.retain(|(_, value)| !value.is_empty());
        request
    }

    async fn send(&self, number: usize, batch: &Batch) -> Result<Inserted, ShardError> {
        let frames = batch.frames().map(|(frames, _)| frames).unwrap_or_default();
        let request = self.request(number, batch, &frames);
        self.members[number].client.insert(request, frames).await
    }

    /// Sends a batch that has to arrive.
    async fn send_counted(&mut self, batch: &Batch) -> Result<(), Trouble> {
        self.send(0, batch)
            .await
            .map_err(|error| failed(error.failure.to_string()))?;
        self.held += ROWS;
        self.check_held(0, "after one more batch").await
    }

    async fn check_held(&self, number: usize, when: &str) -> Result<(), Trouble> {
        self.check_count(number, &self.scratch.table, self.held, when)
            .await
    }

    async fn check_count(
        &self,
        number: usize,
        table: &str,
        expected: u64,
        when: &str,
    ) -> Result<(), Trouble> {
        let found = self.count(number, table).await?;
        match found == expected {
            true => Ok(()),
            false => Err(failed(format!("{found} rows {when}, where {expected} should be"))),
        }
    }

    /// Waits until a replica has what the others have.
    async fn wait_held(&self, number: usize) -> Result<(), Trouble> {
        let until = Instant::now() + REPLICATION_LIMIT;
        while Instant::now() < until {
            if self.count(number, &self.scratch.table).await? >= self.held {
                break;
            }
            sleep(REST).await;
        }
        self.check_held(number, "on another replica").await
    }

    async fn count(&self, number: usize, table: &str) -> Result<u64, Trouble> {
        let sql = format!(
            "SELECT count() FROM {} FORMAT TabSeparated",
            self.scratch.quoted(table)
        );
        let answer = self.members[number].client.query(&sql, &[]).await;
        let answer =
            answer.map_err(|error| failed(format!("the rows cannot be counted: {}", error.failure)))?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        text.trim()
            .parse()
            .map_err(|_| failed(format!("the rows cannot be counted: {text:?}")))
    }

    // === the end ===

    /// Removes everything that was asked for, in the opposite order.
    async fn remove(&mut self) {
        let mut left = Vec::new();
        let mut removed = 0;
        for member in &self.members {
            let waits = member.server.facts.version >= DROPS_SYNC;
            for table in member.made.iter().rev() {
                let sql = self.scratch.drop(table, waits);
                match dropped(&member.client, &sql).await {
                    Ok(()) => removed += 1,
                    Err(error) => left.push(format!("{sql}; on {error}")),
                }
            }
        }
        let proof = match (left.is_empty(), removed) {
            (true, 0) => return,
            (true, _) => Proof::Proved("nothing of it is left".to_owned()),
            (false, _) => Proof::Failed(format!("left there, drop it by hand: {}", left.join("; "))),
        };
        self.tell(REMOVED, proof);
    }
}

fn as_not_tried(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Failed(why) | Trouble::NotTried(why) => Trouble::NotTried(why),
    }
}

async fn dropped(client: &Replica, sql: &str) -> Result<(), ShardError> {
    let mut tries = 1;
    loop {
        match client.query(sql, &[]).await {
            Ok(_) => return Ok(()),
            Err(error) if tries == DROPS_MAX => return Err(error),
            Err(_) => tries += 1,
        }
        sleep(10 * REST).await;
    }
}

/// What is sent: the rows in two compressed frames.
struct Batch {
    token: Option<String>,
    rows: [String; ROWS as usize],
}

impl Batch {
    /// The frames, and where the second begins.
    fn frames(&self) -> Result<(Bytes, usize), Trouble> {
        let [first, rest @ ..] = &self.rows;
        let mut frames = Vec::new();
        let frame = |raw: &str, frames: &mut Vec<u8>| {
            spool::frames::compress(raw.as_bytes(), frames).map_err(|error| not_tried(error.to_string()))
        };
        frame(first, &mut frames)?;
        let border = frames.len();
        frame(&rest.concat(), &mut frames)?;
        Ok((frames.into(), border))
    }
}
