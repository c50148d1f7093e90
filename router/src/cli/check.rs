//! `weir check`: every mistake of a configuration with its line, or a short summary of what it means.
//!
//! Beyond the file itself it looks at what a start would look at: whether the slot layout may follow the one
//! in force, and whether each sharding key fits its table. It changes nothing and opens no spool.
//!
//! With `--live` every replica is asked what stands in the way of the guarantees ([`live`]): [`ask`] fills [`facts`], of which
//! [`at_replica`], [`across`] and [`placement`] make [`finding`]s; with `--canary` they are proved on scratch tables ([`canary`]).

mod across;
mod ask;
mod at_replica;
mod canary;
mod facts;
mod finding;
mod live;
mod placement;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use clap::Args;
use config::{Cluster, Config, Remark, Table as RoutedTable, TableName, WhenShardDown};

use super::output::{Output, say};
use super::reach::{self, Origin};
use super::table::{Align, Table, counted};
use super::{CommandError, ConfigArgs, block_on};
use crate::dry_run::slots_in_words;
use crate::schema::TableSchema;
use crate::{discovery, layouts};

const EXAMPLE: &str = "\
Examples:
  weir check --config weir.toml && systemctl reload weir
  weir check --config weir.toml --live
  weir check --config weir.toml --live --canary --table logs.events

Exit code 0: sound (warnings included); 1: mistakes. Sharding keys are compiled against the columns that a replica \
tells, or that were kept in the spool's meta/ when none answers; the summary says which.

--live changes nothing. Each table gets a verdict: exactly once; at least once, with the reason; not known, where a replica does not \
answer; or not deliverable as it stands. Exit code 1: one of the latter two, or a failed step of the canary. At least once is a warning.

--canary makes tables named _weir_canary_… beside each target, and removes them, also after ^C. The user needs CREATE TABLE, \
CREATE VIEW, DROP TABLE, INSERT and SELECT there; a step that cannot be tried says why.";

/// Validate a configuration: every mistake with its line, or what it means.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask every replica, and tell table by table what stands in the way of the guarantees.
    #[arg(long)]
    live: bool,
    /// Prove the guarantees on scratch tables, which are removed again.
    #[arg(long, requires = "live")]
    canary: bool,
    /// Look at this distributed table only.
    #[arg(long, requires = "live", value_name = "DATABASE.TABLE")]
    table: Option<String>,
    /// The form of what --live tells.
    #[arg(long, value_enum, requires = "live")]
    output: Option<Output>,
}

impl CheckArgs {
    fn live(&self) -> Result<Option<live::Live>, CommandError> {
        if !self.live {
            return Ok(None);
        }
        let only = self.table.as_deref().map(TableName::parse).transpose();
        Ok(Some(live::Live {
            canary: self.canary,
            only: only.map_err(|error| CommandError(format!("--table: {error}")))?,
            output: self.output.unwrap_or_default(),
        }))
    }
}

/// Tells all mistakes, or the summary; then what the replicas say.
pub fn run(args: &CheckArgs) -> Result<(), CommandError> {
    let live = args.live()?;
    let config = args.config.load().map_err(|CommandError(mistakes)| {
        let number = counted(mistakes.lines().count() as u64, "mistake");
        CommandError(format!("{number}\n{mistakes}"))
    })?;
    let file = args.config.config.display();
    block_on(async {
        let (config, report) = examine(&config, &file.to_string()).await;
        let Some(live) = live else {
            return report.tell(&file);
        };
        match live.output {
            Output::Table => report.tell(&file)?,
            Output::Json => report.refuse_mistakes(&file)?,
        }
        live::run(&config, &live).await
    })?
}

#[derive(Debug, Default)]
struct Report {
    file: String,
    text: String,
    mistakes: Vec<String>,
    warnings: u64,
}

impl Report {
    /// The summary, and whether the file is sound.
    fn tell(&self, file: &impl std::fmt::Display) -> Result<(), CommandError> {
        say(self.text.trim_end())?;
        self.refuse_mistakes(file)?;
        let but = match self.warnings {
            0 => String::new(),
            many => format!(", with {}", counted(many, "warning")),
        };
        say(format!("\n{file} is sound{but}"))
    }

    fn refuse_mistakes(&self, file: &impl std::fmt::Display) -> Result<(), CommandError> {
        if self.mistakes.is_empty() {
            return Ok(());
        }
        let number = counted(self.mistakes.len() as u64, "mistake");
        Err(CommandError(format!(
            "{number} in {file}\n{}",
            self.mistakes.join("\n")
        )))
    }

    fn line(&mut self, line: impl std::fmt::Display) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn warning(&mut self, text: impl std::fmt::Display) {
        self.warnings += 1;
        self.line(format_args!("warning: {text}"));
    }

    /// A warning with the line that it is about, where it is about one.
    fn warning_at(&mut self, line: Option<usize>, text: String) {
        let remark = Remark {
            file: self.file.clone(),
            line,
            text,
        };
        self.warning(remark);
    }

    /// A mistake with the line that it is about, where it is about one.
    fn mistake(&mut self, line: Option<usize>, text: &str) {
        let remark = Remark {
            file: self.file.clone(),
            line,
            text: text.to_owned(),
        };
        self.mistakes.push(remark.to_string());
    }
}

/// The configuration with what the seeds show, and what there is to say of it.
async fn examine(config: &Config, file: &str) -> (Config, Report) {
    let mut report = Report {
        file: file.to_owned(),
        ..Report::default()
    };
    for warning in &config.warnings {
        report.warning(warning);
    }
    let config = with_discovered(config, &mut report).await;
    for cluster in &config.clusters {
        tell_cluster(&config, cluster, &mut report);
        for table in config.tables.iter().filter(|table| table.cluster == cluster.name) {
            tell_table(&config, cluster, table, &mut report).await;
        }
        report.line("");
    }
    (config, report)
}

/// With the tables that the seeds show now; what they say that differs from the file is a mistake.
async fn with_discovered(config: &Config, report: &mut Report) -> Config {
    match discovery::of_seeds(config).await {
        Ok((config, remarks)) => {
            remarks.iter().for_each(|remark| report.warning(remark));
            config
        }
        Err(error) => {
            report.mistake(None, &error.to_string());
            config.clone()
        }
    }
}

fn tell_cluster(config: &Config, cluster: &Cluster, report: &mut Report) {
    let standing = match layouts::successor(config, cluster) {
        Ok((_, None)) => "no layout is in force yet".to_owned(),
        Ok((new, Some(in_force))) if new.epoch == in_force.epoch => "the layout in force".to_owned(),
        Ok((_, Some(in_force))) => format!("will follow epoch {}", in_force.epoch),
        Err(error) => {
            report.mistake(Some(cluster.line), &error.to_string());
            "refused at a start".to_owned()
        }
    };
    report.line(format_args!(
        "cluster {}, epoch {} ({standing})",
        cluster.name, cluster.epoch
    ));
    for line in shards(cluster).to_string().lines() {
        report.line(format_args!("  {line}"));
    }
}

fn shards(cluster: &Cluster) -> Table {
    let mut table = Table::new(&[
        ("SHARD", Align::Left),
        ("WEIGHT", Align::Right),
        ("SLOTS", Align::Left),
        ("WRITES TO", Align::Left),
        ("REPLICAS", Align::Left),
    ]);
    let mut first_slot = 0;
    for shard in &cluster.shards {
        let replica = |replica: &config::Replica| match replica.local {
            true => format!("{} (local)", replica.address()),
            false => replica.address(),
        };
        table.row(vec![
            shard.name.clone(),
            shard.weight.to_string(),
            slots_in_words(first_slot, shard.weight),
            if shard.internal_replication { "one" } else { "each" }.to_owned(),
            shard.replicas.iter().map(replica).collect::<Vec<_>>().join(", "),
        ]);
        first_slot += u64::from(shard.weight);
    }
    table
}

async fn tell_table(config: &Config, cluster: &Cluster, table: &RoutedTable, report: &mut Report) {
    let origin = match table.origin {
        config::Origin::File => "",
        config::Origin::Discovered => ", discovered",
    };
    report.line(format_args!("  table {} → {}{origin}", table.name, table.target));
    if let Some(why) = &table.stopped {
        report.mistake(None, &format!("{} takes no INSERTs: {why}", table.name));
    }
    let key = table.sharding_key.as_deref();
    let name = table.name.to_string();
    match reach::described(config, cluster, table).await {
        Err(trouble) => {
            let text = key.unwrap_or("none");
            report.warning(format_args!(
                "key {text} of {name} is not checked, since no replica tells the columns of {} and none were kept: {trouble}",
                table.target
            ));
        }
        Ok((origin, description)) => match TableSchema::new(&name, description, key) {
            Err(error) => report.mistake(table.line, &format!("{} ({origin})", error.message)),
            Ok(schema) => {
                tell_key(&schema, key, &origin, report);
                if table.when_shard_down == WhenShardDown::Reroute
                    && schema.key.as_ref().is_some_and(|key| !key.is_random())
                {
                    let text = format!(
                        "{name}: when_shard_down = \"reroute\" has no effect: by its key each row belongs to one shard, and waits for it"
                    );
                    report.warning_at(table.line, text);
                }
                for warning in &schema.warnings {
                    report.warning_at(table.line, format!("{name}: {warning}"));
                }
            }
        },
    }
}

fn tell_key(schema: &TableSchema, key: Option<&str>, origin: &Origin, report: &mut Report) {
    let columns = counted(schema.insertable.len() as u64, "column");
    match (&schema.key, key) {
        (Some(key), Some(text)) => {
            report.line(format_args!(
                "    key {text}: {}; {columns} {origin}",
                key.result_type()
            ));
        }
        _ => report.line(format_args!("    no key; {columns} {origin}")),
    }
}
