//! `weir spool replay`: chosen batches sent again, as delivery sends them.
//!
//! It reads files and talks to replicas; the queue, its lock and its journal are not touched. All of a
//! shard's batches go to one replica (every replica with internal_replication off), in the order of their
//! cut. The first failure ends it, and the same command takes it up where it was (`progress.rs`). A file that goes
//! meanwhile, because sent/ is evicted, is told, and the others are sent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use config::{Config, TableName};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use shard_client::{Facts, InsertRequest, Replica, ShardError};

use super::choose::{ChoiceArgs, Chosen};
use super::progress::Progress;
use super::verify::progress_bar;
use super::{is_spool, told};
use crate::cli::output::{Output, say};
use crate::cli::table::{Align, Table, age, count, counted, size};
use crate::cli::{CommandError, ConfigArgs, block_on, reach};
use crate::deliver::file_body;
use crate::deliver::request::{BatchInsert, InsertInto, knows_tokens, quoted};
use crate::identity::{Identity, Place, Remembered};
use crate::replica::asked_settings;
use crate::time::now_ms;

const EXAMPLE: &str = "\
Examples:
  weir spool replay --config weir.toml --table default.hits --shard s02 --since 1h --dry-run
  weir spool replay --config weir.toml --table default.hits --shard s02 --since 1h
  weir spool replay --config weir.toml --from /backup/weir/default.hits --to-shard s04 --new-tokens

One that ends early is taken up where it was by the same command, for the same time (--since 1h is the hour before it first began); \
--anew forgets it. With the batches' own tokens a shard takes only what it does not have: running it twice is harmless within the \
shard's deduplication window. A shard may remember tokens of rows that were since deleted (TRUNCATE and ALTER DELETE do not clear \
them everywhere); then --new-tokens sends the batches as new, and running it again when it is done doubles their rows.";

/// Send batches again, from sent/, broken/ or any directory, to their own or another shard.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Send to this shard instead of the batches' own.
    #[arg(long, value_name = "SHARD")]
    to_shard: Option<String>,
    /// Send to this replica of the shard only.
    #[arg(long, value_name = "HOST:PORT")]
    to_replica: Option<String>,
    /// Draw new tokens, so that the shard takes rows that it had before.
    #[arg(long)]
    new_tokens: bool,
    /// Do not take up an earlier run of the same command: send everything.
    #[arg(long)]
    anew: bool,
    /// List what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// The form of --dry-run's listing.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Where some batches go: a table's target on one shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Goal {
    table: TableName,
    shard: String,
}

/// A replica that takes batches.
struct Receiver {
    client: Replica,
    /// Who has the rows then: the shard, where its replicas share them, else this replica.
    holder: String,
    facts: Facts,
    database: String,
    target: String,
    bare_frames: bool,
    rows_before: u64,
}

/// What a replay came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sums {
    batches: u64,
    /// Rows sent, those to a second replica counted again.
    rows: u64,
    /// Batches of which a shard said that it wrote none of their rows.
    known: u64,
    /// Batches that an earlier run of the same replay had sent.
    before: u64,
    /// Batches whose files went before their turn came.
    gone: u64,
}

/// Replays, or lists what it would.
pub fn run(args: &ReplayArgs) -> Result<(), CommandError> {
    let config = args.config.load()?;
    if args.dry_run {
        let now_ms = now_ms();
        let (table, json) = listing(
            &plan(&config, args, counted_from_ms(&config, args, now_ms))?,
            now_ms,
        );
        return args.output.show(&table, &json);
    }
    let progress = take_up(&config, args)?;
    let planned = plan(&config, args, progress.started_ms())?;
    if planned.is_empty() {
        progress.finish()?;
        return say("no batch fits: nothing was sent");
    }
    block_on(replay(&config, &planned, args, progress))?
}

/// What is sent, and where to.
fn plan(config: &Config, args: &ReplayArgs, now_ms: u64) -> Result<Vec<(Goal, Chosen)>, CommandError> {
    let batches = args.choice.batches(&config.spool.path, now_ms)?;
    let planned = batches.into_iter();
    planned
        .map(|chosen| Ok((goal(config, &chosen, args)?, chosen)))
        .collect()
}

/// The moment that '1h' ago is counted from.
fn counted_from_ms(config: &Config, args: &ReplayArgs, now_ms: u64) -> u64 {
    let before = Progress::started_before_ms(&progress_directory(config, args), &selection(args));
    before.filter(|_| !args.anew).unwrap_or(now_ms)
}

/// The run of this command that ended early, or a new one.
fn take_up(config: &Config, args: &ReplayArgs) -> Result<Progress, CommandError> {
    let now_ms = now_ms();
    let mut progress = Progress::open(&progress_directory(config, args), &selection(args), now_ms)?;
    if args.anew {
        progress.forget(now_ms)?;
    }
    if progress.done() > 0 {
        eprintln!(
            "weir: a run of this replay that began {} ago is taken up ({} sent); --anew forgets it",
            age(progress.started_ms(), now_ms),
            counted(progress.done() as u64, "batch")
        );
    }
    Ok(progress)
}

/// The target of a batch, if the configuration has it.
fn goal(config: &Config, chosen: &Chosen, args: &ReplayArgs) -> Result<Goal, CommandError> {
    let trailer = &chosen.info.trailer;
    let refused = |why: String| CommandError(format!("{}: {why}; nothing was sent", chosen.path.display()));
    let name = TableName::parse(&trailer.shape.table).map_err(&refused)?;
    let table = config
        .table(&name)
        .ok_or_else(|| refused(format!("table {name} is not configured")))?;
    if table.cluster != trailer.shape.cluster {
        let (theirs, ours) = (&trailer.shape.cluster, &table.cluster);
        return Err(refused(format!(
            "it was routed for cluster {theirs}, {name} is on {ours}"
        )));
    }
    let shard = args.to_shard.clone().unwrap_or_else(|| trailer.shard.clone());
    let known = config
        .cluster_of(table)
        .is_some_and(|cluster| cluster.shard(&shard).is_some());
    match known {
        true => Ok(Goal { table: name, shard }),
        false => Err(refused(format!(
            "cluster {} has no shard '{shard}': choose one with --to-shard",
            table.cluster
        ))),
    }
}

fn listing(planned: &[(Goal, Chosen)], now_ms: u64) -> (Table, Value) {
    let mut table = Table::new(&[
        ("TABLE", Align::Left),
        ("FROM", Align::Left),
        ("TO", Align::Left),
        ("ROWS", Align::Right),
        ("SIZE", Align::Right),
        ("CUT", Align::Right),
        ("FILE", Align::Left),
    ]);
    let mut lines = Vec::new();
    for (goal, Chosen { path, info }) in planned {
        let trailer = &info.trailer;
        table.row(vec![
            goal.table.to_string(),
            trailer.shard.clone(),
            goal.shard.clone(),
            count(trailer.rows),
            size(info.file_bytes),
            format!("{} ago", age(trailer.created_at_ms, now_ms)),
            path.display().to_string(),
        ]);
        lines.push(json!({
            "table": goal.table.to_string(), "shard": trailer.shard, "to_shard": goal.shard, "rows": trailer.rows,
            "file_bytes": info.file_bytes, "created_at_ms": trailer.created_at_ms, "token": trailer.token,
            "file": path.display().to_string(),
        }));
    }
    (table, Value::Array(lines))
}

// === sending ===

async fn replay(
    config: &Config,
    planned: &[(Goal, Chosen)],
    args: &ReplayArgs,
    mut progress: Progress,
) -> Result<(), CommandError> {
    let mut receivers = BTreeMap::new();
    for (goal, _) in planned {
        if !receivers.contains_key(goal) {
            receivers.insert(goal.clone(), find_receivers(config, goal, args).await?);
        }
    }
    progress.begin()?;
    let bar = progress_bar("{pos} of {len} batches, {eta} left");
    bar.set_length(planned.len() as u64);
    let mut sums = Sums::default();
    let sent = send_all(
        planned,
        &receivers,
        args.new_tokens,
        &mut progress,
        &mut sums,
        &bar,
    )
    .await;
    bar.finish_and_clear();
    let appeared = appeared(receivers.values().flatten()).await;
    let story = story(sums, appeared, args.new_tokens);
    match sent {
        Ok(()) => {
            progress.finish()?;
            match sums.gone {
                0 => say(story),
                gone => Err(CommandError(format!(
                    "{story}\n{} gone before their turn came, evicted from sent/ or moved: they were not sent",
                    counted(gone, "batch")
                ))),
            }
        }
        Err(CommandError(error)) => Err(CommandError(format!(
            "{story}\nthen it failed: {error}; the same command goes on from there. The batch in hand is sent again: a target that does not \
             recognise a repeat (neither Replicated nor with a deduplication window) may have its rows twice"
        ))),
    }
}

async fn send_all(
    planned: &[(Goal, Chosen)],
    receivers: &BTreeMap<Goal, Vec<Receiver>>,
    new_tokens: bool,
    progress: &mut Progress,
    sums: &mut Sums,
    bar: &ProgressBar,
) -> Result<(), CommandError> {
    for (goal, chosen) in planned {
        let token = &chosen.info.trailer.token;
        let mut lacking: Vec<_> = receivers.get(goal).into_iter().flatten().collect();
        lacking.retain(|receiver| !progress.has(&receiver.holder, token));
        if lacking.is_empty() {
            sums.before += 1;
        } else if send_to_all(chosen, &lacking, new_tokens, progress, sums).await? {
            sums.batches += 1;
        } else {
            eprintln!("weir: {}: gone before its turn came", chosen.path.display());
            sums.gone += 1;
        }
        bar.inc(1);
    }
    Ok(())
}

/// Sends a batch to those who lack it; false where its file is not there any more.
async fn send_to_all(
    chosen: &Chosen,
    lacking: &[&Receiver],
    new_tokens: bool,
    progress: &mut Progress,
    sums: &mut Sums,
) -> Result<bool, CommandError> {
    let token = &chosen.info.trailer.token;
    for receiver in lacking {
        let drawn = new_tokens.then(|| progress.new_token(token));
        match receiver.send(chosen, drawn.as_deref()).await {
            Ok(inserted) => {
                progress.add(&receiver.holder, token)?;
                sums.rows += chosen.info.trailer.rows;
                sums.known += u64::from(inserted.written_rows == Some(0));
            }
            Err(_) if !chosen.path.exists() => return Ok(false),
            Err(error) => return Err(CommandError(format!("{}: {error}", chosen.path.display()))),
        }
    }
    Ok(true)
}

/// Where a run's progress is kept: in the spool of this machine, or beside what is replayed.
fn progress_directory(config: &Config, args: &ReplayArgs) -> PathBuf {
    let spool = &config.spool.path;
    match args.choice.first_directory() {
        Some(copied) if !is_spool(spool) => copied.join(".weir-replay"),
        _ => spool.join("meta").join("replay"),
    }
}

/// What makes two commands the same replay: how batches are chosen, and where and how they are sent.
fn selection(args: &ReplayArgs) -> String {
    format!(
        "{:?} {:?} {:?} {}",
        args.choice, args.to_shard, args.to_replica, args.new_tokens
    )
}

/// The replicas that take a goal's batches, each with the rows that it has now.
async fn find_receivers(
    config: &Config,
    goal: &Goal,
    args: &ReplayArgs,
) -> Result<Vec<Receiver>, CommandError> {
    let unknown = || {
        CommandError(format!(
            "{} on shard {} is not configured",
            goal.table, goal.shard
        ))
    };
    let table = config.table(&goal.table).ok_or_else(unknown)?;
    let cluster = config.cluster_of(table).ok_or_else(unknown)?;
    let shard = cluster.shard(&goal.shard).ok_or_else(unknown)?;
    let wanted = |replica: &&config::Replica| {
        args.to_replica
            .as_ref()
            .is_none_or(|only| *only == replica.address())
    };
    let candidates: Vec<_> = shard.replicas.iter().filter(wanted).collect();
    let mut trouble = format!("shard {} has no such replica", goal.shard);
    let mut receivers = Vec::new();
    for replica in candidates {
        match Receiver::new(config, replica, table, goal).await {
            Ok(receiver) if shard.internal_replication => receivers.push(receiver.of_shard(&goal.shard)),
            Ok(receiver) => receivers.push(receiver),
            // Each replica needs its rows; of those that share them one is enough.
            Err(error) if !shard.internal_replication => return Err(error),
            Err(error) => trouble = error.0,
        }
        if shard.internal_replication && !receivers.is_empty() {
            break;
        }
    }
    match receivers.is_empty() {
        true => Err(CommandError(format!("nothing was sent: {trouble}"))),
        false => Ok(receivers),
    }
}

impl Receiver {
    async fn new(
        config: &Config,
        replica: &config::Replica,
        table: &config::Table,
        goal: &Goal,
    ) -> Result<Self, CommandError> {
        let bare_frames = config
            .cluster_of(table)
            .is_some_and(|cluster| cluster.bare_frames);
        let client = reach::client(replica, None)?;
        let database = replica
            .database
            .clone()
            .unwrap_or_else(|| table.target.database.clone());
        let facts = client.facts(&asked_settings()).await.map_err(told)?;
        let place = Place {
            cluster: table.cluster.clone(),
            shard: goal.shard.clone(),
            replica: replica.address(),
            database: database.clone(),
            table: table.target.table.clone(),
        };
        if let Some(target) = client.target(&place.database, &place.table).await.map_err(told)? {
            let now = Identity::of(&facts, &target);
            let mut remembered = Remembered::of_spool(&config.spool.path).map_err(CommandError)?;
            remembered.check(&place, &now).map_err(CommandError)?;
        }
        let mut receiver = Self {
            holder: client.address().to_owned(),
            client,
            facts,
            database,
            target: table.target.table.clone(),
            bare_frames,
            rows_before: 0,
        };
        receiver.rows_before = receiver.rows_now().await?;
        Ok(receiver)
    }

    /// One of several that share their rows.
    fn of_shard(self, shard: &str) -> Self {
        Self {
            holder: shard.to_owned(),
            ..self
        }
    }

    async fn rows_now(&self) -> Result<u64, CommandError> {
        let table = format!("{}.{}", quoted(&self.database), quoted(&self.target));
        let sql = format!("SELECT count() FROM {table} FORMAT TabSeparated");
        let answer = self.client.query(&sql, &[]).await.map_err(told)?;
        let text = String::from_utf8_lossy(&answer);
        let rows = text.trim().parse();
        rows.map_err(|_| {
            CommandError(format!(
                "{} says that {table} has {text:?} rows",
                self.client.address()
            ))
        })
    }

    /// Sends under the batch's own token, or under a new one.
    async fn send(
        &self,
        chosen: &Chosen,
        new_token: Option<&str>,
    ) -> Result<shard_client::Inserted, ShardError> {
        let frames = chosen.info.trailer.frames();
        let body = file_body::payload(chosen.path.clone(), frames);
        self.client.insert(self.request(chosen, new_token), body).await
    }

    fn request(&self, chosen: &Chosen, new_token: Option<&str>) -> InsertRequest {
        let trailer = &chosen.info.trailer;
        let insert = BatchInsert {
            shape: &trailer.shape,
            token: new_token.unwrap_or(&trailer.token),
            frames_bytes: trailer.frames_bytes,
            frames_crc32: trailer.frames_crc32,
        };
        let into = InsertInto {
            database: &self.database,
            table: &self.target,
            bare_frames: self.bare_frames,
        };
        let query_id = format!("{}-replay-{:08x}", insert.token, rand::random::<u32>());
        let mut request = insert.request(&into, &self.facts, query_id);
        if new_token.is_some() && !knows_tokens(&self.facts) {
            take_known_blocks(&mut request.settings);
        }
        request
    }
}

/// A server without tokens recognises a block by its content: it is told not to.
fn take_known_blocks(settings: &mut Vec<(String, String)>) {
    const SETTING: &str = "insert_deduplicate";
    settings.retain(|(name, _)| name != SETTING);
    settings.push((SETTING.to_owned(), "0".to_owned()));
}

/// Rows that the receivers have more than before; none if one of them does not tell. Others may write too: an
/// estimate.
async fn appeared(receivers: impl Iterator<Item = &Receiver>) -> Option<u64> {
    let mut sum = 0;
    for receiver in receivers {
        let rows = receiver.rows_now().await.ok()?;
        sum += rows.saturating_sub(receiver.rows_before);
    }
    Some(sum)
}

/// The end in words.
fn story(sums: Sums, appeared: Option<u64>, new_tokens: bool) -> String {
    let (batches, sent) = (counted(sums.batches, "batch"), counted(sums.rows, "row"));
    let batches = match sums.before {
        0 => batches,
        before => format!("{} sent before, {batches}", counted(before, "batch")),
    };
    let Some(appeared) = appeared else {
        return format!(
            "{batches}, {sent} sent; how many appeared is not known, since a replica does not answer"
        );
    };
    let first = format!("{batches}, {sent} sent, {} appeared", counted(appeared, "row"));
    if appeared > sums.rows {
        return format!("{first}: others write into the table too, so this is an estimate");
    }
    if sums.known == 0 && appeared == sums.rows {
        return first;
    }
    let known = match sums.known {
        0 => String::new(),
        known => format!(" ({} by the shard's word)", counted(known, "batch")),
    };
    if new_tokens {
        return format!("{first}: rows were deleted meanwhile, or the engine merges equal ones{known}");
    }
    format!(
        "{first}: the rest was recognised by its tokens{known}. If its rows were deleted since, the shard still remembers them: \
         send them as new with --new-tokens"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_story(sums: (u64, u64, u64), appeared: Option<u64>, new_tokens: bool, expected: &[&str]) {
        let (batches, rows, known) = sums;
        let sums = Sums {
            batches,
            rows,
            known,
            ..Sums::default()
        };
        let story = story(sums, appeared, new_tokens);
        for part in expected {
            assert!(story.contains(part), "{story}");
        }
    }

    #[test]
    fn the_end_says_what_was_sent_and_what_appeared() {
        check_story(
            (1, 1, 0),
            Some(1),
            false,
            &["1 batch, 1 row sent, 1 row appeared"],
        );
        check_story(
            (3, 3_000, 0),
            Some(3_000),
            false,
            &["3 batches, 3,000 rows sent, 3,000 rows appeared"],
        );
        check_story((3, 3_000, 0), None, false, &["not known"]);
        check_story((3, 3_000, 0), Some(3_001), false, &["estimate"]);
    }

    #[test]
    fn batches_that_a_shard_recognised_are_pointed_out_with_the_next_step() {
        check_story(
            (3, 3_000, 2),
            Some(1_000),
            false,
            &["recognised", "2 batches by", "--new-tokens"],
        );
        // 18.16 does not say how many rows it wrote.
        check_story(
            (3, 3_000, 0),
            Some(0),
            false,
            &["0 rows appeared", "--new-tokens"],
        );
        check_story((3, 3_000, 0), Some(0), true, &["deleted meanwhile"]);
    }

    #[test]
    fn a_server_without_tokens_is_told_to_take_known_blocks() {
        let mut settings = vec![("insert_deduplicate".to_owned(), "1".to_owned())];
        take_known_blocks(&mut settings);
        assert_eq!(settings, [("insert_deduplicate".to_owned(), "0".to_owned())]);
    }
}
