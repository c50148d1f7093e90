//! `weir check --live`: asks, decides, shows.

use config::{Config, TableName};
use serde_json::{Value, json};

use super::canary::{self, Interrupt, Outcome};
use super::facts::{AtReplica, TableFacts, TargetFacts, covered_seconds};
use super::finding::{Finding, Level, Verdict};
use super::{across, ask, at_replica, placement};
use crate::cli::CommandError;
use crate::cli::output::{Output, say};
use crate::cli::table::{Align, Table, age, count, counted};
use crate::identity::Remembered;

/// Places named with a finding; JSON has all.
const PLACES_MAX: usize = 6;

/// What to look at, and how to show it.
#[derive(Debug, Clone)]
pub struct Live {
    /// Whether the guarantees are proved on scratch tables, too.
    pub canary: bool,
    /// The one table to look at; all if none.
    pub only: Option<TableName>,
    /// The form of the listing.
    pub output: Output,
}

/// A table, what was found, and what was proved.
struct Report<'a> {
    facts: TableFacts<'a>,
    findings: Vec<Finding>,
    verdict: Verdict,
    outcomes: Vec<Outcome>,
}

/// Asks every replica and shows what stands in the way; an error where something does.
pub async fn run(config: &Config, live: &Live) -> Result<(), CommandError> {
    let mut reports = examine(config, live).await?;
    let mut is_interrupted = false;
    if live.canary {
        let interrupt = Interrupt::listen().map_err(|error| {
            CommandError(format!(
                "cannot listen for signals, so the canary makes nothing: {error}"
            ))
        })?;
        for report in &mut reports {
            eprintln!("canary: {} …", report.facts.table.name);
            report.outcomes = canary::run(&report.facts, &interrupt).await;
        }
        is_interrupted = interrupt.is_set();
    }
    show(&reports, live.output)?;
    conclude(&reports, is_interrupted)
}

async fn examine<'a>(config: &'a Config, live: &Live) -> Result<Vec<Report<'a>>, CommandError> {
    if let Some(only) = &live.only
        && !config.tables.iter().any(|table| table.name == *only)
    {
        return Err(CommandError(format!("no table {only} is routed")));
    }
    let replicas = config
        .clusters
        .iter()
        .flat_map(|cluster| &cluster.shards)
        .map(|shard| shard.replicas.len());
    eprintln!("asking {} …", counted(replicas.sum::<usize>() as u64, "replica"));
    let asked = ask::ask(config, live.only.as_ref()).await;
    let mut remembered = Remembered::of_spool(&config.spool.path)
        .map_err(|error| CommandError(format!("who the replicas were cannot be read: {error}")))?;
    Ok(asked
        .into_iter()
        .map(|facts| report(facts, &mut remembered))
        .collect())
}

fn report<'a>(facts: TableFacts<'a>, remembered: &mut Remembered) -> Report<'a> {
    let mut findings: Vec<_> = facts
        .replicas
        .iter()
        .flat_map(|at| at_replica::findings(&facts, at))
        .collect();
    findings.extend(across::findings(&facts, remembered));
    findings.extend(placement::findings(&facts));
    findings.sort_by_key(Finding::level);
    Report {
        verdict: Verdict::of(&findings),
        facts,
        findings,
        outcomes: Vec::new(),
    }
}

/// Success, or what it was that stands in the way.
fn conclude(reports: &[Report<'_>], is_interrupted: bool) -> Result<(), CommandError> {
    let findings = reports.iter().flat_map(|report| &report.findings);
    let errors = findings.filter(|finding| finding.level() == Level::Error).count() as u64;
    let outcomes = reports.iter().flat_map(|report| &report.outcomes);
    let failed = outcomes.filter(|outcome| outcome.proof.is_failed()).count() as u64;
    let told = [(errors, "error"), (failed, "failed step")];
    let told: Vec<_> = told
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| counted(number, noun))
        .collect();
    match (told.is_empty(), is_interrupted) {
        (false, _) => Err(CommandError(format!(
            "{} in the way, see above",
            told.join(" and ")
        ))),
        (true, true) => Err(CommandError("the canary was interrupted".to_owned())),
        (true, false) => Ok(()),
    }
}

// === showing ===

fn show(reports: &[Report<'_>], output: Output) -> Result<(), CommandError> {
    match output {
        Output::Json => {
            let reports: Vec<_> = reports.iter().map(Report::json).collect();
            say(format_args!("{:#}", Value::Array(reports)))
        }
        Output::Table => reports.iter().try_for_each(|report| say(report.text())),
    }
}

impl Report<'_> {
    fn text(&self) -> String {
        let TableFacts { table, cluster, .. } = &self.facts;
        let mut lines = vec![format!(
            "{} → {} on cluster {}: {}",
            table.name, table.target, cluster.name, self.verdict
        )];
        let mut indented = |text: String| lines.extend(text.lines().map(|line| format!("  {line}")));
        indented(self.replicas().to_string());
        for (finding, places) in grouped(&self.findings) {
            indented(words(finding, &places));
        }
        if !self.outcomes.is_empty() {
            indented(String::new());
            indented(self.canary().to_string());
        }
        lines.push(String::new());
        lines.join("\n")
    }

    fn replicas(&self) -> Table {
        let mut table = Table::new(&[
            ("SHARD", Align::Left),
            ("REPLICA", Align::Left),
            ("VERSION", Align::Left),
            ("ENGINE", Align::Left),
            ("WINDOW", Align::Right),
            ("BLOCKS/H", Align::Right),
            ("COVERS", Align::Right),
            ("VIEWS", Align::Right),
            ("ZOOKEEPER_PATH", Align::Left),
        ]);
        self.facts.replicas.iter().for_each(|at| table.row(texts(at)));
        table
    }

    fn canary(&self) -> Table {
        let mut table = Table::new(&[
            ("CANARY", Align::Left),
            ("SHARD", Align::Left),
            ("RESULT", Align::Left),
            ("", Align::Left),
        ]);
        for outcome in &self.outcomes {
            let (word, detail) = outcome.proof.words();
            let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
            table.row(vec![
                outcome.step.to_owned(),
                outcome.shard.clone(),
                word.to_owned(),
                detail,
            ]);
        }
        table
    }

    fn json(&self) -> Value {
        let TableFacts { table, cluster, .. } = &self.facts;
        json!({
            "table": table.name.to_string(),
            "target": table.target.to_string(),
            "cluster": cluster.name,
            "verdict": self.verdict.word(),
            "reasons": self.verdict.reasons(),
            "replicas": self.facts.replicas.iter().map(replica_json).collect::<Vec<_>>(),
            "findings": self.findings.iter().map(finding_json).collect::<Vec<_>>(),
            "canary": self.outcomes.iter().map(outcome_json).collect::<Vec<_>>(),
        })
    }
}

/// What several replicas say alike is told once, with all their places.
fn grouped(findings: &[Finding]) -> Vec<(&Finding, Vec<String>)> {
    let mut groups: Vec<(&Finding, Vec<String>)> = Vec::new();
    for finding in findings {
        let alike =
            |(other, _): &&mut (&Finding, _)| (&other.what, other.effect) == (&finding.what, finding.effect);
        match groups.iter_mut().find(alike) {
            Some((_, places)) => places.push(finding.place()),
            None => groups.push((finding, vec![finding.place()])),
        }
    }
    groups
}

fn words(finding: &Finding, places: &[String]) -> String {
    let named: Vec<_> = places
        .iter()
        .filter(|place| !place.is_empty())
        .take(PLACES_MAX)
        .cloned()
        .collect();
    let more = match places.len().saturating_sub(PLACES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let at = match named.is_empty() {
        true => String::new(),
        false => format!("{}{more}: ", named.join(", ")),
    };
    let what = finding.what.split_whitespace().collect::<Vec<_>>().join(" ");
    let next = match finding.next.as_str() {
        "" => String::new(),
        next => format!("\n  → {next}"),
    };
    format!("{}: {at}{what}{next}", finding.level().word())
}

fn texts(at: &AtReplica<'_>) -> Vec<String> {
    let version = match &at.answer {
        Ok(answer) => answer.server.facts.version.to_string(),
        Err(_) => "?".to_owned(),
    };
    let mut texts = vec![at.shard.name.clone(), at.replica.address(), version];
    if let Some(facts) = at.target() {
        texts.extend(target_texts(facts));
    }
    texts
}

fn target_texts(facts: &TargetFacts) -> [String; 6] {
    let target = &facts.target;
    let window = match target.window {
        None => "none".to_owned(),
        Some(window) => match window.seconds {
            None => count(window.blocks),
            Some(seconds) => format!("{}, {}", count(window.blocks), age(0, seconds * 1000)),
        },
    };
    let covers = target
        .window
        .map(|window| match covered_seconds(window, facts.rate) {
            Some(seconds) => age(0, seconds.saturating_mul(1000)),
            None => "any".to_owned(),
        });
    [
        target.engine.clone(),
        window,
        facts
            .rate
            .map_or_else(|| "?".to_owned(), |rate| count(rate.an_hour())),
        covers.unwrap_or_default(),
        facts.views.len().to_string(),
        target.zookeeper_path.clone().unwrap_or_default(),
    ]
}

fn replica_json(at: &AtReplica<'_>) -> Value {
    let facts = at.target();
    let target = facts.map(|facts| &facts.target);
    let window = target.and_then(|target| target.window);
    let rate = facts.and_then(|facts| facts.rate);
    let views = facts.map(|facts| {
        facts
            .views
            .iter()
            .map(|view| view.name.clone())
            .collect::<Vec<_>>()
    });
    json!({
        "shard": at.shard.name,
        "replica": at.replica.address(),
        "answers": at.answer.is_ok(),
        "version": at.answer.as_ref().ok().map(|answer| answer.server.facts.version.to_string()),
        "engine": target.map(|target| &target.engine),
        "partition_key": target.map(|target| &target.partition_key),
        "zookeeper_path": target.and_then(|target| target.zookeeper_path.as_ref()),
        "window_blocks": window.map(|window| window.blocks),
        "window_seconds": window.and_then(|window| window.seconds),
        "blocks_an_hour": rate.map(|rate| rate.an_hour()),
        "covered_seconds": window.and_then(|window| covered_seconds(window, rate)),
        "views": views,
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "level": finding.level().word(),
        "shard": finding.shard,
        "replica": finding.replica,
        "what": finding.what,
        "next": finding.next,
    })
}

fn outcome_json(outcome: &Outcome) -> Value {
    let (result, detail) = outcome.proof.words();
    json!({
        "step": outcome.step,
        "shard": outcome.shard,
        "replicas": outcome.replicas,
        "result": result.to_lowercase(),
        "detail": detail,
    })
}
