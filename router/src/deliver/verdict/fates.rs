//! What becomes of a batch for every code of the table: docs/errors.md, which is made of it.

use std::fmt::Write as _;
use std::sync::Arc;

use shard_client::codes::{CODES, Code};
use shard_client::{Overload, Proof, Sent, ServerError};

use super::*;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");

fn document() -> String {
    std::fs::read_to_string(DOCUMENT).unwrap()
}

/// The table stands behind this line.
const HEAD: &str = "| code | name | trouble | what the answer proves | then, without views | then, with views |\n\
                    |---|---|---|---|---|---|\n";

fn table() -> String {
    let mut table = String::new();
    for code in CODES {
        add(&mut table, code, "");
    }
    let parts = CODES.iter().find(|code| code.name == "TOO_MANY_PARTS");
    let text = "Too many partitions for single INSERT block";
    add(&mut table, parts.expect("it is in the table"), text);
    table
}

fn add(table: &mut String, code: &Code, text: &str) {
    let number = code.number;
    let answer = ServerError::read(
        500,
        Some(number),
        &format!("Code: {number}. DB::Exception: {text}"),
    );
    let server = answer.expect("it has a code");
    let (class, proof) = (server.class(), server.proof());
    let error = ShardError {
        address: Arc::from("ch-1:8123"),
        sent: Sent::Whole,
        failure: Failure::Server(server),
    };
    let fate = |views| fate(&next(&error, views, Bare::Refused), views, &error);
    let (none, possible) = (fate(Views::None), fate(Views::Possible));
    let name = match text {
        "" => code.name.to_owned(),
        text => format!("{}, \"{text}\"", code.name),
    };
    let (class, proof) = (trouble(class), proved(proof));
    writeln!(
        table,
        "| {number} | {name} | {class} | {proof} | {none} | {possible} |"
    )
    .expect("a string takes it");
}

fn trouble(class: Class) -> &'static str {
    match class {
        Class::Passing => "may pass",
        Class::Overloaded(Overload::Parts) => "overload: parts",
        Class::Overloaded(Overload::Memory) => "overload: memory",
        Class::Overloaded(Overload::Time) => "overload: time",
        Class::Overloaded(Overload::Busy) => "overload: busy",
        Class::Rows => "rows",
        Class::Recut => "too much for one INSERT",
        Class::Schema => "table changed",
        Class::Statement => "statement",
        Class::Destination => "destination",
        Class::Unclear => "unclear",
    }
}

fn proved(proof: Proof) -> &'static str {
    match proof {
        Proof::Always => "nothing written",
        Proof::OneBlock => "nothing written, unless a view said it",
        Proof::None => "nothing",
    }
}

fn fate(next: &Next, views: Views, error: &ShardError) -> String {
    let asked = match asks_for_bare(error, views) {
        true => " (refused, where the statement alone is taken)",
        false => "",
    };
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Acknowledged => "acknowledged",
        Outcome::Retry { .. } => "again",
        Outcome::Refused { .. } => "refused",
        Outcome::TooMuch { .. } => "cut smaller",
        Outcome::Unfit { .. } => "undone, or the batch is held",
        Outcome::HoldBatch { .. } => "the batch is held",
        Outcome::HoldDestination { .. } => "the destination is held",
    };
    let decided = match next {
        Next::OtherReplica(tried) => format!("{}, another replica first", outcome(tried)),
        Next::SameReplica(tried) => format!("{}, at replicas that would know a repeat", outcome(tried)),
        Next::Unclear(_) => "again a few times, then the batch is held".to_owned(),
        Next::Settled(decided) => outcome(decided).to_owned(),
    };
    format!("{decided}{asked}")
}

#[test]
fn the_document_says_of_every_code_what_becomes_of_the_batch() {
    let document = document();
    let written = document.split_once(HEAD).expect("the table's head").1;
    for (written, true_line) in written.lines().zip(table().lines()) {
        assert_eq!(
            written, true_line,
            "run `write_the_document` by hand after a change that is meant"
        );
    }
    assert_eq!(written.lines().count(), table().lines().count());
}

#[test]
#[ignore = "run by hand after a change that is meant"]
fn write_the_document() {
    let document = document();
    let above = document.split_once(HEAD).expect("the table's head").0;
    std::fs::write(DOCUMENT, format!("{above}{HEAD}{}", table())).unwrap();
}
