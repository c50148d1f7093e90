//! What `weir check --live` says of a table: findings, each with its next step, and the verdict that follows from them. Pure.

use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Rows would not arrive, or arrive where they do not belong; or nobody knows.
    Error,
    /// Rows may arrive twice, or not look everywhere the same.
    Warning,
    /// Good to know.
    Note,
}

impl Level {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        }
    }
}

/// What a finding does to the guarantees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Rows do not arrive, or not where they belong.
    Stops,
    /// A replica did not tell.
    Hides,
    /// A repeat after an unknown outcome may double rows.
    Doubles,
    /// None, but it is worth a look.
    Warns,
    /// None.
    None,
}

/// One thing that stands in the way, or that one should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it does to the guarantees.
    pub effect: Effect,
    /// The shard that it is about, if one.
    pub shard: Option<String>,
    /// The replica that it is about, if one: `host:port`.
    pub replica: Option<String>,
    /// What was found.
    pub what: String,
    /// What to do about it; empty where nothing has to be done.
    pub next: String,
}

impl Finding {
    /// A finding about the whole table.
    pub fn new(effect: Effect, what: impl Into<String>, next: impl Into<String>) -> Finding {
        Finding {
            effect,
            shard: None,
            replica: None,
            what: what.into(),
            next: next.into(),
        }
    }

    /// The same about one shard.
    pub fn in_shard(mut self, shard: &str) -> Finding {
        self.shard = Some(shard.to_owned());
        self
    }

    /// The same about one replica.
    pub fn at(mut self, shard: &str, replica: String) -> Finding {
        self.replica = Some(replica);
        self.in_shard(shard)
    }

    /// How bad it is.
    pub fn level(&self) -> Level {
        match self.effect {
            Effect::Stops | Effect::Hides => Level::Error,
            Effect::Doubles | Effect::Warns => Level::Warning,
            Effect::None => Level::Note,
        }
    }

    /// What it is about, in words; nothing for the whole table.
    pub fn place(&self) -> String {
        match (&self.shard, &self.replica) {
            (Some(shard), Some(replica)) => format!("{shard} {replica}"),
            (Some(shard), None) => shard.clone(),
            (None, _) => String::new(),
        }
    }
}

/// What a table's guarantee comes to, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A repeat is recognised everywhere.
    ExactlyOnce,
    /// Nothing stands in the way of delivery, but a repeat may double rows.
    AtLeastOnce(Vec<String>),
    /// Not every replica told.
    NotKnown(Vec<String>),
    /// Something has to be mended first.
    InTheWay(Vec<String>),
}

impl Verdict {
    /// The worst of what was found decides.
    pub fn of(findings: &[Finding]) -> Verdict {
        let reasons = |effect| {
            let mut reasons = Vec::new();
            for finding in findings.iter().filter(|finding| finding.effect == effect) {
                if !reasons.contains(&finding.what) {
                    reasons.push(finding.what.clone());
                }
            }
            Some(reasons).filter(|reasons| !reasons.is_empty())
        };
        let in_the_way = reasons(Effect::Stops).map(Verdict::InTheWay);
        in_the_way
            .or_else(|| reasons(Effect::Hides).map(Verdict::NotKnown))
            .or_else(|| reasons(Effect::Doubles).map(Verdict::AtLeastOnce))
            .unwrap_or(Verdict::ExactlyOnce)
    }

    /// Without the reasons.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::ExactlyOnce => "exactly once",
            Verdict::AtLeastOnce(_) => "at least once",
            Verdict::NotKnown(_) => "not known",
            Verdict::InTheWay(_) => "not deliverable as it stands",
        }
    }

    /// Why it is not better.
    pub fn reasons(&self) -> &[String] {
        match self {
            Verdict::ExactlyOnce => &[],
            Verdict::AtLeastOnce(reasons) | Verdict::NotKnown(reasons) | Verdict::InTheWay(reasons) => {
                reasons
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self.reasons() {
            [] => Ok(()),
            [reason] => write!(f, ": {reason}"),
            [reason, more @ ..] => write!(f, ": {reason} (and {} more, below)", more.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(effects: &[Effect], expected: &str) {
        let findings = effects
            .iter()
            .zip(["a", "b", "a"])
            .map(|(effect, what)| Finding::new(*effect, what, ""));
        assert_eq!(Verdict::of(&findings.collect::<Vec<_>>()).to_string(), expected);
    }

    #[test]
    fn the_worst_finding_decides_and_notes_decide_nothing() {
        use Effect::{Doubles, Hides, None, Stops, Warns};
        check(&[], "exactly once");
        check(&[Warns, None], "exactly once");
        check(&[Warns, Doubles], "at least once: b");
        check(&[Doubles, Hides], "not known: b");
        check(&[Hides, Stops], "not deliverable as it stands: b");
        check(
            &[Doubles, Doubles, Doubles],
            "at least once: a (and 1 more, below)",
        );
    }
}
