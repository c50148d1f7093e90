//! What is asked, and who answers: every request on the client listener comes through here.
//!
//! ```text
//! head → user → statement → INSERT into a routed table: split      (insert/)
//!                         → read: a replica, streaming both ways   (pass.rs)
//!                         → anything else: refused with its reason
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use formats::statement::{
    Insert, Recognised, STATEMENT_BYTES_MAX, Select, Source, Statement, System, TableRef, recognise_with,
};
use http::header::EXPECT;
use http::{Method, StatusCode};
use hyper::Request;
use hyper::body::Incoming;

use crate::answers::{name_on_replicas, shape};
use crate::app::App;
use crate::budget::Part;
use crate::discovery;
use crate::exception::{Exception, code};
use crate::http::answer::{self, Answer, Heading};
use crate::http::body::RequestBody;
use crate::http::decode::{Decoder, Encoding};
use crate::http::form::{self, FORM_BYTES_MAX};
use crate::http::request::Head;
use crate::http::{Handler, Peer};
use crate::insert::client_tokens;
use crate::insert::foreground::Foreground;
use crate::insert::plan::{Plan, Surroundings};
use crate::insert::retries::{self, BodyHash};
use crate::insert::select::Reader;
use crate::insert::settings::InsertSettings;
use crate::insert::{self, Asker};
use crate::logins;
use crate::pass;
use crate::routing::{Lookup, RoutedTable, Routing};
use crate::sends;

/// What ClickHouse answers to `/` and `/ping`.
const OK: &str = "Ok.\n";

/// A request whose user is known.
pub struct Question<'a> {
    /// The tables and users of this moment; a reload does not change a request under way.
    pub routing: Arc<Routing>,
    /// The request's head.
    pub head: &'a Head,
    /// The user it comes from.
    pub user: &'a config::User,
    /// When it came.
    pub since: Instant,
}

impl Handler for App {
    async fn handle(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Answer {
        let since = Instant::now();
        if let Some(answer) = plain_page(&request, self.is_ready()) {
            return answer;
        }
        let (parts, incoming) = request.into_parts();
        let mut head = match Head::read(&parts.method, &parts.uri, &parts.headers) {
            Ok(head) => head,
            Err(exception) => {
                return answer::exception(
                    &exception,
                    &Heading {
                        query_id: "",
                        time_zone: None,
                    },
                );
            }
        };
        let mut body = RequestBody::new(incoming, parts.headers.contains_key(EXPECT));
        match question(&self, peer, &mut head, since, &parts, &mut body).await {
            Ok(answer) => answer,
            Err(exception) => {
                body.drain().await;
                answer::exception(&exception, &heading(&head))
            }
        }
    }
}

/// Pages that need no user: load balancers and drivers ask them first.
fn plain_page<B>(request: &Request<B>, is_ready: bool) -> Option<Answer> {
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/ping" => Some(answer::text(StatusCode::OK, OK)),
        // ClickHouse says 503 there while a replica lags too far behind to be used.
        "/replicas_status" if is_ready => Some(answer::text(StatusCode::OK, OK)),
        "/replicas_status" => Some(answer::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "Weir is starting or shutting down: it takes no INSERTs now.\n",
        )),
        "/" if is_get && request.uri().query().is_none_or(str::is_empty) => {
            Some(answer::text(StatusCode::OK, OK))
        }
        "/" => None,
        path => {
            let message = format!(
                "There is no handle {path}: queries go to /; /ping and /replicas_status answer without one.\n"
            );
            Some(answer::text(StatusCode::NOT_FOUND, message))
        }
    }
}

/// Whoever may open a socket's file is on this machine.
fn address_of(peer: Peer) -> IpAddr {
    match peer {
        Peer::Address(address) => address.ip(),
        Peer::Local => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

fn heading(head: &Head) -> Heading<'_> {
    Heading {
        query_id: &head.query_id,
        time_zone: None,
    }
}

async fn question(
    app: &Arc<App>,
    peer: Peer,
    head: &mut Head,
    since: Instant,
    parts: &http::request::Parts,
    body: &mut RequestBody,
) -> Result<Answer, Exception> {
    let routing = app.routing();
    let user = logins::admit(app, &routing, &head.credentials, address_of(peer)).await?;
    if let Some(decoder) = decoder(head)? {
        body.decode(decoder, app.budget.clone());
    }
    let form = form(app, head, body).await?;
    let head = &*head;
    let recognition = recognition(head, form, body).await?;
    let question = Question {
        routing: routing.clone(),
        head,
        user,
        since,
    };
    match &recognition.statement {
        Statement::Insert(statement) => question.insert(app, statement, &recognition, parts, body).await,
        Statement::Describe { table, name } => {
            question.check_select()?;
            question
                .describe(app, table, name.clone(), &recognition, parts, body)
                .await
        }
        Statement::Read => {
            question.check_select()?;
            body.unread(recognition.body());
            pass::through(app, &question, parts, body.take()).await
        }
        Statement::Empty => Err(Exception::bad_input(
            code::SYNTAX_ERROR,
            "The query is empty: send it in the URL's query parameter or in the body.",
        )),
        Statement::Ddl { verb, .. } => Err(Exception::not_implemented(refused_change(verb))),
        Statement::Transaction(verb) => Err(Exception::not_implemented(format!(
            "{verb}: transactions are not supported: each INSERT is accepted whole or not at all, and nothing joins several."
        ))),
        Statement::TemporaryTable(verb) => Err(Exception::not_implemented(format!(
            "{verb} of a temporary table: it would live in one session on one server, so Weir neither makes one nor inserts \
             into it. Use a table of the shards, or talk to one server directly."
        ))),
        Statement::System(system) => question.system(app, system).await,
        Statement::Kill => Err(Exception::not_implemented(
            "KILL would reach one replica of many: run it on the server that runs the query.",
        )),
    }
}

/// Why Weir does not run a statement that changes what servers hold.
fn refused_change(verb: &str) -> String {
    let what = match verb {
        "DELETE" | "UPDATE" | "OPTIMIZE" => {
            "changes rows that the shards hold, and rows that wait in the spool would come behind it"
        }
        "GRANT" | "REVOKE" => {
            "changes rights, which each server keeps for itself; Weir's own users stand in weir.toml"
        }
        "BACKUP" | "RESTORE" => "is about the data of one server",
        "EXECUTE" => "acts for another user, whom Weir has not authenticated",
        _ => "is DDL, which this version of Weir does not run (ddl = \"refuse\" in weir.toml)",
    };
    format!("{verb} {what}: run it on every shard.")
}

/// The code that an INSERT's answer has.
fn code_of(inserted: &insert::Inserted) -> i32 {
    inserted.refusal.as_ref().map_or(0, |exception| exception.code)
}

/// The decoder of a body that is encoded, holds ClickHouse's compressed blocks, or both.
fn decoder(head: &Head) -> Result<Option<Decoder>, Exception> {
    let encoding = head
        .content_encoding
        .as_deref()
        .map_or(Ok(None), Encoding::named)?;
    let is_set = |value: &str| !matches!(value, "" | "0" | "false");
    Decoder::new(encoding, head.setting("decompress").is_some_and(is_set))
}

/// A recognised statement and the text it was recognised in.
struct Recognition {
    statement: Statement,
    /// The query of the URL, a line feed, and what was read of the body.
    text: Bytes,
    /// Where the body begins in `text`.
    body_at: usize,
    /// The body, where it is a form whose part the text is.
    form: Option<Bytes>,
}

impl Recognition {
    /// What was read of the body, for whoever wants all of it.
    fn body(&self) -> Bytes {
        let form = self.form.clone();
        form.unwrap_or_else(|| self.text.slice(self.body_at..))
    }

    /// The first data of an INSERT. Data in the URL are data as well: `query=INSERT INTO t VALUES (1)`.
    fn data(&self, source: &Source) -> Bytes {
        match source {
            Source::Data { data_at, .. } => self.text.slice((*data_at).min(self.text.len())..),
            Source::Select { .. } | Source::Function(_) | Source::Infile => Bytes::new(),
        }
    }
}

/// Reads a multipart form, which says what a URL says otherwise; none when the body is none.
async fn form(app: &App, head: &mut Head, body: &mut RequestBody) -> Result<Option<Bytes>, Exception> {
    let Some(boundary) = head.boundary.clone() else {
        return Ok(None);
    };
    let mut part = Part::default();
    app.budget.cover(&mut part, FORM_BYTES_MAX as u64).await?;
    let (bytes, form) = form::read(body, &boundary).await?;
    head.fill_from(form)?;
    Ok(Some(bytes))
}

/// Reads as much of the body as the statement's head needs; nothing of a form, which was read before.
async fn recognition(
    head: &Head,
    form: Option<Bytes>,
    body: &mut RequestBody,
) -> Result<Recognition, Exception> {
    let parameters = head.query_parameters();
    let mut text = BytesMut::from(head.query.as_bytes());
    if !text.is_empty() && form.is_none() {
        // ClickHouse joins the halves of a query with a line feed.
        text.extend_from_slice(b"\n");
    }
    let body_at = text.len();
    let mut complete = form.is_some();
    loop {
        if let Recognised::Statement(statement) = recognise_with(&text, complete, &parameters)? {
            return Ok(Recognition {
                statement,
                text: text.freeze(),
                body_at,
                form,
            });
        }
        match body.next().await? {
            Some(chunk) => text.extend_from_slice(&chunk),
            None => complete = true,
        }
    }
}

/// The statement to its end, for one that has no data behind it.
async fn whole_text(recognition: &Recognition, body: &mut RequestBody) -> Result<Vec<u8>, Exception> {
    let mut text = recognition.text.to_vec();
    while let Some(chunk) = body.next().await? {
        text.extend_from_slice(&chunk);
        if text.len() > STATEMENT_BYTES_MAX {
            return Err(Exception::bad_input(
                code::SYNTAX_ERROR,
                "The statement is longer than max_query_size.",
            ));
        }
    }
    Ok(text)
}

impl Question<'_> {
    /// A distributed table may exist only in Weir: its target is described, or asked for, instead.
    async fn describe(
        &self,
        app: &App,
        table: &TableRef,
        name: Range<usize>,
        recognition: &Recognition,
        parts: &http::request::Parts,
        body: &mut RequestBody,
    ) -> Result<Answer, Exception> {
        let database = table.database.as_deref().unwrap_or_else(|| self.database());
        let Lookup::Routed(routed) = self.routing.lookup(database, &table.table) else {
            body.unread(recognition.body());
            return pass::through(app, self, parts, body.take()).await;
        };
        let text = whole_text(recognition, body).await?;
        pass::described(app, self, parts, &routed, &text, name).await
    }

    /// What SYSTEM says to Weir's own queues; everything else is a server's business.
    async fn system(&self, app: &Arc<App>, system: &System) -> Result<Answer, Exception> {
        match system {
            System::FlushDistributed(table) => {
                let table = self.queue_of(app, table).await?;
                sends::flush(app, &table).await?;
            }
            System::StopDistributedSends(table) => {
                let tables = self.queues_of(app, table.as_ref()).await?;
                tables.iter().for_each(|table| app.sends.stop(&table.name));
            }
            System::StartDistributedSends(table) => {
                let tables = self.queues_of(app, table.as_ref()).await?;
                tables.iter().for_each(|table| app.sends.start(&table.name));
            }
            System::Other(_) => {
                return Err(Exception::not_implemented(
                    "SYSTEM would reach one replica of many: run it on the server it is meant for.",
                ));
            }
        }
        Ok(answer::done(&heading(self.head)))
    }

    /// The distributed table that a SYSTEM statement names.
    async fn queue_of(&self, app: &Arc<App>, named: &TableRef) -> Result<Arc<RoutedTable>, Exception> {
        let database = named.database.as_deref().unwrap_or_else(|| self.database());
        let Lookup::Routed(table) = self.lookup(app, database, &named.table).await else {
            return Err(Exception::unrouted_table(format!(
                "Table {database}.{} is no distributed table of Weir's: `weir clusters --tables` lists them.",
                named.table
            )));
        };
        self.check_insert(&table)?;
        Ok(table)
    }

    /// That one, or all that the user may insert into.
    async fn queues_of(
        &self,
        app: &Arc<App>,
        named: Option<&TableRef>,
    ) -> Result<Vec<Arc<RoutedTable>>, Exception> {
        if let Some(named) = named {
            return Ok(vec![self.queue_of(app, named).await?]);
        }
        let tables = self
            .routing
            .tables()
            .filter(|table| self.user.may_insert(&table.config.name));
        Ok(tables.cloned().collect())
    }

    async fn insert(
        &self,
        app: &Arc<App>,
        statement: &Insert,
        recognition: &Recognition,
        parts: &http::request::Parts,
        body: &mut RequestBody,
    ) -> Result<Answer, Exception> {
        let named = self.table(app, &statement.table).await;
        let named = named.inspect_err(|exception| app.metrics.inserted("", exception.code, 0));
        let Some(table) = named? else {
            body.unread(recognition.body());
            return pass::through(app, self, parts, body.take()).await;
        };
        body.unread(recognition.data(&statement.source));
        let answered = match &statement.source {
            Source::Select { with, at } => {
                let text = whole_text(recognition, body).await?;
                let select = formats::statement::select(&text, with.clone(), *at)?;
                let settings = self.head.settings.iter().chain(&statement.settings);
                let asker = Asker {
                    selected: Some(BodyHash::of_select(&text, settings)),
                    ..self.asker()
                };
                self.insert_selected(app, &table, statement, &select, asker).await
            }
            Source::Data { .. } | Source::Function(_) | Source::Infile => {
                self.insert_routed(app, &table, statement, body).await
            }
        };
        match &answered {
            Ok(inserted) if inserted.summary.is_duplicate => {
                app.metrics.inserted(&table.name, code_of(inserted), 0);
                app.metrics.recognised(&table.name);
            }
            Ok(inserted) => {
                let rows = inserted.summary.written_rows;
                app.metrics.inserted(&table.name, code_of(inserted), rows);
            }
            Err(exception) => app.metrics.inserted(&table.name, exception.code, 0),
        }
        let inserted = answered?;
        let time_zone = table.time_zone();
        let heading = Heading {
            query_id: &self.head.query_id,
            time_zone: time_zone.as_deref(),
        };
        let summary = &inserted.summary;
        Ok(match &inserted.refusal {
            None => answer::inserted(summary, &heading),
            Some(exception) => answer::with_receipt(answer::exception(exception, &heading), summary),
        })
    }

    async fn insert_routed(
        &self,
        app: &Arc<App>,
        table: &Arc<RoutedTable>,
        statement: &Insert,
        body: &mut RequestBody,
    ) -> Result<insert::Inserted, Exception> {
        self.check_insert(table)?;
        let settings = self.head.settings.iter().chain(&statement.settings);
        let settings = InsertSettings::read(settings, &table.config.forward_settings)?;
        let asker = Asker {
            foreground: Foreground::of(&table.config.send, &settings.own, self.since),
            ..self.asker()
        };
        let token = settings.own.deduplication_token.as_deref();
        if let Some(first) = retries::known_before(app, table, &asker, token) {
            body.read_off().await?;
            return Ok(insert::answered_before(app, table, &first, &asker).await);
        }
        app.admit_insert(table).await?;
        let schema = table.schema(app).await?;
        let default_format = self.head.default_format.as_deref();
        let plan = Plan::new(
            table.clone(),
            &schema,
            statement,
            default_format,
            settings,
            self.surroundings(app),
        )?;
        insert::insert(app, plan, asker, body).await
    }

    /// `INSERT … SELECT`: the SELECT runs on a replica, under the client's own user, and its result is inserted.
    async fn insert_selected(
        &self,
        app: &Arc<App>,
        table: &Arc<RoutedTable>,
        statement: &Insert,
        select: &Select,
        asker: Asker,
    ) -> Result<insert::Inserted, Exception> {
        self.check_insert(table)?;
        self.check_select()?;
        let settings = self.head.settings.iter().chain(&statement.settings);
        let own = InsertSettings::of_select(settings.clone())?;
        let asker = Asker {
            foreground: Foreground::of(&table.config.send, &own.own, self.since),
            ..asker
        };
        let token = own.own.deduplication_token.as_deref();
        if let Some(first) = retries::known_before(app, table, &asker, token) {
            return Ok(insert::answered_before(app, table, &first, &asker).await);
        }
        client_tokens::refuse_select(table, &own.own)?;
        app.admit_insert(table).await?;
        let schema = table.schema(app).await?;
        let replica = pass::connected_replica(&table.cluster).await?;
        let (user, password) = match &self.user.reads_as {
            None => (
                &self.head.credentials.user,
                Reader::password_of(&self.head.credentials),
            ),
            Some(reads_as) => (&reads_as.user, crate::routing::password(&reads_as.password)),
        };
        let reader = Reader {
            replica: &replica,
            user,
            password,
            database: self.database(),
            settings: settings.cloned().collect(),
            query_id: &self.head.query_id,
        };
        let Some(_place) = replica.read_place() else {
            return Err(pass::too_many_reads(&replica));
        };
        let mut selected = insert::select::run(&reader, statement, select, &schema).await?;
        let plan = Plan::new(
            table.clone(),
            &schema,
            &selected.insert,
            None,
            own,
            self.surroundings(app),
        )?;
        insert::insert(app, plan, asker, &mut selected.rows).await
    }

    /// What a plan needs to know beside the INSERT.
    fn surroundings(&self, app: &App) -> Surroundings<'_> {
        Surroundings {
            row_bytes_max: app.row_bytes_max(),
            scratch: &self.routing.config.spool.path,
            context: insert::defaults::context_of(&self.user.name, self.database(), &self.head.query_id),
        }
    }

    fn asker(&self) -> Asker {
        Asker {
            user: self.user.name.clone(),
            query_id: if self.head.query_id_given {
                self.head.query_id.clone()
            } else {
                String::new()
            },
            since: self.since,
            selected: None,
            foreground: None,
        }
    }

    /// Whether this request may insert into this table at all.
    fn check_insert(&self, table: &RoutedTable) -> Result<(), Exception> {
        if self.head.method != Method::POST && self.head.method != Method::PUT {
            return Err(Exception::bad_input(
                code::READONLY,
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly: use method POST.",
            ));
        }
        if !self.user.may_insert(&table.config.name) {
            return Err(Exception::access_denied(format!(
                "{}: Not enough privileges. To execute this query, the user needs table {} in its tables in weir.toml.",
                self.user.name, table.name
            )));
        }
        Ok(())
    }

    fn check_select(&self) -> Result<(), Exception> {
        if self.user.may_select() {
            return Ok(());
        }
        Err(Exception::access_denied(format!(
            "{}: Not enough privileges. To read, the user needs allow = [\"select\"] in weir.toml.",
            self.user.name
        )))
    }

    /// The routed table that an INSERT names; none when the user's INSERTs into others pass.
    async fn table(&self, app: &Arc<App>, named: &TableRef) -> Result<Option<Arc<RoutedTable>>, Exception> {
        let database = named.database.as_deref().unwrap_or_else(|| self.database());
        let passes = self.user.unrouted_inserts == config::UnroutedInserts::Pass;
        match self.lookup(app, database, &named.table).await {
            Lookup::Routed(table) => Ok(Some(table)),
            Lookup::Target(_) | Lookup::Unknown if passes => Ok(None),
            Lookup::Target(distributed) => Err(Exception::unrouted_table(format!(
                "Table {database}.{} is a target that the shards hold: INSERT into {distributed}, whose rows Weir brings there.",
                named.table
            ))),
            Lookup::Unknown if named.table.is_empty() => Err(Exception::not_implemented(
                "INSERT INTO FUNCTION names no table that Weir could route: run it on a server.",
            )),
            Lookup::Unknown if named.database.is_none() && self.head.setting("session_id").is_some() => {
                Err(Exception::unrouted_table(format!(
                    "Table {} is not routed by Weir; routed are: {}. A temporary table lives in one session on one server, so \
                     Weir cannot insert into it: insert into a routed table, or talk to that server directly.",
                    named.table,
                    self.routing.some_table_names()
                )))
            }
            Lookup::Unknown => Err(Exception::unrouted_table(format!(
                "Table {database}.{} is not routed by Weir; routed are: {}.",
                named.table,
                self.routing.some_table_names()
            ))),
        }
    }

    /// What an INSERT's table is; an unknown one may have been created since its cluster's seeds were asked.
    async fn lookup(&self, app: &Arc<App>, database: &str, table: &str) -> Lookup {
        match self.routing.lookup(database, table) {
            Lookup::Unknown if !table.is_empty() => {
                let name = config::TableName::new(database, table);
                if self.user.may_insert(&name) {
                    return discovery::look_up(app, &name).await;
                }
                Lookup::Unknown
            }
            known => known,
        }
    }

    /// A statement of this request, as far as its answer depends on the request.
    pub fn asked<'s>(&'s self, statement: &'s [u8]) -> shape::Request<'s> {
        shape::Request {
            statement,
            default_format: self.head.default_format.as_deref(),
            database: self.database(),
            user: name_on_replicas(self.user),
            settings: &self.head.settings,
        }
    }

    /// The database of names without one.
    pub fn database(&self) -> &str {
        self.head
            .database
            .as_deref()
            .unwrap_or(&self.user.default_database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_page(path: &str, is_ready: bool, expected: Option<u16>) {
        let request = Request::get(path).body(()).unwrap();
        let status = plain_page(&request, is_ready).map(|answer| answer.status().as_u16());
        assert_eq!(status, expected, "{path}");
    }

    #[test]
    fn load_balancers_are_answered_without_a_user_and_replicas_status_tells_readiness() {
        check_page("/ping", false, Some(200));
        check_page("/", false, Some(200));
        check_page("/replicas_status", true, Some(200));
        check_page("/replicas_status", false, Some(503));
        check_page("/play", true, Some(404));
        check_page("/?query=SELECT+1", true, None);
    }

    #[test]
    fn a_refused_change_says_what_it_is() {
        for (verb, words) in [
            ("DELETE", "changes rows"),
            ("OPTIMIZE", "changes rows"),
            ("GRANT", "rights"),
            ("CREATE", "is DDL"),
        ] {
            let text = refused_change(verb);
            assert!(text.starts_with(verb) && text.contains(words), "{text}");
        }
    }
}
