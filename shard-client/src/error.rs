//! Why a request to a replica failed: whose fault it was, what has to change, whether to try again, and what
//! it proves.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::codes::{self, Class, Proof};
use crate::mark::ServerMark;
use crate::payload::PayloadError;
use crate::progress::Sent;
use crate::server_error::ServerError;

/// A failed request to one replica.
#[derive(Debug)]
pub struct ShardError {
    /// The replica, `host:port`.
    pub address: Arc<str>,
    /// How much of the request had left when it failed.
    pub sent: Sent,
    /// What happened.
    pub failure: Failure,
}

/// What can happen to a request.
#[derive(Debug)]
pub enum Failure {
    /// The password could not be read, or cannot stand in a header.
    Credentials(io::Error),
    /// The request cannot be put on the wire as it is: a name with a control character, a target too long.
    Request(String),
    /// No connection: refused, unreachable, no such host.
    Connect(io::Error),
    /// No TLS: the handshake failed, the certificate is not the expected one.
    Tls(io::Error),
    /// Nothing moved for as long as is allowed.
    Timeout {
        /// What was waited for.
        phase: Phase,
        /// How long.
        after: Duration,
    },
    /// The connection ended before the answer did.
    Cut(String),
    /// An answer that is not HTTP, or not the answer to this request.
    Protocol(String),
    /// An answer that no ClickHouse server gave: a proxy's or load balancer's error page.
    Foreign {
        /// The HTTP status.
        status: u16,
        /// The beginning of the page.
        text: String,
    },
    /// Another server than that which was asked for is at the other end of a new connection.
    OtherServer {
        /// Who was asked for.
        expected: ServerMark,
        /// Who is there.
        found: ServerMark,
    },
    /// The payload could not be sent to its end.
    Payload(PayloadError),
    /// The server's exception.
    Server(ServerError),
}

/// What a timed out request was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// One of the replica's connections to become free.
    Connection,
    /// The host's name, TCP or TLS.
    Connect,
    /// The server to take the body, or to begin its answer.
    Answer,
    /// More of an answer that had begun.
    Body,
}

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The one who sent the rows.
    Client,
    /// The replica, its table, or the way to it.
    Shard,
    /// Weir: its configuration, its disk, a mistake of its own.
    Us,
}

/// Whether the same request may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same bytes will not be taken.
    Never,
    /// It may pass, or be mended: after the usual pause.
    Later,
    /// The server asked for this pause.
    After(Duration),
}

/// What a failed INSERT left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// No row was written: the batch may be cut anew, sent elsewhere or given up.
    Nothing,
    /// Rows may have been written: only a repeat of the same bytes under the same token is safe.
    Unknown,
}

/// What is known of the materialized views on an INSERT's target: a view runs after the target has the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Views {
    /// There are none.
    None,
    /// There are some, or nobody looked.
    Possible,
}

impl ShardError {
    pub(crate) fn new(address: &Arc<str>, sent: Sent, failure: Failure) -> ShardError {
        ShardError {
            address: Arc::clone(address),
            sent,
            failure,
        }
    }

    /// The server's exception, if that is what happened.
    pub fn server(&self) -> Option<&ServerError> {
        match &self.failure {
            Failure::Server(error) => Some(error),
            Failure::Credentials(_)
            | Failure::Request(_)
            | Failure::Connect(_)
            | Failure::Tls(_)
            | Failure::Timeout { .. }
            | Failure::Cut(_)
            | Failure::Protocol(_)
            | Failure::Foreign { .. }
            | Failure::OtherServer { .. }
            | Failure::Payload(_) => None,
        }
    }

    /// What has to change before the same batch can be taken.
    pub fn class(&self) -> Class {
        match &self.failure {
            Failure::Connect(_)
            | Failure::Timeout { .. }
            | Failure::Cut(_)
            | Failure::Protocol(_)
            | Failure::OtherServer { .. } => Class::Passing,
            Failure::Credentials(_) => Class::Destination,
            // rustls tells a certificate it does not accept as invalid data; anything else is the network's.
            Failure::Tls(error) if error.kind() == io::ErrorKind::InvalidData => Class::Destination,
            Failure::Tls(_) => Class::Passing,
            Failure::Foreign {
                status: 401 | 403 | 404,
                ..
            } => Class::Destination,
            // 18.16 answers 400 without a word when the target is longer than it reads (16 KiB).
            Failure::Foreign {
                status: 400 | 405 | 413 | 414 | 431,
                ..
            } => Class::Statement,
            Failure::Foreign { .. } => Class::Passing,
            Failure::Request(_) => Class::Statement,
            Failure::Payload(_) => Class::Unclear,
            Failure::Server(error) => error.class(),
        }
    }

    /// Who has to act.
    pub fn fault(&self) -> Fault {
        match &self.failure {
            Failure::Credentials(_) | Failure::Request(_) | Failure::Payload(_) => Fault::Us,
            Failure::Connect(_)
            | Failure::Tls(_)
            | Failure::Timeout { .. }
            | Failure::Cut(_)
            | Failure::Protocol(_)
            | Failure::Foreign { .. }
            | Failure::OtherServer { .. } => Fault::Shard,
            Failure::Server(error) => match error.class() {
                Class::Rows => Fault::Client,
                Class::Recut => Fault::Us,
                Class::Passing
                | Class::Overloaded(_)
                | Class::Schema
                | Class::Statement
                | Class::Destination
                | Class::Unclear => Fault::Shard,
            },
        }
    }

    /// Whether the same request may be tried again. `Never` is said only of bytes that cannot be taken; where
    /// a destination has to be mended first, that is told by [`ShardError::class`].
    pub fn retry(&self) -> Retry {
        match (self.class(), self.server().and_then(|error| error.retry_after)) {
            (Class::Rows | Class::Recut, _) => Retry::Never,
            (_, Some(pause)) => Retry::After(pause),
            (
                Class::Passing
                | Class::Overloaded(_)
                | Class::Schema
                | Class::Statement
                | Class::Destination
                | Class::Unclear,
                None,
            ) => Retry::Later,
        }
    }

    /// What the failed INSERT left behind, as far as this failure proves it.
    ///
    /// Nothing is certain only where no byte left; where the body was cut before the end mark that the server
    /// needs;
    /// and where the server's code comes before the batch's one block (see [`Proof`]), as long as no
    /// materialized view can have thrown it: the target has none, or the text names the reading of the input and no
    /// view.
    pub fn wrote(&self, views: Views) -> Wrote {
        match (&self.sent, &self.failure) {
            (Sent::Nothing | Sent::Part { ends_itself: true }, _) => Wrote::Nothing,
            (Sent::Part { ends_itself: false } | Sent::Whole, Failure::Server(error)) => error.wrote(views),
            (
                Sent::Part { ends_itself: false } | Sent::Whole,
                Failure::Credentials(_)
                | Failure::Request(_)
                | Failure::Connect(_)
                | Failure::Tls(_)
                | Failure::Timeout { .. }
                | Failure::Cut(_)
                | Failure::Protocol(_)
                | Failure::Foreign { .. }
                | Failure::OtherServer { .. }
                | Failure::Payload(_),
            ) => Wrote::Unknown,
        }
    }

    /// Whether another replica may well do better: the way to this one, or this one's state, was the trouble.
    pub fn blames_replica(&self) -> bool {
        self.fault() == Fault::Shard && self.class().may_pass()
    }

    /// Whether the table may have changed, so that its columns are worth asking anew.
    pub fn hints_schema_change(&self) -> bool {
        self.server()
            .is_some_and(|error| codes::hints_schema_change(error.code))
    }

    /// Whether the server did not let the user in, so that it has seen neither the statement nor a row.
    pub fn refuses_login(&self) -> bool {
        self.server()
            .is_some_and(|error| codes::refuses_login(error.code))
    }

    /// The failure without anything that could be a row's value: for logs.
    pub fn summary(&self) -> String {
        match &self.failure {
            Failure::Server(error) => format!("{}: {}", self.address, error.summary()),
            Failure::Foreign { status, .. } => {
                format!("{}: status {status}, not from clickhouse", self.address)
            }
            Failure::Credentials(_)
            | Failure::Request(_)
            | Failure::Connect(_)
            | Failure::Tls(_)
            | Failure::Timeout { .. }
            | Failure::Cut(_)
            | Failure::Protocol(_)
            | Failure::OtherServer { .. }
            | Failure::Payload(_) => self.to_string(),
        }
    }
}

impl ServerError {
    /// What these words say of a whole batch that they answer, whose target has such views.
    pub fn wrote(&self, views: Views) -> Wrote {
        let from_view = self.names_view() || (views == Views::Possible && !self.names_input());
        match self.proof() {
            Proof::Always if !self.names_view() => Wrote::Nothing,
            Proof::OneBlock if !from_view => Wrote::Nothing,
            Proof::Always | Proof::OneBlock | Proof::None => Wrote::Unknown,
        }
    }
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Credentials(error) => write!(f, "no credentials: {error}"),
            Failure::Request(what) => write!(f, "cannot be sent: {what}"),
            Failure::Connect(error) => write!(f, "cannot connect: {error}"),
            Failure::Tls(error) => write!(f, "no tls: {error}"),
            Failure::Timeout { phase, after } => write!(f, "{phase} after {after:?}"),
            Failure::Cut(what) => write!(f, "connection cut: {what}"),
            Failure::Protocol(what) => write!(f, "unexpected answer: {what}"),
            Failure::Foreign { status, text } => {
                write!(f, "status {status}, not from clickhouse: {}", first_line(text))
            }
            Failure::OtherServer { expected, found } => {
                write!(f, "{found} answers there, where {expected} did: nothing was sent")
            }
            Failure::Payload(error) => error.fmt(f),
            Failure::Server(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connection => "no free connection",
            Phase::Connect => "no connection",
            Phase::Answer => "no answer",
            Phase::Body => "answer stalled",
        })
    }
}

impl Error for ShardError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.failure {
            Failure::Credentials(error) | Failure::Connect(error) | Failure::Tls(error) => Some(error),
            Failure::Payload(error) => Some(error),
            Failure::Request(_)
            | Failure::Timeout { .. }
            | Failure::Cut(_)
            | Failure::Protocol(_)
            | Failure::Foreign { .. }
            | Failure::OtherServer { .. }
            | Failure::Server(_) => None,
        }
    }
}

fn first_line(text: &str) -> &str {
    text.trim_start().lines().next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Overload;

    fn failed(sent: Sent, failure: Failure) -> ShardError {
        ShardError::new(&Arc::from("ch:8123"), sent, failure)
    }

    fn refused(text: &str) -> ShardError {
        failed(
            Sent::Whole,
            Failure::Server(ServerError::read(500, None, text).unwrap()),
        )
    }

    #[track_caller]
    fn check_wrote(text: &str, without_views: Wrote, with_views: Wrote) {
        let error = refused(text);
        assert_eq!(
            (error.wrote(Views::None), error.wrote(Views::Possible)),
            (without_views, with_views),
            "{text}"
        );
    }

    #[test]
    fn a_parse_error_proves_that_nothing_was_written_unless_a_view_can_have_thrown_it() {
        let (nothing, unknown) = (Wrote::Nothing, Wrote::Unknown);
        check_wrote(
            "Code: 27. DB::Exception: Cannot parse input: (at row 2)",
            nothing,
            nothing,
        );
        check_wrote("Code: 27. DB::Exception: Cannot parse input", nothing, unknown);
        check_wrote(
            "Code: 27. DB::Exception: Cannot parse (at row 2): while pushing to view d.v",
            unknown,
            unknown,
        );
        check_wrote(
            "Code: 395. DB::Exception: throwIf: while pushing to view default.mv",
            unknown,
            unknown,
        );
    }

    #[test]
    fn what_came_from_reading_the_body_is_about_rows_and_proves_that_nothing_was_written_whatever_its_code() {
        let reading = "While executing ValuesBlockInputFormat: data for INSERT was parsed from query";
        for text in [
            format!("Code: 46. DB::Exception: Function with name `f` does not exist: {reading}. (UNKNOWN_FUNCTION)"),
            format!("Code: 60. DB::Exception: Unknown table expression identifier 'x': {reading}."),
            format!("Code: 4242. DB::Exception: Brand new: {reading}"),
            "Code: 32. DB::Exception: Attempt to read after eof: While executing ProtobufRowInputFormat".to_owned(),
            "Code: 1001. DB::Exception: std::exception. Code: 1001, type: avro::Exception, e.what() = Invalid data file."
                .to_owned(),
        ] {
            check_wrote(&text, Wrote::Nothing, Wrote::Nothing);
            assert_eq!(refused(&text).class(), Class::Rows, "{text}");
            let from_view = format!("{text}: while pushing to view d.v");
            check_wrote(&from_view, Wrote::Unknown, Wrote::Unknown);
        }
        let elsewhere = "Code: 4242. DB::Exception: Brand new: While executing MergeTreeSink";
        check_wrote(elsewhere, Wrote::Unknown, Wrote::Unknown);
        let overload = format!("Code: 241. DB::Exception: Memory limit exceeded: {reading}");
        assert_eq!(refused(&overload).class(), Class::Overloaded(Overload::Memory));
    }

    #[test]
    fn a_refused_login_proves_that_nothing_was_written() {
        check_wrote(
            "Code: 516. DB::Exception: app: Authentication failed",
            Wrote::Nothing,
            Wrote::Nothing,
        );
        check_wrote(
            "Code: 193, e.displayText() = DB::Exception: Wrong password",
            Wrote::Nothing,
            Wrote::Nothing,
        );
    }

    #[test]
    fn too_many_partitions_proves_that_nothing_was_written() {
        let text = "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100)";
        check_wrote(text, Wrote::Nothing, Wrote::Nothing);
        let from_view = format!("{text}: while pushing to view d.v");
        check_wrote(&from_view, Wrote::Unknown, Wrote::Unknown);
        assert_eq!(
            (refused(text).class(), refused(text).retry()),
            (Class::Recut, Retry::Never)
        );
    }

    #[test]
    fn what_may_have_come_after_the_write_proves_nothing() {
        for text in [
            "Code: 319. DB::Exception: Unknown status",
            "Code: 286. DB::Exception: Quorum",
            "Code: 241. DB::Exception: Memory limit",
            "Code: 4242. DB::Exception: Brand new",
        ] {
            check_wrote(text, Wrote::Unknown, Wrote::Unknown);
        }
    }

    #[test]
    fn a_request_cut_before_its_end_mark_wrote_nothing() {
        let cut = |sent| failed(sent, Failure::Cut("reset".into())).wrote(Views::Possible);
        assert_eq!(cut(Sent::Nothing), Wrote::Nothing);
        assert_eq!(cut(Sent::Part { ends_itself: true }), Wrote::Nothing);
        assert_eq!(cut(Sent::Part { ends_itself: false }), Wrote::Unknown);
        assert_eq!(cut(Sent::Whole), Wrote::Unknown);
    }

    #[test]
    fn each_failure_knows_whose_fault_it_is_and_what_has_to_change() {
        let check = |text: &str, class, fault, retry| {
            let error = refused(text);
            assert_eq!(
                (error.class(), error.fault(), error.retry()),
                (class, fault, retry),
                "{text}"
            );
        };
        check(
            "Code: 27. DB::Exception: x",
            Class::Rows,
            Fault::Client,
            Retry::Never,
        );
        check(
            "Code: 60. DB::Exception: x",
            Class::Destination,
            Fault::Shard,
            Retry::Later,
        );
        check(
            "Code: 16. DB::Exception: x",
            Class::Schema,
            Fault::Shard,
            Retry::Later,
        );
        check(
            "Code: 115. DB::Exception: x",
            Class::Statement,
            Fault::Shard,
            Retry::Later,
        );
        check(
            "Code: 202. DB::Exception: x",
            Class::Overloaded(Overload::Busy),
            Fault::Shard,
            Retry::Later,
        );
        check(
            "Code: 4242. DB::Exception: x",
            Class::Unclear,
            Fault::Shard,
            Retry::Later,
        );
    }

    #[test]
    fn a_page_of_somebody_else_is_classed_by_its_status() {
        let class = |status| {
            failed(
                Sent::Whole,
                Failure::Foreign {
                    status,
                    text: String::new(),
                },
            )
            .class()
        };
        assert_eq!(
            [400, 403, 502].map(class),
            [Class::Statement, Class::Destination, Class::Passing]
        );
    }

    #[test]
    fn a_pause_that_the_server_asks_for_is_kept() {
        let mut server = ServerError::read(503, Some(202), "busy").unwrap();
        server.retry_after = Some(Duration::from_secs(7));
        assert_eq!(
            failed(Sent::Whole, Failure::Server(server)).retry(),
            Retry::After(Duration::from_secs(7))
        );
    }

    #[test]
    fn a_summary_holds_no_values_of_rows() {
        let error = refused("Code: 27. DB::Exception: Cannot parse input before: secret");
        assert!(error.to_string().contains("secret"));
        assert_eq!(
            error.summary(),
            "ch:8123: code 27 (CANNOT_PARSE_INPUT_ASSERTION_FAILED), status 500"
        );
    }
}
