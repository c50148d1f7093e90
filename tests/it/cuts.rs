//! A send that is cut leaves nothing, wherever it is cut, and repeated whole it is there once.
//!
//! What is cut is what Weir itself sends, byte for byte: taken down on its way to the server, with its envelope, its frames, its
//! pinned settings and its token; only its query id, and where a token decides its token, are new each time, so that no send
//! is taken for another. Both endings are tried: a reset, as of a machine that is gone, and an end as of a process that is.

use std::collections::BTreeSet;
use std::time::Duration;

use support::{
    ClickHouse18, Ending, Endpoint, Format, Modern, Options, Proxy, Weir, ZooKeeper, body_of, rows, wait_for,
};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, all_remote, insert, weir};
use crate::tables::{WINDOW, check_holds, count, create_as, create_replicated};

/// Rows of the batch that is cut at all these places: some frames.
const ROWS: u64 = 6_000;
const FORMAT: Format = Format::RowBinary;
/// Bytes between two cuts, beside those at the frames' borders.
const STEP_BYTES: usize = 1_000;
/// As many rows as a batch may have.
const ROWS_MAX: u64 = 1_000_000;

/// A delivery as it went over the wire.
struct Delivery {
    request: Vec<u8>,
    head_bytes: usize,
    /// Where each byte of the gzip member is in the request.
    member: Vec<usize>,
}

impl Delivery {
    /// Of the INSERT that passed.
    #[track_caller]
    fn only_one_of(proxy: &Proxy) -> Self {
        let [request] = <[_; 1]>::try_from(proxy.recorded()).expect("one batch, taken at once");
        let head_bytes = find(&request, b"\r\n\r\n").expect("a head ends") + 4;
        let head = String::from_utf8_lossy(&request[..head_bytes]).to_ascii_lowercase();
        assert!(
            head.contains("content-encoding: gzip") && head.contains("decompress=1"),
            "{head}"
        );
        let member = match head.contains("transfer-encoding: chunked") {
            true => within_chunks(&request, head_bytes),
            false => (head_bytes..request.len()).collect(),
        };
        Self {
            request,
            head_bytes,
            member,
        }
    }

    /// Where the gzip member's last byte is.
    fn member_end(&self) -> usize {
        *self.member.last().expect("a member has bytes")
    }

    /// Where a frame ends, as a length of the request. Stored blocks inside the member, frames inside of these.
    fn borders(&self) -> Vec<usize> {
        let at = |place: usize| self.request[self.member[place]];
        let mut content = Vec::new();
        let mut block = 10;
        while at(block) == 0 {
            let length = usize::from(u16::from_le_bytes([at(block + 1), at(block + 2)]));
            content.extend(block + 5..block + 5 + length);
            block += 5 + length;
        }
        let mut borders = Vec::new();
        let mut frame = 0;
        while frame < content.len() {
            // Checksum (16), method (1), size of header and payload (4).
            let size = [17, 18, 19, 20].map(|place| at(content[frame + place]));
            frame += 16 + u32::from_le_bytes(size) as usize;
            borders.push(self.member[content[frame - 1]] + 1);
        }
        borders
    }

    /// Every frame's border, every [`STEP_BYTES`]th byte, and the last bytes of all.
    fn places(&self) -> BTreeSet<usize> {
        let (first, end) = (self.head_bytes, self.request.len());
        let last = (1..=14).map(|bytes| end - bytes);
        let places = (first..end).step_by(STEP_BYTES).chain(self.borders()).chain(last);
        places.collect()
    }

    /// The same under another query id and, if it has one, another token.
    fn renamed(&self, name: &str, token: &str) -> Vec<u8> {
        let head = String::from_utf8(self.request[..self.head_bytes].to_vec()).expect("a head is ASCII");
        let head = with_parameter(&head, "query_id", name);
        let head = with_parameter(&head, "insert_deduplication_token", token);
        [head.as_bytes(), &self.request[self.head_bytes..]].concat()
    }

    /// Sends it cut at `place`.
    fn send_cut(&self, to: &Endpoint, place: usize, ending: Ending) {
        let (name, token) = (format!("cut-{place}-{ending:?}"), format!("token-{place}"));
        let renamed = self.renamed(&name, &token);
        let left = self.request.len() - place;
        to.send_cut(&renamed[..renamed.len() - left], ending);
    }

    /// Sends it whole, as the repetition of the one that was cut at `place`.
    #[track_caller]
    fn send_whole(&self, to: &Endpoint, place: usize, time: usize) {
        let (name, token) = (format!("whole-{place}-{time}"), format!("token-{place}"));
        let answer = to.send_raw(&self.renamed(&name, &token));
        answer.expect("a whole request is answered").expect_success();
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn within_chunks(request: &[u8], mut at: usize) -> Vec<usize> {
    let mut member = Vec::new();
    loop {
        let line = at + find(&request[at..], b"\r\n").expect("a chunk has a head");
        let length = std::str::from_utf8(&request[at..line]).expect("a length is ASCII");
        let length = usize::from_str_radix(length.trim(), 16).expect("a chunk's length");
        if length == 0 {
            return member;
        }
        member.extend(line + 2..line + 2 + length);
        at = line + 2 + length + 2;
    }
}

/// The head with another value of a parameter, if it has it.
fn with_parameter(head: &str, name: &str, value: &str) -> String {
    let Some((before, rest)) = head.split_once(&format!("&{name}=")) else {
        return head.to_owned();
    };
    let end = rest.find(['&', ' ']).expect("a target ends");
    format!("{before}&{name}={value}{}", &rest[end..])
}

/// What a router sends of this INSERT through a proxy; the target is empty again.
fn delivered(server: &Endpoint, insert: &str, body: Vec<u8>) -> Delivery {
    let proxy = Proxy::start(server.address);
    let weir: Weir = weir(true, &all_remote(&[proxy.address()]));
    proxy.record();
    weir.http.insert(insert, body).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    server.query(&format!("TRUNCATE TABLE {TARGET}"));
    Delivery::only_one_of(&proxy)
}

/// Cut at each place nothing is there; repeated whole, and whole again, it is there once.
fn check_cuts(server: &Endpoint, delivery: &Delivery, wait_until_quiet: impl Fn()) {
    assert!(
        delivery.borders().len() > 4,
        "{} frames",
        delivery.borders().len()
    );
    for (number, place) in delivery.places().into_iter().enumerate() {
        delivery.send_cut(server, place, Ending::Reset);
        delivery.send_cut(server, place, Ending::Close);
        wait_until_quiet();
        let (held, bytes) = (count(server, TARGET), delivery.request.len());
        // Behind the member's end only the transfer's own end mark is missing: the batch is all there, and 18.16 takes it.
        let is_whole = place > delivery.member_end() && held == ROWS;
        assert!(
            held == 0 || is_whole,
            "{held} rows, cut after {place} of {bytes} bytes"
        );
        delivery.send_whole(server, place, 1);
        delivery.send_whole(server, place, 2);
        if number == 0 {
            check_holds(server, TARGET, rows(32, 0..ROWS));
        }
        assert_eq!(
            count(server, TARGET),
            ROWS,
            "repeated whole after a cut at {place}"
        );
        server.query(&format!("TRUNCATE TABLE {TARGET}"));
    }
}

/// No INSERT into the target runs any more: one that was cut has no answer to wait for.
fn wait_until_quiet(server: &Endpoint) {
    let sql = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO%'";
    wait_for("INSERTs to end", Duration::from_secs(60), || {
        (server.query(sql).trim() == "0").then_some(())
    });
}

/// A server with the target, Replicated.
fn replicated(zookeeper: &ZooKeeper) -> ClickHouse18 {
    let server = ClickHouse18::start(&Options::replicated(zookeeper, "s1", "r1"));
    create_replicated(&server.http, "hits_local");
    server
}

/// One of today's, with a window of tokens.
fn modern() -> Modern {
    let server = Modern::start();
    create_as(&server.http, TARGET, WINDOW);
    server
}

#[test]
fn a_send_to_18_16_cut_at_every_frame_and_every_1000th_byte_leaves_nothing_and_repeated_is_there_once() {
    let zookeeper = ZooKeeper::start();
    let server = replicated(&zookeeper);
    let delivery = delivered(
        &server.http,
        &insert(TABLE, FORMAT),
        body_of(FORMAT, rows(32, 0..ROWS)),
    );
    check_cuts(&server.http, &delivery, || wait_until_quiet(&server.http));
}

#[test]
fn a_send_to_26_cut_at_every_frame_and_every_1000th_byte_leaves_nothing_and_repeated_is_there_once() {
    let server = modern();
    let delivery = delivered(
        &server.http,
        &insert(TABLE, FORMAT),
        body_of(FORMAT, rows(32, 0..ROWS)),
    );
    // The stand-in executes nothing before it has read the whole body.
    check_cuts(&server.http, &delivery, || ());
}

/// A full block is handed on before the body's end was seen: with pinned blocks of exactly this size it would stay.
#[track_caller]
fn check_a_full_batch(server: &Endpoint, wait_until_quiet: impl Fn()) {
    // Eight bytes a row, so that the rows make the batch full and not their size.
    let keys: Vec<u8> = (0..ROWS_MAX).flat_map(u64::to_le_bytes).collect();
    let delivery = delivered(
        server,
        &format!("INSERT INTO {TABLE} (user_id) FORMAT RowBinary"),
        keys,
    );
    let (borders, end) = (delivery.borders(), delivery.member_end());
    for place in [
        borders[borders.len() - 2],
        borders[borders.len() - 1],
        end - 8,
        end,
    ] {
        delivery.send_cut(server, place, Ending::Reset);
        delivery.send_cut(server, place, Ending::Close);
        wait_until_quiet();
        assert_eq!(
            count(server, TARGET),
            0,
            "cut after {place} bytes, the member ends at {end}"
        );
    }
    delivery.send_whole(server, 0, 1);
    delivery.send_whole(server, 0, 2);
    let sql = format!("SELECT count(), uniqExact(user_id), max(user_id) FROM {TARGET}");
    assert_eq!(
        server.query(&sql).trim(),
        format!("{ROWS_MAX}\t{ROWS_MAX}\t{}", ROWS_MAX - 1)
    );
}

#[test]
fn a_batch_of_exactly_a_million_rows_that_is_cut_leaves_nothing_on_18_16() {
    let zookeeper = ZooKeeper::start();
    let server = replicated(&zookeeper);
    check_a_full_batch(&server.http, || wait_until_quiet(&server.http));
}

#[test]
fn a_batch_of_exactly_a_million_rows_that_is_cut_leaves_nothing_on_26() {
    check_a_full_batch(&modern().http, || ());
}
