//! DEFAULTs that are no functions of the row mean the time of the INSERT, on all shards alike.

use support::Modern;

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, all_remote, weir};

/// A good part of what people write.
const COLUMNS: &str = "user_id UInt64, \
     at DateTime DEFAULT CURRENT_TIMESTAMP, \
     day Date DEFAULT CURRENT_DATE, \
     until DateTime DEFAULT now() + INTERVAL 1 DAY, \
     expires DateTime DEFAULT addMonths(now(), 1), \
     hour DateTime DEFAULT toStartOfInterval(now(), INTERVAL 1 HOUR), \
     trunc DateTime DEFAULT date_trunc('hour', now()), \
     fine DateTime64(3) DEFAULT now64(3) - INTERVAL 5 MILLISECOND, \
     millis Int64 DEFAULT toUnixTimestamp64Milli(now64(3)), \
     year String DEFAULT formatDateTime(now(), '%Y-%m'), \
     there DateTime('Asia/Tokyo') DEFAULT toTimeZone(now(), 'Asia/Tokyo'), \
     host String DEFAULT FQDN(), \
     who Map(String, String) DEFAULT map('user', currentUser()), \
     drawn Array(UInt32) DEFAULT [randConstant()], \
     code String DEFAULT base64Encode(randomString(8))";

#[test]
fn defaults_that_are_no_functions_of_the_row_are_equal_on_all_shards() {
    let shards = [Modern::start(), Modern::start()];
    for shard in &shards {
        let create = format!("CREATE TABLE {TARGET} ({COLUMNS}) ENGINE = MergeTree ORDER BY user_id");
        shard.http.query(&create);
    }
    let weir = weir(
        true,
        &all_remote(&[shards[0].http.address, shards[1].http.address]),
    );
    let body: String = (0..100).map(|key| format!("{key}\n")).collect();
    let insert = format!("INSERT INTO {TABLE} (user_id) FORMAT TabSeparated");
    weir.http.insert(&insert, body).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);

    let of_insert = "at, day, until, expires, hour, trunc, fine, millis, year, there, host, who, drawn";
    let values = format!("SELECT DISTINCT {of_insert} FROM {TARGET} FORMAT TabSeparated");
    let values = shards.each_ref().map(|shard| shard.http.query(&values));
    assert_eq!(values[0].lines().count(), 1, "{}", values[0]);
    assert_eq!(values[0], values[1]);
    let sound = "until = at + INTERVAL 1 DAY AND expires = addMonths(at, 1) AND hour = toStartOfHour(at) AND trunc = hour \
                 AND day = toDate(at) AND toUnixTimestamp64Milli(fine) + 5 = millis AND intDiv(millis, 1000) = toUnixTimestamp(at) \
                 AND year = formatDateTime(at, '%Y-%m') AND there = at AND mapContains(who, 'user') AND length(base64Decode(code)) = 8";
    for shard in &shards {
        let unsound = format!("SELECT count() FROM {TARGET} WHERE NOT ({sound}) FORMAT TabSeparated");
        assert_eq!(shard.http.query(&unsound).trim(), "0");
    }
}
